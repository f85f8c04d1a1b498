//! Teaches the red-black tree of `intrusive-collections` to keep `max_last` up to date.
//!
//! That tree has no hook for augmentation, but every change of shape goes through `set_left` and
//! `set_right`, which this file provides. So each change of a child recomputes the node's
//! `max_last` from its children. A rotation changes the lower node, then the parent of both, then
//! the upper node: the two rotated nodes end up right, and only the ancestors of the place of
//! change may be stale. `mod.rs` repairs those with one walk to the root.
//!
//! The owner of the tree guards it and its nodes; takes no lock itself.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::ptr::NonNull;

use intrusive_collections::rbtree::{Color, RBTreeOps};
use intrusive_collections::{Adapter, KeyAdapter, LinkOps, PointerOps};

use super::anchor::{Anchored, Link};

/// The tree's view of nodes: where their links are, how they are ordered.
pub(super) struct Links<N> {
    operations: Operations<N>,
}

impl<N> Links<N> {
    pub(super) const NEW: Self = Self {
        operations: Operations(PhantomData),
    };
}

/// Nodes are ordered by first byte, and among equals by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) first: u64,
    pub(super) sequence: u64,
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

/// The parent of a node.
#[inline]
pub(super) fn parent<N: Anchored>(node: &N) -> Link<N> {
    let bits = node.anchor().parent_color.get();
    NonNull::new(bits.map_addr(|bits| bits & !BLACK))
}

/// Sets `max_last` from a node and its children, which must be right.
///
/// # Safety
///
/// The children, if any, are alive.
#[inline]
pub(super) unsafe fn refresh_max_last<N: Anchored>(node: &N) {
    let anchor = node.anchor();
    let mut max_last = anchor.last();
    for child in [anchor.left.get(), anchor.right.get()]
        .into_iter()
        .flatten()
    {
        // SAFETY: the caller promises that the children are alive.
        max_last = max_last.max(unsafe { child.as_ref() }.anchor().max_last.get());
    }
    anchor.max_last.set(max_last);
}

/// Bit 0 of `parent_color`: set in a black node. A red root is impossible, so a node without parent
/// and colour is one that is not linked.
const BLACK: usize = 1;

/// The link operations; all state is in the nodes.
pub(super) struct Operations<N>(PhantomData<N>);

impl<N> Clone for Operations<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Operations<N> {}

// SAFETY: a link is acquired only while it reads as unlinked, and reads as linked from then until
// `release_link`.
unsafe impl<N: Anchored> LinkOps for Operations<N> {
    type LinkPtr = NonNull<N>;

    #[inline]
    unsafe fn acquire_link(&mut self, ptr: NonNull<N>) -> bool {
        // SAFETY: the tree passes pointers to live nodes only.
        let anchor = unsafe { ptr.as_ref() }.anchor();
        let is_free = anchor.parent_color.get().is_null();
        if is_free {
            anchor
                .parent_color
                .set(std::ptr::without_provenance_mut(BLACK));
        }
        is_free
    }

    #[inline]
    unsafe fn release_link(&mut self, ptr: NonNull<N>) {
        // SAFETY: as above.
        let anchor = unsafe { ptr.as_ref() }.anchor();
        anchor.parent_color.set(std::ptr::null_mut());
        // The next insertion sets one child after the other and recomputes `max_last` each time, so
        // an old link left behind here would be followed, to a node that may be gone.
        anchor.left.set(None);
        anchor.right.set(None);
    }
}

// SAFETY: each setter makes the matching getter return the value set, and none of them panics.
unsafe impl<N: Anchored> RBTreeOps for Operations<N> {
    #[inline]
    unsafe fn left(&self, ptr: NonNull<N>) -> Link<N> {
        // SAFETY: the tree passes pointers to live nodes only; the same holds in all that follow.
        unsafe { ptr.as_ref() }.anchor().left.get()
    }

