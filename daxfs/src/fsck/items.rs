//! The items of an image: those of the tree's leaves, with changes laid over them.
//!
//! The checkpoint alone is the items without changes; the state after the log, and each state of a
//! repair, is the same leaves with other changes. So everything that judges items judges all of
//! these states alike, and nothing is written to be judged.
//!
//! Leaves were checked by the walk and are checked again when they are read; a leaf that is not
//! there any more (the device failed, or somebody writes to it) has no items. One latch, around a
//! few leaves that are kept; nothing is taken inside it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::image::Image;
use super::nodes::Leaf;
use crate::error::Error;
use crate::format::item::Key;
use crate::format::node::LeafNode;

/// Leaves that are kept for the next look-up.
const KEPT_LEAVES: usize = 1024;

/// Changes of items: a new value, or nothing where the item is gone.
pub(super) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// The items of a state of an image.
#[derive(Debug)]
pub(super) struct Items<'a> {
    image: &'a Image<'a>,
    leaves: &'a [Leaf],
    changes: Changes,
    kept: Mutex<HashMap<usize, Arc<LeafNode>>>,
}

impl<'a> Items<'a> {
    /// The items of `leaves`, unchanged.
    pub(super) fn new(image: &'a Image<'a>, leaves: &'a [Leaf]) -> Self {
        Self {
            image,
            leaves,
            changes: Changes::new(),
            kept: Mutex::default(),
        }
    }

    /// The image they belong to.
    pub(super) fn image(&self) -> &'a Image<'a> {
        self.image
    }

    /// What was changed.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How many parts the items come in, at least one: each leaf with the changes in its range.
    pub(super) fn parts(&self) -> usize {
        self.leaves.len().max(1)
    }

    /// The items of one part, in order. Parts follow each other in order, too.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn part(&self, part: usize) -> Result<Vec<(Key, Vec<u8>)>, Error> {
        let first_key = |part: usize| self.leaves.get(part).map(|leaf| leaf.first_key);
        let start = match part {
            0 => Key::MIN,
            _ => first_key(part).unwrap_or(Key::MAX),
        };
        let end = first_key(part + 1).unwrap_or(Key::MAX);
        let leaf = match self.leaves.get(part) {
            Some(leaf) => self.read(leaf)?,
            None => None,
        };
        let stored = leaf.iter().flat_map(LeafNode::items);
        Ok(self.merge(stored, start..end))
    }

    /// All items whose keys are in `keys`, in order.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn range(&self, keys: Range<Key>) -> Result<Vec<(Key, Vec<u8>)>, Error> {
        let first = self.leaf_of(keys.start);
        let after = self
            .leaves
            .partition_point(|leaf| leaf.first_key < keys.end);
        let mut leaves = Vec::new();
        for number in first..after.max(first) {
            leaves.extend(self.kept(number)?);
        }
        let stored = leaves.iter().flat_map(|leaf| leaf.items_from(keys.start));
        let stored = stored.take_while(|(key, _)| *key < keys.end);
        Ok(self.merge(stored, keys.clone()))
    }

    /// The value of one item.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn get(&self, key: Key) -> Result<Option<Vec<u8>>, Error> {
        if let Some(change) = self.changes.get(&key) {
            return Ok(change.clone());
        }
        let leaf = self.kept(self.leaf_of(key))?;
        Ok(leaf.and_then(|leaf| leaf.get(key).map(<[u8]>::to_vec)))
    }

    /// Gives an item a value.
    pub(super) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, key: Key) {
        self.changes.insert(key, None);
    }

    /// Takes all items in `keys` out.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn remove_range(&mut self, keys: Range<Key>) -> Result<(), Error> {
        for (key, _) in self.range(keys)? {
            self.remove(key);
        }
        Ok(())
    }

    fn leaf_of(&self, key: Key) -> usize {
        let after = self.leaves.partition_point(|leaf| leaf.first_key <= key);
        after.saturating_sub(1)
    }

    fn merge<'v>(
        &self,
        stored: impl Iterator<Item = (Key, &'v [u8])>,
        keys: Range<Key>,
    ) -> Vec<(Key, Vec<u8>)> {
        if keys.is_empty() {
            return Vec::new();
        }
        let mut changes = self.changes.range(keys).peekable();
        let mut merged = Vec::new();
        for (key, value) in stored {
            while let Some((changed, new)) = changes.next_if(|(changed, _)| **changed < key) {
                merged.extend(new.clone().map(|value| (*changed, value)));
            }
            match changes.next_if(|(changed, _)| **changed == key) {
                Some((_, new)) => merged.extend(new.clone().map(|value| (key, value))),
                None => merged.push((key, value.to_vec())),
            }
        }
        let rest = changes.filter_map(|(key, new)| Some((*key, new.clone()?)));
        merged.extend(rest);
        merged
    }

    fn kept(&self, number: usize) -> Result<Option<Arc<LeafNode>>, Error> {
        if let Some(leaf) = self.kept.lock().get(&number) {
            return Ok(Some(Arc::clone(leaf)));
        }
        let Some(leaf) = self.leaves.get(number) else {
            return Ok(None);
        };
        let leaf = self.read(leaf)?.map(Arc::new);
        if let Some(leaf) = &leaf {
            let mut kept = self.kept.lock();
            if kept.len() >= KEPT_LEAVES {
                kept.clear();
            }
            kept.insert(number, Arc::clone(leaf));
        }
        Ok(leaf)
    }

    fn read(&self, leaf: &Leaf) -> Result<Option<LeafNode>, Error> {
        let block = self.image.read(leaf.node.pointer.block)?;
        let place = &leaf.node.place;
        let verified = leaf.node.pointer.verify(&block, place.structure());
        Ok(verified.and_then(|()| LeafNode::parse(block, place)).ok())
    }
}
