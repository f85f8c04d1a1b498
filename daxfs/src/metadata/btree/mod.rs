//! The metadata tree: a B+tree of items that is never changed in place.
//!
//! # Why
//! All metadata of an image is one ordered set of items. A checkpoint changes some of them, and
//! must cost what it changes, however large the image is; and until its superblock is durable, the
//! last checkpoint's tree must stay whole. So a change writes the leaves it touches to free blocks,
//! then the index nodes above them, up to a new root, and shares all other nodes with the old tree.
//! A [`Tree`] is its root: a value that never changes and costs nothing to keep, as long as none of
//! its nodes is given back. (Shadow paging, as in LMDB, redb and btrfs.)
//!
//! ```text
//!        old root      new root             * written by the change
//!         /    \        /    \*
//!        A      B______/      B'*
//!       / \    / \___________/ \*
//!      a   b  c   d         c   d'*         d and B are replaced, a, b, c and A are shared
//! ```
//!
//! # Invariants
//! 1. The keys of a node ascend. An index entry's key is exactly the first key of its child, and
//!    all keys of the child are below the next entry's key.
//! 2. All leaves are at level 0; the level of the root is that of a walk's first node.
//! 3. No node is empty. A root above level 0 has at least two entries.
//! 4. `nodes` is the number of blocks that the root reaches.
//!
//! A changed node that is less than a third full takes a neighbour under the same parent into it,
//! and what does not fit one node is cut into nodes of about the same size. So a node is less than
//! a third full only where it had no neighbour under its parent when it was written.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`read`] | looks up one item, walks a range |
//! | [`content`] | what nodes hold, in memory, while it changes |
//! | [`change`] | goes down to the leaves of a batch and collects what they hold afterwards |
//! | [`settle`] | joins, cuts and writes the changed nodes of one parent |
//! | [`split`] | where to cut |
//!
//! Touches the device through the reader and the writer it is given. Takes no locks: one change at
//! a time, beside any number of readers of older trees.

mod change;
mod content;
mod read;
mod settle;
mod split;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::format::BlockPointer;
use crate::format::item::Key;
use crate::format::node::NodePlace;

/// A metadata tree, as of some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    root: BlockPointer,
    level: u16,
    nodes: u64,
}

/// A range of keys, and all the items that are to be in it: those that are there and are not among
/// them go.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    /// The range: one key and no other ([`Key::alone`]), or many.
    pub(crate) keys: Range<Key>,
    /// Items within the range, ascending. None deletes the range.
    pub(crate) items: Vec<(Key, Vec<u8>)>,
}

impl Replacement {
    /// Stores one item.
    pub(crate) fn put(key: Key, value: impl Into<Vec<u8>>) -> Self {
        Self {
            keys: key.alone(),
            items: vec![(key, value.into())],
        }
    }

    /// Deletes whatever is in a range.
    pub(crate) fn delete(keys: Range<Key>) -> Self {
        Self {
            keys,
            items: Vec::new(),
        }
    }
}

impl Tree {
    /// The tree without items, which has no node.
    pub(crate) fn empty() -> Self {
        Self {
            root: BlockPointer::NULL,
            level: 0,
            nodes: 0,
        }
    }

    /// The tree that a superblock names.
    pub(crate) fn from_root(root: BlockPointer, level: u16, nodes: u64) -> Self {
        Self { root, level, nodes }
    }

    /// The pointer to its root; null when it is empty.
    pub(crate) fn root(&self) -> BlockPointer {
        self.root
    }

    /// The level of its root; 0 when it is empty.
    pub(crate) fn level(&self) -> u16 {
        self.level
    }

    /// How many nodes, and so blocks, it has.
    pub(crate) fn nodes(&self) -> u64 {
        self.nodes
    }

    fn root_place(&self) -> NodePlace {
        NodePlace::of_root(self.root.block, self.level)
    }
}
