//! Teaches the red-black tree of `intrusive-collections` to keep `max_last` up to date.
//!
//! That tree has no hook for augmentation, but every change of shape goes through `set_left` and
//! `set_right`, which this file provides. So each change of a child recomputes the node's
//! `max_last` from its children. A rotation changes the lower node, then the parent of both, then
//! the upper node: the two rotated nodes end up right, and only the ancestors of the place of
//! change may be stale. `interval.rs` repairs those with one walk to the root.
//!
//! Everything here runs under the tree's mutex; takes no lock itself.

use std::borrow::Borrow;
use std::ptr::NonNull;

use intrusive_collections::rbtree::{Color, RBTreeOps};
use intrusive_collections::{Adapter, KeyAdapter, LinkOps, PointerOps};

use super::node::{Link, Node};

/// The tree's view of nodes: where their links are, how they are ordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    operations: Operations,
}

impl Links {
    pub(super) const NEW: Self = Self {
        operations: Operations,
    };
}

/// Nodes are ordered by first byte, and among equals by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    first: u64,
    sequence: u64,
}

/// A search key equal to every node, so that a search ends at once, at the root.
///
/// The library keeps its root to itself, and this is the way to ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Topmost;

impl Borrow<Topmost> for Key {
    fn borrow(&self) -> &Topmost {
        &Topmost
    }
}

impl Node {
    #[inline]
    pub(super) fn parent(&self) -> Link {
        NonNull::new(self.parent_color.get().map_addr(|bits| bits & !BLACK))
    }

    /// Sets `max_last` from this node and its children, which must be right.
    ///
    /// # Safety
    ///
    /// The children, if any, are alive.
    #[inline]
    pub(super) unsafe fn refresh_max_last(&self) {
        let mut max_last = self.last();
        for child in [self.left.get(), self.right.get()].into_iter().flatten() {
            // SAFETY: the caller promises that the children are alive.
            max_last = max_last.max(unsafe { child.as_ref() }.max_last.get());
        }
        self.max_last.set(max_last);
    }
}

/// Bit 0 of `parent_color`: set in a black node. A red root is impossible, so a node without parent
/// and colour is one that is not linked.
const BLACK: usize = 1;

/// The link operations; all state is in the nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operations;

// SAFETY: a link is acquired only while it reads as unlinked, and reads as linked from then until
// `release_link`.
unsafe impl LinkOps for Operations {
    type LinkPtr = NonNull<Node>;

    #[inline]
    unsafe fn acquire_link(&mut self, ptr: NonNull<Node>) -> bool {
        // SAFETY: the tree passes pointers to live nodes only.
        let node = unsafe { ptr.as_ref() };
        let is_free = node.parent_color.get().is_null();
        if is_free {
            node.parent_color
                .set(std::ptr::without_provenance_mut(BLACK));
        }
        is_free
    }

    #[inline]
    unsafe fn release_link(&mut self, ptr: NonNull<Node>) {
        // SAFETY: as above.
        let node = unsafe { ptr.as_ref() };
        node.parent_color.set(std::ptr::null_mut());
        // The next insertion sets one child after the other and recomputes `max_last` each time, so
        // an old link left behind here would be followed, to a node that may be gone.
        node.left.set(None);
        node.right.set(None);
    }
}

// SAFETY: each setter makes the matching getter return the value set, and none of them panics.
unsafe impl RBTreeOps for Operations {
    #[inline]
    unsafe fn left(&self, ptr: NonNull<Node>) -> Link {
        // SAFETY: the tree passes pointers to live nodes only; the same holds in all that follow.
        unsafe { ptr.as_ref() }.left.get()
    }

    #[inline]
    unsafe fn right(&self, ptr: NonNull<Node>) -> Link {
        // SAFETY: a live node.
        unsafe { ptr.as_ref() }.right.get()
    }

    #[inline]
    unsafe fn parent(&self, ptr: NonNull<Node>) -> Link {
        // SAFETY: a live node.
        unsafe { ptr.as_ref() }.parent()
    }

    #[inline]
    unsafe fn color(&self, ptr: NonNull<Node>) -> Color {
        // SAFETY: a live node.
        let bits = unsafe { ptr.as_ref() }.parent_color.get().addr();
        if bits & BLACK == BLACK {
            Color::Black
        } else {
            Color::Red
        }
    }

    #[inline]
    unsafe fn set_left(&mut self, ptr: NonNull<Node>, left: Link) {
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        node.left.set(left);
        // SAFETY: the children of a linked node are linked, hence alive.
        unsafe { node.refresh_max_last() };
    }

    #[inline]
    unsafe fn set_right(&mut self, ptr: NonNull<Node>, right: Link) {
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        node.right.set(right);
        // SAFETY: the children of a linked node are linked, hence alive.
        unsafe { node.refresh_max_last() };
    }

    #[inline]
    unsafe fn set_parent(&mut self, ptr: NonNull<Node>, parent: Link) {
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        let color = node.parent_color.get().addr() & BLACK;
        let parent = parent.map_or(std::ptr::null_mut(), NonNull::as_ptr);
        node.parent_color
            .set(parent.map_addr(|address| address | color));
    }

    #[inline]
    unsafe fn set_color(&mut self, ptr: NonNull<Node>, color: Color) {
        let black = match color {
            Color::Red => 0,
            Color::Black => BLACK,
        };
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        node.parent_color.set(
            node.parent_color
                .get()
                .map_addr(|bits| (bits & !BLACK) | black),
        );
    }
}

// SAFETY: the two conversions are the identity.
unsafe impl PointerOps for Operations {
    type Value = Node;
    type Pointer = NonNull<Node>;

    #[inline]
    unsafe fn from_raw(&self, value: *const Node) -> NonNull<Node> {
        // SAFETY: the pointer came from `into_raw`, which had a non-null one.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    #[inline]
    fn into_raw(&self, pointer: NonNull<Node>) -> *const Node {
        pointer.as_ptr()
    }
}

// SAFETY: a link pointer is the pointer to its node, so the conversions are the identity.
unsafe impl Adapter for Links {
    type LinkOps = Operations;
    type PointerOps = Operations;

    #[inline]
    unsafe fn get_value(&self, link: NonNull<Node>) -> *const Node {
        link.as_ptr()
    }

    #[inline]
    unsafe fn get_link(&self, value: *const Node) -> NonNull<Node> {
        // SAFETY: the tree passes pointers to live nodes only.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    #[inline]
    fn link_ops(&self) -> &Operations {
        &self.operations
    }

    #[inline]
    fn link_ops_mut(&mut self) -> &mut Operations {
        &mut self.operations
    }

    #[inline]
    fn pointer_ops(&self) -> &Operations {
        &self.operations
    }
}

impl KeyAdapter<'_> for Links {
    type Key = Key;

    #[inline]
    fn get_key(&self, node: &Node) -> Key {
        Key {
            first: node.first(),
            sequence: node.sequence.get(),
        }
    }
}
