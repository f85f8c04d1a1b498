//! The mutex around the tree: one word, no allocation, usable in a signal handler.
//!
//! Why not a ready-made one: `std` promises nothing about signal handlers, and `parking_lot` keeps
//! its queue in thread-local data. This is the third mutex of Ulrich Drepper, "Futexes Are Tricky"
//! (2011), with a bounded spin before the first sleep.
//!
//! # States
//!
//! ```text
//!            lock                        lock, held
//!   FREE ───────────▶ HELD ───────────────────────────▶ CONTENDED
//!     ▲                 │ unlock: nobody to wake            │ unlock: wake one
//!     └─────────────────┴───────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. The word is `FREE` exactly when no thread is inside.
//! 2. A thread sleeps only while the word is `CONTENDED`, and the thread that leaves a `CONTENDED`
//!    mutex wakes one sleeper. The woken thread enters by writing `CONTENDED`, because it cannot
//!    know whether it was the last sleeper; so no sleeper is forgotten, at the price of one idle
//!    wake-up.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::platform::{self, AtomicU32, RaceWitness};
use super::{const_unless_modelled, spin_until};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A value that one thread at a time may use.
pub(crate) struct Mutex<T> {
    word: AtomicU32,
    witness: RaceWitness,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex hands `&mut T` to one thread at a time (Invariant 1), which amounts to sending
// the value from thread to thread.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_modelled! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                word: AtomicU32::new(FREE),
                witness: RaceWitness::new(),
                value: UnsafeCell::new(value),
            }
        }
    }

    /// Waits for the mutex. It is not recursive.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Acquire pairs with the Release of `MutexGuard::drop`: without it this thread could read
        // the tree as it was before the last holder changed it.
        if self
            .word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_err()
        {
            self.lock_contended();
        }
        self.witness.touch();
        MutexGuard { mutex: self }
    }

    #[cold]
    fn lock_contended(&self) {
        // While others sleep there is a queue to join, so spinning would only be barging.
        spin_until(|| self.word.load(Relaxed) != HELD);
        // Acquire pairs with the Release of `MutexGuard::drop`, as in `lock`. Writing CONTENDED is
        // what Invariant 2 asks of a thread that may have slept.
        while self.word.swap(CONTENDED, Acquire) != FREE {
            platform::wait(&self.word, CONTENDED);
        }
    }

    #[cold]
    fn wake_one(&self) {
        platform::wake_one(&raw const self.word);
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The right to use the value; gives it back when dropped.
pub(crate) struct MutexGuard<'mutex, T> {
    mutex: &'mutex Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread is inside (Invariant 1).
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` shows that no other reference comes from this
        // guard.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.witness.touch();
        // Release pairs with the Acquire of `lock` and `lock_contended`: without it the next holder
        // could miss this one's changes.
        if self.mutex.word.swap(FREE, Release) == CONTENDED {
            self.mutex.wake_one();
        }
    }
}
