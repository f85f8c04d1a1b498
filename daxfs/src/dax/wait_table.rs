//! Where threads sleep for an entry lock: hashed wait queues, as in Linux's `fs/dax.c`.
//!
//! An entry has no room for a queue, so all entries share a table of queues, chosen by hashing the
//! address of the entry's word. Two entries may share a queue: a wake-up is then one too many, and
//! its receiver looks again and sleeps on.
//!
//! # No wake-up is lost
//! ```text
//!   sleeper                              unlocker
//!   sleepers += 1        (SeqCst)        word = unlocked     (SeqCst)
//!   word locked?         (SeqCst)        sleepers != 0?      (SeqCst)
//!     sleep on the condition               lock the mutex, notify
//! ```
//! Of the two loads at least one sees the other side's store, since all four are in one total
//! order: either the sleeper sees the entry unlocked and does not sleep, or the unlocker sees a
//! sleeper and takes the mutex. The sleeper holds the mutex from before its look until the
//! condition releases it, so the notification cannot fall between the look and the sleep.
//!
//! # Locking
//! A queue's mutex, innermost. `std`'s mutex and condition variable: page faults wait here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

const QUEUES: usize = 256;

static TABLE: [WaitQueue; QUEUES] = [const { WaitQueue::new() }; QUEUES];

/// A queue of threads that wait for one of the entries that hash to it.
#[repr(align(64))]
pub(crate) struct WaitQueue {
    sleepers: AtomicU32,
    mutex: Mutex<()>,
    condition: Condvar,
}

impl WaitQueue {
    const fn new() -> Self {
        Self {
            sleepers: AtomicU32::new(0),
            mutex: Mutex::new(()),
            condition: Condvar::new(),
        }
    }

    /// The queue for the entry in `word`.
    pub(crate) fn of(word: &AtomicU64) -> &'static Self {
        let address = std::ptr::from_ref(word).addr() as u64;
        // Fibonacci hashing: the multiplier is 2^64 divided by the golden ratio.
        let hash = (address / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &TABLE[(hash >> (u64::BITS - QUEUES.ilog2())) as usize]
    }

    /// Sleeps until `is_locked` says no. `is_locked` loads the word sequentially consistently.
    pub(crate) fn wait_while(&self, is_locked: impl Fn() -> bool) {
        let mut mutex = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        // Sequentially consistent: see the module.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while is_locked() {
            mutex = self
                .condition
                .wait(mutex)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wakes all who sleep here; the caller has just stored the word sequentially consistently.
    pub(crate) fn wake_all(&self) {
        // Sequentially consistent: see the module.
        if self.sleepers.load(Ordering::SeqCst) != 0 {
            let _between_look_and_sleep = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
            self.condition.notify_all();
        }
    }
}
