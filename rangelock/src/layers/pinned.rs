//! Requests with a node of the caller's: nothing is allocated, and the table does not grow.
//!
//! Takes the range that is asked for; inside, if the slots refuse, the tree's mutex.

use std::ptr::NonNull;
use std::time::Instant;

use super::{Holding, Layers, Way};
use crate::mode::Mode;
use crate::span::Span;
use crate::tree::{self, LazyNode, Nobody, Node};
use crate::watch::Asker;

impl Layers {
    /// Like [`lock_pooled`](Self::lock_pooled), with the caller's node, which is filled in only if
    /// it is needed.
    ///
    /// # Safety
    ///
    /// The node is alive and not linked; it stays where it is, untouched by the caller, until
    /// [`unlock`](Self::unlock) was called.
    #[inline]
    pub(crate) unsafe fn lock(
        &self,
        node: &LazyNode,
        span: Span,
        mode: Mode,
        asker: Asker,
    ) -> Holding {
        match self.slots.alone(span, mode) {
            Some(place) => Holding::place(place),
            // SAFETY: passed on from the caller.
            None => unsafe { self.lock_beside_others(node, span, mode, asker) },
        }
    }

    /// # Safety
    ///
    /// As for [`lock`](Self::lock).
    #[inline(never)]
    unsafe fn lock_beside_others(
        &self,
        node: &LazyNode,
        span: Span,
        mode: Mode,
        asker: Asker,
    ) -> Holding {
        if self.way == Way::TreeOnly {
            // SAFETY: passed on from the caller.
            return unsafe { self.tree.lock(&Nobody, node.request(span, mode), asker) }.into();
        }
        match self.attempt(span, mode) {
            Some(place) => Holding::place(place),
            // SAFETY: passed on from the caller.
            None => unsafe { self.tree.lock(&self.slots, node.request(span, mode), asker) }.into(),
        }
    }

    /// Like [`lock`](Self::lock), but gives up after `deadline`.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock); without a result the node is not in use.
    pub(crate) unsafe fn lock_until(
        &self,
        node: &LazyNode,
        span: Span,
        mode: Mode,
        deadline: Instant,
        asker: Asker,
    ) -> Option<Holding> {
        if let Some(place) = self.slots.alone(span, mode) {
            return Some(Holding::place(place));
        }
        if self.way == Way::TreeOnly {
            let node = node.request(span, mode);
            // SAFETY: passed on from the caller.
            let holding = unsafe { self.tree.lock_until(&Nobody, node, deadline, asker) }?;
            return Some(holding.into());
        }
        if let Some(place) = self.attempt(span, mode) {
            return Some(Holding::place(place));
        }
        let node = node.request(span, mode);
        // SAFETY: passed on from the caller.
        let holding = unsafe { self.tree.lock_until(&self.slots, node, deadline, asker) }?;
        Some(holding.into())
    }

    /// Like [`try_lock_pooled`](Self::try_lock_pooled), with the caller's node.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock); without a result the node is not in use.
    #[inline]
    pub(crate) unsafe fn try_lock(
        &self,
        node: &LazyNode,
        span: Span,
        mode: Mode,
    ) -> Option<Holding> {
        match self.slots.alone(span, mode) {
            Some(place) => Some(Holding::place(place)),
            // SAFETY: passed on from the caller.
            None => unsafe { self.try_lock_beside_others(node, span, mode) },
        }
    }

    /// # Safety
    ///
    /// As for [`try_lock`](Self::try_lock).
    #[inline(never)]
    unsafe fn try_lock_beside_others(
        &self,
        node: &LazyNode,
        span: Span,
        mode: Mode,
    ) -> Option<Holding> {
        if self.way == Way::TreeOnly {
            let node = node.request(span, mode);
            // SAFETY: passed on from the caller.
            let holding = unsafe { self.tree.try_lock(&Nobody, node) }?;
            return Some(holding.into());
        }
        if let Some(place) = self.attempt(span, mode) {
            return Some(Holding::place(place));
        }
        let node = node.request(span, mode);
        // SAFETY: passed on from the caller.
        let holding = unsafe { self.tree.try_lock(&self.slots, node) }?;
        Some(holding.into())
    }

    /// Like [`unlock_pooled`](Self::unlock_pooled), for the caller's node.
    ///
    /// # Safety
    ///
    /// The holding came from [`lock`](Self::lock) or [`try_lock`](Self::try_lock) of this lock and
    /// was not given back since.
    #[inline]
    pub(crate) unsafe fn unlock(&self, holding: Holding) {
        match holding.stands() {
            // SAFETY: passed on from the caller.
            tree::Holding::Outside(place) => unsafe { self.release(place) },
            // SAFETY: passed on from the caller.
            tree::Holding::Linked(node) => unsafe { self.unlink(node) },
        }
    }

    /// # Safety
    ///
    /// As for `unlock`.
    #[cold]
    unsafe fn unlink(&self, node: NonNull<Node>) {
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.unlock(&self.slots, node) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.unlock(&Nobody, node) },
        }
    }
}
