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

mod guard;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomPinned;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::time::Instant;

use self::guard::HeldNode;
pub use self::guard::{PinnedReadGuard, PinnedWriteGuard};
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
        PinnedReadGuard::new(self.hold(Span::of(&range), Mode::Read))
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
        PinnedWriteGuard::new(self.hold(Span::of(&range), Mode::Write))
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
            .map(PinnedReadGuard::new)
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
            .map(PinnedWriteGuard::new)
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
            .map(PinnedReadGuard::new)
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
            .map(PinnedWriteGuard::new)
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
            this.ticket.set(this.layers.granted(asker, span, mode));
            this.holding.set(Some(holding));
        }
        Some(HeldNode::new(this))
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
            this.ticket.set(this.layers.granted(asker, span, mode));
            this.holding.set(Some(holding));
        }
        HeldNode::new(this)
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
            this.ticket.set(this.layers.granted(asker, span, mode));
            this.holding.set(Some(holding));
        }
        Some(HeldNode::new(this))
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

    fn span(&self) -> Option<Span> {
        // SAFETY: as in `release`.
        self.holding
            .get()
            .map(|holding| unsafe { self.layers.span_of(holding) })
    }

    /// What is held, to be changed in its place: a waker that runs meanwhile may panic, and then
    /// `release` must find what is held by then.
    ///
    /// # Safety
    ///
    /// Nobody uses the node as long as the result lives.
    #[expect(clippy::mut_from_ref, reason = "see the safety section")]
    unsafe fn holding_mut(&self) -> Option<&mut Holding> {
        // SAFETY: passed on from the caller; cells give out no references of their own.
        unsafe { &mut *self.holding.as_ptr() }.as_mut()
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
