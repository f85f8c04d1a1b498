//! What must hold in every schedule and setting.

use ::loom::sync::atomic::Ordering::Relaxed;
use ::loom::thread;

use super::{
    Guards, Setting, Shared, TWO_THREADS_ON_SLOTS, Way, run, spawn, three_threads, two_threads,
};

macro_rules! models {
    ($settings:tt $($property:ident)*) => {$(
        mod $property {
            use super::{Guards, Setting, Way};

            models! { @ $property $settings }
        }
    )*};
    (@ $property:ident [$($name:ident $way:ident $guards:ident,)*]) => {$(
        #[test]
        fn $name() {
            super::$property(Setting {
                guards: Guards::$guards,
                way: Way::$way,
                fault: None,
            });
        }
    )*};
}

models! {
    [
        tree_movable Tree Movable,
        tree_pinned Tree Pinned,
        narrow_movable Narrow Movable,
        narrow_pinned Narrow Pinned,
        mixed_movable Mixed Movable,
        mixed_pinned Mixed Pinned,
        grown_movable Grown Movable,
        grown_pinned Grown Pinned,
        apart_pinned Apart Pinned,
    ]
    writers_exclude_each_other
    a_reader_excludes_a_writer
    three_threads_mix
    writers_of_three_threads_all_finish
    a_release_wakes_all_it_unblocks
    readers_hold_a_byte_together
    disjoint_ranges_pass_each_other
    a_request_passes_those_it_does_not_conflict_with
    conflicting_requests_are_served_in_order
    a_try_never_waits_and_never_intrudes
}

models! {
    [
        narrow_movable Narrow Movable,
        narrow_pinned Narrow Pinned,
        mixed_movable Mixed Movable,
        mixed_pinned Mixed Pinned,
        grown_movable Grown Movable,
        grown_pinned Grown Pinned,
        apart_pinned Apart Pinned,
    ]
    holders_that_find_no_slot_are_held_in_the_tree
    a_slot_filled_by_the_tree_is_seen
    announcements_in_different_slots_are_seen
    readers_and_a_writer_take_turns
    writers_beside_a_third_exclude_each_other
    lone_holders_and_others_exclude_each_other
    newcomers_respect_those_who_are_moved
    newcomers_respect_those_who_are_moved_into_the_tree
    a_waiter_outlives_a_move
    newcomers_respect_those_who_are_moved_to_and_fro
    a_waiter_outlives_moves_to_and_fro
    newcomers_respect_those_who_are_listed
    newcomers_respect_listed_holders_that_change
    newcomers_respect_readers_that_go_apart
    a_waiter_outlives_readers_that_go_apart_and_together
}

models! {
    [
        movable Apart Movable,
    ]
    a_reader_apart_becomes_a_writer_alone
}

models! {
    [
        pinned Apart Pinned,
    ]
    a_reader_apart_excludes_a_writer
}

pub(super) fn writers_exclude_each_other(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| shared.write(0, 1, || ()));
        shared.write(1, 1, || ());
        other.join().unwrap();
        shared.read(0, 1, || ());
    });
}

pub(super) fn a_reader_excludes_a_writer(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| shared.write(0, 0, || ()));
        shared.read(0, 1, || ());
        other.join().unwrap();
    });
}

