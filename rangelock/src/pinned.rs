//! Locking with a node in the caller's own frame (or future, or structure): nothing is allocated.
//!
//! # Why pinned
//!
//! The tree links nodes by address. A guard that contained its node could be moved, or forgotten
//! and its memory used for something else, while other threads still follow links into it. [`Pin`]
//! rules out both: pinned memory stays what it is until its destructor has run.
//!
//! # Invariants
//!
//! 1. `holding` says what is held, and so whether the node is linked; only the owner of the node
//!    touches it.
//! 2. No exclusive reference to the inner node is formed after it was pinned, except by `drop`,
//!    which unlinks it first. `PhantomPinned` keeps the compiler from assuming that the `&mut`
//!    inside a caller's `Pin<&mut RangeNode>` is the only way to reach the node.
//!
//! Takes the tree's mutex, and whatever range is asked for.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomPinned;
use std::ops::{RangeBounds, RangeInclusive};
use std::pin::Pin;
use std::time::Instant;

use crate::layers::{Holding, Layers};
use crate::mode::Mode;
use crate::span::Span;
use crate::tree::LazyNode;
use crate::watch::{Asker, Ticket, place};

/// A request for one range at a time, in memory that the caller provides.
///
/// Made by [`RangeLock::node`](crate::RangeLock::node), then pinned, then used as often as wanted.
/// Where [`RangeLock::read`](crate::RangeLock::read) and [`write`](crate::RangeLock::write) may
/// allocate, this never does, and on Linux it uses no thread-local data but `errno`, which it
/// restores: it may be used in a signal handler, as long as the handler did not interrupt another
/// operation on the same lock.
///
/// If a guard of the node is forgotten, its range stays locked until the node is used again or
/// dropped.
///
/// # Examples
///
/// ```
/// use std::pin::pin;
///
/// let lock = rangelock::RangeLock::new();
/// let mut node = pin!(lock.node());
/// let guard = node.as_mut().write(0..4096);
/// assert!(lock.try_read(0..1).is_none());
/// drop(guard);
/// let _guard = node.read(4096..8192);
/// ```
///
/// A node cannot be used without being pinned, and cannot be moved afterwards:
///
/// ```compile_fail
/// let lock = rangelock::RangeLock::new();
/// let mut node = lock.node();
/// let _guard = node.write(0..4096); // not pinned
/// ```
///
/// ```compile_fail
/// fn must_be_unpin<T: Unpin>(_: T) {}
/// let lock = rangelock::RangeLock::new();
/// must_be_unpin(lock.node());
/// ```
pub struct RangeNode<'lock> {
    layers: &'lock Layers,
    node: LazyNode,
    holding: Cell<Option<Holding>>,
    /// What observers know the holding by.
    ticket: Cell<Ticket>,
    _pinned: PhantomPinned,
}

// SAFETY: the inner node is shared with other threads only while linked, under the tree's mutex,
// and the tree does not care which thread gives a range back.
unsafe impl Send for RangeNode<'_> {}
// SAFETY: a shared node offers nothing.
unsafe impl Sync for RangeNode<'_> {}

impl<'lock> RangeNode<'lock> {
    #[inline]
    pub(crate) fn new(layers: &'lock Layers) -> Self {
        Self {
            layers,
            node: LazyNode::new(),
            holding: Cell::new(None),
            ticket: Cell::new(Ticket::NOBODY),
            _pinned: PhantomPinned,
        }
    }

