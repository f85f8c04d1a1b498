//! The image under check: its device, and the superblock that counts.
//!
//! Reads whole blocks. Takes no locks.

use daxfs_pmem::Device;

use crate::error::Error;
use crate::format::geometry::block_offset_bytes;
use crate::format::{Block, ImageGeometry, Superblock};

/// An image under check.
#[derive(Debug, Clone)]
pub(super) struct Image<'a> {
    /// Where it lies; the device has as many blocks as the superblock says, at least.
    pub(super) device: &'a Device,
    /// The copy of the superblock that counts.
    pub(super) superblock: Superblock,
}

impl Image<'_> {
    /// Where its regions lie.
    pub(super) fn geometry(&self) -> &ImageGeometry {
        &self.superblock.geometry
    }

    /// Its size in blocks.
    pub(super) fn block_count(&self) -> u64 {
        self.geometry().block_count
    }

    /// Reads a block.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn read(&self, number: u64) -> Result<Block, Error> {
        let mut block = Block::zeroed();
        self.device
            .read(block_offset_bytes(number), block.bytes_mut())?;
        Ok(block)
    }
}
