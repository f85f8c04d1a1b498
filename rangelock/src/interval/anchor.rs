//! What a node of an interval tree carries for the tree: its range, its links, its place.
//!
//! Nodes are linked by address and only shared references to a linked one exist, so all fields are
//! cells. Whoever guards the tree guards them; takes no lock itself.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;

use crate::span::Span;

/// A pointer to a neighbour in the tree.
pub(crate) type Link<N> = Option<NonNull<N>>;

/// A node that can be linked into an interval tree.
///
/// # Safety
///
/// The anchor is a field of the node, always the same one, and nothing else writes it.
pub(crate) unsafe trait Anchored: Sized {
    fn anchor(&self) -> &Anchor<Self>;
}

/// At least two bytes of alignment are needed by `parent_color`; the pointers give eight.
#[repr(C)]
pub(crate) struct Anchor<N> {
    pub(super) left: Cell<Link<N>>,
    pub(super) right: Cell<Link<N>>,
    /// The parent's address with the colour in bit 0; zero while the node is not linked.
    pub(super) parent_color: Cell<*mut N>,
    first: Cell<u64>,
    last: Cell<u64>,
    /// The largest `last` in the subtree below and including this node.
    pub(super) max_last: Cell<u64>,
    /// Place among those with the same first byte.
    sequence: Cell<u64>,
}

impl<N> Anchor<N> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            left: Cell::new(None),
            right: Cell::new(None),
            parent_color: Cell::new(std::ptr::null_mut()),
            first: Cell::new(0),
            last: Cell::new(0),
            max_last: Cell::new(0),
            sequence: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first.get()
    }

    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.last.get()
    }

    #[inline]
    pub(crate) fn span(&self) -> Span {
        Span {
            first: self.first.get(),
            last: self.last.get(),
        }
    }

    /// The node must not be linked: the tree is ordered by it.
    #[inline]
    pub(crate) fn set_span(&self, span: Span) {
        self.first.set(span.first);
        self.last.set(span.last);
    }

    #[inline]
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// The node must not be linked: the tree is ordered by it.
    #[inline]
    pub(crate) fn set_sequence(&self, sequence: u64) {
        self.sequence.set(sequence);
    }
}

impl<N> fmt::Debug for Anchor<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor")
            .field("first", &self.first.get())
            .field("last", &self.last.get())
            .field("sequence", &self.sequence.get())
            .finish_non_exhaustive()
    }
}
