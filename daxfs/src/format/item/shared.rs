//! Runs of blocks with several owners, and how many. Plain values, no locks.
//!
//! A block with one owner has no such item: the extent that has it is enough. So files that share
//! nothing cost nothing here.

use std::ops::Range;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::key::{ItemKind, Key};
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::{DATA_START_BLOCK, MAXIMUM_BLOCKS};

/// Bytes that the value of such an item has.
pub(crate) const STORED_SHARED_RUN_LEN: usize = 16;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawStoredSharedRun {
    pub(in crate::format) len_blocks: U64,
    pub(in crate::format) owners: U64,
}

const _: () = assert!(size_of::<RawStoredSharedRun>() == STORED_SHARED_RUN_LEN);

/// The keys of items whose runs begin in a range of device blocks.
pub(crate) fn shared_keys(device_blocks: Range<u64>) -> Range<Key> {
    let key = |block| Key::new(0, ItemKind::Shared, block);
    key(device_blocks.start)..key(device_blocks.end)
}

/// A run of device blocks that several file blocks refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoredSharedRun {
    /// The first block on the device: the position of the item.
    pub(crate) device_block: u64,
    /// How many blocks, at least 1.
    pub(crate) len_blocks: u64,
    /// How many file blocks refer to each of them, at least 2.
    pub(crate) owners: u64,
}

impl StoredSharedRun {
    /// The value of the item.
    pub(crate) fn encode(&self) -> [u8; STORED_SHARED_RUN_LEN] {
        let raw = RawStoredSharedRun {
            len_blocks: self.len_blocks.into(),
            owners: self.owners.into(),
        };
        zerocopy::transmute!(raw)
    }

    /// Decodes an item.
    pub(crate) fn decode(position: u64, value: &[u8]) -> Result<Self, FormatError> {
        let fields = Fields(Structure::SharedRun);
        let raw = RawStoredSharedRun::read_from_bytes(value)
            .map_err(|_| fields.invalid("length", "is not 16"))?;
        let len_blocks = raw.len_blocks.get();
        let most = MAXIMUM_BLOCKS - DATA_START_BLOCK;
        fields.range("len_blocks", 1, most, len_blocks)?;
        let most = MAXIMUM_BLOCKS - len_blocks;
        fields.range("device_block", DATA_START_BLOCK, most, position)?;
        let owners = raw.owners.get();
        fields.range("owners", 2, u64::MAX, owners)?;
        Ok(Self {
            device_block: position,
            len_blocks,
            owners,
        })
    }
}
