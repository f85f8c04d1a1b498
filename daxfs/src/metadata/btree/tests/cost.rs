//! A change costs what it changes, and nodes are well filled.

use super::medium::{Medium, Oracle, apply_to};
use crate::format::item::{ItemKind, Key};
use crate::metadata::btree::{Replacement, Tree};

const BLOCKS: u64 = 512 + 8192;
const INODES: u64 = 60_000;

/// The items of an inode that is small and has one extent, as most have.
fn small(inode: u64, byte: u8) -> Replacement {
    Replacement {
        keys: Key::range_of_inode(inode),
        items: vec![
            (Key::new(inode, ItemKind::Inode, 0), vec![byte; 120]),
            (Key::new(inode, ItemKind::Extents, 0), vec![byte; 16]),
        ],
    }
}

fn tree_of_small_inodes(medium: &Medium) -> Tree {
    let all: Vec<_> = (1..=INODES).map(|inode| small(inode, 0)).collect();
    medium.apply(&Tree::empty(), &all).tree
}

#[test]
fn one_changed_item_costs_its_path_and_the_same_item_nothing() {
    let medium = Medium::new(BLOCKS);
    let tree = tree_of_small_inodes(&medium);
    assert_eq!(tree.level(), 2);
    let same = medium.apply(&tree, &[small(30_000, 0)]);
    assert_eq!((same.written.len(), same.replaced.len()), (0, 0));
    assert_eq!(same.tree, tree);
    let one = medium.apply(&tree, &[small(30_000, 1)]);
    assert_eq!((one.written.len(), one.replaced.len()), (3, 3));
    let nothing = Replacement::delete(Key::range_of_inode(INODES + 5));
    assert_eq!(medium.apply(&one.tree, &[nothing]).written.len(), 0);
}

#[test]
fn deleting_a_range_writes_only_its_edges() {
    let medium = Medium::new(BLOCKS);
    let tree = tree_of_small_inodes(&medium);
    let keys = Key::first_of(1000)..Key::first_of(50_000);
    let deleted = medium.apply(&tree, &[Replacement::delete(keys)]);
    // Two leaves with a neighbour each, cut in two at most; two index nodes likewise; the root.
    assert!(
        deleted.written.len() <= 4 + 4 + 1,
        "{}",
        deleted.written.len()
    );
    assert!(deleted.replaced.len() as u64 > tree.nodes() / 2);
}

#[test]
fn nodes_written_at_once_are_full() {
    let medium = Medium::new(BLOCKS);
    let tree = tree_of_small_inodes(&medium);
    let used: usize = medium.walk(&tree).iter().map(|node| node.used_bytes).sum();
    let fill = used as f64 / (tree.nodes() * 4064) as f64;
    assert!(fill > 0.95, "{fill}");
}

#[test]
fn nodes_stay_filled_through_random_churn() {
    let medium = Medium::new(BLOCKS);
    let mut tree = tree_of_small_inodes(&medium);
    let mut oracle: Oracle = medium.read(&tree);
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % INODES + 1
    };
    for round in 0..60_u8 {
        let mut changes = std::collections::BTreeMap::new();
        for nth in 0..1000 {
            let inode = next();
            let keys = Key::range_of_inode(inode);
            let change = match nth % 2 {
                0 => Replacement::delete(keys),
                _ => small(inode, round),
            };
            changes.insert(inode, change);
        }
        let batch: Vec<_> = changes.into_values().collect();
        apply_to(&mut oracle, &batch);
        tree = medium.apply(&tree, &batch).tree;
    }
    assert_eq!(medium.read(&tree), oracle);
    let nodes = medium.walk(&tree);
    let used: usize = nodes.iter().map(|node| node.used_bytes).sum();
    let fill = used as f64 / (nodes.len() * 4064) as f64;
    assert!(fill > 0.6, "{fill}");
    let root = tree.root().block;
    let small = nodes
        .iter()
        .filter(|n| n.used_bytes < 4064 / 3 && n.place.block != root);
    assert_eq!(small.count(), 0);
}

/// Deleting item by item, in any order, leaves no trail of nearly empty nodes.
#[test]
fn nodes_join_as_their_items_go() {
    let medium = Medium::new(BLOCKS);
    let mut tree = tree_of_small_inodes(&medium);
    for remainder in [3, 1, 4, 0] {
        let batch: Vec<_> = (1..=INODES)
            .filter(|inode| inode % 5 == remainder)
            .map(|inode| Replacement::delete(Key::range_of_inode(inode)))
            .collect();
        for part in batch.chunks(500) {
            tree = medium.apply(&tree, part).tree;
        }
    }
    let nodes = medium.walk(&tree);
    let used: usize = nodes.iter().map(|node| node.used_bytes).sum();
    let fill = used as f64 / (nodes.len() * 4064) as f64;
    assert!(fill > 0.5, "{fill}");
    assert_eq!(medium.in_use(), tree.nodes());
}

/// Leaves that change one at a time, with neighbours that do not change.
#[test]
fn a_leaf_that_becomes_small_joins_its_neighbour() {
    let medium = Medium::new(BLOCKS);
    let mut tree = tree_of_small_inodes(&medium);
    let leaves = medium
        .walk(&tree)
        .into_iter()
        .filter(|n| n.place.level == 0);
    let mut places: Vec<_> = leaves.map(|node| node.place).collect();
    places.sort_by_key(|place| place.first_key);
    for place in places.iter().skip(1).step_by(4) {
        let first = place.first_key.expect("no root");
        let most = Replacement::delete(first.successor()..place.end);
        let applied = medium.apply(&tree, &[most]);
        // The leaf and its neighbour become one or two; two index nodes above.
        assert!((3..=4).contains(&applied.written.len()));
        tree = applied.tree;
    }
    let root = tree.root().block;
    let nodes = medium.walk(&tree);
    let small = nodes
        .iter()
        .filter(|n| n.used_bytes < 4064 / 3 && n.place.block != root);
    assert_eq!(small.count(), 0);
}

#[test]
fn a_tree_of_one_item_is_one_leaf() {
    for survivor in [1, 30_000, INODES] {
        let medium = Medium::new(BLOCKS);
        let tree = tree_of_small_inodes(&medium);
        let rest = [
            Replacement::delete(Key::MIN..Key::first_of(survivor)),
            Replacement::delete(Key::first_of(survivor).successor()..Key::MAX),
        ];
        let tree = medium.apply(&tree, &rest).tree;
        assert_eq!((tree.level(), tree.nodes(), medium.in_use()), (0, 1, 1));
        assert_eq!(medium.read(&tree).len(), 1);
    }
}
