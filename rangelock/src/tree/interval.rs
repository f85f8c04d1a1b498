//! An interval tree of nodes that live elsewhere: a red-black tree ordered by first byte, in which
//! every node also knows the largest last byte below it (Cormen, Leiserson, Rivest and Stein,
//! "Introduction to Algorithms", section 14.3).
//!
//! Insertion, removal and the step from one overlapping node to the next take O(log n). Nothing
//! allocates and nothing recurses: a fault handler on a small alternate stack may search it.
//!
//! Everything here runs under the tree's mutex; takes no lock itself.
//!
//! # Invariants
//!
//! 1. Between calls, `max_last` of every linked node is the maximum of `last` over its subtree.
//! 2. A linked node is alive, does not move, and keeps its range and sequence.

use std::ptr::NonNull;

use intrusive_collections::RBTree;

use super::links::{Links, Topmost};
use super::node::{Link, Node};
use crate::span::Span;

/// The set of linked nodes.
pub(super) struct IntervalTree {
    nodes: RBTree<Links>,
}

impl IntervalTree {
    pub(super) const fn new() -> Self {
        Self {
            nodes: RBTree::new(Links::NEW),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Links a node, whose range and sequence must be set.
    ///
    /// # Safety
    ///
    /// The node is not linked, is alive and stays where it is until it is removed, and its range
    /// and sequence stay as they are (Invariant 2).
    #[inline]
    pub(super) unsafe fn insert(&mut self, node: NonNull<Node>) {
        self.nodes.insert(node);
        // SAFETY: linked just now.
        refresh_upwards(unsafe { node.as_ref() }.parent());
    }

    /// Unlinks a node.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree.
    #[inline]
    pub(super) unsafe fn remove(&mut self, node: NonNull<Node>) {
        // SAFETY: the caller promises that the node is linked.
        let changed = lowest_changed_by_removal(unsafe { node.as_ref() });
        // SAFETY: as above.
        let mut cursor = unsafe { self.nodes.cursor_mut_from_ptr(node.as_ptr()) };
        cursor.remove();
        refresh_upwards(changed);
    }

    /// The linked nodes that share a byte with `span`, by ascending first byte.
    #[inline]
    pub(super) fn overlapping(&self, span: Span) -> Overlapping<'_> {
        let root = self.root().filter(|root| root.max_last.get() >= span.first);
        let next = root.and_then(|root| leftmost_overlap(root, span));
        Overlapping { span, next }
    }

    /// All linked nodes, by ascending first byte.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    #[inline]
    pub(super) fn root(&self) -> Option<&Node> {
        self.nodes.find(&Topmost).get()
    }
}

impl Drop for IntervalTree {
    fn drop(&mut self) {
        // Nodes of leaked guards may still be linked. Nobody will look at them again, and they may
        // be freed before this tree, so forget them instead of visiting each.
        self.nodes.fast_clear();
    }
}

/// The linked nodes that overlap a span.
pub(super) struct Overlapping<'tree> {
    span: Span,
    next: Option<&'tree Node>,
}

impl<'tree> Iterator for Overlapping<'tree> {
    type Item = &'tree Node;

    #[inline]
    fn next(&mut self) -> Option<&'tree Node> {
        let current = self.next?;
        self.next = next_overlap(current, self.span);
        Some(current)
    }
}

/// The child behind `link` if some range in its subtree ends at or after `first`.
#[inline]
fn reaching<'tree>(link: Link, first: u64) -> Option<&'tree Node> {
    // SAFETY: children of linked nodes are linked, so alive (Invariant 2) while the tree is
    // borrowed.
    link.map(|child| unsafe { child.as_ref() })
        .filter(|child| child.max_last.get() >= first)
}

/// The first node in order, at or below `root`, that overlaps `span`.
///
/// `root.max_last >= span.first` must hold. The search descends to the first node in order that
/// ends at or after `span.first`; every node after it starts no earlier, so if that one starts
/// beyond the span, all do.
fn leftmost_overlap(root: &Node, span: Span) -> Option<&Node> {
    let mut node = root;
    loop {
        if let Some(left) = reaching(node.left.get(), span.first) {
            node = left;
        } else if node.first() > span.last {
            return None;
        } else if node.last() >= span.first {
            return Some(node);
        } else {
            node = reaching(node.right.get(), span.first)?;
        }
    }
}

/// The first node in order after `node` that overlaps `span`.
fn next_overlap(node: &Node, span: Span) -> Option<&Node> {
    let mut node = node;
    loop {
        if let Some(right) = reaching(node.right.get(), span.first) {
            return leftmost_overlap(right, span);
        }
        node = next_ancestor(node)?;
        if node.first() > span.last {
            return None;
        }
        if node.last() >= span.first {
            return Some(node);
        }
    }
}

/// The nearest ancestor that comes after `node` in order: the first one reached from its left.
fn next_ancestor(node: &Node) -> Option<&Node> {
    let mut child = node;
    loop {
        // SAFETY: the parent of a linked node is linked, so alive (Invariant 2).
        let parent = unsafe { child.parent()?.as_ref() };
        if parent.left.get() == Some(NonNull::from(child)) {
            return Some(parent);
        }
        child = parent;
    }
}

/// Where `max_last` first goes wrong when `node` is removed.
///
/// With two children the tree splices out the node's successor and puts it in the node's place;
/// with fewer it splices out the node itself. What changes is the parent of the spliced node, or
/// the successor if that parent is the node that goes away. Rebalancing rotates only ancestors of
/// it with their other children, and leaves it below all that it touched.
fn lowest_changed_by_removal(node: &Node) -> Link {
    let (Some(_), Some(right)) = (node.left.get(), node.right.get()) else {
        return node.parent();
    };
    let mut successor = right;
    // SAFETY: below a linked node all nodes are linked, so alive (Invariant 2).
    while let Some(left) = unsafe { successor.as_ref() }.left.get() {
        successor = left;
    }
    if successor == right {
        return Some(successor);
    }
    // SAFETY: as above.
    unsafe { successor.as_ref() }.parent()
}

/// Makes `max_last` right from `start` up to the root (Invariant 1).
#[inline]
fn refresh_upwards(start: Link) {
    let mut link = start;
    while let Some(pointer) = link {
        // SAFETY: ancestors of a linked node are linked, so alive (Invariant 2).
        let node = unsafe { pointer.as_ref() };
        // SAFETY: so are its children.
        unsafe { node.refresh_max_last() };
        link = node.parent();
    }
}
