//! I/O lock `range`: the bytes that are read or written, and no others.
//!
//! # Why
//! POSIX asks that overlapping writes be serialised, not that disjoint ones be.
//!
//! # Locking
//! One `RangeLock` a file, over bytes, first come first served among those that overlap. It starts
//! as a few cache lines, and grows a table when threads meet in it, with granules of the length of
//! what they lock: two that write beside each other, 4 KiB each, soon use a cache line each. That
//! takes guards that may allocate, which is allowed here because no fault takes this lock.

use std::ops::Range;

use rangelock::RangeLock;

#[derive(Default)]
pub(crate) struct RangeIoLock {
    lock: Box<RangeLock>,
}

impl RangeIoLock {
    // ---- Shared -------------------------------------------------------------------------------

    pub(crate) fn shared<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _guard = self.lock.read(bytes);
        section()
    }

    // ---- Exclusive ----------------------------------------------------------------------------

    pub(crate) fn exclusive<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _guard = self.lock.write(bytes);
        section()
    }

    // ---- What it takes ------------------------------------------------------------------------

    /// Beside the lock's own size.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.lock.memory_bytes()
    }
}