    /// Waits for shared use of `range`; see [`RangeLock::read`](crate::RangeLock::read).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let (one, other) = (pin!(lock.node()), pin!(lock.node()));
    /// let guards = (one.read(0..10), other.read(5..15)); // readers share
    /// # drop(guards);
    /// ```
    #[inline]
    #[track_caller]
    pub fn read<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
    ) -> PinnedReadGuard<'node> {
        PinnedReadGuard {
            held: self.hold(Span::of(&range), Mode::Read),
        }
    }

    /// Waits for exclusive use of `range`; see [`RangeLock::write`](crate::RangeLock::write).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let node = pin!(lock.node());
    /// let guard = node.write(0..10);
    /// assert!(lock.try_read(9..20).is_none());
    /// # drop(guard);
    /// ```
    #[inline]
    #[track_caller]
    pub fn write<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
    ) -> PinnedWriteGuard<'node> {
        PinnedWriteGuard {
            held: self.hold(Span::of(&range), Mode::Write),
        }
    }

    /// Takes shared use of `range` if that needs no wait; see
    /// [`RangeLock::try_read`](crate::RangeLock::try_read).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let mut node = pin!(lock.node());
    /// let writer = lock.write(0..10);
    /// assert!(node.as_mut().try_read(9..20).is_none());
    /// assert!(node.try_read(10..20).is_some());
    /// # drop(writer);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_read<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
    ) -> Option<PinnedReadGuard<'node>> {
        self.try_hold(Span::of(&range), Mode::Read)
            .map(|held| PinnedReadGuard { held })
    }

    /// Takes exclusive use of `range` if that needs no wait; see
    /// [`RangeLock::try_write`](crate::RangeLock::try_write).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let mut node = pin!(lock.node());
    /// let reader = lock.read(0..10);
    /// assert!(node.as_mut().try_write(9..20).is_none());
    /// assert!(node.try_write(10..20).is_some());
    /// # drop(reader);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_write<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
    ) -> Option<PinnedWriteGuard<'node>> {
        self.try_hold(Span::of(&range), Mode::Write)
            .map(|held| PinnedWriteGuard { held })
    }

    /// Waits for shared use of `range`, but gives up at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let mut node = pin!(lock.node());
    /// let guard = lock.write(0..10);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// assert!(node.as_mut().try_read_until(0..10, soon).is_none());
    /// drop(guard);
    /// assert!(node.try_read_until(0..10, soon).is_some()); // there is no wait
    /// ```
    #[track_caller]
    pub fn try_read_until<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<PinnedReadGuard<'node>> {
        self.hold_until(Span::of(&range), Mode::Read, deadline)
            .map(|held| PinnedReadGuard { held })
    }

    /// Waits for exclusive use of `range`, but gives up at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let mut node = pin!(lock.node());
    /// let guard = lock.read(0..10);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// assert!(node.as_mut().try_write_until(0..10, soon).is_none());
    /// drop(guard);
    /// assert!(node.try_write_until(0..10, soon).is_some()); // there is no wait
    /// ```
    #[track_caller]
    pub fn try_write_until<'node>(
        self: Pin<&'node mut Self>,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<PinnedWriteGuard<'node>> {
        self.hold_until(Span::of(&range), Mode::Write, deadline)
            .map(|held| PinnedWriteGuard { held })
    }

    #[track_caller]
    fn hold_until<'node>(
        self: Pin<&'node mut Self>,
        span: Option<Span>,
        mode: Mode,
        deadline: Instant,
    ) -> Option<HeldNode<'node>> {
        let this = self.into_ref().get_ref();
        this.release_forgotten();
        if let Some(span) = span {
            let asker = Asker::new(this.layers.id(), place());
            let holding =
                // SAFETY: as in `hold`.
                unsafe { this.layers.lock_until(&this.node, span, mode, deadline, asker) }?;
            this.ticket.set(asker.holds(span, mode));
            this.holding.set(Some(holding));
        }
        Some(HeldNode { node: this })
    }

    // Inlined even so, like the functions that it ends in: what is left of a pair that meets nobody
    // is as long as the calls would be.
    #[inline(always)]
    #[track_caller]
    fn hold<'node>(self: Pin<&'node mut Self>, span: Option<Span>, mode: Mode) -> HeldNode<'node> {
        let this = self.into_ref().get_ref();
        this.release_forgotten();
        if let Some(span) = span {
            let asker = Asker::new(this.layers.id(), place());
            // SAFETY: the node is pinned, so it stays alive and in place until `drop`, which gives
            // the range back first; it is not linked, because what a guard left was given back.
            let holding = unsafe { this.layers.lock(&this.node, span, mode, asker) };
            this.ticket.set(asker.holds(span, mode));
            this.holding.set(Some(holding));
        }
        HeldNode { node: this }
    }

    #[inline(always)]
    #[track_caller]
    fn try_hold<'node>(
        self: Pin<&'node mut Self>,
        span: Option<Span>,
        mode: Mode,
    ) -> Option<HeldNode<'node>> {
        let this = self.into_ref().get_ref();
        this.release_forgotten();
        if let Some(span) = span {
            let asker = Asker::new(this.layers.id(), place());
            // SAFETY: as in `hold`.
            let holding = unsafe { this.layers.try_lock(&this.node, span, mode) }?;
            this.ticket.set(asker.holds(span, mode));
            this.holding.set(Some(holding));
        }
        Some(HeldNode { node: this })
    }

    /// Gives back what a forgotten guard has left.
    #[inline(always)]
    fn release_forgotten(&self) {
        #[cold]
        fn release(node: &RangeNode<'_>) {
            node.release();
        }
        if self.holding.get().is_some() {
            release(self);
        }
    }

    /// Gives the range back, if one is held.
    #[inline(always)]
    fn release(&self) {
        if let Some(holding) = self.holding.take() {
            self.ticket.get().released();
            // SAFETY: it was granted and not given back (Invariant 1).
            unsafe { self.layers.unlock(holding) };
        }
    }

    fn range(&self) -> Option<RangeInclusive<u64>> {
        // SAFETY: as in `release`.
        self.holding
            .get()
            .map(|holding| unsafe { self.layers.span_of(holding) }.into())
    }
}

impl Drop for RangeNode<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for RangeNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeNode").finish_non_exhaustive()
    }
}

/// A node whose range, if any, is held on behalf of a guard.
struct HeldNode<'node> {
    node: &'node RangeNode<'node>,
}

// SAFETY: the guard is the only user of the node for as long as it borrows it, and a node may be
// used from any thread.
unsafe impl Send for HeldNode<'_> {}
// SAFETY: a shared guard can only be asked for its range, which is constant while it is held.
unsafe impl Sync for HeldNode<'_> {}

impl HeldNode<'_> {
    fn range(&self) -> Option<RangeInclusive<u64>> {
        self.node.range()
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

impl PinnedReadGuard<'_> {
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

impl PinnedWriteGuard<'_> {
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
