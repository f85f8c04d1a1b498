//! Guards that can be moved, stored and sent to other threads.
//!
//! Touches the layers on drop and on every change, which may take the tree's mutex.

use std::fmt;
use std::ops::{RangeBounds, RangeInclusive};

use crate::layers::{Holding, Layers, NodeSource};
use crate::mode::Mode;
use crate::span::Span;
use crate::watch::Ticket;

/// Shared use of a range; given back when dropped.
///
/// May be dropped on another thread than the one that took it. A guard that is forgotten
/// ([`std::mem::forget`]) leaves its range locked for good, and does no other harm.
///
/// # Examples
///
/// ```
/// let lock = rangelock::RangeLock::new();
/// let guard = lock.read(0..10);
/// std::thread::scope(|scope| {
///     guard.disown(); // for the feature `deadlock_detection`
///     scope.spawn(|| drop(guard));
/// });
/// assert!(!lock.is_locked(..));
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct ReadGuard<'lock> {
    held: Held<'lock>,
}

/// Exclusive use of a range; given back when dropped. Otherwise like [`ReadGuard`].
///
/// # Examples
///
/// ```
/// let lock = rangelock::RangeLock::new();
/// let guard = lock.write(0..10);
/// assert!(lock.try_read(0..10).is_none());
/// drop(guard);
/// assert!(lock.try_read(0..10).is_some());
/// ```
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct WriteGuard<'lock> {
    held: Held<'lock>,
}

/// What guards of both kinds can do.
macro_rules! guard_methods {
    ($write_or_read:literal) => {
        /// The range held, or `None` if it is no byte at all.
        ///
        /// # Examples
        ///
        /// ```
        /// let lock = rangelock::RangeLock::new();
        #[doc = concat!("let guard = lock.", $write_or_read, "(10..);")]
        /// assert_eq!(guard.range(), Some(10..=u64::MAX));
        #[doc = concat!("assert_eq!(lock.", $write_or_read, "(7..7).range(), None);")]
        /// ```
        #[must_use]
        pub fn range(&self) -> Option<RangeInclusive<u64>> {
            self.held.range()
        }

        /// Splits the guard in two: one for what lies below `at`, one for the rest. Either may
        /// hold nothing. At no moment is any of it free.
        ///
        /// Locks: the lock's own mutex, unless one side is empty.
        ///
        /// # Examples
        ///
        /// ```
        /// let lock = rangelock::RangeLock::new();
        #[doc = concat!("let (head, tail) = lock.", $write_or_read, "(0..100).split_at(10);")]
        /// drop(head);
        /// assert!(lock.try_write(0..10).is_some());
        /// assert_eq!(tail.range(), Some(10..=99));
        /// ```
        pub fn split_at(mut self, at: u64) -> (Self, Self) {
            let rest = self.held.split_off(at);
            (self, Self { held: rest })
        }

        /// Gives back all but the part of `range` that is held, which may be nothing.
        ///
        /// Locks: inside, if somebody waits, the lock's own mutex.
        ///
        /// # Examples
        ///
        /// ```
        /// let lock = rangelock::RangeLock::new();
        #[doc = concat!("let mut guard = lock.", $write_or_read, "(..);")]
        /// guard.shrink_to(10..20);
        /// assert_eq!(guard.range(), Some(10..=19));
        /// assert!(lock.try_write(20..).is_some());
        /// ```
        pub fn shrink_to(&mut self, range: impl RangeBounds<u64>) {
            self.held.shrink_to(Span::of(&range));
        }

        /// Says that the guard is about to be sent to another thread, which will give the range
        /// back.
        ///
        /// Matters to the feature `deadlock_detection` only. There the thread that took a range
        /// counts as its holder, and is told that it waits for itself if it asks for the range
        /// while somebody else is going to give it back. What is disowned belongs to nobody, and a
        /// deadlock in which it has a part is not found.
        ///
        /// # Examples
        ///
        /// ```
        /// let lock = rangelock::RangeLock::new();
        #[doc = concat!("let guard = lock.", $write_or_read, "(0..100);")]
        /// guard.disown();
        /// std::thread::scope(|scope| {
        ///     scope.spawn(move || drop(guard));
        ///     drop(lock.write(0..100)); // waits for the other thread, not for itself
        /// });
        /// ```
        pub fn disown(&self) {
            self.held.disown();
        }
    };
}

impl<'lock> ReadGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    guard_methods!("read");

    /// Turns shared use into exclusive use if nobody else holds any of the range now.
    ///
    /// It does not wait, since two that wait for each other to give up their shares would wait for
    /// ever. It passes requests that wait: they are behind this guard in any case.
    ///
    /// Locks: the lock's own mutex.
    ///
    /// # Errors
    ///
    /// The guard, unchanged, if the range is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let (first, second) = (lock.read(0..10), lock.read(5..6));
    /// let first = first.try_upgrade().expect_err("shared");
    /// drop(second);
    /// let first = first.try_upgrade().expect("not shared any more");
    /// assert!(lock.try_read(0..1).is_none());
    /// # drop(first);
    /// ```
    pub fn try_upgrade(mut self) -> Result<WriteGuard<'lock>, Self> {
        match self.held.try_upgrade() {
            true => Ok(WriteGuard::new(self.held)),
            false => Err(self),
        }
    }
}

