//! What must hold in every schedule while requests give up or change what they hold.
//!
//! On the ways that lead past the tree: the tree has models of its own for each of these
//! (`tree/tests/loom`). Each says itself whether its guards are movable or pinned.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{Guards, Setting, Shared, Way, spawn, three_threads, two_threads};
use crate::Access;

macro_rules! models {
    ($($property:ident)*) => {$(
        mod $property {
            use super::*;

            #[test]
            fn narrow() {
                super::$property(setting(Way::Narrow));
            }

            #[test]
            fn mixed() {
                super::$property(setting(Way::Mixed));
            }

            #[test]
            fn grown() {
                super::$property(setting(Way::Grown));
            }
        }
    )*};
}

models! {
    a_request_that_gives_up_leaves_nothing_behind
    a_future_that_is_dropped_leaves_nothing_behind
    a_writer_that_becomes_a_reader_admits_no_writer
    a_reader_that_becomes_a_writer_is_alone
    what_is_given_back_of_a_range_can_be_had
    both_halves_of_a_range_are_held
    two_that_want_the_same_two_ranges_both_get_them
    a_moved_holder_can_change_what_it_holds
    appenders_get_bytes_of_their_own
    an_appender_lets_those_pass_whom_it_kept_waiting
    a_pinned_writer_that_becomes_a_reader_admits_no_writer
    a_pinned_reader_that_becomes_a_writer_is_alone
    what_is_given_back_of_a_pinned_range_can_be_had
    a_moved_pinned_holder_can_change_what_it_holds
    a_future_of_several_gets_them_all_or_leaves_nothing_behind
}

/// Where readers are apart, as far as that takes seconds.
macro_rules! models_apart {
    ($($property:ident)*) => {
        mod apart {
            use super::*;

            $(
                #[test]
                fn $property() {
                    super::$property(setting(Way::Apart));
                }
            )*
        }
    };
}

models_apart! {
    a_writer_that_becomes_a_reader_admits_no_writer
    a_reader_that_becomes_a_writer_is_alone
    what_is_given_back_of_a_range_can_be_had
    both_halves_of_a_range_are_held
    two_that_want_the_same_two_ranges_both_get_them
    a_moved_holder_can_change_what_it_holds
}

fn setting(way: Way) -> Setting {
    Setting {
        guards: Guards::Movable,
        way,
        fault: None,
    }
}

fn a_request_that_gives_up_leaves_nothing_behind(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| {
            if let Some(_guard) = shared.lock.try_write_until(0..=1, Instant::now()) {
                shared.change(0, 1);
            }
        });
        shared.write(1, 1, || ());
        other.join().unwrap();
        assert!(shared.try_write(0, 1, || ()), "nobody is left");
    });
}

fn a_future_that_is_dropped_leaves_nothing_behind(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| {
            let mut future = pin!(shared.lock.write_async(0..=1));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                if let Poll::Ready(_guard) = future.as_mut().poll(&mut context) {
                    shared.change(0, 1);
                    return;
                }
            }
        });
        shared.write(1, 1, || ());
        other.join().unwrap();
        assert!(shared.try_write(0, 1, || ()), "nobody is left");
    });
}

fn a_writer_that_becomes_a_reader_admits_no_writer(setting: Setting) {
    two_threads(setting, |shared| {
        let guard = shared.lock.write(1..=1);
        let other = spawn(shared, |shared| shared.write(0, 1, || ()));
        shared.change(1, 1);
        let guard = guard.downgrade();
        shared.look(1, 1);
        drop(guard);
        other.join().unwrap();
    });
}

fn a_reader_that_becomes_a_writer_is_alone(setting: Setting) {
    two_threads(setting, |shared| {
        let guard = shared.lock.read(1..=1);
        let other = spawn(shared, |shared| shared.read(0, 1, || ()));
        match guard.try_upgrade() {
            Ok(_guard) => shared.change(1, 1),
            Err(_guard) => shared.look(1, 1),
        }
        other.join().unwrap();
    });
}

fn what_is_given_back_of_a_range_can_be_had(setting: Setting) {
    two_threads(setting, |shared| {
        let mut guard = shared.lock.write(0..=1);
        let other = spawn(shared, |shared| shared.write(0, 0, || ()));
        shared.change(0, 1);
        guard.shrink_to(1..=1);
        other.join().unwrap();
        shared.change(1, 1);
        drop(guard);
    });
}

fn both_halves_of_a_range_are_held(setting: Setting) {
    two_threads(setting, |shared| {
        let guard = shared.lock.write(0..=1);
        let other = spawn(shared, |shared| shared.write(1, 1, || ()));
        let (below, above) = guard.split_at(1);
        shared.change(1, 1);
        drop(above);
        other.join().unwrap();
        shared.change(0, 0);
        drop(below);
    });
}

fn two_that_want_the_same_two_ranges_both_get_them(setting: Setting) {
    fn want(shared: &Shared, ranges: [u64; 2]) {
        let wanted = ranges.map(|byte| (byte..=byte, Access::Write));
        let _guard = shared.lock.lock_many(wanted);
        shared.change(0, 1);
    }
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| want(shared, [1, 0]));
        want(shared, [0, 1]);
        other.join().unwrap();
    });
}

