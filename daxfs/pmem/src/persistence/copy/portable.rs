//! Copies on other processors: the C library's, called through a pointer the compiler cannot see
//! through.
//!
//! A call of an unknown function is, like a block of assembly, opaque: the compiler may assume
//! nothing of how it touches memory. Nothing streams past the cache here, so every byte that has to
//! become durable gets its line written back. Touches the ranges it is given. Takes no locks.

use std::ffi::c_void;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// There are no stores past the cache.
pub(super) const STREAMS: bool = false;

/// Copies through the cache. An aligned 8-byte copy is one load and one store.
///
/// # Safety
/// `source` is readable and `target` writable for `len_bytes`, and they do not overlap.
pub(crate) unsafe fn cached(target: *mut u8, source: *const u8, len_bytes: usize) {
    type Memcpy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;
    if len_bytes == 8 && target.addr() % 8 == 0 && source.addr() % 8 == 0 {
        // SAFETY: aligned and readable, as just checked and as the caller vouches.
        let source = unsafe { AtomicU64::from_ptr(source.cast_mut().cast()) };
        // SAFETY: aligned and writable, as just checked and as the caller vouches.
        let target = unsafe { AtomicU64::from_ptr(target.cast()) };
        target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
        return;
    }
    let memcpy: Memcpy = black_box(libc::memcpy);
    // SAFETY: the caller vouches for both ranges.
    unsafe { memcpy(target.cast(), source.cast(), len_bytes) };
}

/// Zeroes through the cache.
///
/// # Safety
/// `target` is writable for `len_bytes`.
pub(crate) unsafe fn cached_zero(target: *mut u8, len_bytes: usize) {
    type Memset = unsafe extern "C" fn(*mut c_void, i32, usize) -> *mut c_void;
    let memset: Memset = black_box(libc::memset);
    // SAFETY: the caller vouches for the range.
    unsafe { memset(target.cast(), 0, len_bytes) };
}

/// Never has anything to copy, since nothing streams.
///
/// # Safety
/// As for [`cached`].
pub(super) unsafe fn stream_lines(target: *mut u8, source: *const u8, len_bytes: usize) {
    // SAFETY: the caller vouches for both ranges.
    unsafe { cached(target, source, len_bytes) };
}

/// Never has anything to zero, since nothing streams.
///
/// # Safety
/// `target` is writable for `len_bytes`.
pub(super) unsafe fn stream_zero_lines(target: *mut u8, len_bytes: usize) {
    // SAFETY: the caller vouches for the range.
    unsafe { cached_zero(target, len_bytes) };
}
