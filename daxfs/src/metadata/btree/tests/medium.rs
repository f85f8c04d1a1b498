//! A device with a tree on it, the map of what it should hold, and every block accounted for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use daxfs_pmem::{Device, PersistenceChoice};

use crate::error::{Error, Result};
use crate::format::geometry::BLOCK_BYTES;
use crate::format::image_geometry::ImageGeometry;
use crate::format::item::Key;
use crate::format::node::NodePlace;
use crate::metadata::btree::{Replacement, Tree};
use crate::metadata::{NodeCache, NodeReader, NodeWriter};

pub(super) type Oracle = BTreeMap<Key, Vec<u8>>;

/// A device that hands out each block at most once at a time.
pub(super) struct Medium {
    pub(super) device: Device,
    geometry: ImageGeometry,
    cache: NodeCache,
    free: RefCell<BTreeSet<u64>>,
}

/// A node, as a walk found it.
pub(super) struct Found {
    pub(super) place: NodePlace,
    pub(super) used_bytes: usize,
}

impl Medium {
    pub(super) fn new(block_count: u64) -> Self {
        let len_bytes = block_count * BLOCK_BYTES;
        let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect).unwrap();
        let geometry = ImageGeometry::for_blocks(block_count);
        let free = RefCell::new((geometry.data_start_block..block_count).collect());
        Self {
            device,
            geometry,
            cache: NodeCache::default(),
            free,
        }
    }

    pub(super) fn nodes(&self) -> NodeReader<'_> {
        NodeReader::new(&self.device, self.geometry, &self.cache)
    }

    /// A reader that knows nothing yet.
    pub(super) fn fresh<'a>(&'a self, cache: &'a NodeCache) -> NodeReader<'a> {
        NodeReader::new(&self.device, self.geometry, cache)
    }

    pub(super) fn in_use(&self) -> u64 {
        self.geometry.data_area_blocks() - self.free.borrow().len() as u64
    }

    /// Applies a batch, and gives back what it replaced after `before_release`.
    pub(super) fn apply_then(
        &self,
        tree: &Tree,
        replacements: &[Replacement],
        before_release: impl FnOnce(&Tree),
    ) -> Applied {
        let allocate = || {
            let block = self.free.borrow_mut().pop_first();
            block.ok_or(Error::NoSpace {
                needed_blocks: 1,
                available_blocks: 0,
            })
        };
        let mut writer = NodeWriter::new(&self.device, 7, &allocate);
        let new = tree
            .apply(&self.nodes(), replacements, &mut writer)
            .unwrap();
        writer.fence().unwrap();
        before_release(&new);
        let (written, replaced) = writer.into_written_and_replaced();
        for block in &replaced {
            assert!(
                self.free.borrow_mut().insert(*block),
                "block {block} given back twice"
            );
        }
        Applied {
            tree: new,
            written: written.into_iter().collect(),
            replaced: replaced.into_iter().collect(),
        }
    }

    pub(super) fn apply(&self, tree: &Tree, replacements: &[Replacement]) -> Applied {
        self.apply_then(tree, replacements, |_| {})
    }

    /// Everything the tree holds.
    pub(super) fn read(&self, tree: &Tree) -> Oracle {
        self.read_range(tree, Key::MIN..Key::MAX)
    }

    pub(super) fn read_range(&self, tree: &Tree, keys: Range<Key>) -> Oracle {
        read_with(&self.nodes(), tree, keys).unwrap()
    }

    /// All nodes of the tree, each of them checked.
    pub(super) fn walk(&self, tree: &Tree) -> Vec<Found> {
        let mut found = Vec::new();
        if tree.root().is_null() {
            return found;
        }
        let mut next = vec![(tree.root(), tree.root_place())];
        while let Some((pointer, place)) = next.pop() {
            let used_bytes = if place.level == 0 {
                let leaf = self.nodes().leaf(pointer, &place).unwrap();
                leaf.items().map(|(_, value)| 24 + value.len()).sum()
            } else {
                let node = self.nodes().index(pointer, &place).unwrap();
                let is_root = pointer == tree.root();
                assert!(!is_root || node.entries().len() > 1, "a level without need");
                let children = node.entries().iter().enumerate();
                next.extend(children.map(|(slot, e)| (e.pointer, node.child_place(slot, &place))));
                40 * node.entries().len()
            };
            found.push(Found { place, used_bytes });
        }
        found
    }

    pub(super) fn reachable(&self, tree: &Tree) -> BTreeSet<u64> {
        let nodes = self.walk(tree);
        let blocks: BTreeSet<u64> = nodes.iter().map(|found| found.place.block).collect();
        assert_eq!(blocks.len(), nodes.len(), "a block is reached twice");
        blocks
    }
}

/// What one batch did.
pub(super) struct Applied {
    pub(super) tree: Tree,
    pub(super) written: BTreeSet<u64>,
    pub(super) replaced: BTreeSet<u64>,
}

/// What a reader finds in a range.
pub(super) fn read_with(nodes: &NodeReader<'_>, tree: &Tree, keys: Range<Key>) -> Result<Oracle> {
    let mut found = Oracle::new();
    tree.range(nodes, keys, &mut |key, value| {
        let before = found.insert(key, value.to_vec());
        assert_eq!(before, None, "{key:?} twice");
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// What a batch does to the map.
pub(super) fn apply_to(oracle: &mut Oracle, replacements: &[Replacement]) {
    for replacement in replacements {
        let gone = oracle.range(replacement.keys.clone()).map(|(key, _)| *key);
        for key in gone.collect::<Vec<_>>() {
            oracle.remove(&key);
        }
        oracle.extend(replacement.items.iter().cloned());
    }
}
