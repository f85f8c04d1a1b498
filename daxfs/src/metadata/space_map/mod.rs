//! The space map: which blocks are in use, as the next checkpoint is to say.
//!
//! # Why
//! Without it, a mount would have to read every node and every extent to know what is free. It is a
//! cache of what the tree says, written with it, checked against it by fsck.
//!
//! # Slots
//! Each block of the map has two places on the medium. The pointers of the last durable checkpoint
//! lead to one of them, and a write goes to the other:
//!
//! ```text
//!   stored:    the slots that the durable superblock reaches, never written
//!      |  write: leaves that differ, and the path above them, to the other slots
//!      v
//!   prepared:  the slots that the new superblock will reach
//!      |  commit: the new superblock is durable (both copies)
//!      v
//!   stored
//! ```
//!
//! # Invariants
//! 1. `stored` is the map of a durable superblock, and no other superblock is on the medium: so the
//!    other slots belong to nobody.
//! 2. A leaf whose bits differ from `stored` is in `dirty` or in `prepared`.
//! 3. [`SpaceMap::write`] writes all leaves of both, each to the slot that `stored` does not use. A
//!    second attempt after a failure writes over the first, which nobody refers to, and never over
//!    `stored`, however many attempts fail.
//! 4. Invariant 1 ends when a superblock that names the prepared map is begun. Should writing that
//!    superblock fail, it may be on the medium or not: whoever wrote it must not write the map
//!    again, nor give back a block that either checkpoint uses, before one is durable for certain.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`bits`] | the bits, in leaves |
//! | [`load`] | reads a map, level by level |
//! | [`mod@write`] | writes what differs, and commits |
//!
//! Takes no locks: its owner's mutex guards it.

mod bits;
mod load;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use bits::Bits;

use crate::error::{Error, Result};
use crate::format::image_geometry::ImageGeometry;
use crate::format::space_block::SpacePlace;
use crate::format::{BlockPointer, Structure};
use crate::run::Run;

/// Where a space map is on the medium: what a superblock says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpaceRoot {
    /// The topmost block; null when no block is in use.
    pub(crate) pointer: BlockPointer,
    /// Its level, which follows from the size of the image.
    pub(crate) level: u16,
}

/// The blocks in use, in memory, with what of it is on the medium.
pub(crate) struct SpaceMap {
    geometry: ImageGeometry,
    bits: Bits,
    /// The pointers of each level, the leaves' first; the last level is the root alone.
    stored: Vec<Vec<BlockPointer>>,
    /// Leaves that were changed since the last write.
    dirty: BTreeSet<u64>,
    /// Blocks written since the last commit, and where.
    prepared: BTreeMap<SpacePlace, BlockPointer>,
}

impl SpaceMap {
    /// The map of an image in which nothing is in use.
    pub(crate) fn new(geometry: ImageGeometry) -> Self {
        let nulls = |level| vec![BlockPointer::NULL; geometry.space_blocks_at(level) as usize];
        Self {
            geometry,
            bits: Bits::new(geometry.space_leaves()),
            stored: (0..=geometry.space_level()).map(nulls).collect(),
            dirty: BTreeSet::new(),
            prepared: BTreeMap::new(),
        }
    }

    /// Marks blocks of the data area in use that were free.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and nothing is changed, when some were in use: two have them.
    pub(crate) fn set(&mut self, run: Run) -> Result<()> {
        self.check_used(run, 0)?;
        self.bits.set(run, &mut self.dirty);
        Ok(())
    }

    /// Marks blocks of the data area free that were in use.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and nothing is changed, when some were free: the map and whoever had
    /// them contradict each other.
    pub(crate) fn clear(&mut self, run: Run) -> Result<()> {
        self.check_used(run, run.len_blocks)?;
        self.bits.clear(run, &mut self.dirty);
        Ok(())
    }

    fn check_used(&self, run: Run, expected_blocks: u64) -> Result<()> {
        let is_inside = self.is_in_data_area(run);
        if is_inside && self.bits.used_blocks_in(run) == expected_blocks {
            return Ok(());
        }
        Err(Error::Corrupt {
            structure: Structure::SpaceMap.name(),
            block: run.block,
            problem: format!(
                "of the {} blocks from here on {expected_blocks} were to be in use",
                run.len_blocks
            ),
        })
    }

    /// Whether a block is in use; those outside the data area are.
    #[cfg(test)]
    pub(crate) fn is_used(&self, block: u64) -> bool {
        !self.is_in_data_area(Run::new(block, 1)) || self.bits.is_set(block)
    }

    /// How many blocks of the data area are in use.
    pub(crate) fn used_blocks(&self) -> u64 {
        self.bits.used_blocks()
    }

    /// The runs of blocks of the data area that are in use, in order, each as long as it can be.
    pub(crate) fn used_runs(&self) -> impl Iterator<Item = Run> {
        self.bits.runs()
    }

    fn is_in_data_area(&self, run: Run) -> bool {
        run.len_blocks == 0 || self.geometry.is_data_range(run.block, run.len_blocks)
    }
}
