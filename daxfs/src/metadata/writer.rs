//! Writes metadata blocks to free places, and remembers what it wrote and what that replaced.
//!
//! Touches blocks that nobody refers to yet. Takes no locks but the allocator's latch, through the
//! function that gives it blocks.

use daxfs_pmem::{Device, Durable, InFlight};

use super::block::read_block;
use crate::error::Result;
use crate::format::geometry::block_offset_bytes;
use crate::format::{Block, BlockPointer};

/// Writes the blocks of one checkpoint.
pub(crate) struct BlockWriter<'checkpoint> {
    device: &'checkpoint Device,
    allocate: &'checkpoint dyn Fn() -> Result<u64>,
    /// Blocks that it allocated: to be given back if the checkpoint fails.
    written: Vec<u64>,
    /// Blocks that the new trees no longer reach: to be given back once they are durable.
    replaced: Vec<u64>,
    in_flight: Option<InFlight>,
}

impl<'checkpoint> BlockWriter<'checkpoint> {
    pub(crate) fn new(
        device: &'checkpoint Device,
        allocate: &'checkpoint dyn Fn() -> Result<u64>,
    ) -> Self {
        Self {
            device,
            allocate,
            written: Vec::new(),
            replaced: Vec::new(),
            in_flight: None,
        }
    }

    /// The device it writes to.
    pub(crate) fn device(&self) -> &'checkpoint Device {
        self.device
    }

    /// Stores `block` in the place of what `old` points to: nowhere new when that is the same.
    pub(crate) fn write(&mut self, block: &Block, old: BlockPointer) -> Result<BlockPointer> {
        if self.is_unchanged(block, old)? {
            return Ok(old);
        }
        let number = (self.allocate)()?;
        self.written.push(number);
        let copied = self
            .device
            .copy(block_offset_bytes(number), block.bytes())?;
        self.in_flight = Some(match self.in_flight.take() {
            Some(before) => before.and(copied),
            None => copied,
        });
        self.replace(old);
        Ok(BlockPointer::to(number, block))
    }

    /// Notes that what `old` points to is no longer reached.
    pub(crate) fn replace(&mut self, old: BlockPointer) {
        if !old.is_null() {
            self.replaced.push(old.block);
        }
    }

    /// Equal checksums are a hint; only equal bytes are a proof.
    fn is_unchanged(&self, block: &Block, old: BlockPointer) -> Result<bool> {
        if old.is_null() || old.checksum != block.checksum() {
            return Ok(false);
        }
        Ok(read_block(self.device, old.block)? == *block)
    }

    /// Makes all that was written durable; `None` when nothing was written.
    pub(crate) fn fence(&mut self) -> Result<Option<Durable>> {
        match self.in_flight.take() {
            Some(in_flight) => Ok(Some(self.device.fence(in_flight)?)),
            None => Ok(None),
        }
    }

    /// The blocks it allocated, and the blocks that they replace.
    pub(crate) fn into_written_and_replaced(self) -> (Vec<u64>, Vec<u64>) {
        if let Some(in_flight) = self.in_flight {
            // Only after an error: what is not fenced is given back and never referred to.
            in_flight.defer();
        }
        (self.written, self.replaced)
    }
}
