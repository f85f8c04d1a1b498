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
//! A wait that ends at its deadline leaves the word `PARKED`. The waiter may then wait once more,
//! or make sure by other means that no grant is on its way and forget the word.
//!
//! # Invariants
//!
//! 1. `arm` runs before the node is visible to any other thread, once for each blocked request.
//! 2. `grant` runs at most once for each `arm`.
//! 3. After `GRANTED` is written, the granting thread does not touch the node.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use super::platform::{self, AtomicU32};
use super::{Expiry, spin_until};

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
        if self.is_granted_before_sleep(spin) {
            return;
        }
        while !self.is_granted() {
            platform::wait(&self.word, PARKED);
        }
    }

    /// Returns true once granted, or false after `deadline`. In the latter case a grant may still
    /// come.
    pub(crate) fn wait_until(&self, spin: Spin, deadline: Instant) -> bool {
        if self.is_granted_before_sleep(spin) {
            return true;
        }
        while !self.is_granted() {
            if platform::wait_until(&self.word, PARKED, deadline) == Expiry::Passed {
                return false;
            }
        }
        true
    }

    #[inline]
    fn is_granted(&self) -> bool {
        // Acquire pairs with the Release of `grant`: without it this thread could work on the range
        // and not yet see what earlier holders did to it.
        self.word.load(Acquire) == GRANTED
    }

    /// Spins if asked to, then announces a sleep unless there is no more need for one.
    fn is_granted_before_sleep(&self, spin: Spin) -> bool {
        if spin == Spin::Briefly && spin_until(|| self.is_granted()) {
            return true;
        }
        // The word is PARKED already if an earlier wait ended at its deadline. Acquire as in
        // `is_granted`.
        let before = self
            .word
            .compare_exchange(PENDING, PARKED, Relaxed, Acquire);
        before == Err(GRANTED)
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
        // Release pairs with the Acquires of `is_granted` and `is_granted_before_sleep`. A swap and
        // not a store, because whether there is somebody to wake must be learnt in the very access
        // that may end the word's life.
        // SAFETY: the word lives until the swap, and the reference made for it ends with it.
        let before = unsafe { (*word).swap(GRANTED, Release) };
        debug_assert_ne!(before, GRANTED, "a request was granted twice");
        if before == PARKED {
            platform::wake_one(word);
        }
    }
}
