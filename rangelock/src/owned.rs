//! Guards that keep their lock alive: for tasks and threads that outlive the frame of the lock.
//!
//! Touches what the borrowing guards touch.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{RangeBounds, RangeInclusive};
use std::time::{Duration, Instant};

use crate::guard::{ReadGuard, WriteGuard};
use crate::lock::RangeLock;
use crate::sync::Arc;

impl RangeLock {
    /// Like [`read`](Self::read), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.read_owned(0..10);
    /// drop(lock); // the guard has it still
    /// assert_eq!(guard.range(), Some(0..=9));
    /// ```
    #[track_caller]
    pub fn read_owned(self: &Arc<Self>, range: impl RangeBounds<u64>) -> OwnedReadGuard {
        OwnedReadGuard::new(lock_of(self).read(range), self)
    }

    /// Like [`write`](Self::write), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.write_owned(0..10);
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// assert!(lock.try_read(0..10).is_some());
    /// ```
    #[track_caller]
    pub fn write_owned(self: &Arc<Self>, range: impl RangeBounds<u64>) -> OwnedWriteGuard {
        OwnedWriteGuard::new(lock_of(self).write(range), self)
    }

    /// Like [`try_read`](Self::try_read), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let writer = lock.write_owned(0..10);
    /// assert!(lock.try_read_owned(9..20).is_none());
    /// # drop(writer);
    /// ```
    #[track_caller]
    pub fn try_read_owned(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
    ) -> Option<OwnedReadGuard> {
        lock_of(self)
            .try_read(range)
            .map(|guard| OwnedReadGuard::new(guard, self))
    }

    /// Like [`try_write`](Self::try_write), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let reader = lock.read_owned(0..10);
    /// assert!(lock.try_write_owned(9..20).is_none());
    /// # drop(reader);
    /// ```
    #[track_caller]
    pub fn try_write_owned(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
    ) -> Option<OwnedWriteGuard> {
        lock_of(self)
            .try_write(range)
            .map(|guard| OwnedWriteGuard::new(guard, self))
    }

    /// Like [`try_read_for`](Self::try_read_for), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.write_owned(0..10);
    /// assert!(lock.try_read_owned_for(9..20, Duration::from_millis(1)).is_none());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_read_owned_for(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
        timeout: Duration,
    ) -> Option<OwnedReadGuard> {
        lock_of(self)
            .try_read_for(range, timeout)
            .map(|guard| OwnedReadGuard::new(guard, self))
    }

    /// Like [`try_read_until`](Self::try_read_until), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.write_owned(0..10);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// assert!(lock.try_read_owned_until(9..20, soon).is_none());
    /// drop(guard);
    /// assert!(lock.try_read_owned_until(9..20, soon).is_some()); // there is no wait
    /// ```
    #[track_caller]
    pub fn try_read_owned_until(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<OwnedReadGuard> {
        lock_of(self)
            .try_read_until(range, deadline)
            .map(|guard| OwnedReadGuard::new(guard, self))
    }

    /// Like [`try_write_for`](Self::try_write_for), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.read_owned(0..10);
    /// assert!(lock.try_write_owned_for(9..20, Duration::from_millis(1)).is_none());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_write_owned_for(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
        timeout: Duration,
    ) -> Option<OwnedWriteGuard> {
        lock_of(self)
            .try_write_for(range, timeout)
            .map(|guard| OwnedWriteGuard::new(guard, self))
    }

    /// Like [`try_write_until`](Self::try_write_until), with a guard that keeps the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.read_owned(0..10);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// assert!(lock.try_write_owned_until(9..20, soon).is_none());
    /// drop(guard);
    /// assert!(lock.try_write_owned_until(9..20, soon).is_some()); // there is no wait
    /// ```
    #[track_caller]
    pub fn try_write_owned_until(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<OwnedWriteGuard> {
        lock_of(self)
            .try_write_until(range, deadline)
            .map(|guard| OwnedWriteGuard::new(guard, self))
    }
}

/// A guard, or the future of one, and the lock it belongs to.
///
/// Invariant: the guard is of this lock, and is dropped before it.
pub(crate) struct Owned<G> {
    pub(crate) guard: ManuallyDrop<G>,
    pub(crate) lock: ManuallyDrop<Arc<RangeLock>>,
}

