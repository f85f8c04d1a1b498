//! Requests of movable guards: their nodes come from the pool, and the table may grow.
//!
//! Takes the range that is asked for; inside, if the slots refuse, the tree's mutex.

use std::ptr::NonNull;
use std::time::Instant;

use super::{Holding, Layers, Way};
use crate::mode::Mode;
use crate::span::Span;
use crate::tree::{self, Nobody, Node};
use crate::watch::Asker;

impl Layers {
    /// Waits for `span`. Locks: the range; inside, if the slots refuse, the tree's mutex.
    #[inline]
    pub(crate) fn lock_pooled(&self, span: Span, mode: Mode, asker: Asker) -> Holding {
        match self.slots.alone(span, mode) {
            Some(place) => Holding::place(place),
            None => self.lock_pooled_beside_others(span, mode, asker),
        }
    }

    #[inline(never)]
    fn lock_pooled_beside_others(&self, span: Span, mode: Mode, asker: Asker) -> Holding {
        if self.way == Way::TreeOnly {
            return self.tree.lock_pooled(&Nobody, span, mode, asker).into();
        }
        let holding = match self.attempt(span, mode) {
            Some(place) => Holding::place(place),
            None => (self.tree)
                .lock_pooled(&self.slots, span, mode, asker)
                .into(),
        };
        self.rebuild_if_wished_for();
        holding
    }

    /// Takes `span` if that needs no wait. Locks: inside, if the slots refuse, the tree's mutex.
    #[inline]
    pub(crate) fn try_lock_pooled(&self, span: Span, mode: Mode) -> Option<Holding> {
        match self.slots.alone(span, mode) {
            Some(place) => Some(Holding::place(place)),
            None => self.try_lock_pooled_beside_others(span, mode),
        }
    }

    #[inline(never)]
    fn try_lock_pooled_beside_others(&self, span: Span, mode: Mode) -> Option<Holding> {
        if self.way == Way::TreeOnly {
            let holding = self.tree.try_lock_pooled(&Nobody, span, mode)?;
            return Some(holding.into());
        }
        let holding = match self.attempt(span, mode) {
            Some(place) => Some(Holding::place(place)),
            None => self
                .tree
                .try_lock_pooled(&self.slots, span, mode)
                .map(Holding::from),
        };
        self.rebuild_if_wished_for();
        holding
    }

    /// Gives a range back. Locks: the tree's mutex, unless it was in a shard and nobody waits.
    ///
    /// # Safety
    ///
    /// The holding came from a function above, of this lock, and was not given back since.
    #[inline]
    pub(crate) unsafe fn unlock_pooled(&self, holding: Holding) {
        match holding.stands() {
            // SAFETY: passed on from the caller.
            tree::Holding::Outside(place) => unsafe { self.release(place) },
            // SAFETY: passed on from the caller.
            tree::Holding::Linked(node) => unsafe { self.unlink_pooled(node) },
        }
    }

    /// # Safety
    ///
    /// As for `unlock_pooled`.
    #[cold]
    unsafe fn unlink_pooled(&self, node: NonNull<Node>) {
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.unlock_pooled(&self.slots, node) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.unlock_pooled(&Nobody, node) },
        }
    }

    /// Like [`lock_pooled`](Self::lock_pooled), but gives up after `deadline`.
    pub(crate) fn lock_pooled_until(
        &self,
        span: Span,
        mode: Mode,
        deadline: Instant,
        asker: Asker,
    ) -> Option<Holding> {
        if let Some(holding) = self.lock_without_tree(span, mode) {
            return Some(holding);
        }
        match self.way {
            Way::SlotsFirst => self
                .tree
                .lock_pooled_until(&self.slots, span, mode, deadline, asker)
                .map(Holding::from),
            Way::TreeOnly => self
                .tree
                .lock_pooled_until(&Nobody, span, mode, deadline, asker)
                .map(Holding::from),
        }
    }
}
