//! The superblock of version 2: what the image is, and where the newest checkpoint begins.
//!
//! There are two copies, in blocks 0 and 1. A checkpoint writes them one after the other, the
//! second once the first is durable, and both once all that they point to is durable: a crash at
//! any moment leaves a whole copy. The valid copy with the highest generation is the one that
//! counts ([`Superblock::newest`]).
//!
//! Magic, version, the 512 bytes and the checksum at their end stay where they are in every
//! version of the format, so that a flipped bit is never taken for another version.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::Block;
use super::error::{Fields, FormatError, Problem, Structure};
use super::features::Features;
use super::geometry::{BLOCK_LEN, MAXIMUM_BLOCKS, MINIMUM_BLOCKS, ROOT_INODE, SUPERBLOCK_BLOCKS};
use super::image_geometry::ImageGeometry;
use super::label::{Label, RawLabel};
use super::pointer::{BlockPointer, RawBlockPointer};
use super::state::SuperblockState;
use super::superblock_check::check;
use super::superblock_error::SuperblockError;
use crate::error::Error;

/// The first bytes of an image. A byte that is no ASCII, and both line ends, show a copy that went
/// through a text conversion.
pub(crate) const IMAGE_MAGIC: [u8; 8] = *b"\x89DAXFS\r\n";
/// The version of the format that this library reads and writes.
pub(crate) const IMAGE_VERSION: u32 = 2;

const SUPERBLOCK_LEN: usize = 512;
const CHECKED_LEN: usize = SUPERBLOCK_LEN - 4;
const FIELDS: Fields = Fields(Structure::Superblock);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawSuperblock {
    pub(in crate::format) magic: [u8; 8],
    pub(in crate::format) version: U32,
    pub(in crate::format) block_bytes: U32,
    pub(in crate::format) feature_compatible: U64,
    pub(in crate::format) feature_read_only_compatible: U64,
    pub(in crate::format) feature_incompatible: U64,
    pub(in crate::format) uuid: [u8; 16],
    pub(in crate::format) block_count: U64,
    pub(in crate::format) generation: U64,
    pub(in crate::format) root: RawBlockPointer,
    pub(in crate::format) space_root: RawBlockPointer,
    pub(in crate::format) root_level: U16,
    pub(in crate::format) space_level: U16,
    pub(in crate::format) data_mode: U32,
    pub(in crate::format) tree_nodes: U64,
    pub(in crate::format) data_blocks: U64,
    pub(in crate::format) log_start_block: U64,
    pub(in crate::format) log_blocks: U64,
    pub(in crate::format) space_map_block: U64,
    pub(in crate::format) data_start_block: U64,
    pub(in crate::format) log_first_lsn: U64,
    pub(in crate::format) epoch: U64,
    pub(in crate::format) hash_key: [u8; 16],
    pub(in crate::format) next_inode: U64,
    pub(in crate::format) live_inodes: U64,
    pub(in crate::format) root_inode: U64,
    pub(in crate::format) created_ns: U64,
    pub(in crate::format) checkpointed_ns: U64,
    pub(in crate::format) state: U32,
    pub(in crate::format) reserved_state: U32,
    pub(in crate::format) label: RawLabel,
    pub(in crate::format) reserved: [u8; 204],
    pub(in crate::format) checksum: U32,
}

const _: () = assert!(size_of::<RawSuperblock>() == SUPERBLOCK_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSuperblockBlock {
    superblock: RawSuperblock,
    unused: [u8; BLOCK_LEN - SUPERBLOCK_LEN],
}

const _: () = assert!(size_of::<RawSuperblockBlock>() == BLOCK_LEN);

/// What a write does to the blocks that a file has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DataMode {
    /// It writes over them: a crash may leave part of it.
    InPlace = 1,
    /// It writes beside them: a crash leaves all of it or nothing.
    Atomic = 2,
}

