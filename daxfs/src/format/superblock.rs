//! The superblock: what the image is, and where the newest checkpoint's tree begins.
//!
//! There are two copies, in blocks 0 and 1. A checkpoint writes them one after the other, the
//! second once the first is durable, and both once all that they point to is durable: a crash at
//! any moment leaves a whole copy. The valid copy with the highest generation is the one that
//! counts ([`newest`]).
//!
//! Magic, version, the 512 bytes and the checksum at their end stay where they are in every
//! version of the format, so that a flipped bit is never taken for another version.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::Block;
use super::error::{Fields, FormatError, Problem, Structure};
pub(crate) use super::features::Features;
use super::geometry::{
    BLOCK_BYTES, BLOCK_LEN, DATA_START_BLOCK, MAXIMUM_BLOCKS, MAXIMUM_INODES, MINIMUM_BLOCKS,
    ROOT_INODE, SUPERBLOCK_BLOCKS, inode_table_leaves, is_data_range, level_for_leaves,
};
pub(crate) use super::label::Label;
use super::label::RawLabel;
use super::pointer::{BlockPointer, RawBlockPointer};
pub(crate) use super::state::SuperblockState;
use crate::error::Error;

/// The first bytes of an image. A byte that is no ASCII, and both line ends, show a copy that went
/// through a text conversion.
pub(crate) const MAGIC: [u8; 8] = *b"\x89DAXFS\r\n";
/// The version of the format that this library reads and writes.
pub(crate) const VERSION: u32 = 1;

const SUPERBLOCK_LEN: usize = 512;
const CHECKED_LEN: usize = SUPERBLOCK_LEN - 4;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSuperblock {
    magic: [u8; 8],
    version: U32,
    block_bytes: U32,
    feature_compatible: U64,
    feature_read_only_compatible: U64,
    feature_incompatible: U64,
    uuid: [u8; 16],
    block_count: U64,
    generation: U64,
    inode_table: RawBlockPointer,
    inode_table_level: U32,
    reserved_level: U32,
    next_inode: U64,
    live_inodes: U64,
    allocated_blocks: U64,
    root_inode: U64,
    created_ns: U64,
    checkpointed_ns: U64,
    state: U32,
    reserved_state: U32,
    label: RawLabel,
    reserved: [u8; 292],
    checksum: U32,
}

const _: () = assert!(size_of::<RawSuperblock>() == SUPERBLOCK_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSuperblockBlock {
    superblock: RawSuperblock,
    unused: [u8; BLOCK_LEN - SUPERBLOCK_LEN],
}

const _: () = assert!(size_of::<RawSuperblockBlock>() == BLOCK_LEN);

/// The superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// What the image uses beyond version 1.
    pub(crate) features: Features,
    /// Identifies the image, for as long as it lives.
    pub(crate) uuid: [u8; 16],
    /// The image's name.
    pub(crate) label: Label,
    /// The image's size in blocks.
    pub(crate) block_count: u64,
    /// The number of this checkpoint, from 1.
    pub(crate) generation: u64,
    /// The topmost block of the inode table.
    pub(crate) inode_table: BlockPointer,
    /// The level of that block: the one for `ceil(next_inode / 15)` leaves.
    pub(crate) inode_table_level: u16,
    /// Every inode number in use is below this.
    pub(crate) next_inode: u64,
    /// Inodes in use.
    pub(crate) live_inodes: u64,
    /// Blocks of the data area in use, for data and for metadata.
    pub(crate) allocated_blocks: u64,
    /// When the image was made, in nanoseconds since the start of 1970.
    pub(crate) created_ns: u64,
    /// When this checkpoint was made, in nanoseconds since the start of 1970.
    pub(crate) checkpointed_ns: u64,
    /// Whether the image was unmounted in good order.
    pub(crate) state: SuperblockState,
}

