//! The futex contract on systems without one: a fixed table of mutexes and condition variables,
//! chosen by hashing the word's address.
//!
//! The table is static, so a waker never touches memory that the woken thread may free. Two words
//! that share a bucket wake each other early, which callers allow for. Not for signal handlers: a
//! standard mutex gives no such promise. On Linux this file is built for its own tests. Locks: one
//! bucket at a time, and no other inside it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) use std::sync::atomic::AtomicU32;
use std::time::Instant;

use super::Expiry;

/// As on Linux: the price of a sleep is much the same everywhere.
pub(super) const fn spin_rounds() -> u32 {
    7
}

/// Nothing to watch outside a model.
#[derive(Debug)]
pub(super) struct RaceWitness;

impl RaceWitness {
    pub(super) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn touch(&self) {}
}

struct Bucket {
    lock: Mutex<()>,
    changed: Condvar,
}

const BUCKET_BITS: u32 = 6;

static BUCKETS: [Bucket; 1 << BUCKET_BITS] = [const {
    Bucket {
        lock: Mutex::new(()),
        changed: Condvar::new(),
    }
}; 1 << BUCKET_BITS];

impl Bucket {
    /// Fibonacci hashing: the high bits of a product with 2^64 / golden ratio are well mixed.
    fn of(word: *const AtomicU32) -> &'static Bucket {
        let mixed = (word.addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &BUCKETS[(mixed >> (u64::BITS - BUCKET_BITS)) as usize]
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps while `word` holds `expected`; may return early.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    let bucket = Bucket::of(word);
    let guard = bucket.lock();
    // A waker changes the word before it takes the bucket. If it took the bucket first, its change
    // is visible here; if it comes later, this thread is already on the condition variable.
    if word.load(Relaxed) == expected {
        drop(
            bucket
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

/// Sleeps while `word` holds `expected`, but not beyond `deadline`; may return early.
pub(super) fn wait_until(word: &AtomicU32, expected: u32, deadline: Instant) -> Expiry {
    let bucket = Bucket::of(word);
    let guard = bucket.lock();
    // As in `wait`.
    if word.load(Relaxed) != expected {
        return Expiry::NotYet;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Expiry::Passed;
    }
    drop(
        bucket
            .changed
            .wait_timeout(guard, left)
            .unwrap_or_else(PoisonError::into_inner),
    );
    Expiry::NotYet
}

/// Wakes the threads sleeping on `word`. The word is not read and may be gone.
pub(super) fn wake_one(word: *const AtomicU32) {
    let bucket = Bucket::of(word);
    let _guard = bucket.lock();
    // All, because a single wake-up might go to another word that shares the bucket.
    bucket.changed.notify_all();
}
