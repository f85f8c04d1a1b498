//! Properties on a lock that commits a fault on purpose: each must fail, which shows that loom
//! would find such a mistake.

use super::changes::*;
use super::waiting::*;
use super::{Others, Setting};
use crate::probe::Fault;

macro_rules! canaries {
    ($($name:ident: $property:ident on $setting:expr, $expected:literal;)*) => {$(
        #[test]
        #[should_panic(expected = $expected)]
        fn $name() {
            $property($setting);
        }
    )*};
}

const fn faulty(fault: Fault) -> Setting {
    Setting::faulty(fault)
}

canaries! {
    expiry_forgets_grant: a_deadline_and_a_grant_race
        on faulty(Fault::ExpiryForgetsGrant), "left in the tree";
    expiry_forgets_mode: an_expired_request_in_a_queue_upsets_nobody
        on faulty(Fault::CancelForgetsMode), "Causality violation";
    expiry_is_not_told: an_expired_request_lets_those_behind_it_pass
        on faulty(Fault::LostWake), "deadlock";
    task_is_not_woken: a_task_is_woken
        on faulty(Fault::LostWake), "deadlock";
    stale_waker: a_task_is_woken_by_its_last_waker
        on faulty(Fault::StaleWaker), "deadlock";
    only_one_woken: tasks_that_were_granted_together_are_all_woken
        on faulty(Fault::WakeOnlyOne), "deadlock";
    cancel_forgets_grant: a_task_is_dropped_while_it_is_granted
        on faulty(Fault::CancelForgetsGrant), "deadlock";
    cancel_forgets_mode: a_task_dropped_in_the_middle_of_a_queue_upsets_nobody
        on faulty(Fault::CancelForgetsMode), "Causality violation";
    cancel_is_not_told: a_dropped_task_lets_those_behind_it_pass
        on faulty(Fault::LostWake), "deadlock";
    many_one_by_one: requests_made_together_never_wait_in_a_circle
        on faulty(Fault::ManyOneByOne), "deadlock";
    downgrade_wakes_nobody: a_downgrade_lets_readers_in
        on faulty(Fault::LostWake), "deadlock";
    downgrade_admits_writers: a_downgrade_lets_no_writer_between
        on faulty(Fault::DowngradeAdmitsWriters), "Causality violation";
    upgrade_ignores_readers: one_of_two_readers_becomes_a_writer
        on faulty(Fault::UpgradeIgnoresReaders), "Causality violation";
    upgrade_uncounted: a_waiting_reader_waits_for_an_upgraded_one_too
        on faulty(Fault::UpgradeUncounted), "Causality violation";
    shrink_wakes_nobody: what_is_given_back_can_be_had
        on faulty(Fault::LostWake), "deadlock";
    shrink_releases_all: what_is_kept_can_not_be_had
        on faulty(Fault::ShrinkReleasesAll), "Causality violation";
    split_uncounted: both_parts_of_a_split_range_are_waited_for
        on faulty(Fault::SplitUncounted), "Causality violation";
    adopt_uncounted: a_waiter_is_woken_by_a_range_that_was_taken_over
        on Setting { others: Others::Outsiders, fault: Some(Fault::AdoptUncounted) }, "deadlock";
    newcomer_looks_once: a_newcomer_meets_a_range_that_is_taken_over
        on Setting::sound(Others::LookingOnce), "Causality violation";
}
