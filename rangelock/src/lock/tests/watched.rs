//! The lock under the eyes of `watch`: no false report, no deadlock that goes unnoticed, and
//! nothing left on record.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Access, Granule, RangeLock};

const THREADS: u64 = 8;

/// A generator of numbers; each thread has its own (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn of_thread(index: u64) -> Self {
        Self((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// A short range in the first 64 bytes.
    fn range(&mut self) -> Range<u64> {
        let first = self.below(64);
        first..first + 1 + self.below(8)
    }
}

fn locks() -> [RangeLock; 3] {
    let granule = Granule::from_len(16).expect("a power of two");
    [
        RangeLock::new(),
        RangeLock::tree_only(),
        RangeLock::with_granule(granule),
    ]
}

#[expect(dead_code, reason = "the guards are held, and used for nothing")]
enum Any<'lock> {
    Read(crate::ReadGuard<'lock>),
    Write(crate::WriteGuard<'lock>),
    Many(crate::ManyGuard<'lock>),
    Nothing,
}

/// Locks a part of `range`, or nothing, in one of many ways.
fn lock_any<'lock>(lock: &'lock RangeLock, range: Range<u64>, numbers: &mut Numbers) -> Any<'lock> {
    let middle = range.start + (range.end - range.start) / 2;
    let soon = || Instant::now() + Duration::from_micros(20);
    match numbers.below(10) {
        0 | 1 => Any::Read(lock.read(range)),
        2 => Any::Write(lock.write(range)),
        3 => Any::Read(lock.write(range).downgrade()),
        4 => match lock.read(range).try_upgrade() {
            Ok(guard) => Any::Write(guard),
            Err(guard) => Any::Read(guard),
        },
        5 => Any::Write(lock.write(range).split_at(middle).1),
        6 => {
            let mut guard = lock.read(range);
            guard.shrink_to(middle..);
            Any::Read(guard)
        }
        7 => Any::Write(lock.append(range.end - range.start, || range.start)),
        8 => {
            let parts = [
                (range.start..middle, Access::Read),
                (middle..range.end, Access::Write),
            ];
            match numbers.below(4) {
                0 => lock.try_lock_many(parts),
                1 => lock.try_lock_many_until(parts, soon()),
                _ => Some(lock.lock_many(parts)),
            }
            .map_or(Any::Nothing, Any::Many)
        }
        _ => {
            let mut node = pin!(lock.node());
            match numbers.below(3) {
                0 => drop(node.as_mut().read(range.clone())),
                1 => drop(node.as_mut().try_write_until(range.clone(), soon())),
                _ => drop(node.as_mut().try_write(range.clone())),
            }
            let guard = lock.try_write_until(range, soon());
            guard.map_or(Any::Nothing, Any::Write)
        }
    }
}

#[test]
fn no_false_report_among_threads_that_keep_an_order() {
    let locks = locks();
    thread::scope(|scope| {
        for index in 0..THREADS {
            let locks = &locks;
            scope.spawn(move || {
                let mut numbers = Numbers::of_thread(index);
                for _ in 0..2_000 {
                    let first = lock_any(&locks[0], numbers.range(), &mut numbers);
                    // Twice in one lock, upwards; never the same byte.
                    let lower = lock_any(&locks[1], numbers.range(), &mut numbers);
                    let above = numbers.range();
                    let upper =
                        lock_any(&locks[1], above.start + 128..above.end + 128, &mut numbers);
                    if numbers.below(2) == 0 {
                        drop(first);
                    }
                    let node = pin!(locks[2].node());
                    let pinned = node.write(numbers.range());
                    drop(lower);
                    let tried = locks[0].try_write(200..numbers.below(100) + 201);
                    drop((pinned, tried, upper));
                }
            });
        }
    });
    locks.iter().for_each(RangeLock::assert_unused);
}

/// A deadlock that is not noticed makes this test hang.
#[test]
fn threads_that_keep_no_order_always_come_to_an_end() {
    let locks = locks();
    let reports = AtomicUsize::new(0);
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (locks, reports) = (&locks, &reports);
            scope.spawn(move || {
                let mut numbers = Numbers::of_thread(index);
                for _ in 0..300 {
                    let work = || {
                        let mut guards = Vec::new();
                        for _ in 0..3 {
                            let lock = &locks[numbers.below(3) as usize];
                            guards.push(lock_any(lock, numbers.range(), &mut numbers));
                            thread::yield_now();
                        }
                    };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                        let report = panic.downcast::<String>().expect("a report");
                        assert!(report.starts_with("deadlock: "), "{report}");
                        reports.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_ne!(reports.into_inner(), 0, "nobody ever closed a circle");
    locks.iter().for_each(RangeLock::assert_unused);
}

#[test]
fn no_false_report_about_guards_that_travel_disowned() {
    let lock = RangeLock::with_granule(Granule::from_len(16).expect("a power of two"));
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<crate::WriteGuard<'_>>(1);
        scope.spawn(move || receive.into_iter().for_each(drop));
        for _ in 0..2_000 {
            let guard = lock.write(0..8);
            guard.disown();
            send.send(guard).expect("the receiver lives");
        }
        drop(send);
    });
    lock.assert_unused();
}
