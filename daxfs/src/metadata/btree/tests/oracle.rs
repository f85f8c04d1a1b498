//! Any batches, with items of any size, leave what a map holds, and every block accounted for.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;

use super::medium::{Applied, Medium, Oracle, apply_to, read_with};
use crate::format::item::{ItemKind, Key};
use crate::metadata::NodeCache;
use crate::metadata::btree::{Replacement, Tree};

const BLOCKS: u64 = 512 + 4096;

fn key() -> impl Strategy<Value = Key> {
    let of_inode = (
        1..30_u64,
        prop::sample::select(ItemKind::ALL.to_vec()),
        0..12_u64,
    );
    of_inode.prop_map(|(inode, kind, position)| {
        let inode = if kind.is_of_image() { 0 } else { inode };
        Key::new(inode, kind, position)
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        3 => 0..200_usize,
        1 => Just(1024_usize),
        1 => 900..=1024_usize,
        1 => Just(0_usize),
    ];
    (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len])
}

#[derive(Debug, Clone)]
enum Change {
    Put(Key, Vec<u8>),
    Delete(Key, Key),
    Replace(Key, Key, Vec<(Key, Vec<u8>)>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (key(), value()).prop_map(|(key, value)| Change::Put(key, value)),
        1 => (key(), key()).prop_map(|(from, to)| Change::Delete(from, to)),
        1 => (key(), key(), vec((key(), value()), 0..40))
            .prop_map(|(from, to, items)| Change::Replace(from, to, items)),
    ]
}

/// The changes as a batch: in order, and without those that overlap one before them.
fn batch(changes: Vec<Change>) -> Vec<Replacement> {
    let mut replacements: Vec<Replacement> = changes
        .into_iter()
        .map(|change| match change {
            Change::Put(key, value) => Replacement::put(key, value),
            Change::Delete(a, b) => Replacement::delete(a.min(b)..a.max(b).successor()),
            Change::Replace(a, b, items) => {
                let keys = a.min(b)..a.max(b).successor();
                let items: Oracle = items
                    .into_iter()
                    .filter(|(k, _)| keys.contains(k))
                    .collect();
                let items = items.into_iter().collect();
                Replacement { keys, items }
            }
        })
        .collect();
    replacements.sort_by_key(|replacement| replacement.keys.start);
    let mut end = Key::MIN;
    replacements.retain(|replacement| {
        let follows = replacement.keys.start >= end;
        if follows {
            end = replacement.keys.end;
        }
        follows
    });
    replacements
}

/// Applies a batch to both, and checks all that holds of the two trees and the blocks.
fn step(medium: &Medium, tree: &Tree, oracle: &mut Oracle, batch: &[Replacement]) -> Tree {
    let old = oracle.clone();
    let reached = medium.reachable(tree);
    apply_to(oracle, batch);
    let Applied {
        tree: new,
        written,
        replaced,
    } = medium.apply_then(tree, batch, |new| {
        assert_eq!(medium.read(tree), old, "the old tree changed");
        assert_eq!(medium.read(new), *oracle);
    });
    let expected: BTreeSet<u64> = reached.union(&written).copied().collect();
    let expected: BTreeSet<u64> = expected.difference(&replaced).copied().collect();
    assert_eq!(
        medium.reachable(&new),
        expected,
        "written and replaced are not exact"
    );
    assert_eq!(new.nodes(), expected.len() as u64);
    assert_eq!(medium.in_use(), new.nodes(), "a block was lost");
    new
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_holds_what_a_map_holds(
        batches in vec(vec(change(), 1..120), 1..14),
        probes in vec((key(), key()), 20),
    ) {
        let medium = Medium::new(BLOCKS);
        let mut tree = Tree::empty();
        let mut oracle = Oracle::new();
        for changes in batches {
            tree = step(&medium, &tree, &mut oracle, &batch(changes));
        }
        // From the medium alone.
        let cache = NodeCache::default();
        let nodes = medium.fresh(&cache);
        let tree = Tree::from_root(tree.root(), tree.level(), tree.nodes());
        for (a, b) in probes {
            prop_assert_eq!(tree.get(&nodes, a).unwrap(), oracle.get(&a).cloned());
            let keys = a.min(b)..a.max(b);
            let expected: Oracle = oracle
                .range(keys.clone())
                .map(|(key, value)| (*key, value.clone()))
                .collect();
            prop_assert_eq!(read_with(&nodes, &tree, keys).unwrap(), expected);
        }
        let all = [Replacement::delete(Key::MIN..Key::MAX)];
        let empty = step(&medium, &tree, &mut oracle, &all);
        prop_assert_eq!(empty, Tree::empty());
    }
}

/// Items that are large enough for a tree of four levels from a few thousand of them.
fn large(inode: u64, position: u64) -> (Key, Vec<u8>) {
    let key = Key::new(inode, ItemKind::XattrChunk, position);
    (
        key,
        vec![position as u8; 1000 + (inode + position) as usize % 25],
    )
}

#[test]
fn a_tree_of_four_levels_grows_and_shrinks_again() {
    let medium = Medium::new(24_000);
    let mut tree = Tree::empty();
    let mut oracle = Oracle::new();
    let mut most_levels = 0;
    for round in 0..8 {
        // Inodes in an order of their own, so that batches fall between those before them.
        let mut puts: Vec<Replacement> = (0..1000_u64)
            .map(|n| (n * 8 + round * 5) % 8000 + 1)
            .flat_map(|inode| (0..5).map(move |position| large(inode, position)))
            .map(|(key, value)| Replacement::put(key, value))
            .collect();
        puts.sort_by_key(|replacement| replacement.keys.start);
        tree = step(&medium, &tree, &mut oracle, &puts);
        most_levels = most_levels.max(tree.level());
    }
    assert_eq!(oracle.len(), 40_000);
    assert_eq!(most_levels, 3);
    for start in [1_u64, 3000, 10, 5000, 2] {
        let keys = Key::first_of(start)..Key::first_of(start + 2500);
        tree = step(&medium, &tree, &mut oracle, &[Replacement::delete(keys)]);
    }
    assert!(tree.level() < 3, "the levels go when they are not needed");
}

#[test]
fn a_walk_stops_when_it_is_told_to() {
    let medium = Medium::new(BLOCKS);
    let items = (0..100)
        .map(|position| large(1, position))
        .collect::<Vec<_>>();
    let keys = Key::range_of_inode(1);
    let tree = medium
        .apply(&Tree::empty(), &[Replacement { keys, items }])
        .tree;
    let mut seen = 0;
    let mut visit = |_: Key, _: &[u8]| {
        seen += 1;
        Ok(if seen == 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    };
    tree.range(&medium.nodes(), Key::MIN..Key::MAX, &mut visit)
        .unwrap();
    assert_eq!(seen, 10);
}