impl<'lock> WriteGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    guard_methods!("write");

    /// Turns exclusive use into shared use in one step: no writer comes between.
    ///
    /// Readers that wait for this guard only are let in.
    ///
    /// Locks: inside, if somebody waits, the lock's own mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.write(0..10).downgrade();
    /// assert!(lock.try_read(0..10).is_some());
    /// # drop(guard);
    /// ```
    pub fn downgrade(mut self) -> ReadGuard<'lock> {
        self.held.downgrade();
        ReadGuard::new(self.held)
    }
}

impl fmt::Debug for ReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadGuard").field(&self.range()).finish()
    }
}

impl fmt::Debug for WriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteGuard").field(&self.range()).finish()
    }
}

/// What a guard holds: a granted request, or nothing for the empty range.
///
/// Invariant: the holding is one of this lock, in the mode of the guard, and was not given back.
pub(crate) struct Held<'lock> {
    layers: &'lock Layers,
    holding: Option<Holding>,
    /// What observers know the holding by.
    ticket: Ticket,
}

// SAFETY: a granted request belongs to whoever has the guard; the lock is made to be used by many
// threads and does not care which of them gives the range back.
unsafe impl Send for Held<'_> {}
// SAFETY: a shared guard can only be asked for its range, which is constant while it is held.
unsafe impl Sync for Held<'_> {}

impl<'lock> Held<'lock> {
    /// Takes charge of what `layers` granted to a request without a node of its own.
    #[inline]
    pub(crate) fn granted(layers: &'lock Layers, holding: Holding, ticket: Ticket) -> Self {
        Self {
            layers,
            holding: Some(holding),
            ticket,
        }
    }

    #[inline]
    pub(crate) fn nothing(layers: &'lock Layers) -> Self {
        Self {
            layers,
            holding: None,
            ticket: Ticket::NOBODY,
        }
    }

    pub(crate) fn disown(&self) {
        self.ticket.disowned();
    }

    fn span(&self) -> Option<Span> {
        // SAFETY: see the invariant.
        self.holding
            .map(|holding| unsafe { self.layers.span_of(holding) })
    }

    fn range(&self) -> Option<RangeInclusive<u64>> {
        self.span().map(Span::into)
    }

    fn downgrade(&mut self) {
        if let Some(holding) = &mut self.holding {
            self.ticket.changes_mode(Mode::Read);
            // SAFETY: see the invariant; the caller is a writer's guard.
            unsafe { self.layers.downgrade(holding, NodeSource::Pool) };
        }
    }

    fn try_upgrade(&mut self) -> bool {
        let Some(holding) = &mut self.holding else {
            return true;
        };
        // SAFETY: see the invariant; the caller is a reader's guard.
        let is_upgraded = unsafe { self.layers.try_upgrade(holding, NodeSource::Pool) };
        if is_upgraded {
            self.ticket.changes_mode(Mode::Write);
        }
        is_upgraded
    }

    fn shrink_to(&mut self, range: Option<Span>) {
        let Some(whole) = self.span() else { return };
        match range.and_then(|range| range.common_part(whole)) {
            None => self.release(),
            Some(part) if part == whole => {}
            Some(part) => {
                if let Some(holding) = &mut self.holding {
                    self.ticket.changes_span(part);
                    // SAFETY: see the invariant; `part` is a part of the range.
                    unsafe { self.layers.shrink(holding, part, NodeSource::Pool) };
                }
            }
        }
    }

    /// Keeps what lies below `at`.
    fn split_off(&mut self, at: u64) -> Self {
        let layers = self.layers;
        match (self.span(), &mut self.holding) {
            (Some(whole), Some(holding)) if whole.first < at && at <= whole.last => {
                // SAFETY: see the invariant; `at` is in the range and not its first byte.
                let rest = unsafe { layers.split(holding, at) };
                let below = Span {
                    last: at - 1,
                    ..whole
                };
                let above = Span { first: at, ..whole };
                Self::granted(layers, rest, self.ticket.splits(below, above))
            }
            (Some(whole), holding) if at <= whole.first => Self {
                layers,
                holding: holding.take(),
                ticket: self.ticket,
            },
            _ => Self::nothing(layers),
        }
    }

    #[inline]
    fn release(&mut self) {
        if let Some(holding) = self.holding.take() {
            self.ticket.released();
            // SAFETY: see the invariant; this is its end.
            unsafe { self.layers.unlock_pooled(holding) };
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}
