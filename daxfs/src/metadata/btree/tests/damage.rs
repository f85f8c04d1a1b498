//! Whatever happens to a node is found, and nothing ever panics.

use proptest::collection::vec;
use proptest::prelude::*;

use super::medium::{Medium, read_with};
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_LEN, block_offset_bytes};
use crate::format::item::{ItemKind, Key};
use crate::format::{Block, BlockPointer};
use crate::metadata::btree::{Replacement, Tree};
use crate::metadata::{NodeCache, NodeWriter, read_block};

const BLOCKS: u64 = 512 + 4096;

/// A tree of three levels.
fn grown() -> (Medium, Tree) {
    let medium = Medium::new(BLOCKS);
    let puts: Vec<_> = (1..3000_u64)
        .map(|inode| Replacement::put(Key::new(inode, ItemKind::Inode, 0), [inode as u8; 200]))
        .collect();
    let tree = medium.apply(&Tree::empty(), &puts).tree;
    assert_eq!(tree.level(), 2);
    (medium, tree)
}

fn store(medium: &Medium, block: u64, bytes: &Block) {
    let offset_bytes = block_offset_bytes(block);
    medium
        .device
        .copy(offset_bytes, bytes.bytes())
        .unwrap()
        .defer();
}

/// The block that an error names; none when there is no error.
fn named_block<T>(result: Result<T>) -> Option<u64> {
    match result {
        Err(Error::Corrupt { block, .. }) => Some(block),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    }
}

/// A change of `key` on the medium as it is, which takes blocks that nothing uses.
fn put(medium: &Medium, cache: &NodeCache, tree: &Tree, key: Key) -> Result<Tree> {
    let next = std::cell::Cell::new(BLOCKS - 1);
    let allocate = || Ok(next.replace(next.get() - 1));
    let mut writer = NodeWriter::new(&medium.device, 9, &allocate);
    tree.apply(
        &medium.fresh(cache),
        &[Replacement::put(key, [0])],
        &mut writer,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_changed_byte_of_any_node_is_found_by_all_who_need_it(
        which in any::<prop::sample::Index>(),
        at in 0..BLOCK_LEN,
        change in 1..=255_u8,
    ) {
        let (medium, tree) = grown();
        let nodes = medium.walk(&tree);
        let place = nodes[which.index(nodes.len())].place;
        let key = place.first_key.unwrap_or(Key::new(1, ItemKind::Inode, 0));
        let mut bytes = read_block(&medium.device, place.block).unwrap();
        bytes.bytes_mut()[at] ^= change;
        store(&medium, place.block, &bytes);

        let cache = NodeCache::default();
        let nodes = medium.fresh(&cache);
        let all = read_with(&nodes, &tree, Key::MIN..Key::MAX);
        prop_assert_eq!(named_block(all), Some(place.block));
        prop_assert_eq!(named_block(tree.get(&nodes, key)), Some(place.block));
        prop_assert_eq!(named_block(put(&medium, &cache, &tree, key)), Some(place.block));
    }

    #[test]
    fn a_node_written_over_another_is_found(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let (medium, tree) = grown();
        let nodes = medium.walk(&tree);
        let [from, to] = [from, to].map(|which| nodes[which.index(nodes.len())].place.block);
        prop_assume!(from != to);
        store(&medium, to, &read_block(&medium.device, from).unwrap());
        let cache = NodeCache::default();
        let all = read_with(&medium.fresh(&cache), &tree, Key::MIN..Key::MAX);
        prop_assert_eq!(named_block(all), Some(to));
    }

    /// The bytes are wrong and every checksum is right, as a program that is wrong would leave it.
    #[test]
    fn roots_that_a_wrong_program_wrote_do_no_harm(
        damage in vec((4..BLOCK_LEN, any::<u8>()), 1..5),
        near_the_front in vec((4..400_usize, any::<u8>()), 0..3),
        level in 0..4_u16,
        key in 1..3500_u64,
    ) {
        let (medium, tree) = grown();
        let root = tree.root().block;
        let mut bytes = read_block(&medium.device, root).unwrap();
        for (at, byte) in damage.iter().chain(&near_the_front) {
            bytes.bytes_mut()[*at] = *byte;
        }
        store(&medium, root, &bytes);
        for level in [level, 2] {
            let damaged = Tree::from_root(BlockPointer::to(root, &bytes), level, tree.nodes());
            let cache = NodeCache::default();
            let nodes = medium.fresh(&cache);
            let key = Key::new(key, ItemKind::Inode, 0);
            named_block(read_with(&nodes, &damaged, Key::MIN..Key::MAX));
            named_block(damaged.get(&nodes, key));
            named_block(put(&medium, &cache, &damaged, key));
        }
    }
}

#[test]
fn a_root_outside_the_data_area_is_not_read() {
    let (medium, tree) = grown();
    for block in [1, 511, BLOCKS, u64::MAX] {
        let pointer = BlockPointer {
            block,
            ..tree.root()
        };
        let lost = Tree::from_root(pointer, 2, tree.nodes());
        let found = lost.get(&medium.nodes(), Key::first_of(1));
        assert_eq!(named_block(found), Some(block));
    }
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let medium = Medium::new(BLOCKS);
    let allocate = || Ok(600);
    for len in [1025, 4000, 100_000] {
        let mut writer = NodeWriter::new(&medium.device, 9, &allocate);
        let long = Replacement::put(Key::first_of(1), vec![0; len]);
        let error = Tree::empty().apply(&medium.nodes(), &[long], &mut writer);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("an item of it is too long"), "{text}");
    }
}

/// A reader that knows the old tree's nodes reads new ones in the same blocks.
#[test]
fn a_block_that_is_used_again_gives_what_it_holds_now() {
    let (medium, tree) = grown();
    medium.read(&tree);
    let all = Replacement::delete(Key::MIN..Key::MAX);
    let empty = medium.apply(&tree, &[all]).tree;
    let puts: Vec<_> = (1..3000_u64)
        .map(|inode| Replacement::put(Key::new(inode, ItemKind::Inode, 1), [7; 200]))
        .collect();
    let again = medium.apply(&empty, &puts).tree;
    assert_eq!(medium.reachable(&again), {
        let cache = NodeCache::default();
        let nodes = medium.fresh(&cache);
        assert_eq!(
            read_with(&nodes, &again, Key::MIN..Key::MAX).unwrap(),
            medium.read(&again)
        );
        medium.reachable(&again)
    });
    assert_eq!(medium.read(&again).len(), 2999);
    // The old root is gone: its block holds something else.
    let stale = medium.nodes();
    named_block(tree.get(&stale, Key::first_of(5))).expect("an old tree is not readable");
}

/// So a directory or a file of any size goes without its leaves being read, damaged or not.
#[test]
fn deleting_a_range_reads_no_leaf_inside_it() {
    let (medium, tree) = grown();
    let keys = Key::first_of(500)..Key::first_of(2500);
    for found in medium.walk(&tree) {
        let is_inside =
            found.place.first_key.is_some_and(|key| key > keys.start) && found.place.end < keys.end;
        if found.place.level == 0 && is_inside {
            store(&medium, found.place.block, &Block::zeroed());
        }
    }
    let inside = tree.get(&medium.nodes(), Key::new(1500, ItemKind::Inode, 0));
    named_block(inside).expect("damaged");
    let tree = medium.apply(&tree, &[Replacement::delete(keys)]).tree;
    assert_eq!(medium.read(&tree).len(), 499 + 500);
}
