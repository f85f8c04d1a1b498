//! I/O lock `inode`: the whole file, as Linux's `i_rwsem` locks it.
//!
//! # Why
//! The baseline: simple, and every write to a file waits for every other.
//!
//! # Locking
//! One `parking_lot::RwLock` a file. No fault takes it, so it need not be fit for a signal handler.

use std::ops::Range;

use parking_lot::RwLock;

#[derive(Default)]
pub(crate) struct InodeIoLock {
    lock: RwLock<()>,
}

impl InodeIoLock {
    // ---- Shared -------------------------------------------------------------------------------

    pub(crate) fn shared<T>(&self, _bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _guard = self.lock.read();
        section()
    }

    // ---- Exclusive ----------------------------------------------------------------------------

    pub(crate) fn exclusive<T>(&self, _bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _guard = self.lock.write();
        section()
    }
}