impl Superblock {
    /// The bytes of the superblock's block.
    pub(crate) fn encode(&self) -> Block {
        let mut block = Block::zeroed();
        let raw: &mut RawSuperblockBlock = transmute_mut!(block.bytes_mut());
        let raw = &mut raw.superblock;
        raw.magic = MAGIC;
        raw.version = VERSION.into();
        raw.block_bytes = (BLOCK_LEN as u32).into();
        raw.feature_compatible = self.features.compatible.into();
        raw.feature_read_only_compatible = self.features.read_only_compatible.into();
        raw.feature_incompatible = self.features.incompatible.into();
        raw.uuid = self.uuid;
        raw.block_count = self.block_count.into();
        raw.generation = self.generation.into();
        raw.inode_table = self.inode_table.encode();
        raw.inode_table_level = u32::from(self.inode_table_level).into();
        raw.next_inode = self.next_inode.into();
        raw.live_inodes = self.live_inodes.into();
        raw.allocated_blocks = self.allocated_blocks.into();
        raw.root_inode = ROOT_INODE.into();
        raw.created_ns = self.created_ns.into();
        raw.checkpointed_ns = self.checkpointed_ns.into();
        raw.state = (self.state as u32).into();
        raw.label = self.label.encode();
        raw.checksum = crc32c::crc32c(&raw.as_bytes()[..CHECKED_LEN]).into();
        block
    }

    /// Decodes one copy of the superblock and checks all that it alone can show.
    ///
    /// # Errors
    /// [`SuperblockError`]: from "no image at all" to a single field. Unknown read-only
    /// compatible features are no error: see [`Features::unknown_read_only_compatible`].
    pub(crate) fn decode(block: &Block) -> Result<Self, SuperblockError> {
        let raw_block: &RawSuperblockBlock = transmute_ref!(block.bytes());
        let raw = &raw_block.superblock;
        if raw.magic != MAGIC {
            return Err(SuperblockError::NotAnImage { found: raw.magic });
        }
        let (expected, found) = (
            raw.checksum.get(),
            crc32c::crc32c(&raw.as_bytes()[..CHECKED_LEN]),
        );
        if expected != found {
            let problem = Problem::Checksum { expected, found };
            return Err(FormatError::new(Structure::Superblock, problem).into());
        }
        if raw.version != VERSION {
            return Err(SuperblockError::Version {
                found: raw.version.get(),
            });
        }
        let features = Features {
            compatible: raw.feature_compatible.get(),
            read_only_compatible: raw.feature_read_only_compatible.get(),
            incompatible: raw.feature_incompatible.get(),
        };
        let generation = raw.generation.get();
        if features.unknown_incompatible() != 0 {
            let bits = features.unknown_incompatible();
            return Err(SuperblockError::Features { bits, generation });
        }
        let superblock = Self {
            features,
            uuid: raw.uuid,
            label: Label::decode(&raw.label)?,
            block_count: raw.block_count.get(),
            generation,
            inode_table: BlockPointer::decode(&raw.inode_table)?,
            inode_table_level: raw.check_level()?,
            next_inode: raw.next_inode.get(),
            live_inodes: raw.live_inodes.get(),
            allocated_blocks: raw.allocated_blocks.get(),
            created_ns: raw.created_ns.get(),
            checkpointed_ns: raw.checkpointed_ns.get(),
            state: raw.decode_state()?,
        };
        raw.check_constants()?;
        Fields(Structure::Superblock).zero("bytes after the superblock", &raw_block.unused)?;
        superblock.check()?;
        Ok(superblock)
    }

    /// Checks that the fields are plausible and agree with each other.
    fn check(&self) -> Result<(), FormatError> {
        let fields = Fields(Structure::Superblock);
        fields.range(
            "block_count",
            MINIMUM_BLOCKS,
            MAXIMUM_BLOCKS,
            self.block_count,
        )?;
        // The last generation has no successor, so a counter that reached it is not believed.
        fields.range("generation", 1, u64::MAX - 1, self.generation)?;
        if !is_data_range(self.inode_table.block, 1, self.block_count) {
            let most = self.block_count - 1;
            let block = self.inode_table.block;
            fields.range("inode_table", DATA_START_BLOCK, most, block)?;
        }
        fields.range("live_inodes", 1, self.next_inode - 1, self.live_inodes)?;
        let most = self.block_count - DATA_START_BLOCK;
        fields.range("allocated_blocks", 1, most, self.allocated_blocks)
    }
}

