//! Guards of ranges that are held by way of a node in the caller's memory.
//!
//! Touches the layers on drop and on every change, which may take the tree's mutex.

use std::fmt;
use std::ops::{RangeBounds, RangeInclusive};

use super::RangeNode;
use crate::layers::NodeSource;
use crate::mode::Mode;
use crate::span::Span;

/// A node whose range, if any, is held on behalf of a guard.
pub(super) struct HeldNode<'node> {
    node: &'node RangeNode<'node>,
}

// SAFETY: the guard is the only user of the node for as long as it borrows it, and a node may be
// used from any thread.
unsafe impl Send for HeldNode<'_> {}
// SAFETY: a shared guard can only be asked for its range, which is constant while it is held.
unsafe impl Sync for HeldNode<'_> {}

impl<'node> HeldNode<'node> {
    #[inline(always)]
    pub(super) fn new(node: &'node RangeNode<'node>) -> Self {
        Self { node }
    }

    fn range(&self) -> Option<RangeInclusive<u64>> {
        self.node.span().map(Span::into)
    }

    /// Of a writer's guard.
    fn downgrade(&mut self) {
        let RangeNode { layers, node, .. } = self.node;
        // SAFETY: the guard is the only user of the node, and exclusive here.
        if let Some(holding) = unsafe { self.node.holding_mut() } {
            self.node.ticket.get().changes_mode(Mode::Read);
            // SAFETY: it is held (Invariant 1), by way of this node, and for writing.
            unsafe { layers.downgrade(holding, NodeSource::Pinned(node)) };
        }
    }

    /// Of a reader's guard.
    fn try_upgrade(&mut self) -> bool {
        let RangeNode { layers, node, .. } = self.node;
        // SAFETY: as in `downgrade`.
        let Some(holding) = (unsafe { self.node.holding_mut() }) else {
            return true;
        };
        // SAFETY: it is held (Invariant 1), by way of this node, and for reading.
        let is_upgraded = unsafe { layers.try_upgrade(holding, NodeSource::Pinned(node)) };
        if is_upgraded {
            self.node.ticket.get().changes_mode(Mode::Write);
        }
        is_upgraded
    }

    fn shrink_to(&mut self, range: Option<Span>) {
        let Some(whole) = self.node.span() else {
            return;
        };
        let part = match range.and_then(|range| range.common_part(whole)) {
            None => return self.node.release(),
            Some(part) if part == whole => return,
            Some(part) => part,
        };
        let RangeNode { layers, node, .. } = self.node;
        // SAFETY: as in `downgrade`.
        if let Some(holding) = unsafe { self.node.holding_mut() } {
            self.node.ticket.get().changes_span(part);
            // SAFETY: it is held (Invariant 1), by way of this node; `part` is a part of the range.
            unsafe { layers.shrink(holding, part, NodeSource::Pinned(node)) };
        }
    }

    fn disown(&self) {
        self.node.ticket.get().disowned();
    }
}

impl Drop for HeldNode<'_> {
    #[inline]
    fn drop(&mut self) {
        self.node.release();
    }
}

/// Shared use of a range through a [`RangeNode`]; given back when dropped.
///
/// # Examples
///
/// ```
/// use std::pin::pin;
///
/// let lock = rangelock::RangeLock::new();
/// let node = pin!(lock.node());
/// let guard = node.read(0..10);
/// assert!(lock.try_read(0..10).is_some());
/// # drop(guard);
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct PinnedReadGuard<'node> {
    held: HeldNode<'node>,
}

/// Exclusive use of a range through a [`RangeNode`]; given back when dropped.
///
/// # Examples
///
/// ```
/// use std::pin::pin;
///
/// let lock = rangelock::RangeLock::new();
/// let node = pin!(lock.node());
/// let guard = node.write(0..10);
/// assert!(lock.try_read(0..10).is_none());
/// # drop(guard);
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct PinnedWriteGuard<'node> {
    held: HeldNode<'node>,
}

