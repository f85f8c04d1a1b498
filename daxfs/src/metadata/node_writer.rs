//! Writes the metadata of one checkpoint: nodes to free blocks, the space map to its other slots.
//!
//! Remembers what it wrote and what that replaced. Touches blocks that nobody refers to yet. Takes
//! no locks but the allocator's latch, through the function that gives it blocks.

use daxfs_pmem::{Device, Durable, InFlight};

use crate::error::Result;
use crate::format::geometry::block_offset_bytes;
use crate::format::{Block, BlockPointer};

/// Writes the blocks of one checkpoint.
///
/// # Invariants
/// 1. Every block of `written` came from the allocator since this writer was made.
/// 2. The blocks that a tree reaches after the changes are those it reached before, and `written`,
///    without `replaced`. A block that one change wrote and another replaced is in both.
pub(crate) struct NodeWriter<'checkpoint> {
    device: &'checkpoint Device,
    generation: u64,
    allocate: &'checkpoint dyn Fn() -> Result<u64>,
    written: Vec<u64>,
    replaced: Vec<u64>,
    in_flight: Option<InFlight>,
}

impl<'checkpoint> NodeWriter<'checkpoint> {
    /// A writer of the checkpoint `generation`, which takes its blocks from `allocate`.
    pub(crate) fn new(
        device: &'checkpoint Device,
        generation: u64,
        allocate: &'checkpoint dyn Fn() -> Result<u64>,
    ) -> Self {
        Self {
            device,
            generation,
            allocate,
            written: Vec::new(),
            replaced: Vec::new(),
            in_flight: None,
        }
    }

    /// The checkpoint it writes.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes a free block for a node.
    pub(super) fn allocate(&mut self) -> Result<u64> {
        let block = (self.allocate)()?;
        self.written.push(block);
        Ok(block)
    }

    /// Writes `bytes` to the block `number`, which nothing that is durable refers to.
    pub(super) fn write(&mut self, number: u64, bytes: &Block) -> Result<BlockPointer> {
        let copied = self
            .device
            .copy(block_offset_bytes(number), bytes.bytes())?;
        self.in_flight = Some(match self.in_flight.take() {
            Some(before) => before.and(copied),
            None => copied,
        });
        Ok(BlockPointer::to(number, bytes))
    }

    /// Notes that the node which `old` points to is no longer reached.
    pub(super) fn replace(&mut self, old: BlockPointer) {
        if !old.is_null() {
            self.replaced.push(old.block);
        }
    }

    /// The blocks it took so far: in use from now on, or to be given back if the checkpoint fails.
    pub(crate) fn written(&self) -> &[u64] {
        &self.written
    }

    /// The blocks that are no longer reached so far: to be given back once the checkpoint is
    /// durable.
    pub(crate) fn replaced(&self) -> &[u64] {
        &self.replaced
    }

    /// Makes all that was written durable; `None` when nothing was written.
    pub(crate) fn fence(&mut self) -> Result<Option<Durable>> {
        match self.in_flight.take() {
            Some(in_flight) => Ok(Some(self.device.fence(in_flight)?)),
            None => Ok(None),
        }
    }

    /// The blocks that it took, and those that are no longer reached.
    pub(crate) fn into_written_and_replaced(mut self) -> (Vec<u64>, Vec<u64>) {
        (
            std::mem::take(&mut self.written),
            std::mem::take(&mut self.replaced),
        )
    }
}

impl Drop for NodeWriter<'_> {
    fn drop(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            // Only after an error: what is not fenced is given back and never referred to.
            in_flight.defer();
        }
    }
}