impl RawSuperblock {
    fn check_constants(&self) -> Result<(), FormatError> {
        let fields = Fields(Structure::Superblock);
        fields.equal("block_bytes", BLOCK_BYTES, self.block_bytes.get())?;
        fields.equal("root_inode", ROOT_INODE, self.root_inode.get())?;
        fields.zero("reserved", self.reserved_level.as_bytes())?;
        fields.zero("reserved", self.reserved_state.as_bytes())?;
        fields.zero("reserved", &self.reserved)
    }

    /// Checks `next_inode`, and that the inode table has the level that follows from it.
    fn check_level(&self) -> Result<u16, FormatError> {
        let fields = Fields(Structure::Superblock);
        let next_inode = self.next_inode.get();
        fields.range("next_inode", ROOT_INODE + 1, MAXIMUM_INODES, next_inode)?;
        // There is a level for so many inodes: the line before has just bounded them.
        let level = level_for_leaves(inode_table_leaves(next_inode)).unwrap_or_default();
        fields.equal("inode_table_level", level, self.inode_table_level.get())?;
        Ok(level)
    }

    fn decode_state(&self) -> Result<SuperblockState, FormatError> {
        match self.state.get() {
            1 => Ok(SuperblockState::Clean),
            2 => Ok(SuperblockState::InUse),
            found => {
                let (least, most, found) = (1, 2, found.into());
                let problem = Problem::OutOfRange {
                    field: "state",
                    least,
                    most,
                    found,
                };
                Err(FormatError::new(Structure::Superblock, problem))
            }
        }
    }
}

/// Why a copy of the superblock cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockError {
    /// There is no superblock here.
    #[error("begins with {:02x?}, not with the magic of a daxfs image", found)]
    NotAnImage {
        /// What is where the magic should be.
        found: [u8; 8],
    },
    /// A whole superblock of another version.
    #[error("format version {found}, not {VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
    /// A whole superblock with unknown incompatible features.
    #[error("unknown incompatible features {bits:#x}")]
    Features {
        /// The unknown bits.
        bits: u64,
        /// The checkpoint it describes.
        generation: u64,
    },
    /// Damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl SuperblockError {
    /// The filesystem's error for this copy, which was read from `block`.
    pub(crate) fn at_block(self, block: u64) -> Error {
        match self {
            SuperblockError::NotAnImage { .. } => Error::NotAnImage {
                reason: self.to_string(),
            },
            SuperblockError::Version { found } => Error::UnsupportedVersion {
                found,
                supported: VERSION,
            },
            SuperblockError::Features { bits, .. } => Error::UnsupportedFeatures {
                class: "incompatible",
                bits,
            },
            SuperblockError::Format(error) => error.at_block(block),
        }
    }

    /// How much an error of one copy says about the image when neither copy is usable.
    fn weight(&self) -> u8 {
        match self {
            SuperblockError::NotAnImage { .. } => 0,
            SuperblockError::Format(_) => 1,
            SuperblockError::Features { .. } => 2,
            SuperblockError::Version { .. } => 3,
        }
    }
}

/// Which of the two copies (of blocks 0 and 1, as [`Superblock::decode`] saw them) counts: the
/// valid one with the highest generation.
///
/// # Errors
/// When neither is valid, the error that says most, with its block. Also when one is valid and the
/// other is a whole superblock of another version, or a newer one with unknown incompatible
/// features: then the image belongs to a newer program, and the valid copy is out of date.
pub(crate) fn newest(
    copies: [Result<Superblock, SuperblockError>; 2],
) -> Result<Superblock, Error> {
    let [first, second] = SUPERBLOCK_BLOCKS;
    match copies {
        [Ok(a), Ok(b)] => Ok(if a.generation >= b.generation { a } else { b }),
        [Ok(valid), Err(error)] => unless_superseded(valid, error, second),
        [Err(error), Ok(valid)] => unless_superseded(valid, error, first),
        [Err(a), Err(b)] if a.weight() >= b.weight() => Err(a.at_block(first)),
        [Err(_), Err(b)] => Err(b.at_block(second)),
    }
}

fn unless_superseded(
    valid: Superblock,
    other: SuperblockError,
    other_block: u64,
) -> Result<Superblock, Error> {
    match other {
        SuperblockError::Version { .. } => Err(other.at_block(other_block)),
        SuperblockError::Features { generation, .. } if generation > valid.generation => {
            Err(other.at_block(other_block))
        }
        _ => Ok(valid),
    }
}
