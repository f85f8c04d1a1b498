//! The arithmetic of the pointer trees, against a plain model of a tree.

use proptest::prelude::*;

use crate::format::geometry::*;

#[test]
fn levels_change_where_a_level_is_full() {
    assert_eq!(level_for_leaves(0), Some(0));
    assert_eq!(level_for_leaves(1), Some(0));
    assert_eq!(level_for_leaves(2), Some(1));
    assert_eq!(level_for_leaves(254), Some(1));
    assert_eq!(level_for_leaves(255), Some(2));
    assert_eq!(level_for_leaves(254 * 254), Some(2));
    assert_eq!(level_for_leaves(254 * 254 + 1), Some(3));
    assert_eq!(level_for_leaves(MAXIMUM_LEAVES), Some(MAXIMUM_LEVEL));
    assert_eq!(level_for_leaves(MAXIMUM_LEAVES + 1), None);
    assert_eq!(level_for_leaves(u64::MAX), None);
}

#[test]
fn inodes_fill_leaves_of_fifteen() {
    assert_eq!((inode_leaf(1), inode_slot(1)), (0, 1));
    assert_eq!((inode_leaf(14), inode_slot(14)), (0, 14));
    assert_eq!((inode_leaf(15), inode_slot(15)), (1, 0));
    assert_eq!(inode_table_leaves(2), 1);
    assert_eq!(inode_table_leaves(15), 1);
    assert_eq!(inode_table_leaves(16), 2);
}

#[test]
fn data_ranges_lie_between_the_head_and_the_end() {
    assert!(is_data_range(512, 512, 1024));
    assert!(!is_data_range(511, 1, 1024));
    assert!(!is_data_range(512, 513, 1024));
    assert!(!is_data_range(512, 0, 1024));
    assert!(!is_data_range(u64::MAX, 2, 1024));
}

proptest! {
    /// Going down from the root by slots ends at every leaf, through blocks that all exist.
    #[test]
    fn the_path_to_a_leaf_stays_within_the_tree(
        leaves in 1..=MAXIMUM_LEAVES,
        which in any::<u64>(),
    ) {
        let leaf = which % leaves;
        let root = level_for_leaves(leaves).unwrap();
        prop_assert_eq!(blocks_at_level(leaves, root), 1);
        let mut index = 0;
        for level in (1..=root).rev() {
            let slot = (leaf / leaves_under(level - 1) % POINTERS_PER_INDEX as u64) as usize;
            prop_assert!(slot < children(leaves, level, index));
            index = index * POINTERS_PER_INDEX as u64 + slot as u64;
        }
        prop_assert_eq!(index, leaf);
    }

    /// The children of one level's blocks are the blocks of the level below.
    #[test]
    fn children_add_up(leaves in 1..2_000_000_u64, level in 1..=MAXIMUM_LEVEL) {
        let blocks = blocks_at_level(leaves, level);
        let sum = (0..blocks).map(|index| children(leaves, level, index) as u64).sum::<u64>();
        prop_assert_eq!(sum, blocks_at_level(leaves, level - 1));
        prop_assert_eq!(children(leaves, level, blocks), 0);
    }
}
