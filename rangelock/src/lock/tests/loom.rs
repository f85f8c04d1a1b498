//! The whole lock under every schedule that loom can find: exhaustively for two threads, with at
//! most three preemptions for three.
//!
//! Each property is written once and run with movable guards and with pinned nodes. The models
//! named `canary_...` run a property on a lock that commits a fault on purpose, and must fail: they
//! show that loom would find such a mistake.

use std::pin::pin;
// Not loom's: when a canary deadlocks, the frames are unwound outside the model, where dropping
// loom's own would abort the process.
use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::model::Builder;
use ::loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use ::loom::thread;

use super::RangeLock;
use crate::probe::Fault;

/// What the two kinds of guard have in common, so that a model can use either.
#[derive(Clone, Copy)]
enum Guards {
    Movable,
    Pinned,
}

/// A lock over an array of cells, one for each byte. loom reports every unordered access to one.
struct Shared {
    lock: RangeLock,
    bytes: [UnsafeCell<u32>; 2],
    guards: Guards,
    /// A counter for models that observe an order.
    clock: AtomicUsize,
}

// SAFETY: whether the lock orders every access to the cells is what the models check, and loom
// stops at the first that is not ordered.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(guards: Guards, fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            lock: fault.map_or_else(RangeLock::new, RangeLock::with_fault),
            bytes: [UnsafeCell::new(0), UnsafeCell::new(0)],
            guards,
            clock: AtomicUsize::new(0),
        })
    }

    fn read<R>(&self, first: usize, last: usize, inside: impl FnOnce() -> R) -> R {
        let range = first as u64..=last as u64;
        let look = || {
            for byte in &self.bytes[first..=last] {
                // SAFETY: loom checks that no writer is at it.
                byte.with(|byte| unsafe { byte.read() });
            }
            inside()
        };
        match self.guards {
            Guards::Movable => {
                let _guard = self.lock.read(range);
                look()
            }
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                let _guard = node.read(range);
                look()
            }
        }
    }

    fn write<R>(&self, first: usize, last: usize, inside: impl FnOnce() -> R) -> R {
        let range = first as u64..=last as u64;
        let change = || {
            for byte in &self.bytes[first..=last] {
                // SAFETY: loom checks that nobody else is at it.
                byte.with_mut(|byte| unsafe { *byte += 1 });
            }
            inside()
        };
        match self.guards {
            Guards::Movable => {
                let _guard = self.lock.write(range);
                change()
            }
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                let _guard = node.write(range);
                change()
            }
        }
    }

    /// Runs `inside` if the range could be had at once.
    fn try_write(&self, first: usize, last: usize, inside: impl FnOnce()) -> bool {
        let change = || {
            for byte in &self.bytes[first..=last] {
                // SAFETY: loom checks that nobody else is at it.
                byte.with_mut(|byte| unsafe { *byte += 1 });
            }
            inside();
        };
        let range = first as u64..=last as u64;
        match self.guards {
            Guards::Movable => self.lock.try_write(range).map(|_guard| change()).is_some(),
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                node.try_write(range).map(|_guard| change()).is_some()
            }
        }
    }

    /// Waits until `count` requests have had to wait. Only for models whose other threads get that
    /// far without this one.
    fn until_waiting(&self, count: usize) {
        while self.lock.tree.census().waiting != count {
            thread::yield_now();
        }
    }
}

/// Explores every schedule: for models of two threads.
fn exhaustively(model: impl Fn() + Send + Sync + 'static) {
    Builder::new().check(model);
}

