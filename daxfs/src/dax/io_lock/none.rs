//! I/O lock `none`: nothing, so that a benchmark can show what the copies alone cost.
//!
//! # Why
//! A control. Overlapping reads and writes mix, and a read may be torn; a file's length and blocks
//! stay consistent all the same, since they do not depend on this lock.
//!
//! # Locking
//! None.

use std::ops::Range;

pub(crate) struct NoIoLock;

impl NoIoLock {
    // ---- Shared -------------------------------------------------------------------------------

    pub(crate) fn shared<T>(&self, _bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        section()
    }

    // ---- Exclusive ----------------------------------------------------------------------------

    pub(crate) fn exclusive<T>(&self, _bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        section()
    }
}
