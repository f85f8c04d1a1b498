//! Properties on a lock that commits a fault on purpose: each must fail, which shows that loom
//! would find such a mistake.

use super::properties::*;
use super::{Setting, Way};
use crate::probe::Fault;

#[test]
#[should_panic(expected = "deadlock")]
fn canary_lost_wake() {
    writers_exclude_each_other(Setting::faulty(Way::Tree, Fault::LostWake));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_only_one_woken() {
    a_release_wakes_all_it_unblocks(Setting::faulty(Way::Tree, Fault::WakeOnlyOne));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_reader_releases_readers() {
    conflicting_requests_are_served_in_order(Setting::faulty(
        Way::Tree,
        Fault::ReaderReleasesReaders,
    ));
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn canary_barging() {
    conflicting_requests_are_served_in_order(Setting::faulty(Way::Tree, Fault::Barging));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_try_ignores_readers() {
    a_try_never_waits_and_never_intrudes(Setting::faulty(Way::Tree, Fault::TryIgnoresReaders));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_no_barrier_after_announcing() {
    announcements_in_different_slots_are_seen(Setting::faulty(
        Way::Narrow,
        Fault::NoBarrierAfterAnnouncing,
    ));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_count_not_reread() {
    a_slot_filled_by_the_tree_is_seen(Setting::faulty(Way::Narrow, Fault::CountNotReread));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_count_not_read_again() {
    newcomers_respect_those_who_are_moved(Setting::faulty(Way::Narrow, Fault::CountNotReadAgain));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_reinstates_too_early() {
    newcomers_respect_those_who_are_moved_to_and_fro(Setting::faulty(
        Way::Narrow,
        Fault::ReinstatesTooEarly,
    ));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_list_not_read() {
    newcomers_respect_those_who_are_listed(Setting::faulty(Way::Mixed, Fault::ListNotRead));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_relists_at_once() {
    newcomers_respect_listed_holders_that_change(Setting::faulty(Way::Grown, Fault::RelistsAtOnce));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_uncrowds_unseen() {
    lone_holders_and_others_exclude_each_other(Setting::faulty(Way::Narrow, Fault::UncrowdsUnseen));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_retracts_silently() {
    writers_beside_a_third_exclude_each_other(Setting::faulty(
        Way::Narrow,
        Fault::RetractsSilently,
    ));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_waiter_marks_nobody() {
    writers_beside_a_third_exclude_each_other(Setting::faulty(
        Way::Mixed,
        Fault::WaiterMarksNobody,
    ));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_writer_visits_one() {
    a_reader_apart_excludes_a_writer(Setting::faulty(Way::Apart, Fault::WriterVisitsOne));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_upgrades_apart() {
    a_reader_apart_becomes_a_writer_alone(Setting::faulty(Way::Apart, Fault::UpgradesApart));
}
