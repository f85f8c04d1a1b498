//! Verified reading of the blocks of a pointer tree.
//!
//! Nothing is believed before it was checked: a pointer's target is within the data area, the
//! target's checksum is the pointer's, its header is that of the very block expected here.

use daxfs_pmem::Device;

use super::issue::{Issue, Owner, Tree};
use super::ownership::Ownership;
use crate::error::Error;
use crate::format::geometry::{
    INODE_TABLE_OWNER, POINTERS_PER_INDEX, block_offset_bytes, children, is_data_range,
};
use crate::format::{Block, BlockPointer, Identity, IndexBlock, NullPointers, Structure, TreeRoot};

/// An image under check.
#[derive(Debug)]
pub(super) struct Image<'a> {
    device: &'a Device,
    /// Its size in blocks; the device has as many.
    pub(super) block_count: u64,
    /// Who uses its blocks.
    pub(super) ownership: Ownership,
}

/// What a walk or a check found, so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong.
    pub(super) issues: Vec<Issue>,
    /// Metadata blocks that are where a pointer says.
    pub(super) metadata_blocks: u64,
    /// How many blocks or inodes could not be followed, so that counts are not whole.
    pub(super) unread: u64,
}

impl Findings {
    /// Notes something that keeps part of the image from being read.
    pub(super) fn lost(&mut self, issue: Issue) {
        self.issues.push(issue);
        self.unread += 1;
    }
}

/// A leaf of a tree: its ordinal, and the pointer to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafPointer {
    pub(super) index: u64,
    pub(super) pointer: BlockPointer,
}

impl<'a> Image<'a> {
    /// An image of which nothing is known yet but its size.
    pub(super) fn new(device: &'a Device, block_count: u64) -> Self {
        Self {
            device,
            block_count,
            ownership: Ownership::new(block_count),
        }
    }

    /// Reads the block of `tree` that `pointer` leads to, or notes why it cannot be believed.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn read(
        &self,
        tree: Tree,
        pointer: BlockPointer,
        structure: Structure,
        findings: &mut Findings,
    ) -> Result<Option<Block>, Error> {
        let (target, block_count) = (pointer.block, self.block_count);
        if !is_data_range(target, 1, block_count) {
            findings.lost(Issue::PointerOutOfImage {
                tree,
                target,
                block_count,
            });
            return Ok(None);
        }
        self.ownership
            .claim(target..target + 1, Owner::Metadata(tree));
        findings.metadata_blocks += 1;
        let mut block = Block::zeroed();
        self.device
            .read(block_offset_bytes(target), block.bytes_mut())?;
        if let Err(error) = pointer.verify(&block, structure) {
            findings.lost(Issue::BadBlock {
                tree,
                block: target,
                error,
            });
            return Ok(None);
        }
        Ok(Some(block))
    }

    /// Walks the index blocks of a tree and returns its leaves, in order; those that cannot be
    /// reached are missing. Null pointers are issues but in the inode table.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn leaves(
        &self,
        tree: Tree,
        root: TreeRoot,
        findings: &mut Findings,
    ) -> Result<Vec<LeafPointer>, Error> {
        if root.leaves == 0 {
            return Ok(Vec::new());
        }
        let mut nodes = vec![LeafPointer {
            index: 0,
            pointer: root.pointer,
        }];
        for level in (1..=root.level).rev() {
            let mut below = Vec::new();
            for node in nodes {
                let position = Position {
                    tree,
                    level,
                    leaves: root.leaves.into(),
                };
                self.descend(position, node, &mut below, findings)?;
            }
            nodes = below;
        }
        Ok(nodes)
    }

    /// Reads the index block `node` and adds the blocks below it to `below`.
    fn descend(
        &self,
        Position {
            tree,
            level,
            leaves,
        }: Position,
        node: LeafPointer,
        below: &mut Vec<LeafPointer>,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let LeafPointer { index, pointer } = node;
        let Some(block) = self.read(tree, pointer, Structure::IndexBlock, findings)? else {
            return Ok(());
        };
        let owner = match tree {
            Tree::InodeTable => INODE_TABLE_OWNER,
            Tree::Extents { inode } | Tree::Entries { inode } => inode,
        };
        let identity = Identity::index_block(owner, level, index);
        let parsed = match IndexBlock::parse(&block, identity, NullPointers::Allowed) {
            Ok(parsed) => parsed,
            Err(error) => {
                findings.lost(Issue::BadBlock {
                    tree,
                    block: pointer.block,
                    error,
                });
                return Ok(());
            }
        };
        let (expected, found) = (children(leaves, level, index), parsed.pointers().len());
        if expected != found {
            let (expected, found) = (expected as u64, found as u64);
            findings.lost(Issue::PointerCount {
                tree,
                block: pointer.block,
                expected,
                found,
            });
        }
        let first = index.saturating_mul(POINTERS_PER_INDEX as u64);
        for (pointer, index) in parsed.pointers().iter().zip(first..).take(expected) {
            if !pointer.is_null() {
                below.push(LeafPointer {
                    index,
                    pointer: *pointer,
                });
            } else if tree != Tree::InodeTable {
                findings.lost(Issue::NullPointer {
                    tree,
                    level: level - 1,
                    index,
                });
            }
        }
        Ok(())
    }
}

/// Where an index block is in its tree, but for its ordinal.
#[derive(Debug, Clone, Copy)]
struct Position {
    tree: Tree,
    level: u16,
    leaves: u64,
}