/// Explores every schedule with at most three preemptions: for models of three threads.
fn within_three_preemptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn spawn(shared: &Arc<Shared>, run: impl FnOnce(&Shared) + 'static) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

fn writers_exclude_each_other(guards: Guards, fault: Option<Fault>) {
    exhaustively(move || {
        let shared = Shared::new(guards, fault);
        let other = spawn(&shared, |shared| shared.write(0, 1, || ()));
        shared.write(1, 1, || ());
        other.join().unwrap();
        shared.read(0, 1, || ());
    });
}

fn a_reader_excludes_a_writer(guards: Guards, fault: Option<Fault>) {
    exhaustively(move || {
        let shared = Shared::new(guards, fault);
        let other = spawn(&shared, |shared| shared.write(0, 0, || ()));
        shared.read(0, 1, || ());
        other.join().unwrap();
    });
}

fn three_threads_mix(guards: Guards, fault: Option<Fault>) {
    within_three_preemptions(move || {
        let shared = Shared::new(guards, fault);
        let writer = spawn(&shared, |shared| shared.write(0, 1, || ()));
        let reader = spawn(&shared, |shared| shared.read(0, 0, || ()));
        shared.read(0, 1, || ());
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

fn writers_of_three_threads_all_finish(guards: Guards, fault: Option<Fault>) {
    within_three_preemptions(move || {
        let shared = Shared::new(guards, fault);
        let wide = spawn(&shared, |shared| shared.write(0, 1, || ()));
        let left = spawn(&shared, |shared| shared.write(0, 0, || ()));
        shared.write(1, 1, || ());
        wide.join().unwrap();
        left.join().unwrap();
    });
}

fn a_release_wakes_all_it_unblocks(guards: Guards, fault: Option<Fault>) {
    within_three_preemptions(move || {
        let shared = Shared::new(guards, fault);
        let (left, right) = shared.write(0, 1, || {
            let left = spawn(&shared, |shared| shared.write(0, 0, || ()));
            let right = spawn(&shared, |shared| shared.read(1, 1, || ()));
            (left, right)
        });
        left.join().unwrap();
        right.join().unwrap();
    });
}

/// Two readers that meet inside: each leaves only after both have come.
fn readers_hold_a_byte_together(guards: Guards, fault: Option<Fault>) {
    exhaustively(move || {
        let shared = Shared::new(guards, fault);
        let meet = |shared: &Shared| {
            shared.read(0, 1, || {
                shared.clock.fetch_add(1, Relaxed);
                while shared.clock.load(Relaxed) != 2 {
                    thread::yield_now();
                }
            });
        };
        let other = spawn(&shared, meet);
        meet(&shared);
        other.join().unwrap();
    });
}

/// While one byte is held, the other can be had: the holder leaves only after that has happened.
fn disjoint_ranges_pass_each_other(guards: Guards, fault: Option<Fault>) {
    exhaustively(move || {
        let shared = Shared::new(guards, fault);
        shared.write(0, 0, || {
            let other = spawn(&shared, |shared| shared.write(1, 1, || ()));
            other.join().unwrap();
        });
    });
}

/// A request passes a waiting one that it does not conflict with.
fn a_request_passes_those_it_does_not_conflict_with(guards: Guards, fault: Option<Fault>) {
    within_three_preemptions(move || {
        let shared = Shared::new(guards, fault);
        let waiter = shared.read(0, 0, || {
            let waiter = spawn(&shared, |shared| shared.write(0, 0, || ()));
            shared.until_waiting(1);
            let passer = spawn(&shared, |shared| shared.write(1, 1, || ()));
            passer.join().unwrap();
            waiter
        });
        waiter.join().unwrap();
    });
}

/// A writer waits for a reader; a second reader that comes later must not get in before it.
fn conflicting_requests_are_served_in_order(guards: Guards, fault: Option<Fault>) {
    within_three_preemptions(move || {
        let shared = Shared::new(guards, fault);
        let (writer, reader) = shared.read(0, 1, || {
            let writer = spawn(&shared, |shared| {
                shared.write(0, 0, || assert_eq!(shared.clock.fetch_add(1, Relaxed), 0));
            });
            shared.until_waiting(1);
            let reader = spawn(&shared, |shared| {
                shared.read(0, 1, || assert_eq!(shared.clock.fetch_add(1, Relaxed), 1));
            });
            (writer, reader)
        });
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

fn a_try_never_waits_and_never_intrudes(guards: Guards, fault: Option<Fault>) {
    exhaustively(move || {
        let shared = Shared::new(guards, fault);
        let other = spawn(&shared, |shared| {
            shared.try_write(0, 0, || ());
        });
        shared.read(0, 1, || ());
        other.join().unwrap();
        assert!(shared.try_write(0, 1, || ()), "nobody is left");
    });
}

macro_rules! for_both_guards {
    ($($property:ident)*) => {$(
        mod $property {
            use super::Guards;

            #[test]
            fn movable() {
                super::$property(Guards::Movable, None);
            }

            #[test]
            fn pinned() {
                super::$property(Guards::Pinned, None);
            }
        }
    )*};
}

for_both_guards! {
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

#[test]
#[should_panic(expected = "deadlock")]
fn canary_lost_wake() {
    writers_exclude_each_other(Guards::Pinned, Some(Fault::LostWake));
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_only_one_woken() {
    a_release_wakes_all_it_unblocks(Guards::Pinned, Some(Fault::WakeOnlyOne));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_reader_releases_readers() {
    conflicting_requests_are_served_in_order(Guards::Pinned, Some(Fault::ReaderReleasesReaders));
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn canary_barging() {
    conflicting_requests_are_served_in_order(Guards::Pinned, Some(Fault::Barging));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_try_ignores_readers() {
    a_try_never_waits_and_never_intrudes(Guards::Pinned, Some(Fault::TryIgnoresReaders));
}
