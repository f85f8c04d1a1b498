//! The gate between operations that change metadata and a checkpoint that copies it.
//!
//! An operation begins a [`Transaction`] before its first change and ends it after its last; a
//! checkpoint closes the gate, copies what changed, and opens it again. So a checkpoint holds each
//! operation whole or not at all. This is where a log's reservation will be taken: the place in
//! the order of locks is the same (after the I/O and mapping range locks, before entry locks; in
//! the `entry` design before the entry lock, as Linux commit fb26a1cbed8c made it).
//!
//! Touches no device. A transaction holds the gate shared: nothing that may wait for another
//! thread's transaction is taken inside one, no user memory is touched inside one, and none is
//! begun inside another (a waiting checkpoint would come between them). Taken from page faults,
//! so it is `std`'s lock.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets many transactions through, or one checkpoint.
#[derive(Default)]
pub(crate) struct Gate {
    lock: RwLock<()>,
}

/// One operation's changes to metadata. Functions that change metadata ask for one.
pub(crate) struct Transaction<'gate> {
    _open: RwLockReadGuard<'gate, ()>,
}

/// Proof that no transaction is under way.
pub(crate) struct Closed<'gate> {
    _closed: RwLockWriteGuard<'gate, ()>,
}

impl Gate {
    /// Begins a transaction. Waits while a checkpoint copies.
    pub(crate) fn begin(&self) -> Transaction<'_> {
        Transaction {
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
