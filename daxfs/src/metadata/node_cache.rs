//! Index nodes that were parsed lately, so that a walk down the tree reads few blocks.
//!
//! An entry is found by block *and* checksum, and dropped when the block is written anew: a block
//! that was given back and used again never gives the node that it held before. Holds plain memory.
//! Takes its own latch for a few instructions, a `std` mutex, since a page fault may read the tree.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::BlockPointer;
use crate::format::node::IndexNode;

/// Nodes in each of the two halves: an index node is 101 entries of 40 bytes, so 2 MiB at most.
const HALF: usize = 256;

/// A bounded cache. What was not asked for while a half was filled anew is forgotten.
#[derive(Default)]
pub(crate) struct NodeCache {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: HashMap<u64, Cached>,
    old: HashMap<u64, Cached>,
}

struct Cached {
    checksum: u32,
    node: Arc<IndexNode>,
}

impl NodeCache {
    /// The node that `pointer` was made for, if it is known.
    pub(super) fn get(&self, pointer: BlockPointer) -> Option<Arc<IndexNode>> {
        let mut halves = self.halves();
        let known = halves.young.get(&pointer.block);
        if let Some(cached) = known.filter(|cached| cached.checksum == pointer.checksum) {
            return Some(Arc::clone(&cached.node));
        }
        let cached = halves.old.remove(&pointer.block)?;
        if cached.checksum != pointer.checksum {
            return None;
        }
        let node = Arc::clone(&cached.node);
        halves.put(pointer.block, cached);
        Some(node)
    }

    /// Remembers a node that was checked against `pointer`.
    pub(super) fn put(&self, pointer: BlockPointer, node: &Arc<IndexNode>) {
        let cached = Cached {
            checksum: pointer.checksum,
            node: Arc::clone(node),
        };
        self.halves().put(pointer.block, cached);
    }

    /// Forgets what `block` held.
    pub(super) fn forget(&self, block: u64) {
        let mut halves = self.halves();
        halves.young.remove(&block);
        halves.old.remove(&block);
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        // Nothing inside panics, and a map that was left half changed is still a cache.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn put(&mut self, block: u64, cached: Cached) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(block, cached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::item::{ItemKind, Key};
    use crate::format::node::index::encode_index;
    use crate::format::node::{IndexEntry, NodePlace};

    fn pointer(block: u64) -> BlockPointer {
        BlockPointer {
            block,
            checksum: block as u32,
        }
    }

    fn node(block: u64) -> Arc<IndexNode> {
        let entry = IndexEntry {
            key: Key::new(block, ItemKind::Inode, 0),
            pointer: pointer(1000 + block),
        };
        let bytes = encode_index(block, 1, 1, &[entry]).unwrap();
        Arc::new(IndexNode::parse(&bytes, &NodePlace::of_root(block, 1)).unwrap())
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let cache = NodeCache::default();
        for block in 1..5000 {
            cache.put(pointer(block), &node(block));
            let kept = cache.get(pointer(1)).expect("asked for all the time");
            assert_eq!(kept.entries()[0].pointer, pointer(1001));
            let halves = cache.halves();
            assert!(halves.young.len() + halves.old.len() <= 2 * HALF);
        }
        assert!(cache.get(pointer(2)).is_none());
    }

    #[test]
    fn another_checksum_or_another_write_is_another_node() {
        let cache = NodeCache::default();
        cache.put(pointer(5), &node(5));
        let other = BlockPointer {
            checksum: 6,
            ..pointer(5)
        };
        assert!(cache.get(other).is_none());
        cache.put(pointer(5), &node(5));
        cache.forget(5);
        assert!(cache.get(pointer(5)).is_none());
        for block in 1..=HALF as u64 + 1 {
            cache.put(pointer(block), &node(block));
        }
        assert!(
            !cache.halves().young.contains_key(&5),
            "it is in the old half"
        );
        assert!(
            cache
                .get(BlockPointer {
                    checksum: 0,
                    ..pointer(5)
                })
                .is_none()
        );
        cache.put(pointer(7), &node(7));
        cache.forget(7);
        assert!(cache.get(pointer(7)).is_none(), "neither half has it");
    }
}
