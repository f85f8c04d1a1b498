//! Reading and writing the two copies of the superblock.
//!
//! Both copies are written at each checkpoint, the second once the first is durable. So one of them
//! is whole at any moment, and no block is reused before both name the new trees: whichever copy is
//! lost, the other describes blocks that are still there.
//!
//! A crash between the two, or within one, leaves a copy that counts and one that does not. Then
//! the one that does not is written first ([`Order`]): a second crash must not find both torn.
//!
//! Touches blocks 0 and 1. Takes no locks.

use daxfs_pmem::{Device, Durable};

use crate::error::{Error, Result};
use crate::format::Superblock;
use crate::format::geometry::{BLOCK_BYTES, SUPERBLOCK_BLOCKS, block_offset_bytes};
use crate::metadata::read_block;

/// In which order the copies are written: the one that counts last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Both are the same, or the second counts.
    FirstCopyFirst,
    /// The first copy counts.
    SecondCopyFirst,
}

impl Order {
    fn blocks(self) -> [u64; 2] {
        let [first, second] = SUPERBLOCK_BLOCKS;
        match self {
            Self::FirstCopyFirst => [first, second],
            Self::SecondCopyFirst => [second, first],
        }
    }
}

/// The superblock of the newest checkpoint, and in which order the copies are to be written next.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`],
/// [`Error::Corrupt`] when neither copy can be used; [`Error::Truncated`] when the device is
/// shorter than the image.
pub(super) fn read_superblock(device: &Device) -> Result<(Superblock, Order)> {
    if device.len_bytes() < 2 * BLOCK_BYTES {
        return Err(Error::NotAnImage {
            reason: format!("{} bytes cannot hold a superblock", device.len_bytes()),
        });
    }
    let [first, second] = SUPERBLOCK_BLOCKS;
    let first = Superblock::decode(&read_block(device, first)?);
    let second = Superblock::decode(&read_block(device, second)?);
    let first_generation = first.as_ref().ok().map(|copy| copy.generation);
    let second_generation = second.as_ref().ok().map(|copy| copy.generation);
    let order = match first_generation > second_generation {
        true => Order::SecondCopyFirst,
        false => Order::FirstCopyFirst,
    };
    let superblock = Superblock::newest([first, second])?;
    let expected_bytes = block_offset_bytes(superblock.geometry.block_count);
    if device.len_bytes() < expected_bytes {
        return Err(Error::Truncated {
            expected_bytes,
            found_bytes: device.len_bytes(),
        });
    }
    Ok((superblock, order))
}

/// Commits: from the first fence on, the trees that `superblock` names are the filesystem. What it
/// names must be durable, which `_payload` proves.
pub(super) fn write_superblock(
    device: &Device,
    superblock: &Superblock,
    order: Order,
    _payload: &Durable,
) -> Result<()> {
    let block = superblock.encode();
    for copy in order.blocks() {
        let dirty = device.store(block_offset_bytes(copy), block.bytes())?;
        let _durable = device.fence(device.flush(dirty))?;
    }
    Ok(())
}
