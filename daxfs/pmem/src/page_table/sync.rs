//! The one place that names `std` or `loom` for the lock-free parts of the page tables.
//!
//! Touches nothing. Takes no locks.

// The registry, which uses the most of these, is not there on every processor.
#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(unused_imports)
)]

#[cfg(loom)]
pub(super) use loom::{
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    thread::yield_now,
};
#[cfg(not(loom))]
pub(super) use std::{
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    thread::yield_now,
};
