//! Reading one block of the device. Checks nothing: whoever has the pointer to it does. No locks.

use daxfs_pmem::Device;

use crate::error::Result;
use crate::format::Block;
use crate::format::geometry::block_offset_bytes;

/// Reads one block.
pub(crate) fn read_block(device: &Device, block: u64) -> Result<Block> {
    let mut bytes = Block::zeroed();
    device.read(block_offset_bytes(block), bytes.bytes_mut())?;
    Ok(bytes)
}
