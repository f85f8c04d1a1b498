//! The futex contract inside a shuttle model, so that shuttle schedules the mutex and the wait word
//! themselves and not a stand-in for them.
//!
//! Where loom tries all schedules of two or three threads, shuttle tries random ones of many. It
//! takes every memory ordering for `SeqCst`: what a missing barrier does, loom finds and this
//! does not. Its `park` returns early now and then, as the contract allows, so that is tried too.
//!
//! Sleeping threads are kept in a queue of (address, thread). The queue is plain: shuttle runs one
//! thread at a time and switches only at its own operations, none of which happens while the queue
//! is borrowed. Takes no lock.

use std::cell::RefCell;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use ::shuttle::rand::{self, Rng};
use ::shuttle::sync::atomic::Ordering::Relaxed;
use ::shuttle::thread::{self, Thread};

use super::Expiry;

pub(super) use ::shuttle::sync::atomic::AtomicU32;

/// A model gains nothing from spinning but longer schedules.
pub(super) const fn spin_rounds() -> u32 {
    0
}

/// Touched first and last in every critical section of a mutex; panics if two of them overlap.
#[derive(Debug)]
pub(super) struct RaceWitness {
    /// Who is inside, or `NOBODY`. Not one of shuttle's own, whose every access is one more place
    /// for it to switch.
    inside: AtomicUsize,
}

const NOBODY: usize = usize::MAX;

impl RaceWitness {
    pub(super) const fn new() -> Self {
        Self {
            inside: AtomicUsize::new(NOBODY),
        }
    }

    pub(super) fn touch(&self) {
        let toucher = usize::from(thread::current().id());
        let now_inside = match self.inside.load(Relaxed) {
            NOBODY => toucher,
            inside => {
                assert_eq!(inside, toucher, "two threads are inside one mutex");
                NOBODY
            }
        };
        self.inside.store(now_inside, Relaxed);
    }
}

thread_local! {
    /// shuttle runs all the threads of one model on one thread of the operating system, and tests
    /// run beside each other on different ones.
    static SLEEPERS: RefCell<Vec<(usize, Thread)>> = const { RefCell::new(Vec::new()) };
}

/// Sleeps while `word` holds `expected`; may return early.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    let address = std::ptr::from_ref(word).addr();
    let current = thread::current();
    SLEEPERS.with_borrow_mut(|sleepers| sleepers.push((address, current.clone())));
    // Queue first, then look. A waker that changed the word earlier is seen here; one that changes
    // it later finds the queue entry.
    if word.load(Relaxed) == expected {
        thread::park();
    }
    SLEEPERS.with_borrow_mut(|sleepers| {
        sleepers.retain(|(at, thread)| *at != address || thread.id() != current.id());
    });
}

/// Sleeps while `word` holds `expected`, until a draw says that the deadline has passed. Between
/// two draws others run, or not, as the schedule has it.
pub(super) fn wait_until(word: &AtomicU32, expected: u32, _deadline: Instant) -> Expiry {
    while word.load(Relaxed) == expected {
        if rand::thread_rng().gen_range(0..4) == 0 {
            return Expiry::Passed;
        }
        thread::sleep(Duration::ZERO);
    }
    Expiry::NotYet
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
