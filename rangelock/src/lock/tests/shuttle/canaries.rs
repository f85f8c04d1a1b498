//! Scenarios on a lock that commits a fault on purpose: each must fail, which shows that shuttle
//! would find such a mistake.

use super::scenarios::*;
use super::{Fault, Setting, Way};

#[test]
#[should_panic(expected = "deadlock")]
fn canary_lost_wake() {
    long_ranges_exclude_each_other(Setting::faulty(Way::Tree, Fault::LostWake));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_only_one_woken() {
    short_ranges_exclude_each_other(Setting::faulty(Way::Tree, Fault::WakeOnlyOne));
}

#[test]
#[should_panic(expected = "met")]
fn canary_reader_releases_readers() {
    long_ranges_exclude_each_other(Setting::faulty(Way::Tree, Fault::ReaderReleasesReaders));
}

#[test]
#[should_panic(expected = "was overtaken by")]
fn canary_barging() {
    conflicting_requests_are_served_in_order(Setting::faulty(Way::Tree, Fault::Barging));
}

#[test]
#[should_panic(expected = "met")]
fn canary_try_ignores_readers() {
    short_ranges_exclude_each_other(Setting::faulty(Way::Tree, Fault::TryIgnoresReaders));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_retracts_silently() {
    short_ranges_exclude_each_other(Setting::faulty(Way::Narrow, Fault::RetractsSilently));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_waiter_marks_nobody() {
    long_ranges_pass_through_short_ones(Setting::faulty(Way::Mixed, Fault::WaiterMarksNobody));
}