pub(super) fn three_threads_mix(setting: Setting) {
    three_threads(setting, |shared| {
        let writer = spawn(shared, |shared| shared.write(0, 1, || ()));
        let reader = spawn(shared, |shared| shared.read(0, 0, || ()));
        shared.read(0, 1, || ());
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

pub(super) fn writers_of_three_threads_all_finish(setting: Setting) {
    three_threads(setting, |shared| {
        let wide = spawn(shared, |shared| shared.write(0, 1, || ()));
        let left = spawn(shared, |shared| shared.write(0, 0, || ()));
        shared.write(1, 1, || ());
        wide.join().unwrap();
        left.join().unwrap();
    });
}

pub(super) fn a_release_wakes_all_it_unblocks(setting: Setting) {
    three_threads(setting, |shared| {
        let (left, right) = shared.write(0, 1, || {
            let left = spawn(shared, |shared| shared.write(0, 0, || ()));
            let right = spawn(shared, |shared| shared.read(1, 1, || ()));
            (left, right)
        });
        left.join().unwrap();
        right.join().unwrap();
    });
}

/// Two readers that meet inside: each leaves only after both have come.
pub(super) fn readers_hold_a_byte_together(setting: Setting) {
    two_threads(setting, |shared| {
        let meet = |shared: &Shared| {
            shared.read(0, 1, || {
                shared.clock.fetch_add(1, Relaxed);
                while shared.clock.load(Relaxed) != 2 {
                    thread::yield_now();
                }
            });
        };
        let other = spawn(shared, meet);
        meet(shared);
        other.join().unwrap();
    });
}

/// While one byte is held, the other can be had: the holder leaves only after that has happened.
pub(super) fn disjoint_ranges_pass_each_other(setting: Setting) {
    two_threads(setting, |shared| {
        shared.write(0, 0, || {
            let other = spawn(shared, |shared| shared.write(1, 1, || ()));
            other.join().unwrap();
        });
    });
}

/// A request passes a waiting one that it does not conflict with.
pub(super) fn a_request_passes_those_it_does_not_conflict_with(setting: Setting) {
    three_threads(setting, |shared| {
        let waiter = shared.read(0, 0, || {
            let waiter = spawn(shared, |shared| shared.write(0, 0, || ()));
            shared.until_waiting(1);
            let passer = spawn(shared, |shared| shared.write(1, 1, || ()));
            passer.join().unwrap();
            waiter
        });
        waiter.join().unwrap();
    });
}

/// A writer waits for a reader; a second reader that comes later must not get in before it.
pub(super) fn conflicting_requests_are_served_in_order(setting: Setting) {
    three_threads(setting, |shared| {
        let (writer, reader) = shared.read(0, 1, || {
            let writer = spawn(shared, |shared| {
                shared.write(0, 0, || assert_eq!(shared.clock.fetch_add(1, Relaxed), 0));
            });
            shared.until_waiting(1);
            let reader = spawn(shared, |shared| {
                shared.read(0, 1, || assert_eq!(shared.clock.fetch_add(1, Relaxed), 1));
            });
            (writer, reader)
        });
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

pub(super) fn a_try_never_waits_and_never_intrudes(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| {
            shared.try_write(0, 0, || ());
        });
        shared.read(0, 1, || ());
        other.join().unwrap();
        assert!(shared.try_write(0, 1, || ()), "nobody is left");
    });
}

/// More narrow ranges held than there are slots: the rest is held in the tree, and a request waits
/// for either kind alike.
pub(super) fn holders_that_find_no_slot_are_held_in_the_tree(setting: Setting) {
    two_threads(setting, |shared| {
        let other = shared.write(0, 0, || {
            shared.write(1, 1, || {
                let other = spawn(shared, |shared| shared.write(2, 2, || ()));
                shared.write(2, 2, || ());
                other
            })
        });
        other.join().unwrap();
    });
}

/// One thread comes a second time while the other is still on its way through the tree.
pub(super) fn a_slot_filled_by_the_tree_is_seen(setting: Setting) {
    // It is long, so there is one preemption less than usual, but not where it must fail.
    let spared = usize::from(setting.fault.is_none());
    run(setting, Some(TWO_THREADS_ON_SLOTS - spared), |shared| {
        shared.beside_a_third(|| {
            let other = spawn(shared, |shared| {
                shared.write(0, 0, || ());
                shared.write(0, 0, || ());
            });
            shared.write(0, 0, || ());
            other.join().unwrap();
        });
    });
}

/// One of two that conflict announces itself in the second slot, because the first is taken; the
/// other in the first, which is free by then. So neither runs into the other's announcement, and
/// both must look around.
pub(super) fn announcements_in_different_slots_are_seen(setting: Setting) {
    two_threads(setting, |shared| {
        let other = shared.write(2, 2, || spawn(shared, |shared| shared.write(0, 0, || ())));
        shared.write(0, 0, || ());
        other.join().unwrap();
    });
}

pub(super) fn readers_and_a_writer_take_turns(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| {
            shared.write(0, 1, || ());
            shared.read(0, 1, || ());
        });
        shared.read(1, 1, || ());
        shared.write(1, 1, || ());
        other.join().unwrap();
    });
}

/// Two that conflict, beside one who keeps them out of the head of their shard.
pub(super) fn writers_beside_a_third_exclude_each_other(setting: Setting) {
    two_threads(setting, |shared| {
        shared.beside_a_third(|| {
            let other = spawn(shared, |shared| shared.write(0, 1, || ()));
            shared.write(1, 1, || ());
            other.join().unwrap();
        });
    });
}

/// A shard is opened to lone holders again while somebody announces himself there.
pub(super) fn lone_holders_and_others_exclude_each_other(setting: Setting) {
    two_threads(setting, |shared| {
        shared.read(2, 2, || shared.read(1, 1, || ()));
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        shared.write(1, 1, || ());
        shared.write(1, 1, || ());
        other.join().unwrap();
    });
}

/// The table grows under a holder while another one looks from slot to slot for those whom it
/// conflicts with.
pub(super) fn newcomers_respect_those_who_are_moved(setting: Setting) {
    two_threads(setting, |shared| {
        let other = shared.read(2, 2, || {
            shared.write(1, 1, || {
                let other = spawn(shared, |shared| shared.write(1, 1, || ()));
                shared.lock.reserve(9);
                shared.change(1, 1);
                other
            })
        });
        other.join().unwrap();
    });
}