/// The superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// What the image uses beyond version 2.
    pub(crate) features: Features,
    /// Identifies the image, for as long as it lives.
    pub(crate) uuid: [u8; 16],
    /// The image's name.
    pub(crate) label: Label,
    /// The image's size in blocks, and where its regions lie.
    pub(crate) geometry: ImageGeometry,
    /// The number of this checkpoint, from 1.
    pub(crate) generation: u64,
    /// The root of the metadata tree; null when the tree is empty.
    pub(crate) root: BlockPointer,
    /// The level of that root; 0 when the tree is empty.
    pub(crate) root_level: u16,
    /// Nodes of the metadata tree.
    pub(crate) tree_nodes: u64,
    /// The root of the space map, at the level that the geometry gives; null when no block is in
    /// use.
    pub(crate) space_root: BlockPointer,
    /// Blocks of files; one that several share counts once.
    pub(crate) data_blocks: u64,
    /// What writes do.
    pub(crate) data_mode: DataMode,
    /// Where the replay of the log begins, a multiple of 64.
    pub(crate) log_first_lsn: u64,
    /// How many times the image was mounted for writing; each record of the log carries it.
    pub(crate) epoch: u64,
    /// The key of the hash that orders directories.
    pub(crate) hash_key: [u8; 16],
    /// Every inode number in use is below this.
    pub(crate) next_inode: u64,
    /// Inodes in use.
    pub(crate) live_inodes: u64,
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
        raw.magic = IMAGE_MAGIC;
        raw.version = IMAGE_VERSION.into();
        raw.block_bytes = (BLOCK_LEN as u32).into();
        raw.feature_compatible = self.features.compatible.into();
        raw.feature_read_only_compatible = self.features.read_only_compatible.into();
        raw.feature_incompatible = self.features.incompatible.into();
        raw.uuid = self.uuid;
        raw.set_geometry(&self.geometry);
        raw.generation = self.generation.into();
        raw.root = self.root.encode();
        raw.root_level = self.root_level.into();
        raw.tree_nodes = self.tree_nodes.into();
        raw.space_root = self.space_root.encode();
        raw.data_blocks = self.data_blocks.into();
        raw.data_mode = (self.data_mode as u32).into();
        raw.log_first_lsn = self.log_first_lsn.into();
        raw.epoch = self.epoch.into();
        raw.hash_key = self.hash_key;
        raw.next_inode = self.next_inode.into();
        raw.live_inodes = self.live_inodes.into();
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
    /// [`SuperblockError`]: from "no image at all" to a single field. Unknown read-only compatible
    /// features are no error: see [`Features::unknown_read_only_compatible`].
    pub(crate) fn decode(block: &Block) -> Result<Self, SuperblockError> {
        let raw_block: &RawSuperblockBlock = transmute_ref!(block.bytes());
        let raw = &raw_block.superblock;
        raw.check_whole()?;
        let features = raw.decode_features()?;
        FIELDS.equal("block_bytes", BLOCK_LEN as u64, raw.block_bytes.get())?;
        FIELDS.equal("root_inode", ROOT_INODE, raw.root_inode.get())?;
        FIELDS.zero("reserved", raw.reserved_state.as_bytes())?;
        FIELDS.zero("reserved", &raw.reserved)?;
        FIELDS.zero("bytes after the superblock", &raw_block.unused)?;
        let superblock = Self {
            features,
            uuid: raw.uuid,
            label: Label::decode(&raw.label)?,
            geometry: raw.decode_geometry()?,
            generation: raw.generation.get(),
            root: BlockPointer::decode(&raw.root)?,
            root_level: raw.root_level.get(),
            tree_nodes: raw.tree_nodes.get(),
            space_root: BlockPointer::decode(&raw.space_root)?,
            data_blocks: raw.data_blocks.get(),
            data_mode: raw.decode_data_mode()?,
            log_first_lsn: raw.log_first_lsn.get(),
            epoch: raw.epoch.get(),
            hash_key: raw.hash_key,
            next_inode: raw.next_inode.get(),
            live_inodes: raw.live_inodes.get(),
            created_ns: raw.created_ns.get(),
            checkpointed_ns: raw.checkpointed_ns.get(),
            state: raw.decode_state()?,
        };
        check(&superblock)?;
        Ok(superblock)
    }

    /// Blocks of the data area in use, for files and for nodes.
    pub(crate) fn allocated_blocks(&self) -> u64 {
        self.tree_nodes.saturating_add(self.data_blocks)
    }

    /// Which of the two copies (of blocks 0 and 1, as [`Superblock::decode`] saw them) counts:
    /// the valid one with the highest generation.
    ///
    /// # Errors
    /// When neither is valid, the error that says most, with its block. Also when one is valid and
    /// the other is a whole superblock of another version, or a newer one with unknown incompatible
    /// features: then the image belongs to a newer program, and the valid copy is out of date.
    pub(crate) fn newest(copies: [Result<Self, SuperblockError>; 2]) -> Result<Self, Error> {
        let [first, second] = SUPERBLOCK_BLOCKS;
        match copies {
            [Ok(a), Ok(b)] => Ok(if a.generation >= b.generation { a } else { b }),
            [Ok(valid), Err(error)] => valid.unless_superseded(error, second),
            [Err(error), Ok(valid)] => valid.unless_superseded(error, first),
            [Err(a), Err(b)] if a.weight() >= b.weight() => Err(a.at_block(first)),
            [Err(_), Err(b)] => Err(b.at_block(second)),
        }
    }

    fn unless_superseded(self, other: SuperblockError, other_block: u64) -> Result<Self, Error> {
        if other.supersedes(self.generation) {
            return Err(other.at_block(other_block));
        }
        Ok(self)
    }
}

