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