impl<G> Owned<G> {
    pub(crate) fn new(guard: G, lock: Arc<RangeLock>) -> Self {
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
pub(crate) fn lock_of(lock: &Arc<RangeLock>) -> &'static RangeLock {
    // SAFETY: the heap keeps the lock in its place while the `Arc` lives, and every guard made from
    // this reference is kept in an `Owned` with a clone of the `Arc`, and dropped first.
    unsafe { &*Arc::as_ptr(lock) }
}

/// Like [`ReadGuard`], but keeps the lock alive. Made by
/// [`RangeLock::read_owned`](crate::RangeLock::read_owned).
///
/// Made to travel, so the feature `deadlock_detection` takes it for nobody's from the start, as if
/// it were [disowned](ReadGuard::disown).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// let lock = Arc::new(rangelock::RangeLock::new());
/// let mut readers = vec![lock.read_owned(0..10)];
/// readers.push(lock.read_owned(5..15));
/// let counting = std::thread::spawn(move || readers.len());
/// assert_eq!(counting.join().unwrap(), 2);
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct OwnedReadGuard(Owned<ReadGuard<'static>>);

/// Like [`WriteGuard`], but keeps the lock alive. Made by
/// [`RangeLock::write_owned`](crate::RangeLock::write_owned).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// let lock = Arc::new(rangelock::RangeLock::new());
/// let guard = lock.write_owned(0..10);
/// let writing = std::thread::spawn(move || drop(guard));
/// writing.join().unwrap();
/// assert!(!lock.is_locked(..));
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct OwnedWriteGuard(Owned<WriteGuard<'static>>);

macro_rules! owned_methods {
    ($write_or_read:literal) => {
        /// The range held, or `None` if it is no byte at all.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// let lock = Arc::new(rangelock::RangeLock::new());
        #[doc = concat!("let guard = lock.", $write_or_read, "_owned(0..10);")]
        /// assert_eq!(guard.range(), Some(0..=9));
        /// ```
        #[must_use]
        pub fn range(&self) -> Option<RangeInclusive<u64>> {
            self.0.guard.range()
        }

        /// The lock.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// let lock = Arc::new(rangelock::RangeLock::new());
        #[doc = concat!("let guard = lock.", $write_or_read, "_owned(0..10);")]
        /// assert!(Arc::ptr_eq(guard.lock(), &lock));
        /// ```
        #[must_use]
        pub fn lock(&self) -> &Arc<RangeLock> {
            &self.0.lock
        }

        /// Splits the guard in two: see [`ReadGuard::split_at`].
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// let lock = Arc::new(rangelock::RangeLock::new());
        #[doc = concat!("let guard = lock.", $write_or_read, "_owned(0..10);")]
        /// let (below, above) = guard.split_at(4);
        /// drop(below);
        /// assert!(lock.try_write(0..4).is_some());
        /// # drop(above);
        /// ```
        pub fn split_at(self, at: u64) -> (Self, Self) {
            let (guard, lock) = self.0.into_parts();
            let (below, above) = guard.split_at(at);
            let second = Self(Owned::new(above, Arc::clone(&lock)));
            (Self(Owned::new(below, lock)), second)
        }

        /// Gives back all but the part of `range` that is held.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// let lock = Arc::new(rangelock::RangeLock::new());
        #[doc = concat!("let mut guard = lock.", $write_or_read, "_owned(0..10);")]
        /// guard.shrink_to(2..4);
        /// assert_eq!(guard.range(), Some(2..=3));
        /// ```
        pub fn shrink_to(&mut self, range: impl RangeBounds<u64>) {
            self.0.guard.shrink_to(range);
        }
    };
}

impl OwnedReadGuard {
    /// A guard of `lock`, which it keeps alive from here on.
    pub(crate) fn new(guard: ReadGuard<'static>, lock: &Arc<RangeLock>) -> Self {
        guard.disown();
        Self(Owned::new(guard, Arc::clone(lock)))
    }

    owned_methods!("read");

    /// Turns shared use into exclusive use: see [`ReadGuard::try_upgrade`].
    ///
    /// # Errors
    ///
    /// The guard, unchanged, if the range is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.read_owned(0..10).try_upgrade().expect("not shared");
    /// assert!(lock.try_read(0..1).is_none());
    /// # drop(guard);
    /// ```
    pub fn try_upgrade(self) -> Result<OwnedWriteGuard, Self> {
        let (guard, lock) = self.0.into_parts();
        match guard.try_upgrade() {
            Ok(guard) => Ok(OwnedWriteGuard(Owned::new(guard, lock))),
            Err(guard) => Err(Self(Owned::new(guard, lock))),
        }
    }
}

impl OwnedWriteGuard {
    /// A guard of `lock`, which it keeps alive from here on.
    pub(crate) fn new(guard: WriteGuard<'static>, lock: &Arc<RangeLock>) -> Self {
        guard.disown();
        Self(Owned::new(guard, Arc::clone(lock)))
    }

    owned_methods!("write");

    /// Turns exclusive use into shared use: see [`WriteGuard::downgrade`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let guard = lock.write_owned(0..10).downgrade();
    /// assert!(lock.try_read(0..1).is_some());
    /// # drop(guard);
    /// ```
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
