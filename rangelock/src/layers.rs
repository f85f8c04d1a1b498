//! The lock behind the public types: the tree, with slots above it or without.
//!
//! Every request is first offered to the slots, if there are any; what they refuse goes to the
//! tree. This file knows neither the protocol of the slots (`slots`) nor that of the tree (`tree`),
//! only who calls whom. Takes the tree's mutex, by way of the tree.

use std::ptr::NonNull;

use crate::mode::Mode;
use crate::probe::Probe;
use crate::slots::{Departure, FastPath, Granule, SlotIndex, SlotTable};
use crate::span::Span;
use crate::sync::const_unless_modelled;
use crate::tree::{self, Census, Nobody, Node, TreeLock};

/// Where a granted request stands: linked into the tree, or in a slot.
pub(crate) type Holding = tree::Holding<SlotIndex>;

/// The lock without its guards.
pub(crate) struct Layers {
    slots: Option<Box<SlotTable>>,
    tree: TreeLock,
}

impl Layers {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            Self { slots: None, tree: TreeLock::new() }
        }
    }

    pub(crate) fn with_slots(granule: Granule, probe: Probe) -> Self {
        Self {
            slots: Some(SlotTable::new(granule, probe)),
            tree: TreeLock::new(),
        }
    }

    /// Makes sure that `guards` requests without a node of their own can be linked at once before
    /// there is another allocation.
    pub(crate) fn reserve(&mut self, guards: usize) {
        self.tree.reserve(guards);
    }

    /// Waits for `span`. Locks: the range; inside, if the slots refuse, the tree's mutex.
    #[inline]
    pub(crate) fn lock_pooled(&self, span: Span, mode: Mode) -> Holding {
        let Some(slots) = self.slots.as_deref() else {
            return self.tree.lock_pooled(&Nobody, span, mode).inside();
        };
        match slots.attempt(span, mode) {
            FastPath::Held(slot) => Holding::Outside(slot),
            refusal => self.lock_pooled_refused(slots, refusal, span, mode),
        }
    }

    #[cold]
    fn lock_pooled_refused(
        &self,
        slots: &SlotTable,
        refusal: FastPath,
        span: Span,
        mode: Mode,
    ) -> Holding {
        self.heed(slots, refusal, span, mode);
        self.tree.lock_pooled(slots, span, mode)
    }

    /// Takes `span` if that needs no wait. Locks: inside, if the slots refuse, the tree's mutex.
    #[inline]
    pub(crate) fn try_lock_pooled(&self, span: Span, mode: Mode) -> Option<Holding> {
        let Some(slots) = self.slots.as_deref() else {
            let holding = self.tree.try_lock_pooled(&Nobody, span, mode)?;
            return Some(holding.inside());
        };
        match slots.attempt(span, mode) {
            FastPath::Held(slot) => Some(Holding::Outside(slot)),
            refusal => {
                self.heed(slots, refusal, span, mode);
                self.tree.try_lock_pooled(slots, span, mode)
            }
        }
    }

    /// Gives a range back. Locks: the tree's mutex, unless it was in a slot and nobody waits.
    ///
    /// # Safety
    ///
    /// The holding came from [`lock_pooled`](Self::lock_pooled) or
    /// [`try_lock_pooled`](Self::try_lock_pooled) of this lock and was not given back since.
    #[inline]
    pub(crate) unsafe fn unlock_pooled(&self, holding: Holding) {
        match (holding, self.slots.as_deref()) {
            (Holding::Outside(slot), slots) => self.release_slot(slots, slot),
            // SAFETY: passed on from the caller.
            (Holding::Linked(node), Some(slots)) => unsafe { self.tree.unlock_pooled(slots, node) },
            // SAFETY: passed on from the caller.
            (Holding::Linked(node), None) => unsafe { self.tree.unlock_pooled(&Nobody, node) },
        }
    }

    /// Like [`lock_pooled`](Self::lock_pooled), with the caller's node, which is filled in only if
    /// it is needed.
    ///
    /// # Safety
    ///
    /// The node is alive and not linked; it stays where it is, untouched by the caller, until
    /// [`unlock`](Self::unlock) was called.
    #[inline]
    pub(crate) unsafe fn lock(&self, node: &Node, span: Span, mode: Mode) -> Holding {
        let Some(slots) = self.slots.as_deref() else {
            node.request(span, mode);
            // SAFETY: passed on from the caller.
            return unsafe { self.tree.lock(&Nobody, NonNull::from(node)) }.inside();
        };
        match slots.attempt(span, mode) {
            FastPath::Held(slot) => Holding::Outside(slot),
            refusal => {
                node.request(span, mode);
                // SAFETY: passed on from the caller.
                unsafe { self.lock_refused(slots, refusal, node) }
            }
        }
    }

    /// # Safety
    ///
    /// As for [`lock`](Self::lock).
    #[cold]
    unsafe fn lock_refused(&self, slots: &SlotTable, refusal: FastPath, node: &Node) -> Holding {
        self.heed(slots, refusal, node.span(), node.mode());
        // SAFETY: passed on from the caller.
        unsafe { self.tree.lock(slots, NonNull::from(node)) }
    }

    /// Like [`try_lock_pooled`](Self::try_lock_pooled), with the caller's node.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock); without a result the node is not in use.
    #[inline]
    pub(crate) unsafe fn try_lock(&self, node: &Node, span: Span, mode: Mode) -> Option<Holding> {
        let Some(slots) = self.slots.as_deref() else {
            node.request(span, mode);
            // SAFETY: passed on from the caller.
            let holding = unsafe { self.tree.try_lock(&Nobody, NonNull::from(node)) }?;
            return Some(holding.inside());
        };
        match slots.attempt(span, mode) {
            FastPath::Held(slot) => Some(Holding::Outside(slot)),
            refusal => {
                self.heed(slots, refusal, span, mode);
                node.request(span, mode);
                // SAFETY: passed on from the caller.
                unsafe { self.tree.try_lock(slots, NonNull::from(node)) }
            }
        }
    }

    /// Like [`unlock_pooled`](Self::unlock_pooled), for the caller's node.
    ///
    /// # Safety
    ///
    /// The holding came from [`lock`](Self::lock) or [`try_lock`](Self::try_lock) of this lock and
    /// was not given back since.
    #[inline]
    pub(crate) unsafe fn unlock(&self, holding: Holding) {
        match (holding, self.slots.as_deref()) {
            (Holding::Outside(slot), slots) => self.release_slot(slots, slot),
            // SAFETY: passed on from the caller.
            (Holding::Linked(node), Some(slots)) => unsafe { self.tree.unlock(slots, node) },
            // SAFETY: passed on from the caller.
            (Holding::Linked(node), None) => unsafe { self.tree.unlock(&Nobody, node) },
        }
    }

    /// The range of something held.
    ///
    /// # Safety
    ///
    /// The holding came from this lock and was not given back since.
    pub(crate) unsafe fn span_of(&self, holding: Holding) -> Span {
        match holding {
            // SAFETY: a linked node is alive, and its bounds do not change while it is linked.
            Holding::Linked(node) => unsafe { node.as_ref() }.span(),
            Holding::Outside(slot) => table(self.slots.as_deref()).span_of(slot),
        }
    }

    #[inline]
    fn release_slot(&self, slots: Option<&SlotTable>, slot: SlotIndex) {
        let slots = table(slots);
        if let Departure::Noticed(span, mode) = slots.release(slot) {
            self.tree.reconsider(slots, span, mode);
        }
    }

    /// Before a refused request goes to the tree: those who saw its announcement may wait for it.
    #[inline]
    fn heed(&self, slots: &SlotTable, refusal: FastPath, span: Span, mode: Mode) {
        if refusal == FastPath::ClosedAndNoticed {
            self.tree.reconsider(slots, span, mode);
        }
    }

    /// How many requests hold and how many wait, as of now. A request that is about to be refused
    /// by the slots counts as holding. Locks: the tree's mutex, while it walks the whole tree.
    pub(crate) fn census(&self) -> Census {
        let linked = self.tree.census();
        let in_slots = self.slots.as_deref().map_or(0, SlotTable::taken);
        Census {
            granted: linked.granted + in_slots,
            waiting: linked.waiting,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_probe<R>(&self, look: impl FnOnce(&mut Probe) -> R) -> R {
        self.tree.with_probe(look)
    }

    /// The table, and the tree's part of a census.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (Option<&SlotTable>, Census) {
        (self.slots.as_deref(), self.tree.census())
    }
}

/// The table to which a slot belongs.
#[inline]
fn table(slots: Option<&SlotTable>) -> &SlotTable {
    slots.expect("who holds a slot holds it in the table, which lives as long as the lock")
}