fn appenders_get_bytes_of_their_own(setting: Setting) {
    fn append(shared: &Shared) {
        let next = || shared.clock.fetch_add(1, Relaxed) as u64;
        let guard = shared.lock.append(1, next);
        let byte = *guard.range().unwrap().start() as usize;
        shared.change(byte, byte);
    }
    two_threads(setting, |shared| {
        shared.beside_a_third(|| {
            let other = spawn(shared, append);
            append(shared);
            other.join().unwrap();
        });
    });
}

/// The other one can see an announcement of the appender that is withdrawn.
fn an_appender_lets_those_pass_whom_it_kept_waiting(setting: Setting) {
    two_threads(setting, |shared| {
        shared.beside_a_third(|| {
            let other = spawn(shared, |shared| shared.write(0, 0, || ()));
            let guard = shared.lock.append(1, || 0);
            shared.change(0, 0);
            drop(guard);
            other.join().unwrap();
        });
    });
}

fn a_moved_holder_can_change_what_it_holds(setting: Setting) {
    two_threads(setting, |shared| {
        shared.read(2, 2, || {
            let guard = shared.lock.write(1..=1);
            let other = spawn(shared, |shared| shared.write(1, 1, || ()));
            shared.lock.reserve(9);
            let guard = guard.downgrade();
            shared.look(1, 1);
            drop(guard);
            other.join().unwrap();
        });
    });
}

fn a_pinned_writer_that_becomes_a_reader_admits_no_writer(setting: Setting) {
    two_threads(setting, |shared| {
        let node = pin!(shared.lock.node());
        let guard = node.write(1..=1);
        let other = spawn(shared, |shared| shared.write(0, 1, || ()));
        shared.change(1, 1);
        let guard = guard.downgrade();
        shared.look(1, 1);
        drop(guard);
        other.join().unwrap();
    });
}

/// Unless it is alone in its shard, its own node is linked while the other one looks around.
fn a_pinned_reader_that_becomes_a_writer_is_alone(setting: Setting) {
    two_threads(setting, |shared| {
        let node = pin!(shared.lock.node());
        let guard = node.read(1..=1);
        let other = spawn(shared, |shared| shared.read(0, 1, || ()));
        match guard.try_upgrade() {
            Ok(_guard) => shared.change(1, 1),
            Err(_guard) => shared.look(1, 1),
        }
        other.join().unwrap();
    });
}

fn what_is_given_back_of_a_pinned_range_can_be_had(setting: Setting) {
    two_threads(setting, |shared| {
        let node = pin!(shared.lock.node());
        let mut guard = node.write(0..=1);
        let other = spawn(shared, |shared| shared.write(0, 0, || ()));
        shared.change(0, 1);
        guard.shrink_to(1..=1);
        other.join().unwrap();
        shared.change(1, 1);
        drop(guard);
    });
}

fn a_moved_pinned_holder_can_change_what_it_holds(setting: Setting) {
    two_threads(setting, |shared| {
        shared.read(2, 2, || {
            let node = pin!(shared.lock.node());
            let guard = node.write(1..=1);
            let other = spawn(shared, |shared| shared.write(1, 1, || ()));
            shared.lock.reserve(9);
            let guard = guard.downgrade();
            shared.look(1, 1);
            drop(guard);
            other.join().unwrap();
        });
    });
}

fn a_future_of_several_gets_them_all_or_leaves_nothing_behind(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| {
            let wanted = [0, 1].map(|byte| (byte..=byte, Access::Write));
            let mut future = pin!(shared.lock.lock_many_async(wanted));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                if let Poll::Ready(_guard) = future.as_mut().poll(&mut context) {
                    shared.change(0, 1);
                    return;
                }
            }
        });
        shared.write(1, 1, || ());
        other.join().unwrap();
        assert!(shared.try_write(0, 1, || ()), "nobody is left");
    });
}

/// A range that nobody can stand in for outside the tree, while the table grows.
#[test]
fn a_holder_without_a_stand_in_is_not_joined_while_the_table_grows() {
    two_threads(setting(Way::Mixed), |shared| {
        let held = shared.lock.write(1..);
        shared.change(1, 1);
        let other = spawn(shared, |shared| {
            shared.try_write(1, 1, || ());
        });
        shared.lock.reserve(9);
        shared.change(1, 1);
        drop(held);
        other.join().unwrap();
    });
}

/// The word of who reads the first byte, and nothing else, is all zero but for its flags.
#[test]
fn a_moved_reader_of_the_first_byte_does_not_open_the_level_he_left() {
    three_threads(setting(Way::Narrow), |shared| {
        let held = shared.lock.read(0..=0);
        let other = spawn(shared, |shared| {
            shared.try_write(1, 1, || ());
        });
        let grower = spawn(shared, |shared| {
            shared.lock.reserve(9);
            shared.try_write(1, 1, || ());
        });
        drop(held);
        other.join().unwrap();
        grower.join().unwrap();
    });
}
