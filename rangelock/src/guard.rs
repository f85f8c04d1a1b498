//! Guards that can be moved, stored and sent to other threads.
//!
//! Touches the tree lock on drop, when it takes the tree's mutex.

use std::fmt;
use std::ops::RangeInclusive;
use std::ptr::NonNull;

use crate::tree::{Node, TreeLock};

/// Shared use of a range; given back when dropped.
///
/// May be dropped on another thread than the one that took it. A guard that is forgotten
/// ([`std::mem::forget`]) leaves its range locked for good, and does no other harm.
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct ReadGuard<'lock> {
    held: Held<'lock>,
}

/// Exclusive use of a range; given back when dropped. Otherwise like [`ReadGuard`].
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct WriteGuard<'lock> {
    held: Held<'lock>,
}

impl<'lock> ReadGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
    }
}

impl<'lock> WriteGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
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

/// A granted node of the lock's pool, or nothing for the empty range.
pub(crate) struct Held<'lock> {
    tree: &'lock TreeLock,
    node: Option<NonNull<Node>>,
}

// SAFETY: a granted node belongs to whoever has the guard; the tree lock is made to be used by many
// threads and does not care which of them gives the range back.
unsafe impl Send for Held<'_> {}
// SAFETY: a shared guard can only be asked for its range, which is constant while it is held.
unsafe impl Sync for Held<'_> {}

impl<'lock> Held<'lock> {
    /// Takes charge of a node that `tree` took from its pool and granted.
    #[inline]
    pub(crate) fn granted(tree: &'lock TreeLock, node: NonNull<Node>) -> Self {
        Self {
            tree,
            node: Some(node),
        }
    }

    #[inline]
    pub(crate) fn nothing(tree: &'lock TreeLock) -> Self {
        Self { tree, node: None }
    }

    fn range(&self) -> Option<RangeInclusive<u64>> {
        // SAFETY: nodes of the pool live as long as the lock, which is borrowed here; the bounds
        // are not changed while the node is linked.
        self.node.map(|node| unsafe { node.as_ref() }.span().into())
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(node) = self.node {
            // SAFETY: `granted` was called with a node of this tree's pool, and this is its end.
            unsafe { self.tree.unlock_pooled(node) };
        }
    }
}
