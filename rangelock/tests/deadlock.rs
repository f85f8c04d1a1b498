//! Deadlocks through the public interface: who panics, what it says, and who goes on. Takes ranges
//! of locks of its own.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::sync::Barrier;
use std::thread;

use rangelock::{Granule, RangeLock};

/// What `call` panics with.
fn report<T>(call: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else {
        panic!("a deadlock was not noticed");
    };
    *panic.downcast::<String>().expect("a report is a string")
}

/// `file:line:column` of a call in this file, on the line above or below that of this call.
#[track_caller]
fn line(offset: i32) -> String {
    let line = Location::caller().line().strict_add_signed(offset);
    format!("tests/deadlock.rs:{line}:")
}

fn assert_says(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "no {part:?} in:\n{report}");
    }
}

/// All kinds of lock: as it comes, with short granules, grown, and without the slots.
fn locks() -> [RangeLock; 4] {
    let granule = Granule::from_len(64).expect("a power of two");
    [
        RangeLock::new(),
        RangeLock::with_granule(granule),
        RangeLock::with_capacity(100),
        RangeLock::tree_only(),
    ]
}

fn wait_until_somebody_waits(lock: &RangeLock) {
    while !format!("{lock:?}").contains("waiting: 1") {
        thread::yield_now();
    }
}

#[test]
fn a_writer_that_waits_for_itself_is_told_both_ranges_modes_and_places() {
    for lock in locks() {
        let held = lock.write(0..10);
        let (held_at, asked_at) = (line(-1), line(1));
        let report = report(|| lock.write(5..20));
        assert_says(
            &report,
            &[
                "deadlock: a thread waits for itself",
                "asks for 5..=19 of lock",
                "to write at ",
                &asked_at,
                "holds 0..=9 of lock",
                "to write since ",
                &held_at,
                "a_writer_that_waits_for_itself",
            ],
        );
        // Nothing is left of the refused request, and what was held is held.
        assert!(lock.try_write(10..20).is_some());
        assert!(lock.try_read(9..10).is_none());
        drop(held);
        drop(lock.write(5..20));
    }
}

#[test]
fn read_to_write_and_write_to_read_are_noticed_and_read_to_read_is_no_deadlock() {
    for lock in locks() {
        let reader = lock.read(0..10);
        let again = lock.read(5..15);
        assert_says(
            &report(|| lock.write(9..12)),
            &["9..=11", "to write at", "to read since"],
        );
        drop((reader, again));
        let writer = lock.write(0..10);
        assert_says(
            &report(|| lock.read(9..12)),
            &["9..=11", "to read at", "to write since"],
        );
        drop(lock.read(10..12));
        drop(writer);
        drop(lock.write(..));
    }
}

#[test]
fn a_pinned_node_can_be_used_again_after_a_report() {
    for lock in locks() {
        let mut node = pin!(lock.node());
        let held = lock.write(0..10);
        assert_says(
            &report(|| drop(node.as_mut().read(3..4))),
            &["3..=3", "0..=9"],
        );
        drop(held);
        let pinned = node.as_mut().read(3..4);
        assert_says(&report(|| lock.write(0..10)), &["0..=9", "3..=3"]);
        drop(pinned);
        drop(node.write(..));
    }
}

#[test]
fn a_try_fails_and_does_not_panic() {
    for lock in locks() {
        let _held = lock.write(0..10);
        assert!(lock.try_write(5..20).is_none());
        assert!(lock.try_read(..).is_none());
        assert!(pin!(lock.node()).try_read(9..10).is_none());
    }
}

#[test]
fn a_reader_behind_a_waiting_writer_behind_its_own_range_waits_for_itself() {
    for lock in locks() {
        thread::scope(|scope| {
            let reader = lock.read(0..10);
            let writer = scope.spawn(|| drop(lock.write(8..20)));
            wait_until_somebody_waits(&lock);
            let report = report(|| lock.read(9..10));
            assert_says(
                &report,
                &[
                    "deadlock: 2 threads wait for each other",
                    "waits for 9..=9 of lock",
                    "which asked earlier for 8..=19 of lock",
                    "waits for 8..=19 of lock",
                    "which holds 0..=9 of lock",
                ],
            );
            drop(reader);
            writer.join().expect("the writer was not in the wrong");
        });
        drop(lock.write(..));
    }
}

/// Each thread takes a range of its own lock and then one of the next thread's. Returns what those
/// say that panic; all threads come to an end.
fn ring(locks: &[RangeLock]) -> Vec<String> {
    let all_hold = Barrier::new(locks.len());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..locks.len())
            .map(|index| {
                let (own, next) = (&locks[index], &locks[(index + 1) % locks.len()]);
                let work = || {
                    let _own = own.write(0..10);
                    all_hold.wait();
                    drop(next.read(9..20));
                };
                let builder = thread::Builder::new().name(format!("ring {index}"));
                builder.spawn_scoped(scope, work).expect("a thread")
            })
            .collect();
        let ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let panics = ends.filter_map(Result::err);
        panics
            .map(|panic| *panic.downcast::<String>().expect("a report is a string"))
            .collect()
    })
}

#[test]
fn of_two_threads_that_wait_for_each_other_one_is_told_and_the_other_goes_on() {
    for _ in 0..100 {
        let [plain, .., tree] = locks();
        let locks = [plain, tree];
        let reports = ring(&locks);
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert_says(
            &reports[0],
            &[
                "deadlock: 2 threads wait for each other",
                "  1. thread 'ring ",
                "  2. thread 'ring ",
                "'ring 0'",
                "'ring 1'",
                "waits for 9..=19 of lock",
                "which holds 0..=9 of lock",
            ],
        );
        locks
            .iter()
            .for_each(|lock| drop(lock.try_write(..).expect("nobody is left")));
    }
}

#[test]
fn three_threads_and_three_locks() {
    for _ in 0..100 {
        let [plain, short, _, tree] = locks();
        let locks = [plain, short, tree];
        let reports = ring(&locks);
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert_says(
            &reports[0],
            &[
                "deadlock: 3 threads wait for each other",
                "  3. thread 'ring ",
                "'ring 0'",
                "'ring 1'",
                "'ring 2'",
            ],
        );
        locks
            .iter()
            .for_each(|lock| drop(lock.try_write(..).expect("nobody is left")));
    }
}

#[test]
fn two_ranges_of_one_lock_are_enough() {
    for lock in locks() {
        let both_hold = Barrier::new(2);
        let ends = thread::scope(|scope| {
            [(0, 100), (100, 0)]
                .map(|(own, other)| {
                    let (lock, both_hold) = (&lock, &both_hold);
                    scope.spawn(move || {
                        let _own = lock.write(own..own + 10);
                        both_hold.wait();
                        drop(lock.write(other..other + 1));
                    })
                })
                .map(thread::ScopedJoinHandle::join)
        });
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1);
        drop(lock.try_write(..).expect("nobody is left"));
    }
}

#[test]
fn a_forgotten_guard_is_still_its_threads() {
    for lock in locks() {
        std::mem::forget(lock.write(0..10));
        assert_says(&report(|| lock.read(0..1)), &["0..=0", "0..=9"]);
    }
}

#[test]
fn a_guard_that_is_sent_away_must_be_disowned_or_is_taken_for_the_senders() {
    for lock in locks() {
        let undeclared = lock.write(0..10);
        assert_says(&report(|| lock.write(0..10)), &["waits for itself"]);
        undeclared.disown();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                wait_until_somebody_waits(&lock);
                drop(undeclared);
            });
            drop(lock.write(0..10));
            receiver.join().expect("no report");
        });
    }
}
