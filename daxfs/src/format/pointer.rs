//! Block pointers: where a metadata block is, and the checksum it must have.
//!
//! The checksum is in the parent and not in the block, so a block that was never written, was
//! written elsewhere, was written in part, or is from an older tree fails it as surely as one whose
//! bits flipped: the parent was written for these very bytes. (The principle is that of ZFS; see
//! "Block pointer" in the format document.)

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::Block;
use super::error::{Fields, FormatError, Problem, Structure};

/// A pointer as it lies on the medium.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawBlockPointer {
    block: U64,
    checksum: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<RawBlockPointer>() == 16);

/// Where a metadata block is and what its checksum must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockPointer {
    /// The block's number; 0 in the null pointer.
    pub(crate) block: u64,
    /// CRC-32C of the block's 4096 bytes; 0 in the null pointer.
    pub(crate) checksum: u32,
}

impl BlockPointer {
    /// The pointer to nothing, 16 zero bytes.
    pub(crate) const NULL: Self = Self {
        block: 0,
        checksum: 0,
    };

    /// A pointer to `target`, which is or will be at block number `block`.
    pub(crate) fn to(block: u64, target: &Block) -> Self {
        Self {
            block,
            checksum: target.checksum(),
        }
    }

    /// Whether this points to nothing.
    pub(crate) fn is_null(self) -> bool {
        self.block == 0
    }

    /// Checks that `target` is the very block this pointer was made for. `structure` is what it
    /// should be, for the message.
    pub(crate) fn verify(self, target: &Block, structure: Structure) -> Result<(), FormatError> {
        let found = target.checksum();
        if found == self.checksum {
            return Ok(());
        }
        let expected = self.checksum;
        Err(FormatError::new(
            structure,
            Problem::Checksum { expected, found },
        ))
    }

    pub(super) fn encode(self) -> RawBlockPointer {
        RawBlockPointer {
            block: self.block.into(),
            checksum: self.checksum.into(),
            reserved: U32::ZERO,
        }
    }

    pub(super) fn decode(raw: &RawBlockPointer) -> Result<Self, FormatError> {
        let fields = Fields(Structure::BlockPointer);
        fields.zero("reserved", raw.reserved.as_bytes())?;
        if raw.block == U64::ZERO {
            fields.equal("checksum of a null pointer", 0_u32, raw.checksum.get())?;
        }
        Ok(Self {
            block: raw.block.get(),
            checksum: raw.checksum.get(),
        })
    }
}
