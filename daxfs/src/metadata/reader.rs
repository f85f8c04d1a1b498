//! Reads pointer trees, checking every block against the pointer that led to it.
//!
//! Touches the device and marks each block it reads in the allocator, so that a block with two
//! owners is found at once. Takes no locks but the allocator's latch.

use daxfs_pmem::Device;

use super::block::read_block;
use super::tree::StoredTree;
use crate::allocation::Allocator;
use crate::error::{Error, Result};
use crate::format::geometry::children;
use crate::format::{Block, BlockPointer, Identity, IndexBlock, NullPointers, Structure, TreeRoot};
use crate::run::Run;

/// Reads the trees of an image that is being mounted.
pub(crate) struct TreeReader<'image> {
    pub(crate) device: &'image Device,
    pub(crate) allocator: &'image Allocator,
}

impl TreeReader<'_> {
    /// Reads the tree of `owner` and calls `visit` with each leaf's ordinal, block number and
    /// bytes, in order. Leaves behind null pointers are skipped.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for the first block that is not what its pointer says, or that something
    /// else uses too; and whatever `visit` returns.
    pub(crate) fn read(
        &self,
        owner: u64,
        root: TreeRoot,
        leaf: Structure,
        nulls: NullPointers,
        mut visit: impl FnMut(u64, u64, &Block) -> Result<()>,
    ) -> Result<StoredTree> {
        if root.leaves == 0 {
            return Ok(StoredTree::default());
        }
        let leaves = u64::from(root.leaves);
        let mut levels = vec![vec![root.pointer]];
        for level in (1..=root.level).rev() {
            let mut below = Vec::new();
            for (position, pointer) in levels[0].iter().enumerate() {
                let expected = children(leaves, level, position as u64);
                below.extend(self.read_index(
                    owner,
                    level,
                    position as u64,
                    *pointer,
                    nulls,
                    expected,
                )?);
            }
            levels.insert(0, below);
        }
        for (ordinal, pointer) in levels[0].iter().enumerate().filter(|(_, p)| !p.is_null()) {
            let block = self.checked(*pointer, leaf)?;
            visit(ordinal as u64, pointer.block, &block)?;
        }
        Ok(StoredTree::from_levels(levels))
    }

    fn read_index(
        &self,
        owner: u64,
        level: u16,
        position: u64,
        pointer: BlockPointer,
        nulls: NullPointers,
        expected: usize,
    ) -> Result<Vec<BlockPointer>> {
        if pointer.is_null() {
            return Ok(vec![BlockPointer::NULL; expected]);
        }
        let block = self.checked(pointer, Structure::IndexBlock)?;
        let identity = Identity::index_block(owner, level, position);
        let index = IndexBlock::parse(&block, identity, nulls)
            .map_err(|error| error.at_block(pointer.block))?;
        if index.pointers().len() != expected {
            return Err(Error::Corrupt {
                structure: Structure::IndexBlock.name(),
                block: pointer.block,
                problem: format!("{} pointers, expected {expected}", index.pointers().len()),
            });
        }
        Ok(index.pointers().to_vec())
    }

    /// The block that `pointer` was made for, now marked in use.
    fn checked(&self, pointer: BlockPointer, structure: Structure) -> Result<Block> {
        self.mark(Run::new(pointer.block, 1), structure)?;
        let block = read_block(self.device, pointer.block)?;
        pointer
            .verify(&block, structure)
            .map_err(|error| error.at_block(pointer.block))?;
        Ok(block)
    }

    /// Marks blocks in use, once.
    pub(crate) fn mark(&self, run: Run, structure: Structure) -> Result<()> {
        self.allocator
            .mark_used(run)
            .map_err(|block| Error::Corrupt {
                structure: structure.name(),
                block,
                problem: "the block is outside the data area, or something else uses it too".into(),
            })
    }
}
