//! I/O lock `range`: the bytes that are read or written, and no others.
//!
//! # Why
//! POSIX asks that overlapping writes be serialised, not that disjoint ones be.
//!
//! # Locking
//! One `RangeLock` a file, over bytes, first come first served among those that overlap. The
//! waiter's node lies in this frame, so that locking allocates nothing.

use std::ops::Range;
use std::pin::pin;

use rangelock::{Granule, RangeLock};

/// What lies within one aligned 64 KiB, in the first 16 TiB, is locked without the tree.
const GRANULE: Granule = Granule::from_len(64 << 10).expect("a power of two");

/// Pinned nodes do not make the lock grow, so it is made as large as some dozens of threads want
/// it: two kilobytes. (Models have two threads.)
const RANGES_AT_ONCE: usize = if cfg!(loom) { 1 } else { 64 };

pub(crate) struct RangeIoLock {
    lock: Box<RangeLock>,
}

impl Default for RangeIoLock {
    fn default() -> Self {
        let lock = Box::new(RangeLock::with_granule(GRANULE));
        lock.reserve(RANGES_AT_ONCE);
        Self { lock }
    }
}

impl RangeIoLock {
    // ---- Shared -------------------------------------------------------------------------------

    pub(crate) fn shared<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let node = pin!(self.lock.node());
        let _guard = node.read(bytes);
        section()
    }

    // ---- Exclusive ----------------------------------------------------------------------------

    pub(crate) fn exclusive<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let node = pin!(self.lock.node());
        let _guard = node.write(bytes);
        section()
    }
}
