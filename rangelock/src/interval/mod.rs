//! An interval tree of nodes that live elsewhere: a red-black tree ordered by first byte, in which
//! every node also knows the largest last byte below it (Cormen, Leiserson, Rivest and Stein,
//! "Introduction to Algorithms", section 14.3).
//!
//! Insertion, removal and the step from one overlapping node to the next take O(log n). Nothing
//! allocates and nothing recurses: a fault handler on a small alternate stack may search it.
//!
//! The owner of the tree guards it and its nodes; takes no lock itself.
//!
//! # Invariants
//!
//! 1. Between calls, `max_last` of every linked node is the maximum of `last` over its subtree.
//! 2. A linked node is alive, does not move, and keeps its range and sequence.

mod anchor;
mod links;
#[cfg(all(test, not(loom)))]
mod tests;

use std::ptr::NonNull;

use intrusive_collections::RBTree;

use crate::span::Span;
use links::{Key, Links, Topmost, parent, refresh_max_last};

pub(crate) use anchor::{Anchor, Anchored, Link};

/// The set of linked nodes.
pub(crate) struct IntervalTree<N: Anchored> {
    nodes: RBTree<Links<N>>,
}

impl<N: Anchored> IntervalTree<N> {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: RBTree::new(Links::NEW),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Links a node, whose range and sequence must be set.
    ///
    /// # Safety
    ///
    /// The node is not linked, is alive and stays where it is until it is removed, and its range
    /// and sequence stay as they are (Invariant 2).
    #[inline]
    pub(crate) unsafe fn insert(&mut self, node: NonNull<N>) {
        self.nodes.insert(node);
        // SAFETY: linked just now.
        refresh_upwards(parent(unsafe { node.as_ref() }));
    }

    /// Unlinks a node.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, node: NonNull<N>) {
        // SAFETY: the caller promises that the node is linked.
        let changed = lowest_changed_by_removal(unsafe { node.as_ref() });
        // SAFETY: as above.
        let mut cursor = unsafe { self.nodes.cursor_mut_from_ptr(node.as_ptr()) };
        cursor.remove();
        refresh_upwards(changed);
    }

    /// The linked node with this range's first byte and this sequence.
    pub(crate) fn find(&self, first: u64, sequence: u64) -> Option<&N> {
        self.nodes.find(&Key { first, sequence }).get()
    }

    /// Unlinks that node and returns it, as it was given to `insert`.
    pub(crate) fn take(&mut self, first: u64, sequence: u64) -> Option<NonNull<N>> {
        let mut cursor = self.nodes.find_mut(&Key { first, sequence });
        let changed = lowest_changed_by_removal(cursor.get()?);
        let taken = cursor.remove();
        refresh_upwards(changed);
        taken
    }

    /// Unlinks the first node in order and returns it, as it was given to `insert`.
    pub(crate) fn take_first(&mut self) -> Option<NonNull<N>> {
        let mut cursor = self.nodes.front_mut();
        let changed = lowest_changed_by_removal(cursor.get()?);
        let taken = cursor.remove();
        refresh_upwards(changed);
        taken
    }

    /// The linked nodes that share a byte with `span`, by ascending first byte.
    #[inline]
    pub(crate) fn overlapping(&self, span: Span) -> Overlapping<'_, N> {
        let root = self
            .root()
            .filter(|root| root.anchor().max_last.get() >= span.first);
        let next = root.and_then(|root| leftmost_overlap(root, span));
        Overlapping { span, next }
    }

    /// All linked nodes, by ascending first byte.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &N> {
        self.nodes.iter()
    }

    #[inline]
    pub(crate) fn root(&self) -> Option<&N> {
        self.nodes.find(&Topmost).get()
    }
}

impl<N: Anchored> Drop for IntervalTree<N> {
    fn drop(&mut self) {
        // Nodes of leaked guards may still be linked. Nobody will look at them again, and they may
        // be freed before this tree, so forget them instead of visiting each.
        self.nodes.fast_clear();
    }
}