/// The table grows under a holder that no slot can take.
pub(super) fn newcomers_respect_those_who_are_moved_into_the_tree(setting: Setting) {
    run(setting, Some(TO_AND_FRO), |shared| {
        let held = shared.lock.write(1..);
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        shared.grow();
        shared.change(1, 2);
        drop(held);
        other.join().unwrap();
    });
}

/// The table grows while a request waits for a holder in a slot.
pub(super) fn a_waiter_outlives_a_move(setting: Setting) {
    two_threads(setting, |shared| {
        let other = shared.read(2, 2, || {
            shared.read(1, 1, || {
                let other = spawn(shared, |shared| shared.write(0, 2, || ()));
                shared.until_waiting(1);
                shared.lock.reserve(9);
                other
            })
        });
        other.join().unwrap();
    });
}

/// As far as can be tried in seconds; the canaries show what is found.
const LISTED: usize = 3;

/// Growing and shrinking takes many steps, and with them many schedules.
const TO_AND_FRO: usize = 2;

/// The table grows, and shrinks again, while another one looks around in the level that is left and
/// used again.
pub(super) fn newcomers_respect_those_who_are_moved_to_and_fro(setting: Setting) {
    run(setting, Some(TO_AND_FRO), |shared| {
        let third = shared.lock.read(2..=2);
        let held = shared.lock.write(1..=1);
        drop(third);
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        shared.grow();
        shared.change(1, 1);
        drop(held);
        shared.write(1, 1, || {
            shared.shrink();
            shared.change(1, 1);
        });
        other.join().unwrap();
    });
}

/// The table grows and shrinks again while a request waits for a holder in a slot.
pub(super) fn a_waiter_outlives_moves_to_and_fro(setting: Setting) {
    run(setting, Some(TO_AND_FRO), |shared| {
        shared.grow();
        let other = shared.read(1, 1, || {
            let other = spawn(shared, |shared| shared.write(0, 2, || ()));
            shared.until_waiting(1);
            shared.shrink();
            shared.look(1, 1);
            shared.grow();
            other
        });
        other.join().unwrap();
    });
}

/// A holder of a wide range is listed while a newcomer looks around.
pub(super) fn newcomers_respect_those_who_are_listed(setting: Setting) {
    run(setting, Some(LISTED), |shared| {
        let wide = shared.lock.write(1..=2);
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        shared.lock.layers.list();
        shared.change(1, 2);
        drop(wide);
        shared.write(0, 0, || ());
        other.join().unwrap();
    });
}

/// A listed writer becomes a reader, and another reader a writer, while a newcomer looks around.
pub(super) fn newcomers_respect_listed_holders_that_change(setting: Setting) {
    let bound = LISTED + usize::from(setting.fault.is_some());
    run(setting, Some(bound), |shared| {
        let wide = shared.lock.write(1..=2);
        shared.lock.layers.list();
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        let wide = wide.downgrade();
        shared.lock.layers.list();
        shared.look(1, 2);
        match wide.try_upgrade() {
            Ok(_guard) => shared.change(1, 2),
            Err(_guard) => shared.look(1, 2),
        }
        other.join().unwrap();
    });
}

/// Readers go apart, and together again, while a newcomer looks around.
pub(super) fn newcomers_respect_readers_that_go_apart(setting: Setting) {
    run(setting, Some(TO_AND_FRO), |shared| {
        let held = shared.lock.read(1..=1);
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        shared.set_readers_apart();
        shared.look(1, 1);
        drop(held);
        shared.read(1, 1, || {
            shared.set_readers_together();
            shared.look(1, 1);
        });
        other.join().unwrap();
    });
}

/// The same while a writer waits for readers in shards of their own.
pub(super) fn a_waiter_outlives_readers_that_go_apart_and_together(setting: Setting) {
    run(setting, Some(TO_AND_FRO), |shared| {
        shared.set_readers_apart();
        let other = shared.read(1, 1, || {
            let other = spawn(shared, |shared| shared.write(1, 1, || ()));
            shared.until_waiting(1);
            shared.set_readers_together();
            shared.look(1, 1);
            shared.set_readers_apart();
            shared.look(1, 1);
            other
        });
        other.join().unwrap();
    });
}

/// The other one reads in the second shard of the group.
pub(super) fn a_reader_apart_excludes_a_writer(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| shared.read(1, 1, || ()));
        shared.write(1, 1, || ());
        other.join().unwrap();
    });
}

/// A reader in a shard of his own becomes a writer while another reads in another.
pub(super) fn a_reader_apart_becomes_a_writer_alone(setting: Setting) {
    two_threads(setting, |shared| {
        let guard = shared.lock.read(1..=1);
        let other = spawn(shared, |shared| shared.read(1, 1, || ()));
        match guard.try_upgrade() {
            Ok(_guard) => shared.change(1, 1),
            Err(_guard) => shared.look(1, 1),
        }
        other.join().unwrap();
    });
}
