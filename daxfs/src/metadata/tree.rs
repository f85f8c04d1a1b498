//! The stored shape of a pointer tree: which block is where, level by level.
//!
//! Touches the device only through the writer it is given. Takes no locks.

use std::collections::{BTreeMap, BTreeSet};

use super::writer::BlockWriter;
use crate::error::{Error, Result};
use crate::format::geometry::{POINTERS_PER_INDEX, level_for_leaves};
use crate::format::{Block, BlockPointer, IndexBlockBuilder, TreeRoot};

/// The blocks of one pointer tree, as of a checkpoint.
///
/// # Invariants
/// 1. `levels[0]` are the leaves in order; `levels[n + 1]` points to the blocks of `levels[n]`, 254
///    to a block; the last level has one block (or none, in an empty tree).
#[derive(Clone, Default)]
pub(crate) struct StoredTree {
    levels: Vec<Vec<BlockPointer>>,
}

impl StoredTree {
    /// A tree as it was read: see the invariant.
    pub(super) fn from_levels(levels: Vec<Vec<BlockPointer>>) -> Self {
        Self { levels }
    }

    /// What its owner stores to find it.
    pub(crate) fn root(&self) -> TreeRoot {
        match self.levels.last().and_then(|level| level.first()) {
            Some(pointer) => TreeRoot {
                pointer: *pointer,
                level: (self.levels.len() - 1) as u16,
                leaves: self.leaves().len() as u32,
            },
            None => TreeRoot::EMPTY,
        }
    }

    /// The pointers to the leaves, in order.
    pub(crate) fn leaves(&self) -> &[BlockPointer] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// How many blocks it takes.
    pub(crate) fn block_count(&self) -> u64 {
        let live = |level: &Vec<BlockPointer>| level.iter().filter(|p| !p.is_null()).count();
        self.levels.iter().map(live).sum::<usize>() as u64
    }

    /// The tree with `leaf_count` leaves, of which `changed` are new (`None`: nothing there), and
    /// with the index blocks above them written anew. The old tree stays as it is.
    ///
    /// # Errors
    /// What the writer reports; [`Error::NoSpace`] when no tree has so many leaves.
    pub(crate) fn with_leaves(
        &self,
        owner: u64,
        leaf_count: u64,
        changed: &BTreeMap<u64, Option<Block>>,
        writer: &mut BlockWriter<'_>,
    ) -> Result<Self> {
        let top_level = level_for_leaves(leaf_count).ok_or(Error::NoSpace {
            needed_blocks: leaf_count,
            available_blocks: 0,
        })?;
        let mut levels = vec![self.new_leaves(leaf_count, changed, writer)?];
        let mut dirty: BTreeSet<u64> = changed.keys().copied().collect();
        if leaf_count > 0 {
            for level in 1..=top_level {
                let index = self.new_index(owner, level, &levels, &mut dirty, writer)?;
                levels.push(index);
            }
        }
        for dropped in self.levels.iter().skip(levels.len()).flatten() {
            writer.replace(*dropped);
        }
        Ok(Self { levels })
    }

    fn new_leaves(
        &self,
        leaf_count: u64,
        changed: &BTreeMap<u64, Option<Block>>,
        writer: &mut BlockWriter<'_>,
    ) -> Result<Vec<BlockPointer>> {
        let mut leaves = self.leaves().to_vec();
        for dropped in leaves.drain((leaf_count as usize).min(leaves.len())..) {
            writer.replace(dropped);
        }
        leaves.resize(leaf_count as usize, BlockPointer::NULL);
        for (&ordinal, block) in changed.range(..leaf_count) {
            let old = leaves[ordinal as usize];
            leaves[ordinal as usize] = match block {
                Some(block) => writer.write(block, old)?,
                None => {
                    writer.replace(old);
                    BlockPointer::NULL
                }
            };
        }
        Ok(leaves)
    }

    /// The index blocks of one level above `levels`; `dirty` names the changed blocks of the level
    /// below and afterwards those of this one.
    fn new_index(
        &self,
        owner: u64,
        level: u16,
        levels: &[Vec<BlockPointer>],
        dirty: &mut BTreeSet<u64>,
        writer: &mut BlockWriter<'_>,
    ) -> Result<Vec<BlockPointer>> {
        let below = &levels[usize::from(level) - 1];
        let old_below = self.levels.get(usize::from(level) - 1).map_or(0, Vec::len);
        let old = self
            .levels
            .get(usize::from(level))
            .map_or(&[][..], Vec::as_slice);
        let count = below.len().div_ceil(POINTERS_PER_INDEX);
        let mut index = old.to_vec();
        for dropped in index.drain(count.min(index.len())..) {
            writer.replace(dropped);
        }
        index.resize(count, BlockPointer::NULL);

        let mut changed: BTreeSet<u64> = dirty
            .iter()
            .map(|below| below / POINTERS_PER_INDEX as u64)
            .collect();
        if below.len() != old_below {
            // The blocks whose number of pointers changed: from the shorter end to the longer.
            let shorter = below.len().min(old_below).saturating_sub(1) / POINTERS_PER_INDEX;
            changed.extend(shorter as u64..count as u64);
        }
        changed.retain(|position| *position < count as u64);
        for &position in &changed {
            let children = below.chunks(POINTERS_PER_INDEX).nth(position as usize);
            let mut builder = IndexBlockBuilder::new(owner, level, position);
            for pointer in children.unwrap_or_default() {
                // A chunk is never longer than a block: the push cannot fail.
                let _ = builder.push(*pointer);
            }
            let old = index[position as usize];
            index[position as usize] = writer.write(&builder.finish(), old)?;
        }
        *dirty = changed;
        Ok(index)
    }
}
