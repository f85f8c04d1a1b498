//! The futex contract inside a loom model, so that loom explores the mutex and the wait word
//! themselves and not a stand-in for them.
//!
//! Sleeping threads are kept in a queue of (address, thread). The queue is plain: loom runs one
//! thread at a time and switches only at its own operations, none of which happens while the queue
//! is borrowed. Takes no lock.

use std::cell::RefCell;
use std::ops::Deref;
use std::time::Instant;

use ::loom::sync::atomic::Ordering::Relaxed;
use ::loom::thread::{self, Thread};

use super::Expiry;

/// loom's atomic, which in addition tells loom when its memory goes away: an access by another
/// thread that is not ordered before that is a found race, such as a waker that looks at a word too
/// late.
#[derive(Debug)]
pub(super) struct AtomicU32(::loom::sync::atomic::AtomicU32);

impl AtomicU32 {
    pub(super) fn new(value: u32) -> Self {
        Self(::loom::sync::atomic::AtomicU32::new(value))
    }
}

impl Deref for AtomicU32 {
    type Target = ::loom::sync::atomic::AtomicU32;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for AtomicU32 {
    fn drop(&mut self) {
        // A model that has failed already is unwound outside of loom's reach.
        if !std::thread::panicking() {
            self.0.with_mut(|_| ());
        }
    }
}

/// A model gains nothing from spinning but more schedules to explore.
pub(super) const fn spin_rounds() -> u32 {
    0
}

/// Reports to loom every critical section of a mutex: two that are not ordered are a found race.
#[derive(Debug)]
pub(super) struct RaceWitness(::loom::cell::UnsafeCell<()>);

impl RaceWitness {
    pub(super) fn new() -> Self {
        Self(::loom::cell::UnsafeCell::new(()))
    }

    #[inline(always)]
    pub(super) fn touch(&self) {
        self.0.with_mut(|_| ());
    }
}

thread_local! {
    /// loom runs all the threads of one model on one thread of the operating system, and tests run
    /// beside each other on different ones.
    static SLEEPERS: RefCell<Vec<(usize, Thread)>> = const { RefCell::new(Vec::new()) };
}

/// Sleeps while `word` holds `expected`; may return early.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    let address = std::ptr::from_ref(word).addr();
    let current = thread::current();
    SLEEPERS.with_borrow_mut(|sleepers| sleepers.push((address, current.clone())));
    // Queue first, then look, with a read-modify-write so that loom returns the newest value and
    // not one that a plain load may still see: the kernel compares under its own lock too. A waker
    // that changed the word earlier is seen here; one that changes it later finds the queue entry.
    if word.fetch_add(0, Relaxed) == expected {
        thread::park();
    }
    SLEEPERS.with_borrow_mut(|sleepers| {
        sleepers.retain(|(at, thread)| *at != address || thread.id() != current.id());
    });
}

/// Sleeps while `word` holds `expected`, until the schedule says that the deadline has passed.
///
/// It has passed as soon as the word was looked at. All that others may do during a sleep they may
/// also do before the look, so in some schedules the change comes before it and in some after. To
/// yield here would take schedules away: loom lets another thread make its next step first.
pub(super) fn wait_until(word: &AtomicU32, expected: u32, _deadline: Instant) -> Expiry {
    // A read-modify-write for the reason given in `wait`.
    if word.fetch_add(0, Relaxed) == expected {
        Expiry::Passed
    } else {
        Expiry::NotYet
    }
}

/// Wakes one thread sleeping on `word`. The word is not read and may be gone.
pub(super) fn wake_one(word: *const AtomicU32) {
    let sleeper = SLEEPERS.with_borrow_mut(|sleepers| {
        let position = sleepers.iter().position(|(at, _)| *at == word.addr())?;
        Some(sleepers.remove(position).1)
    });
    if let Some(thread) = sleeper {
        thread.unpark();
    }
}
