//! Trees written change by change, against a map of what their leaves should hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use daxfs_pmem::{Device, PersistenceChoice};
use proptest::prelude::*;

use super::*;
use crate::allocation::{Allocator, DataUnit};
use crate::error::Error;
use crate::format::geometry::{BLOCK_BYTES, DATA_START_BLOCK};
use crate::format::{Block, Extent, ExtentLeaf, ExtentLeafBuilder, NullPointers, Structure};
use crate::run::Run;

const OWNER: u64 = 7;
const BLOCKS: u64 = 512 + 4096;

fn leaf(ordinal: u64, value: u64) -> Block {
    let mut builder = ExtentLeafBuilder::new(OWNER, ordinal);
    let extent = Extent {
        file_block: ordinal * 1000,
        device_block: 600 + value,
        len_blocks: 1,
    };
    builder.push(&extent).unwrap();
    builder.finish()
}

/// A device with an allocator that hands out each block at most once at a time.
struct Medium {
    device: Device,
    free: RefCell<BTreeSet<u64>>,
}

impl Medium {
    fn new() -> Self {
        let device = Device::create_memfd(BLOCKS * BLOCK_BYTES, PersistenceChoice::Detect).unwrap();
        let free = RefCell::new((DATA_START_BLOCK..BLOCKS).collect());
        Self { device, free }
    }

    /// One change of a tree; gives back what it replaced, as a checkpoint does.
    fn change(
        &self,
        tree: &StoredTree,
        leaf_count: u64,
        changed: &BTreeMap<u64, Option<Block>>,
    ) -> (StoredTree, usize) {
        let allocate = || {
            let block = self.free.borrow_mut().pop_first();
            block.ok_or(Error::NoSpace {
                needed_blocks: 1,
                available_blocks: 0,
            })
        };
        let mut writer = BlockWriter::new(&self.device, &allocate);
        let new = tree
            .with_leaves(OWNER, leaf_count, changed, &mut writer)
            .unwrap();
        writer.fence().unwrap();
        let (written, replaced) = writer.into_written_and_replaced();
        for block in replaced {
            assert!(
                self.free.borrow_mut().insert(block),
                "block {block} given back twice"
            );
        }
        (new, written.len())
    }

    fn in_use(&self) -> u64 {
        BLOCKS - DATA_START_BLOCK - self.free.borrow().len() as u64
    }

    /// What the tree holds, read from the device.
    fn read(&self, tree: &StoredTree, nulls: NullPointers) -> BTreeMap<u64, u64> {
        let allocator = Allocator::new(DATA_START_BLOCK, BLOCKS, DataUnit::Block);
        let reader = TreeReader {
            device: &self.device,
            allocator: &allocator,
        };
        let mut found = BTreeMap::new();
        let read = reader.read(
            OWNER,
            tree.root(),
            Structure::ExtentLeaf,
            nulls,
            |ordinal, _, block| {
                let parsed = ExtentLeaf::parse(block, OWNER, ordinal).unwrap();
                found.insert(ordinal, parsed.extents()[0].device_block - 600);
                Ok(())
            },
        );
        assert_eq!(read.unwrap().block_count(), tree.block_count());
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_tree_holds_what_was_put_in_and_no_block_is_lost(
        steps in proptest::collection::vec(
            (1u64..700, proptest::collection::vec((any::<prop::sample::Index>(), 0u64..50), 0..40)),
            1..12),
    ) {
        let medium = Medium::new();
        let mut tree = StoredTree::default();
        let mut oracle: BTreeMap<u64, u64> = BTreeMap::new();
        for (leaf_count, writes) in steps {
            let mut changed = BTreeMap::new();
            for ordinal in tree.leaves().len() as u64..leaf_count {
                changed.insert(ordinal, Some(leaf(ordinal, 0)));
                oracle.insert(ordinal, 0);
            }
            for (index, value) in writes {
                let ordinal = index.index(leaf_count as usize) as u64;
                changed.insert(ordinal, Some(leaf(ordinal, value)));
                oracle.insert(ordinal, value);
            }
            oracle.retain(|ordinal, _| *ordinal < leaf_count);
            (tree, _) = medium.change(&tree, leaf_count, &changed);
            prop_assert_eq!(medium.read(&tree, NullPointers::Refused), oracle.clone());
            prop_assert_eq!(medium.in_use(), tree.block_count());
        }
        let (empty, _) = medium.change(&tree, 0, &BTreeMap::new());
        prop_assert_eq!(empty.block_count(), 0);
        prop_assert_eq!(medium.in_use(), 0);
    }
}

#[test]
fn one_changed_leaf_costs_its_path_and_an_unchanged_one_nothing() {
    let medium = Medium::new();
    let all = (0..600)
        .map(|ordinal| (ordinal, Some(leaf(ordinal, 0))))
        .collect();
    let (tree, written) = medium.change(&StoredTree::default(), 600, &all);
    assert_eq!(written, 600 + 3 + 1);
    let (same, written) = medium.change(&tree, 600, &all);
    assert_eq!(written, 0, "the same bytes stay where they are");
    let one = BTreeMap::from([(300, Some(leaf(300, 1)))]);
    let (_, written) = medium.change(&same, 600, &one);
    assert_eq!(written, 3, "the leaf, its index block, the root");
}

#[test]
fn leaves_that_are_taken_out_leave_null_pointers_behind() {
    let medium = Medium::new();
    let all = (0..300)
        .map(|ordinal| (ordinal, Some(leaf(ordinal, 0))))
        .collect();
    let (tree, _) = medium.change(&StoredTree::default(), 300, &all);
    let gone = (10..20).map(|ordinal| (ordinal, None)).collect();
    let (tree, _) = medium.change(&tree, 300, &gone);
    let found = medium.read(&tree, NullPointers::Allowed);
    assert_eq!(found.len(), 290);
    assert_eq!(medium.in_use(), tree.block_count());
}

#[test]
fn a_block_with_two_owners_is_refused() {
    let medium = Medium::new();
    let (tree, _) = medium.change(
        &StoredTree::default(),
        1,
        &BTreeMap::from([(0, Some(leaf(0, 0)))]),
    );
    let allocator = Allocator::new(DATA_START_BLOCK, BLOCKS, DataUnit::Block);
    allocator
        .mark_used(Run::new(tree.root().pointer.block, 1))
        .unwrap();
    let reader = TreeReader {
        device: &medium.device,
        allocator: &allocator,
    };
    let nulls = NullPointers::Refused;
    let read = reader.read(
        OWNER,
        tree.root(),
        Structure::ExtentLeaf,
        nulls,
        |_, _, _| Ok(()),
    );
    assert!(matches!(read, Err(Error::Corrupt { .. })));
}
