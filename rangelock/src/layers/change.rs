//! Changes to what is held: in its place, if one word can say it, and else in the tree.
//!
//! Takes the tree's mutex, unless the change is made in place and nobody waits.

use std::ptr::NonNull;

use super::{Holding, Layers, Way};
use crate::mode::Mode;
use crate::slots::Departure;
use crate::span::Span;
use crate::tree::{self, LazyNode, Nobody, Node};

/// Where the node comes from, if a change needs one: from where the holder's own would have come,
/// for it goes back there.
#[derive(Clone, Copy)]
pub(crate) enum NodeSource<'node> {
    /// That of movable guards. May allocate.
    Pool,
    /// The caller's own. It stays where it is until the range was given back, and is not linked
    /// unless it is what is held.
    Pinned(&'node LazyNode),
}

impl Layers {
    /// Turns exclusive use into shared use; no writer comes between.
    ///
    /// # Safety
    ///
    /// The holding came from a function of this lock, is for writing, and was not given back since;
    /// the source is of the kind that it came from. The same holds in all that follow, but for the
    /// mode.
    pub(crate) unsafe fn downgrade(&self, holding: &mut Holding, source: NodeSource<'_>) {
        // SAFETY: passed on from the caller.
        let span = unsafe { self.span_of(*holding) };
        // SAFETY: passed on from the caller; a reader excludes nobody whom a writer does not.
        if unsafe { self.replace_in_place(holding, span, Mode::Read) } {
            return;
        }
        // SAFETY: passed on from the caller.
        let node = unsafe { self.linked(holding, source) };
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.downgrade(&self.slots, node) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.downgrade(&Nobody, node) },
        }
    }

    /// Turns shared use into exclusive use if nobody shares any of it now.
    ///
    /// # Safety
    ///
    /// As for [`downgrade`](Self::downgrade), for reading.
    pub(crate) unsafe fn try_upgrade(&self, holding: &mut Holding, source: NodeSource<'_>) -> bool {
        if let tree::Holding::Outside(mut place) = holding.stands() {
            // SAFETY: passed on from the caller.
            if unsafe { self.slots.try_upgrade_alone(&mut place) } {
                *holding = Holding::place(place);
                return true;
            }
        }
        // SAFETY: passed on from the caller.
        let node = unsafe { self.linked(holding, source) };
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.try_upgrade(&self.slots, node) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.try_upgrade(&Nobody, node) },
        }
    }

    /// Gives back all of a range but `part`, which it contains.
    ///
    /// # Safety
    ///
    /// As for [`downgrade`](Self::downgrade), in either mode.
    pub(crate) unsafe fn shrink(&self, holding: &mut Holding, part: Span, source: NodeSource<'_>) {
        // SAFETY: passed on from the caller.
        let mode = unsafe { self.mode_of(*holding) };
        // SAFETY: passed on from the caller; a part excludes nobody whom the whole does not.
        if unsafe { self.replace_in_place(holding, part, mode) } {
            return;
        }
        // SAFETY: passed on from the caller.
        let node = unsafe { self.linked(holding, source) };
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.shrink(&self.slots, node, part) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.shrink(&Nobody, node, part) },
        }
    }

    /// Moves the part of a range from `at` on, one of its bytes but not the first, to the holding
    /// returned.
    ///
    /// # Safety
    ///
    /// As for [`downgrade`](Self::downgrade), in either mode.
    pub(crate) unsafe fn split(&self, holding: &mut Holding, at: u64) -> Holding {
        // SAFETY: passed on from the caller.
        let node = unsafe { self.linked(holding, NodeSource::Pool) };
        Holding::node(match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.split_pooled(&self.slots, node, at) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.split_pooled(&Nobody, node, at) },
        })
    }

    /// Changes what is held outside the tree in one step, if it is there and can be.
    ///
    /// # Safety
    ///
    /// As for [`downgrade`](Self::downgrade); the new range and mode exclude nobody whom the old
    /// ones did not.
    unsafe fn replace_in_place(&self, holding: &mut Holding, span: Span, mode: Mode) -> bool {
        let tree::Holding::Outside(mut place) = holding.stands() else {
            return false;
        };
        let before = (self.slots.span_of(place), self.slots.mode_of(place));
        // SAFETY: passed on from the caller.
        let Some(departure) = (unsafe { self.slots.replace(&mut place, span, mode) }) else {
            return false;
        };
        if departure == Departure::Moved {
            return false;
        }
        // First: a waker that is called below may panic, and then the guard is dropped.
        *holding = Holding::place(place);
        if departure == Departure::Noticed {
            self.tree
                .reconsider(&self.slots, before.0, before.1)
                .tell(self.id());
        }
        true
    }

    /// Makes sure that what is held is linked into the tree.
    ///
    /// # Safety
    ///
    /// As for [`downgrade`](Self::downgrade), in either mode.
    unsafe fn linked(&self, holding: &mut Holding, source: NodeSource<'_>) -> NonNull<Node> {
        let place = match holding.stands() {
            tree::Holding::Linked(node) => return node,
            tree::Holding::Outside(place) => place,
        };
        let (span, mode) = (self.slots.span_of(place), self.slots.mode_of(place));
        let mut departure = Departure::Unnoticed;
        let withdraw = || {
            // SAFETY: passed on from the caller; the node holds the range from here on.
            departure = unsafe { self.slots.release(place) };
        };
        let node = match source {
            NodeSource::Pool => self.tree.adopt_pooled(&self.slots, span, mode, withdraw),
            NodeSource::Pinned(node) => {
                let node = node.request(span, mode);
                // SAFETY: the caller's node stays where it is (see `NodeSource`), and is not
                // linked, for what is held is a place.
                unsafe { self.tree.adopt(&self.slots, node, withdraw) };
                node
            }
        };
        // First, as above.
        *holding = Holding::node(node);
        // Who waited for the place counts the node. But a stand-in for it is in the way now.
        if departure == Departure::Moved {
            self.tree.dismiss(&self.slots, span, mode).tell(self.id());
        }
        node
    }
}