    #[inline]
    unsafe fn right(&self, ptr: NonNull<N>) -> Link<N> {
        // SAFETY: a live node.
        unsafe { ptr.as_ref() }.anchor().right.get()
    }

    #[inline]
    unsafe fn parent(&self, ptr: NonNull<N>) -> Link<N> {
        // SAFETY: a live node.
        parent(unsafe { ptr.as_ref() })
    }

    #[inline]
    unsafe fn color(&self, ptr: NonNull<N>) -> Color {
        // SAFETY: a live node.
        let bits = unsafe { ptr.as_ref() }.anchor().parent_color.get().addr();
        if bits & BLACK == BLACK {
            Color::Black
        } else {
            Color::Red
        }
    }

    #[inline]
    unsafe fn set_left(&mut self, ptr: NonNull<N>, left: Link<N>) {
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        node.anchor().left.set(left);
        // SAFETY: the children of a linked node are linked, hence alive.
        unsafe { refresh_max_last(node) };
    }

    #[inline]
    unsafe fn set_right(&mut self, ptr: NonNull<N>, right: Link<N>) {
        // SAFETY: a live node.
        let node = unsafe { ptr.as_ref() };
        node.anchor().right.set(right);
        // SAFETY: the children of a linked node are linked, hence alive.
        unsafe { refresh_max_last(node) };
    }

    #[inline]
    unsafe fn set_parent(&mut self, ptr: NonNull<N>, parent: Link<N>) {
        // SAFETY: a live node.
        let anchor = unsafe { ptr.as_ref() }.anchor();
        let color = anchor.parent_color.get().addr() & BLACK;
        let parent = parent.map_or(std::ptr::null_mut(), NonNull::as_ptr);
        anchor
            .parent_color
            .set(parent.map_addr(|address| address | color));
    }

    #[inline]
    unsafe fn set_color(&mut self, ptr: NonNull<N>, color: Color) {
        let black = match color {
            Color::Red => 0,
            Color::Black => BLACK,
        };
        // SAFETY: a live node.
        let anchor = unsafe { ptr.as_ref() }.anchor();
        anchor.parent_color.set(
            anchor
                .parent_color
                .get()
                .map_addr(|bits| (bits & !BLACK) | black),
        );
    }
}

// SAFETY: the two conversions are the identity.
unsafe impl<N: Anchored> PointerOps for Operations<N> {
    type Value = N;
    type Pointer = NonNull<N>;

    #[inline]
    unsafe fn from_raw(&self, value: *const N) -> NonNull<N> {
        // SAFETY: the pointer came from `into_raw`, which had a non-null one.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    #[inline]
    fn into_raw(&self, pointer: NonNull<N>) -> *const N {
        pointer.as_ptr()
    }
}

// SAFETY: a link pointer is the pointer to its node, so the conversions are the identity.
unsafe impl<N: Anchored> Adapter for Links<N> {
    type LinkOps = Operations<N>;
    type PointerOps = Operations<N>;

    #[inline]
    unsafe fn get_value(&self, link: NonNull<N>) -> *const N {
        link.as_ptr()
    }

    #[inline]
    unsafe fn get_link(&self, value: *const N) -> NonNull<N> {
        // SAFETY: the tree passes pointers to live nodes only.
        unsafe { NonNull::new_unchecked(value.cast_mut()) }
    }

    #[inline]
    fn link_ops(&self) -> &Operations<N> {
        &self.operations
    }

    #[inline]
    fn link_ops_mut(&mut self) -> &mut Operations<N> {
        &mut self.operations
    }

    #[inline]
    fn pointer_ops(&self) -> &Operations<N> {
        &self.operations
    }
}

impl<N: Anchored> KeyAdapter<'_> for Links<N> {
    type Key = Key;

    #[inline]
    fn get_key(&self, node: &N) -> Key {
        Key {
            first: node.anchor().first(),
            sequence: node.anchor().sequence(),
        }
    }
}
