//! The gate between operations that change metadata and a checkpoint that copies it.
//!
//! A [`Transaction`](crate::volume::Transaction) goes through the gate before its first change and
//! leaves after its last; a checkpoint closes the gate, copies what changed, and opens it again. So
//! a checkpoint holds each operation whole or not at all, and the place in the log at which it
//! closed the gate is the place from which a replay has to go on.
//!
//! Touches no device. Whoever is inside holds the gate shared: nothing that may wait for another
//! thread's transaction is taken inside, no user memory is touched inside, and nobody goes through
//! twice (a waiting checkpoint would come between). Taken from page faults, so it is `std`'s lock.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets many transactions through, or one checkpoint.
#[derive(Default)]
pub(crate) struct Gate {
    lock: RwLock<()>,
}

/// Somebody is inside.
pub(crate) struct Inside<'gate> {
    _open: RwLockReadGuard<'gate, ()>,
}

/// Proof that no transaction is under way.
pub(crate) struct Closed<'gate> {
    _closed: RwLockWriteGuard<'gate, ()>,
}

impl Gate {
    /// Goes through. Waits while a checkpoint copies.
    pub(crate) fn enter(&self) -> Inside<'_> {
        Inside {
            _open: self.lock.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Keeps transactions out until the result is dropped. Waits for those under way.
    pub(crate) fn close(&self) -> Closed<'_> {
        Closed {
            _closed: self.lock.write().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