impl RawSuperblock {
    fn set_geometry(&mut self, geometry: &ImageGeometry) {
        self.block_count = geometry.block_count.into();
        self.log_start_block = geometry.log_start_block.into();
        self.log_blocks = geometry.log_blocks.into();
        self.space_map_block = geometry.space_map_block.into();
        self.space_level = geometry.space_level().into();
        self.data_start_block = geometry.data_start_block.into();
    }

    /// Checks that this is a whole superblock of this version.
    fn check_whole(&self) -> Result<(), SuperblockError> {
        if self.magic != IMAGE_MAGIC {
            return Err(SuperblockError::NotAnImage { found: self.magic });
        }
        let expected = self.checksum.get();
        let found = crc32c::crc32c(&self.as_bytes()[..CHECKED_LEN]);
        if expected != found {
            let problem = Problem::Checksum { expected, found };
            return Err(FormatError::new(Structure::Superblock, problem).into());
        }
        match self.version.get() {
            IMAGE_VERSION => Ok(()),
            found => Err(SuperblockError::Version { found }),
        }
    }

    fn decode_features(&self) -> Result<Features, SuperblockError> {
        let features = Features {
            compatible: self.feature_compatible.get(),
            read_only_compatible: self.feature_read_only_compatible.get(),
            incompatible: self.feature_incompatible.get(),
        };
        match features.unknown_incompatible() {
            0 => Ok(features),
            bits => Err(SuperblockError::Features {
                bits,
                generation: self.generation.get(),
            }),
        }
    }

    /// The regions, which must be those that follow from the number of blocks.
    fn decode_geometry(&self) -> Result<ImageGeometry, FormatError> {
        let block_count = self.block_count.get();
        FIELDS.range("block_count", MINIMUM_BLOCKS, MAXIMUM_BLOCKS, block_count)?;
        let geometry = ImageGeometry::for_blocks(block_count);
        let regions = [
            (
                "log_start_block",
                geometry.log_start_block,
                self.log_start_block,
            ),
            ("log_blocks", geometry.log_blocks, self.log_blocks),
            (
                "space_map_block",
                geometry.space_map_block,
                self.space_map_block,
            ),
            (
                "data_start_block",
                geometry.data_start_block,
                self.data_start_block,
            ),
        ];
        for (field, expected, found) in regions {
            FIELDS.equal(field, expected, found.get())?;
        }
        FIELDS.equal(
            "space_level",
            geometry.space_level(),
            self.space_level.get(),
        )?;
        Ok(geometry)
    }

    fn decode_data_mode(&self) -> Result<DataMode, FormatError> {
        match self.data_mode.get() {
            1 => Ok(DataMode::InPlace),
            _ => {
                FIELDS.range("data_mode", 1, 2, self.data_mode.get().into())?;
                Ok(DataMode::Atomic)
            }
        }
    }

    fn decode_state(&self) -> Result<SuperblockState, FormatError> {
        match self.state.get() {
            1 => Ok(SuperblockState::Clean),
            _ => {
                FIELDS.range("state", 1, 2, self.state.get().into())?;
                Ok(SuperblockState::InUse)
            }
        }
    }
}
