//! Everything below the lock that a platform or a model checker provides.
//!
//! Two primitives that wait are written once, over three platform functions:
//!
//! | This crate's primitive | File | Built from |
//! |---|---|---|
//! | [`Mutex`], guards the tree | `mutex.rs` | one `AtomicU32`, `wait`, `wake_one` |
//! | [`WaitWord`], one sleeping request | `wait_word.rs` | the same, and `wait_until` |
//!
//! `linux.rs` gives the futex system call, `fallback.rs` the same contract from standard mutexes
//! and condition variables, `loom.rs` the same contract inside a loom model, so that loom explores
//! the very algorithms that run in production. These files are the only ones in the crate that name
//! `std::sync`, `libc` or `loom` outside tests.
//!
//! `atomic.rs` has the words of the slots, which nobody sleeps on, and their barrier; `clock.rs`
//! has a stopwatch, `thread_hint.rs` a number to keep threads apart by.
//!
//! # What a platform provides
//!
//! * `AtomicU32`, the word both primitives are made of.
//! * `wait(word, expected)`: sleeps if `word` still holds `expected`, atomically with respect to
//!   `wake_one`; may return early for no reason.
//! * `wait_until(word, expected, deadline)`: the same, but not beyond the deadline. It says whether
//!   that has passed; in a model it passes whenever the schedule says so.
//! * `wake_one(address)`: wakes at least one thread sleeping on that address, if any. It never
//!   reads the word, so the memory may be gone by then.
//! * `spin_rounds()`: how long to spin before sleeping.
//! * `RaceWitness`: an empty marker which the model checker watches for unordered access.
//!
//! On Linux none of them allocates, touches a lazily initialised thread-local, or changes `errno`,
//! so a request may wait inside a signal handler.

mod atomic;
mod clock;
mod mutex;
mod thread_hint;
mod wait_word;

#[cfg(any(
    all(test, not(any(loom, shuttle))),
    not(any(loom, shuttle, target_os = "linux"))
))]
#[cfg_attr(
    target_os = "linux",
    allow(dead_code, reason = "built here for its tests only")
)]
mod fallback;
#[cfg(all(not(any(loom, shuttle)), target_os = "linux"))]
mod linux;
#[cfg(loom)]
mod loom;
#[cfg(shuttle)]
mod shuttle;

#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;
#[cfg(all(test, not(any(loom, shuttle))))]
#[path = "tests/sequential.rs"]
mod sequential_tests;

#[cfg(not(any(loom, shuttle, target_os = "linux")))]
use fallback as platform;
#[cfg(all(not(any(loom, shuttle)), target_os = "linux"))]
use linux as platform;
#[cfg(loom)]
use loom as platform;
#[cfg(shuttle)]
use shuttle as platform;

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;

pub(crate) use atomic::{AtomicPtr, AtomicU32, AtomicU64, fence_after_announcing};
pub(crate) use clock::Stopwatch;
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use thread_hint::thread_hint;
pub(crate) use wait_word::{Spin, WaitWord};

/// Whether the deadline of a wait has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Passed,
    NotYet,
}

/// Declares functions `const`, except in a loom model, whose atomics cannot be made in a constant.
macro_rules! const_unless_modelled {
    ($($(#[$attribute:meta])* $visibility:vis const fn $name:ident($($arguments:tt)*) -> $result:ty
        $body:block)*) => {$(
        #[cfg(not(loom))]
        $(#[$attribute])* $visibility const fn $name($($arguments)*) -> $result $body
        #[cfg(loom)]
        $(#[$attribute])* $visibility fn $name($($arguments)*) -> $result $body
    )*};
}
pub(crate) use const_unless_modelled;

/// Spins with growing pauses until `ready` says so or the platform's budget is spent.
///
/// The budget is far below the price of a sleep and a wake-up (tens of microseconds between idle
/// virtual processors), and well above one short critical section.
#[inline]
fn spin_until(mut ready: impl FnMut() -> bool) -> bool {
    for round in 0..platform::spin_rounds() {
        if ready() {
            return true;
        }
        for _ in 0..1_u32 << round {
            std::hint::spin_loop();
        }
    }
    false
}
