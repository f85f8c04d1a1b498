//! Guards that keep their lock alive: for tasks and threads that outlive the frame of the lock.
//!
//! Touches what the borrowing guards touch.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{RangeBounds, RangeInclusive};

use crate::guard::{ReadGuard, WriteGuard};
use crate::lock::RangeLock;
use crate::sync::Arc;

/// A guard and the lock it belongs to.
///
/// Invariant: the guard is of this lock, and is dropped before it.
struct Owned<G> {
    guard: ManuallyDrop<G>,
    lock: ManuallyDrop<Arc<RangeLock>>,
}

impl<G> Owned<G> {
    fn new(guard: G, lock: Arc<RangeLock>) -> Self {
        Self {
            guard: ManuallyDrop::new(guard),
            lock: ManuallyDrop::new(lock),
        }
    }

    fn into_parts(self) -> (G, Arc<RangeLock>) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again.
        let guard = unsafe { ManuallyDrop::take(&mut this.guard) };
        // SAFETY: as above.
        let lock = unsafe { ManuallyDrop::take(&mut this.lock) };
        (guard, lock)
    }
}

impl<G> Drop for Owned<G> {
    fn drop(&mut self) {
        // SAFETY: nobody uses it after its destructor has begun.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.lock) };
    }
}

/// The lock behind an `Arc`, for as long as a guard that is kept beside the `Arc`.
fn lock_of(lock: &Arc<RangeLock>) -> &'static RangeLock {
    // SAFETY: the heap keeps the lock in its place while the `Arc` lives, and every guard made from
    // this reference is kept in an `Owned` with a clone of the `Arc`, and dropped first.
    unsafe { &*Arc::as_ptr(lock) }
}

/// Like [`ReadGuard`], but keeps the lock alive. Made by
/// [`RangeLock::read_owned`](crate::RangeLock::read_owned).
///
/// Made to travel, so the feature `deadlock_detection` takes it for nobody's from the start, as if
/// it were [disowned](ReadGuard::disown).
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct OwnedReadGuard(Owned<ReadGuard<'static>>);

/// Like [`WriteGuard`], but keeps the lock alive. Made by
/// [`RangeLock::write_owned`](crate::RangeLock::write_owned).
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct OwnedWriteGuard(Owned<WriteGuard<'static>>);

macro_rules! owned_methods {
    () => {
        /// The range held, or `None` if it is no byte at all.
        #[must_use]
        pub fn range(&self) -> Option<RangeInclusive<u64>> {
            self.0.guard.range()
        }

        /// The lock.
        #[must_use]
        pub fn lock(&self) -> &Arc<RangeLock> {
            &self.0.lock
        }

        /// Splits the guard in two: see [`ReadGuard::split_at`].
        pub fn split_at(self, at: u64) -> (Self, Self) {
            let (guard, lock) = self.0.into_parts();
            let (below, above) = guard.split_at(at);
            let second = Self(Owned::new(above, Arc::clone(&lock)));
            (Self(Owned::new(below, lock)), second)
        }

        /// Gives back all but the part of `range` that is held.
        pub fn shrink_to(&mut self, range: impl RangeBounds<u64>) {
            self.0.guard.shrink_to(range);
        }
    };
}

impl OwnedReadGuard {
    #[track_caller]
    pub(crate) fn take(lock: &Arc<RangeLock>, range: impl RangeBounds<u64>) -> Self {
        let guard = lock_of(lock).read(range);
        guard.disown();
        Self(Owned::new(guard, Arc::clone(lock)))
    }

    #[track_caller]
    pub(crate) fn try_take(lock: &Arc<RangeLock>, range: impl RangeBounds<u64>) -> Option<Self> {
        let guard = lock_of(lock).try_read(range)?;
        guard.disown();
        Some(Self(Owned::new(guard, Arc::clone(lock))))
    }

    owned_methods!();

    /// Turns shared use into exclusive use: see [`ReadGuard::try_upgrade`].
    ///
    /// # Errors
    ///
    /// The guard, unchanged, if the range is shared.
    pub fn try_upgrade(self) -> Result<OwnedWriteGuard, Self> {
        let (guard, lock) = self.0.into_parts();
        match guard.try_upgrade() {
            Ok(guard) => Ok(OwnedWriteGuard(Owned::new(guard, lock))),
            Err(guard) => Err(Self(Owned::new(guard, lock))),
        }
    }
}

impl OwnedWriteGuard {
    #[track_caller]
    pub(crate) fn take(lock: &Arc<RangeLock>, range: impl RangeBounds<u64>) -> Self {
        let guard = lock_of(lock).write(range);
        guard.disown();
        Self(Owned::new(guard, Arc::clone(lock)))
    }

    #[track_caller]
    pub(crate) fn try_take(lock: &Arc<RangeLock>, range: impl RangeBounds<u64>) -> Option<Self> {
        let guard = lock_of(lock).try_write(range)?;
        guard.disown();
        Some(Self(Owned::new(guard, Arc::clone(lock))))
    }

    owned_methods!();

    /// Turns exclusive use into shared use: see [`WriteGuard::downgrade`].
    pub fn downgrade(self) -> OwnedReadGuard {
        let (guard, lock) = self.0.into_parts();
        OwnedReadGuard(Owned::new(guard.downgrade(), lock))
    }
}

impl fmt::Debug for OwnedReadGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedReadGuard")
            .field(&self.range())
            .finish()
    }
}

impl fmt::Debug for OwnedWriteGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedWriteGuard")
            .field(&self.range())
            .finish()
    }
}
