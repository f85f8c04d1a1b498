//! Checksums of the blocks of a file, one item for 128 blocks of it. Plain values, no locks.
//!
//! A block has a checksum or none, and what has one is known to be what it was: see
//! `inode::block_map::checksums` for when that is. An item without any is not stored.

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::key::{ItemKind, Key};
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::MAXIMUM_FILE_BLOCKS;

/// Blocks of a file that one item is about: 512 KiB.
pub(crate) const CHECKSUM_GROUP_BLOCKS: u64 = 128;

const BITS_LEN: usize = size_of::<u128>();
const SUM_LEN: usize = size_of::<u32>();

/// The checksum of a block's bytes, as blocks of metadata have it: CRC-32C.
pub(crate) fn data_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The key of the item of one group.
pub(crate) fn checksum_key(inode: u64, group: u64) -> Key {
    let position = group.saturating_mul(CHECKSUM_GROUP_BLOCKS);
    Key::new(inode, ItemKind::DataChecksums, position)
}

/// Checksums of blocks of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChecksums {
    /// The first block of the group within the file.
    pub(crate) first_block: u64,
    /// Bit `n` says that block `first_block + n` has a checksum.
    pub(crate) bits: u128,
    /// That of each such block, in order.
    pub(crate) sums: Vec<u32>,
}

impl StoredChecksums {
    /// The value of the item.
    pub(crate) fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.bits.count_ones() as usize, self.sums.len());
        let mut value = Vec::with_capacity(BITS_LEN + self.sums.len() * SUM_LEN);
        value.extend_from_slice(&self.bits.to_le_bytes());
        for sum in &self.sums {
            value.extend_from_slice(&sum.to_le_bytes());
        }
        value
    }

    /// Decodes an item.
    pub(crate) fn decode(position: u64, value: &[u8]) -> Result<Self, FormatError> {
        let fields = Fields(Structure::DataChecksums);
        fields.range("position", 0, MAXIMUM_FILE_BLOCKS - 1, position)?;
        fields.equal("position in group", 0_u64, position % CHECKSUM_GROUP_BLOCKS)?;
        let (bits, sums) = value
            .split_first_chunk::<BITS_LEN>()
            .ok_or(fields.invalid("length", "is less than 16"))?;
        let bits = u128::from_le_bytes(*bits);
        fields.range("blocks", 1, CHECKSUM_GROUP_BLOCKS, bits.count_ones().into())?;
        let expected = bits.count_ones() as usize * SUM_LEN;
        fields.equal("length of sums", expected as u64, sums.len() as u64)?;
        let mut decoded = vec![U32::ZERO; bits.count_ones() as usize];
        decoded.as_mut_bytes().copy_from_slice(sums);
        Ok(Self {
            first_block: position,
            bits,
            sums: decoded.into_iter().map(U32::get).collect(),
        })
    }

    /// Each block that has a checksum, and that.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, u32)> {
        let has = |n: &u64| self.bits >> n & 1 == 1;
        let blocks = (0..CHECKSUM_GROUP_BLOCKS).filter(has);
        let numbers = blocks.map(|n| self.first_block + n);
        numbers.zip(self.sums.iter().copied())
    }
}
