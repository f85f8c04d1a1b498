//! Deadlocks through the public interface: who panics, what it says, and who goes on. Takes ranges
//! of locks of its own.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rangelock::{Access, Granule, RangeLock, RangeLocked};

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

#[test]
fn several_at_once_are_refused_together_and_leave_nothing_behind() {
    for lock in locks() {
        let held = lock.read(200..300);
        for _ in 0..100 {
            let wanted = [
                (0..100, Access::Write),
                (250..251, Access::Write),
                (400..500, Access::Read),
            ];
            let (report, asked_at) = (report(|| lock.lock_many(wanted)), line(0));
            assert_says(
                &report,
                &["asks for 250..=250", &asked_at, "holds 200..=299"],
            );
        }
        drop(lock.try_write(0..200).expect("free"));
        drop(lock.try_write(300..).expect("free"));
        drop(held);
        let whole = lock.lock_many([(0..250, Access::Write), (200..300, Access::Read)]);
        drop(lock.read(250..300));
        assert_says(&report(|| lock.read(249..300)), &["holds 0..=249"]);
        assert_says(&report(|| lock.write(250..300)), &["holds 250..=299"]);
        drop(whole);
        drop(lock.try_write(..).expect("nobody is left"));
    }
}

/// What the call has been granted already it holds, as long as it waits for the rest.
#[test]
fn a_call_for_several_ranges_is_in_the_way_with_all_of_them() {
    for lock in locks() {
        thread::scope(|scope| {
            let held = lock.write(100..200);
            let many = scope.spawn(|| {
                let both = [(0..10, Access::Write), (150..160, Access::Read)];
                drop(lock.lock_many(both));
            });
            wait_until_somebody_waits(&lock);
            assert_says(
                &report(|| lock.read(5..6)),
                &[
                    "deadlock: 2 threads wait for each other",
                    "waits for 5..=5 of lock",
                    "which asked earlier for 0..=9 of lock",
                    "waits for 150..=159 of lock",
                    "which holds 100..=199 of lock",
                ],
            );
            drop(held);
            many.join().expect("it was not in the wrong");
        });
        drop(lock.try_write(..).expect("nobody is left"));
    }
}

#[test]
fn an_appender_that_waits_for_itself_is_told_and_others_go_on_appending() {
    for lock in locks() {
        let held = lock.read(0..100);
        for _ in 0..100 {
            let (report, asked_at) = (report(|| lock.append(10, || 95)), line(0));
            assert_says(&report, &["asks for 95..=104", &asked_at, "holds 0..=99"]);
        }
        let appended = lock.append(10, || 100);
        assert_says(
            &report(|| lock.write(109..200)),
            &["109..=199", "holds 100..=109"],
        );
        drop((held, appended));
        drop(lock.try_write(..).expect("nobody is left"));
    }
}

#[test]
fn waits_that_end_by_themselves_are_never_refused() {
    let soon = || Instant::now() + Duration::from_millis(2);
    for lock in locks() {
        let _held = lock.write(0..10);
        let mut node = pin!(lock.node());
        assert!(lock.try_read_until(9..20, soon()).is_none());
        assert!(lock.try_write_for(.., Duration::from_millis(2)).is_none());
        assert!(node.as_mut().try_write_until(0..1, soon()).is_none());
        let wanted = [(50..60, Access::Read), (5..6, Access::Read)];
        assert!(lock.try_lock_many(wanted.clone()).is_none());
        assert!(lock.try_lock_many_until(wanted, soon()).is_none());
        let mut future = pin!(lock.read_async(3..4));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
}

/// They are made to travel. A wait with a deadline shows it without a second thread.
#[test]
fn owned_guards_and_those_of_tasks_belong_to_nobody() {
    for lock in locks().map(Arc::new) {
        let mut future = pin!(lock.write_async(20..30));
        let Poll::Ready(of_task) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("nobody is there");
        };
        let owned = lock.write_owned(0..10);
        let tried = lock.try_read_owned(10..20).expect("free");
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                wait_until_somebody_waits(&lock);
                drop((owned.split_at(5), tried, of_task));
            });
            drop(lock.write(0..30));
            receiver.join().expect("no report");
        });
        // But to take one is to wait like everybody else.
        let held = lock.write(0..10);
        assert_says(&report(|| lock.read_owned(9..20)), &["9..=19", "0..=9"]);
        drop(held);
        drop(lock.try_write(..).expect("nobody is left"));
    }
}

