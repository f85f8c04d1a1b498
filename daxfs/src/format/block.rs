//! The 4096 bytes that every structure is read from and written to.
//!
//! Plain owned memory, never a view of the device: what was checked stays checked.

use std::fmt;

use super::geometry::BLOCK_LEN;

/// The bytes of one block.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Block(Box<[u8; BLOCK_LEN]>);

impl Block {
    /// A block of zeroes.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; BLOCK_LEN]))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8; BLOCK_LEN] {
        &self.0
    }

    /// The bytes, to be filled from a device.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; BLOCK_LEN] {
        &mut self.0
    }

    /// CRC-32C (Castagnoli) of the whole block, as block pointers hold it.
    pub(crate) fn checksum(&self) -> u32 {
        crc32c::crc32c(self.bytes())
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Block(crc32c {:#010x})", self.checksum())
    }
}

/// A builder's block has no room for another entry: finish it and begin the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block is full; finish it and begin the next one")]
pub(crate) struct BlockFull;
