//! Moving bytes to, from and inside memory that other threads may be changing.
//!
//! A device and its windows are shared with every thread of the process and, for an image in a
//! file, with other processes. The filesystem orders accesses by its locks, but one of its locking
//! designs is racy on purpose and programs may race through their own mappings. To the compiler a
//! plain copy that races is undefined behaviour, so no plain copy is used: every copy is a block of
//! assembly, which the compiler cannot look into, split or repeat, and whose racing is what the
//! processor makes of it: bytes from before or after, never anything else.
//!
//! An aligned 8-byte copy is one load and one store, hence never seen torn, by a reader or by a
//! power failure. This is what commit words rely on.
//!
//! [`streaming`] and [`streaming_zero`] go past the cache where the processor can, and say which
//! bytes at the edges they had to store through it. Touches the ranges it is given. Takes no locks.

#[cfg(not(target_arch = "x86_64"))]
#[path = "portable.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
mod machine;
#[cfg(test)]
mod tests;

use super::CACHE_LINE_BYTES;

pub(crate) use machine::{cached, cached_zero};

/// How many bytes at either end went through the cache, and need their lines written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachedEdges {
    pub(crate) head_bytes: usize,
    pub(crate) tail_bytes: usize,
}

/// Splits a target range into the whole lines in the middle and what is left at the edges.
pub(crate) fn edges(target: *const u8, len_bytes: usize) -> CachedEdges {
    if !machine::STREAMS {
        return CachedEdges {
            head_bytes: len_bytes,
            tail_bytes: 0,
        };
    }
    let head_bytes = target.align_offset(CACHE_LINE_BYTES).min(len_bytes);
    let tail_bytes = (len_bytes - head_bytes) % CACHE_LINE_BYTES;
    CachedEdges {
        head_bytes,
        tail_bytes,
    }
}

/// Copies whole cache lines past the cache and the edges through it.
///
/// # Safety
/// `source` is readable and `target` writable for `len_bytes`, and they do not overlap.
pub(crate) unsafe fn streaming(
    target: *mut u8,
    source: *const u8,
    len_bytes: usize,
) -> CachedEdges {
    let edges = edges(target, len_bytes);
    let lines_bytes = len_bytes - edges.head_bytes - edges.tail_bytes;
    // SAFETY: the first `head_bytes` of ranges that the caller vouches for.
    unsafe { cached(target, source, edges.head_bytes) };
    let (target, source) = (
        target.wrapping_add(edges.head_bytes),
        source.wrapping_add(edges.head_bytes),
    );
    // SAFETY: the lines in the middle of the ranges; `target` is aligned to a line by `edges`.
    unsafe { machine::stream_lines(target, source, lines_bytes) };
    let (target, source) = (
        target.wrapping_add(lines_bytes),
        source.wrapping_add(lines_bytes),
    );
    // SAFETY: the last `tail_bytes` of the ranges.
    unsafe { cached(target, source, edges.tail_bytes) };
    edges
}

/// Zeroes whole cache lines past the cache and the edges through it.
///
/// # Safety
/// `target` is writable for `len_bytes`.
pub(crate) unsafe fn streaming_zero(target: *mut u8, len_bytes: usize) -> CachedEdges {
    let edges = edges(target, len_bytes);
    let lines_bytes = len_bytes - edges.head_bytes - edges.tail_bytes;
    // SAFETY: the first `head_bytes` of a range that the caller vouches for.
    unsafe { cached_zero(target, edges.head_bytes) };
    let target = target.wrapping_add(edges.head_bytes);
    // SAFETY: the lines in the middle of the range; `target` is aligned to a line by `edges`.
    unsafe { machine::stream_zero_lines(target, lines_bytes) };
    // SAFETY: the last `tail_bytes` of the range.
    unsafe { cached_zero(target.wrapping_add(lines_bytes), edges.tail_bytes) };
    edges
}
