//! The lock under the eyes of `watch`: no false report, no deadlock that goes unnoticed, and
//! nothing left on record.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc;
use std::thread;

use crate::{Granule, RangeLock};

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
    fn range(&mut self) -> std::ops::Range<u64> {
        let first = self.below(64);
        first..first + 1 + self.below(8)
    }
}

fn locks() -> [RangeLock; 3] {
    let granule = Granule::from_len(16).expect("a power of two");
    [
        RangeLock::new(),
        RangeLock::with_granule(granule),
        RangeLock::with_granule(granule),
    ]
}

#[expect(dead_code, reason = "the guards are held, and used for nothing")]
enum Any<'lock> {
    Read(crate::ReadGuard<'lock>),
    Write(crate::WriteGuard<'lock>),
}

#[track_caller]
fn lock_any<'lock>(
    lock: &'lock RangeLock,
    range: std::ops::Range<u64>,
    numbers: &mut Numbers,
) -> Any<'lock> {
    match numbers.below(2) {
        0 => Any::Read(lock.read(range)),
        _ => Any::Write(lock.write(range)),
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
    thread::scope(|scope| {
        for index in 0..THREADS {
            let locks = &locks;
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
                    }
                }
            });
        }
    });
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