impl<'node> PinnedReadGuard<'node> {
    #[inline(always)]
    pub(super) fn new(held: HeldNode<'node>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// assert_eq!(node.read(..10).range(), Some(0..=9));
    /// ```
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
    }

    /// Gives back all but the part of `range` that is held, which may be nothing; see
    /// [`ReadGuard::shrink_to`](crate::ReadGuard::shrink_to). Never allocates.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let mut guard = node.read(..);
    /// guard.shrink_to(10..20);
    /// assert_eq!(guard.range(), Some(10..=19));
    /// assert!(lock.try_write(20..).is_some());
    /// ```
    pub fn shrink_to(&mut self, range: impl RangeBounds<u64>) {
        self.held.shrink_to(Span::of(&range));
    }

    /// Turns shared use into exclusive use if nobody else holds any of the range now; see
    /// [`ReadGuard::try_upgrade`](crate::ReadGuard::try_upgrade). Never allocates.
    ///
    /// # Errors
    ///
    /// The guard, unchanged, if the range is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let other = lock.read(5..6);
    /// let guard = node.read(0..10).try_upgrade().expect_err("shared");
    /// drop(other);
    /// let guard = guard.try_upgrade().expect("not shared any more");
    /// assert!(lock.try_read(0..1).is_none());
    /// # drop(guard);
    /// ```
    pub fn try_upgrade(mut self) -> Result<PinnedWriteGuard<'node>, Self> {
        match self.held.try_upgrade() {
            true => Ok(PinnedWriteGuard { held: self.held }),
            false => Err(self),
        }
    }

    /// Says that the guard is about to be sent to another thread: see
    /// [`ReadGuard::disown`](crate::ReadGuard::disown).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let guard = node.read(0..10);
    /// guard.disown();
    /// std::thread::scope(|scope| scope.spawn(|| drop(guard)).join()).unwrap();
    /// ```
    pub fn disown(&self) {
        self.held.disown();
    }
}

impl<'node> PinnedWriteGuard<'node> {
    #[inline(always)]
    pub(super) fn new(held: HeldNode<'node>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// assert_eq!(node.write(..10).range(), Some(0..=9));
    /// ```
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
    }

    /// Gives back all but the part of `range` that is held, which may be nothing; see
    /// [`ReadGuard::shrink_to`](crate::ReadGuard::shrink_to). Never allocates.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let mut guard = node.write(..);
    /// guard.shrink_to(10..20);
    /// assert_eq!(guard.range(), Some(10..=19));
    /// assert!(lock.try_write(20..).is_some());
    /// ```
    pub fn shrink_to(&mut self, range: impl RangeBounds<u64>) {
        self.held.shrink_to(Span::of(&range));
    }

    /// Turns exclusive use into shared use in one step: no writer comes between. See
    /// [`WriteGuard::downgrade`](crate::WriteGuard::downgrade). Never allocates.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let guard = node.write(0..10).downgrade();
    /// assert!(lock.try_read(0..10).is_some());
    /// # drop(guard);
    /// ```
    pub fn downgrade(mut self) -> PinnedReadGuard<'node> {
        self.held.downgrade();
        PinnedReadGuard { held: self.held }
    }

    /// Says that the guard is about to be sent to another thread: see
    /// [`ReadGuard::disown`](crate::ReadGuard::disown).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let guard = node.write(0..10);
    /// guard.disown();
    /// std::thread::scope(|scope| scope.spawn(|| drop(guard)).join()).unwrap();
    /// ```
    pub fn disown(&self) {
        self.held.disown();
    }
}

impl fmt::Debug for PinnedReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PinnedReadGuard")
            .field(&self.range())
            .finish()
    }
}

impl fmt::Debug for PinnedWriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PinnedWriteGuard")
            .field(&self.range())
            .finish()
    }
}
