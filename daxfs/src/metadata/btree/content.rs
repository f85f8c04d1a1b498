//! What one or several adjacent nodes hold, taken out of them to be changed and cut anew.
//!
//! [`Items`] are what leaves hold, [`Entries`] what index nodes hold. Plain memory; reads nodes
//! through the reader. Takes no locks but the node cache's latch.

use std::ops::Range;

use crate::error::Result;
use crate::format::block::BlockFull;
use crate::format::item::Key;
use crate::format::node::index::{INDEX_ENTRY_LEN, MAXIMUM_INDEX_ENTRIES, encode_index};
use crate::format::node::leaf::{LEAF_CAPACITY, encode_leaf, item_len};
use crate::format::node::{IndexEntry, LeafNode, NodePlace};
use crate::format::{Block, BlockPointer};
use crate::metadata::NodeReader;

/// A sequence of what nodes of one level hold, in the order of keys.
pub(super) trait Content: Default {
    /// The bytes that one node has for it.
    const CAPACITY: usize;

    /// How many elements.
    fn len(&self) -> usize;

    /// The bytes that an element takes in a node.
    fn element_len(&self, element: usize) -> usize;

    /// The first key of an element.
    fn key(&self, element: usize) -> Key;

    /// Adds what follows.
    fn append(&mut self, following: Self);

    /// The node at `level` with some of the elements, for the block number `block`.
    fn encode(
        &self,
        elements: Range<usize>,
        block: u64,
        level: u16,
        generation: u64,
    ) -> Result<Block, BlockFull>;

    /// What the node holds that `pointer` leads to.
    fn read(nodes: &NodeReader<'_>, pointer: BlockPointer, place: &NodePlace) -> Result<Self>;

    /// The bytes that all elements take in nodes.
    fn total_len(&self) -> usize {
        (0..self.len())
            .map(|element| self.element_len(element))
            .sum()
    }
}

/// Items, their values in one buffer.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Keys, and where in `bytes` their values are.
    slots: Vec<(Key, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Items {
    /// Adds the next item.
    pub(super) fn push(&mut self, key: Key, value: &[u8]) {
        debug_assert!(self.slots.last().is_none_or(|(last, _)| *last < key));
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.slots.push((key, start..self.bytes.len()));
    }

    /// Whether these are exactly the items of `leaf`.
    pub(super) fn are_those_of(&self, leaf: &LeafNode) -> bool {
        self.slots.len() == leaf.len() && self.iter(0..self.slots.len()).eq(leaf.items())
    }

    fn iter(&self, elements: Range<usize>) -> impl ExactSizeIterator<Item = (Key, &[u8])> + Clone {
        self.slots[elements]
            .iter()
            .map(|(key, value)| (*key, &self.bytes[value.clone()]))
    }
}

impl Content for Items {
    const CAPACITY: usize = LEAF_CAPACITY;

    fn len(&self) -> usize {
        self.slots.len()
    }

    fn element_len(&self, element: usize) -> usize {
        item_len(self.slots[element].1.len())
    }

    fn key(&self, element: usize) -> Key {
        self.slots[element].0
    }

    fn append(&mut self, following: Self) {
        for (key, value) in following.iter(0..following.len()) {
            self.push(key, value);
        }
    }

    fn encode(
        &self,
        elements: Range<usize>,
        block: u64,
        _level: u16,
        generation: u64,
    ) -> Result<Block, BlockFull> {
        encode_leaf(block, generation, self.iter(elements))
    }

    fn read(nodes: &NodeReader<'_>, pointer: BlockPointer, place: &NodePlace) -> Result<Self> {
        let leaf = nodes.leaf(pointer, place)?;
        let mut items = Self::default();
        for (key, value) in leaf.items() {
            items.push(key, value);
        }
        Ok(items)
    }
}

/// Index entries.
#[derive(Debug, Default)]
pub(super) struct Entries(pub(super) Vec<IndexEntry>);

impl Content for Entries {
    const CAPACITY: usize = MAXIMUM_INDEX_ENTRIES * INDEX_ENTRY_LEN;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn element_len(&self, _element: usize) -> usize {
        INDEX_ENTRY_LEN
    }

    fn key(&self, element: usize) -> Key {
        self.0[element].key
    }

    fn append(&mut self, following: Self) {
        self.0.extend(following.0);
    }

    fn encode(
        &self,
        elements: Range<usize>,
        block: u64,
        level: u16,
        generation: u64,
    ) -> Result<Block, BlockFull> {
        encode_index(block, level, generation, &self.0[elements])
    }

    fn read(nodes: &NodeReader<'_>, pointer: BlockPointer, place: &NodePlace) -> Result<Self> {
        Ok(Self(nodes.index(pointer, place)?.entries().to_vec()))
    }
}
