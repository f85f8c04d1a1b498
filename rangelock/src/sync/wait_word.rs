//! The word on which one request sleeps until it is granted.
//!
//! It lives in the request's node, which may be in the stack frame of the sleeping thread: once
//! `GRANTED` is visible that thread may return and the memory be used for something else. So the
//! waker's last access to the node is one atomic swap, and what follows uses the address only.
//! Takes no lock.
//!
//! # States
//!
//! ```text
//!              wait: about to sleep
//!   PENDING ─────────────────────────▶ PARKED
//!      │ grant: nobody sleeps             │ grant: wake the sleeper
//!      └────────────▶ GRANTED ◀───────────┘
//! ```
//!
//! # Invariants
//!
//! 1. `arm` runs before the node is visible to any other thread, once for each blocked request.
//! 2. `grant` runs at most once for each `arm`.
//! 3. After `GRANTED` is written, the granting thread does not touch the node.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::platform::{self, AtomicU32};
use super::spin_until;

const PENDING: u32 = 0;
const PARKED: u32 = 1;
const GRANTED: u32 = 2;

/// Whether a request should spin before it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spin {
    /// The grant may be near.
    Briefly,
    /// The grant is some way off.
    No,
}

/// One request's place to wait.
#[derive(Debug)]
pub(crate) struct WaitWord {
    word: AtomicU32,
}

impl WaitWord {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(PENDING),
        }
    }

    /// Makes ready for one wait and one grant (Invariant 1).
    #[inline]
    pub(crate) fn arm(&self) {
        // Relaxed: the tree's mutex publishes it together with the node.
        self.word.store(PENDING, Relaxed);
    }

    /// Returns once granted.
    pub(crate) fn wait(&self, spin: Spin) {
        // Each Acquire here pairs with the Release of `grant`: without it this thread could work on
        // the range and not yet see what earlier holders did to it.
        let granted = || self.word.load(Acquire) == GRANTED;
        if spin == Spin::Briefly && spin_until(granted) {
            return;
        }
        if self
            .word
            .compare_exchange(PENDING, PARKED, Relaxed, Acquire)
            .is_err()
        {
            return;
        }
        while !granted() {
            platform::wait(&self.word, PARKED);
        }
    }

    /// Lets the waiting thread go on.
    ///
    /// # Safety
    ///
    /// `this` points to a word that was armed and not granted since (Invariant 2), so the waiter is
    /// still there to keep it alive.
    pub(crate) unsafe fn grant(this: *const Self) {
        // SAFETY: the caller promises that the word is alive; no reference is formed.
        let word = unsafe { &raw const (*this).word };
        // Release pairs with the Acquire in `wait`. A swap and not a store, because whether there
        // is somebody to wake must be learnt in the very access that may end the word's life.
        // SAFETY: the word lives until the swap, and the reference made for it ends with it.
        let before = unsafe { (*word).swap(GRANTED, Release) };
        debug_assert_ne!(before, GRANTED, "a request was granted twice");
        if before == PARKED {
            platform::wake_one(word);
        }
    }
}
