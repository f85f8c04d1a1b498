//! Threads that take random ranges in every way there is, change what they hold, and give up; with
//! an owner record for each byte. The number of steps bounds the run, not the clock.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::operations_tests::{Lock, span};
use super::{Enqueued, Holding, Node};
use crate::mode::Mode::{self, Read, Write};
use crate::span::Span;
use crate::watch::Asker;

const THREADS: u64 = 4;
const STEPS: u64 = if cfg!(miri) { 40 } else { 10_000 };
const BYTES: u64 = 24;
/// Set in the record of a byte that a writer holds; below it readers are counted.
const WRITER: u32 = 1 << 16;

/// Who holds each byte, kept by the holders.
struct Records(Vec<AtomicU32>);

impl Records {
    fn use_bytes(&self, span: Span, mode: Mode) {
        let bytes = &self.0[span.first as usize..=span.last as usize];
        for byte in bytes {
            match mode {
                Read => assert!(byte.fetch_add(1, Relaxed) < WRITER, "a reader met a writer"),
                Write => assert_eq!(byte.swap(WRITER, Relaxed), 0, "a writer met somebody"),
            }
        }
        // Others are to come while this one holds.
        thread::yield_now();
        for byte in bytes {
            match mode {
                Read => {
                    byte.fetch_sub(1, Relaxed);
                }
                Write => assert_eq!(byte.swap(0, Relaxed), WRITER, "a writer was disturbed"),
            }
        }
    }
}

/// Waits for a range in one of many ways, some of which end without it.
fn take_somehow(lock: &Lock, span: Span, mode: Mode, how: u64) -> Option<Holding<usize>> {
    if how < 3 {
        return Some(lock.take(span, mode));
    }
    if how == 3 {
        return lock.take_until(span, mode, Instant::now() + Duration::from_micros(5));
    }
    let enqueued = (lock.tree).enqueue_pooled(&lock.outsiders, span, mode, Asker::of_a_test());
    let node = match enqueued.expect("nobody observes").0 {
        Enqueued::Held(holding) => return Some(holding),
        Enqueued::Waiting(node) => node,
    };
    if how == 4 {
        // SAFETY: enqueued on this thread.
        unsafe { lock.tree.wait(node) };
    } else {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while lock.poll(node, &waker).is_pending() {
            if how == 5 {
                lock.cancel(node);
                return None;
            }
            thread::park();
        }
    }
    Some(Holding::Linked(node))
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Changes what is held in one of many ways, and gives it back.
fn change_and_give_back(
    lock: &Lock,
    records: &Records,
    held: Holding<usize>,
    was: (Span, Mode),
    how: u64,
) {
    let (whole, mode) = was;
    let lower = span(whole.first, whole.first + (whole.last - whole.first) / 2);
    let node = match how {
        0 => return lock.give_back(held),
        _ => lock.outsiders.linked(&lock.tree, held),
    };
    let left = match how {
        1 => (whole, change_mode(lock, node, mode)),
        2 => {
            // SAFETY: held by the caller.
            unsafe { lock.tree.shrink(&lock.outsiders, node, lower) };
            (lower, mode)
        }
        _ if whole.first < whole.last => {
            let middle = lower.last + 1;
            // SAFETY: held by the caller, from below the middle on.
            let above = unsafe { lock.tree.split_pooled(&lock.outsiders, node, middle) };
            records.use_bytes(span(middle, whole.last), mode);
            lock.give_back(Holding::Linked(above));
            (lower, mode)
        }
        _ => was,
    };
    records.use_bytes(left.0, left.1);
    lock.give_back(Holding::Linked(node));
}

/// Returns the mode in which the node is held afterwards.
fn change_mode(lock: &Lock, node: NonNull<Node>, mode: Mode) -> Mode {
    if mode == Write {
        // SAFETY: held by the caller, for writing.
        unsafe { lock.tree.downgrade(&lock.outsiders, node) };
        return Read;
    }
    // SAFETY: held by the caller, for reading.
    match unsafe { lock.tree.try_upgrade(&lock.outsiders, node) } {
        true => Write,
        false => Read,
    }
}

/// The next number of a xorshift sequence (George Marsaglia, "Xorshift RNGs", 2003).
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn whatever_threads_do_no_byte_is_held_by_two_that_exclude_each_other() {
    for lock in Lock::every_kind() {
        let records = Records((0..BYTES).map(|_| AtomicU32::new(0)).collect());
        let granted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for seed in 1..=THREADS {
                let (lock, records, granted) = (&lock, &records, &granted);
                scope.spawn(move || {
                    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    for _ in 0..STEPS {
                        let number = next_random(&mut random);
                        let first = (number >> 8) % BYTES;
                        let last = (first + (number >> 16) % 6).min(BYTES - 1);
                        let mode = if number >> 24 & 1 == 0 { Read } else { Write };
                        let wanted = (span(first, last), mode);
                        let how = (number >> 32) % 7;
                        if let Some(held) = take_somehow(lock, wanted.0, wanted.1, how) {
                            granted.fetch_add(1, Relaxed);
                            records.use_bytes(wanted.0, wanted.1);
                            change_and_give_back(lock, records, held, wanted, (number >> 40) % 4);
                        }
                    }
                });
            }
        });
        lock.assert_unused();
        assert_ne!(lock.tree.counters().waits, 0, "nobody ever waited");
        let granted = granted.load(Relaxed) as u64;
        assert!(granted < THREADS * STEPS, "nobody ever gave up");
    }
}
