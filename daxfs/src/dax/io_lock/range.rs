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

/// What lies within one aligned 2 MiB, the size of a huge page, is locked without the tree, and
/// what lies in different ones without sharing a cache line.
const GRANULE: Granule = Granule::from_len(2 << 20).expect("a power of two");

pub(crate) struct RangeIoLock {
    lock: RangeLock,
}

impl Default for RangeIoLock {
    fn default() -> Self {
        Self {
            lock: RangeLock::with_slots(GRANULE),
        }
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
