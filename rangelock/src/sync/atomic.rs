//! The atomics of the slots, and the barrier between an announcement and what follows it.
//!
//! Takes no lock.
//!
//! # The barrier
//!
//! Two threads each write a word of their own by a read-modify-write and then read the other's.
//! Never may both miss the other's. All four accesses are `SeqCst`, and those have one order that
//! all threads agree on: whichever write is second in it is followed by a read that sees the first.
//! So the language needs no more than that, and the processors need no more either:
//!
//! * x86-64: a locked instruction waits until the write is visible to all, so a plain load behind
//!   it is enough. An `mfence` in addition would cost as much as the whole path.
//! * AArch64: the load is an `ldar`, which does not overtake the `stlxr` or `casal` before it.
//!
//! loom takes `SeqCst` accesses for acquire and release only, and has to be told with a fence. A
//! model that leaves the fence out must fail, which shows that the order is needed and is the one
//! the models rely on.

#[cfg(loom)]
pub(crate) use ::loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
#[cfg(shuttle)]
pub(crate) use ::shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// Stands between a `SeqCst` read-modify-write and the `SeqCst` loads that must not miss what was
/// written before it.
#[inline(always)]
pub(crate) fn fence_after_announcing() {
    #[cfg(loom)]
    ::loom::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