/// The linked nodes that overlap a span.
pub(crate) struct Overlapping<'tree, N> {
    span: Span,
    next: Option<&'tree N>,
}

impl<'tree, N: Anchored> Iterator for Overlapping<'tree, N> {
    type Item = &'tree N;

    #[inline]
    fn next(&mut self) -> Option<&'tree N> {
        let current = self.next?;
        self.next = next_overlap(current, self.span);
        Some(current)
    }
}

/// The child behind `link` if some range in its subtree ends at or after `first`.
#[inline]
fn reaching<'tree, N: Anchored>(link: Link<N>, first: u64) -> Option<&'tree N> {
    // SAFETY: children of linked nodes are linked, so alive (Invariant 2) while the tree is
    // borrowed.
    link.map(|child| unsafe { child.as_ref() })
        .filter(|child| child.anchor().max_last.get() >= first)
}

/// The first node in order, at or below `root`, that overlaps `span`.
///
/// `root.max_last >= span.first` must hold. The search descends to the first node in order that
/// ends at or after `span.first`; every node after it starts no earlier, so if that one starts
/// beyond the span, all do.
fn leftmost_overlap<N: Anchored>(root: &N, span: Span) -> Option<&N> {
    let mut node = root;
    loop {
        if let Some(left) = reaching(node.anchor().left.get(), span.first) {
            node = left;
        } else if node.anchor().first() > span.last {
            return None;
        } else if node.anchor().last() >= span.first {
            return Some(node);
        } else {
            node = reaching(node.anchor().right.get(), span.first)?;
        }
    }
}

/// The first node in order after `node` that overlaps `span`.
fn next_overlap<N: Anchored>(node: &N, span: Span) -> Option<&N> {
    let mut node = node;
    loop {
        if let Some(right) = reaching(node.anchor().right.get(), span.first) {
            return leftmost_overlap(right, span);
        }
        node = next_ancestor(node)?;
        if node.anchor().first() > span.last {
            return None;
        }
        if node.anchor().last() >= span.first {
            return Some(node);
        }
    }
}

/// The nearest ancestor that comes after `node` in order: the first one reached from its left.
fn next_ancestor<N: Anchored>(node: &N) -> Option<&N> {
    let mut child = node;
    loop {
        // SAFETY: the parent of a linked node is linked, so alive (Invariant 2).
        let above = unsafe { parent(child)?.as_ref() };
        if above.anchor().left.get() == Some(NonNull::from(child)) {
            return Some(above);
        }
        child = above;
    }
}

/// Where `max_last` first goes wrong when `node` is removed.
///
/// With two children the tree splices out the node's successor and puts it in the node's place;
/// with fewer it splices out the node itself. What changes is the parent of the spliced node, or
/// the successor if that parent is the node that goes away. Rebalancing rotates only ancestors of
/// it with their other children, and leaves it below all that it touched.
fn lowest_changed_by_removal<N: Anchored>(node: &N) -> Link<N> {
    let (Some(_), Some(right)) = (node.anchor().left.get(), node.anchor().right.get()) else {
        return parent(node);
    };
    let mut successor = right;
    // SAFETY: below a linked node all nodes are linked, so alive (Invariant 2).
    while let Some(left) = unsafe { successor.as_ref() }.anchor().left.get() {
        successor = left;
    }
    if successor == right {
        return Some(successor);
    }
    // SAFETY: as above.
    parent(unsafe { successor.as_ref() })
}

/// Makes `max_last` right from `start` up to the root (Invariant 1).
#[inline]
fn refresh_upwards<N: Anchored>(start: Link<N>) {
    let mut link = start;
    while let Some(pointer) = link {
        // SAFETY: ancestors of a linked node are linked, so alive (Invariant 2).
        let node = unsafe { pointer.as_ref() };
        // SAFETY: so are its children.
        unsafe { refresh_max_last(node) };
        link = parent(node);
    }
}
