//! A sparse array that only grows: 64-way nodes, lock-free look-up, no unsafe code.
//!
//! It is the shape under both the block map of a file (leaf = 512 blocks) and its mapping entries
//! (leaf = 64 pages), as the XArray is in Linux. Keys are grouped by how many base-64 digits they
//! need, and each group has a root of its own: a small file pays for one node, no root ever moves,
//! and a reader never meets a tree that is being made taller.
//!
//! Touches no device. Takes no lock: a missing node is made by whoever needs it first
//! ([`OnceLock`]), and nodes live as long as the tree.

use crate::sync::OnceLock;
use std::ops::RangeInclusive;

/// Models have small nodes: see [`crate::sync`].
const FANOUT_BITS: u32 = if cfg!(loom) { 1 } else { 6 };
const FANOUT: usize = 1 << FANOUT_BITS;
/// Keys have at most this many base-64 digits: 2^30 leaves.
const MAX_HEIGHT: usize = 5;

/// The number of distinct keys, and one more than the largest.
#[cfg(all(test, not(loom)))]
const KEY_LIMIT: u64 = 1 << (FANOUT_BITS as u64 * MAX_HEIGHT as u64);

/// A sparse, grow-only array of `L`, indexed by keys below 2^30.
pub(crate) struct Radix<L> {
    /// `roots[h]` covers the keys of exactly `h + 1` base-64 digits.
    roots: [OnceLock<Box<Node<L>>>; MAX_HEIGHT],
}

struct Node<L> {
    slots: [OnceLock<Slot<L>>; FANOUT],
}

enum Slot<L> {
    Interior(Box<Node<L>>),
    Leaf(Box<L>),
}

impl<L> Default for Radix<L> {
    fn default() -> Self {
        Self {
            roots: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<L> Node<L> {
    fn new() -> Box<Self> {
        Box::new(Self {
            slots: std::array::from_fn(|_| OnceLock::new()),
        })
    }
}

impl<L: Default> Radix<L> {
    /// The leaf of `key`, if anybody has asked for it with [`Radix::get_or_insert`].
    pub(crate) fn get(&self, key: u64) -> Option<&L> {
        let height = height_of(key)?;
        let mut node: &Node<L> = self.roots[height].get()?;
        for level in (0..=height).rev() {
            match node.slots[digit(key, level)].get()? {
                Slot::Interior(next) => node = next,
                Slot::Leaf(leaf) => return Some(leaf),
            }
        }
        None
    }

    /// The leaf of `key`, made now if there is none yet; `None` when `key` is out of bounds.
    pub(crate) fn get_or_insert(&self, key: u64) -> Option<&L> {
        let height = height_of(key)?;
        let mut node: &Node<L> = self.roots[height].get_or_init(Node::new);
        for level in (0..=height).rev() {
            let slot = node.slots[digit(key, level)].get_or_init(|| match level {
                0 => Slot::Leaf(Box::default()),
                _ => Slot::Interior(Node::new()),
            });
            match slot {
                Slot::Interior(next) => node = next,
                Slot::Leaf(leaf) => return Some(leaf),
            }
        }
        None
    }

    /// Calls `visit` for each leaf with a key in `keys`, in ascending order of key.
    pub(crate) fn for_each<'tree>(
        &'tree self,
        keys: RangeInclusive<u64>,
        visit: &mut impl FnMut(u64, &'tree L),
    ) {
        for (height, root) in self.roots.iter().enumerate() {
            if let Some(node) = root.get() {
                visit_node(node, height, 0, &keys, visit);
            }
        }
    }

    /// How much memory the tree has allocated, in bytes, with what `of_leaf` says of each leaf.
    pub(crate) fn heap_bytes(&self, of_leaf: impl Fn(&L) -> u64) -> u64 {
        let roots = self.roots.iter().filter_map(OnceLock::get);
        roots.map(|root| root.heap_bytes(&of_leaf)).sum()
    }
}

impl<L> Node<L> {
    fn heap_bytes(&self, of_leaf: &impl Fn(&L) -> u64) -> u64 {
        let slots = self.slots.iter().filter_map(OnceLock::get);
        let below: u64 = slots
            .map(|slot| match slot {
                Slot::Interior(node) => node.heap_bytes(of_leaf),
                Slot::Leaf(leaf) => size_of::<L>() as u64 + of_leaf(leaf),
            })
            .sum();
        size_of::<Self>() as u64 + below
    }
}

fn visit_node<'tree, L>(
    node: &'tree Node<L>,
    level: usize,
    first_key: u64,
    keys: &RangeInclusive<u64>,
    visit: &mut impl FnMut(u64, &'tree L),
) {
    let span = 1u64 << (FANOUT_BITS as usize * level);
    for (position, slot) in node.slots.iter().enumerate() {
        let key = first_key + position as u64 * span;
        if key > *keys.end() || key + (span - 1) < *keys.start() {
            continue;
        }
        match slot.get() {
            None => {}
            Some(Slot::Interior(next)) => visit_node(next, level - 1, key, keys, visit),
            Some(Slot::Leaf(leaf)) => visit(key, leaf),
        }
    }
}

/// How many digits `key` has, less one; `None` when it has too many.
fn height_of(key: u64) -> Option<usize> {
    let digits = (u64::BITS - key.leading_zeros())
        .div_ceil(FANOUT_BITS)
        .max(1) as usize;
    (digits <= MAX_HEIGHT).then_some(digits - 1)
}

fn digit(key: u64, level: usize) -> usize {
    (key >> (FANOUT_BITS as usize * level)) as usize % FANOUT
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn bounds_are_exact() {
        let tree = Radix::<AtomicU64>::default();
        for key in [0, 63, 64, 4095, 4096, KEY_LIMIT - 1] {
            assert!(tree.get(key).is_none());
            tree.get_or_insert(key).unwrap().store(key + 1, Relaxed);
            assert_eq!(tree.get(key).unwrap().load(Relaxed), key + 1);
        }
        assert!(tree.get_or_insert(KEY_LIMIT).is_none());
        assert!(tree.get(u64::MAX).is_none());
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordered_map(
            keys in proptest::collection::vec(0..KEY_LIMIT >> 8, 0..200),
            from in 0..KEY_LIMIT >> 8,
            len in 0..KEY_LIMIT >> 8,
        ) {
            let tree = Radix::<AtomicU64>::default();
            let mut oracle = BTreeMap::new();
            for key in keys {
                tree.get_or_insert(key).unwrap().fetch_add(1, Relaxed);
                *oracle.entry(key).or_insert(0u64) += 1;
            }
            let mut seen = Vec::new();
            tree.for_each(from..=from + len, &mut |key, leaf| {
                seen.push((key, leaf.load(Relaxed)));
            });
            let expected: Vec<_> = oracle.range(from..=from + len).map(|(k, v)| (*k, *v)).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn threads_that_race_for_one_leaf_share_it() {
        let tree = Radix::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..5000 {
                        tree.get_or_insert(key).unwrap().fetch_add(1, Relaxed);
                    }
                });
            }
        });
        tree.for_each(0..=KEY_LIMIT, &mut |_, leaf| {
            assert_eq!(leaf.load(Relaxed), 4);
        });
    }
}