#[test]
fn a_guard_stands_for_what_it_holds_now() {
    for lock in locks() {
        let shared = lock.write(0..100).downgrade();
        drop(lock.read(0..100));
        assert_says(
            &report(|| lock.write(0..1)),
            &["holds 0..=99", "to read since"],
        );
        let mut alone = shared.try_upgrade().expect("nobody else reads");
        assert_says(
            &report(|| lock.read(0..1)),
            &["holds 0..=99", "to write since"],
        );
        alone.shrink_to(10..50);
        drop(lock.write(0..10));
        drop(lock.write(50..));
        assert_says(&report(|| lock.read(49..60)), &["holds 10..=49"]);
        let (below, above) = alone.split_at(30);
        assert_says(&report(|| lock.read(10..30)), &["holds 10..=29"]);
        assert_says(&report(|| lock.read(30..50)), &["holds 30..=49"]);
        drop(below);
        drop(lock.write(10..30));
        assert_says(&report(|| lock.read(..)), &["holds 30..=49"]);
        let (nothing, mut above) = above.split_at(7);
        assert!(nothing.range().is_none());
        assert_says(&report(|| lock.read(30..31)), &["holds 30..=49"]);
        above.disown();
        above.shrink_to(..40);
        above.shrink_to(100..);
        drop(lock.write(..));
    }
}

/// The other reader refuses the upgrade, so the guard is a reader's still.
#[test]
fn a_guard_that_could_not_be_upgraded_shares() {
    for lock in locks() {
        thread::scope(|scope| {
            let (first, second) = (lock.read(0..10), lock.read(5..6));
            let first = first.try_upgrade().expect_err("shared");
            let other = scope.spawn(|| drop(lock.read(0..10)));
            other.join().expect("readers share");
            assert_says(&report(|| lock.write(0..1)), &["to read since"]);
            drop((first, second));
        });
    }
}

#[test]
fn a_buffer_names_the_lines_that_use_it() {
    let buffer = RangeLocked::new(vec![0_u8; 100]);
    let (part, held_at) = (buffer.write(..50), line(0));
    let (report_of_read, asked_at) = (report(|| buffer.read(49..51).len()), line(0));
    assert_says(
        &report_of_read,
        &["asks for 49..=50", &asked_at, "holds 0..=49", &held_at],
    );
    let (head, tail) = part.split_at(10);
    let shared = head.downgrade();
    assert_eq!(buffer.read(..10).len(), 10);
    shared.disown();
    tail.disown();
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until_somebody_waits(buffer.lock());
            drop((shared, tail));
        });
        buffer.write(..).fill(1);
    });
}

#[test]
fn guards_of_every_kind_can_be_sent_away() {
    for lock in locks() {
        let mut node = pin!(lock.node());
        let pinned = node.as_mut().read(0..10);
        let many = lock.lock_many([(10..20, Access::Read), (20..30, Access::Write)]);
        pinned.disown();
        many.disown();
        thread::scope(|scope| {
            scope.spawn(|| {
                wait_until_somebody_waits(&lock);
                drop((pinned, many));
            });
            drop(lock.write(..));
        });
        // The next use of the node is its thread's again.
        let pinned = node.write(0..10);
        assert_says(&report(|| lock.read(..)), &["holds 0..=9"]);
        drop(pinned);
    }
}
