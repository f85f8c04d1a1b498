//! Extents, the runs of device blocks behind a file, and the leaves that hold them.
//!
//! An extent is 24 bytes, sorted by file block within a file. What lies between two extents is a
//! hole and reads as zeroes.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::{Block, BlockFull};
use super::error::{Fields, FormatError, Structure};
use super::geometry::{
    BLOCK_LEN, DATA_START_BLOCK, EXTENTS_PER_LEAF, MAXIMUM_BLOCKS, MAXIMUM_FILE_BLOCKS,
};
use super::header::{HEADER_LEN, Identity, RawHeader};

/// An extent as it lies on the medium.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtent {
    file_block: U64,
    device_block: U64,
    len_blocks: U32,
    flags: U32,
}

const _: () = assert!(size_of::<RawExtent>() == 24);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawExtentLeaf {
    header: RawHeader,
    extents: [RawExtent; EXTENTS_PER_LEAF],
    unused: [u8; BLOCK_LEN - HEADER_LEN - EXTENTS_PER_LEAF * size_of::<RawExtent>()],
}

const _: () = assert!(size_of::<RawExtentLeaf>() == BLOCK_LEN);

/// A run of device blocks that holds a run of a file's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    /// The first block within the file.
    pub(crate) file_block: u64,
    /// The block on the device that holds it.
    pub(crate) device_block: u64,
    /// How many blocks, at least 1.
    pub(crate) len_blocks: u32,
}

impl Extent {
    /// The file block after the last. Saturates; never does for an extent that was decoded.
    pub(crate) fn file_end(&self) -> u64 {
        self.file_block.saturating_add(self.len_blocks.into())
    }

    /// The device block after the last. Saturates; never does for an extent that was decoded.
    pub(crate) fn device_end(&self) -> u64 {
        self.device_block.saturating_add(self.len_blocks.into())
    }

    pub(super) fn encode(&self) -> RawExtent {
        RawExtent {
            file_block: self.file_block.into(),
            device_block: self.device_block.into(),
            len_blocks: self.len_blocks.into(),
            flags: U32::ZERO,
        }
    }

    /// Checks what an extent alone can show: it is not empty, has no unknown flags, and neither
    /// end is beyond what any file or device can have.
    pub(super) fn decode(raw: &RawExtent) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Extent);
        let len_blocks = raw.len_blocks.get();
        fields.range("len_blocks", 1, u32::MAX.into(), len_blocks.into())?;
        fields.equal("flags", 0_u32, raw.flags.get())?;
        let (file_block, device_block) = (raw.file_block.get(), raw.device_block.get());
        let most_file_block = MAXIMUM_FILE_BLOCKS - u64::from(len_blocks);
        fields.range("file_block", 0, most_file_block, file_block)?;
        let most_device_block = MAXIMUM_BLOCKS - u64::from(len_blocks);
        fields.range(
            "device_block",
            DATA_START_BLOCK,
            most_device_block,
            device_block,
        )?;
        Ok(Self {
            file_block,
            device_block,
            len_blocks,
        })
    }
}

/// A leaf of extents whose header and extents were checked, each by itself: their order and the
/// image's bounds are for the reader.
#[derive(Debug)]
pub(crate) struct ExtentLeaf {
    extents: Vec<Extent>,
}

impl ExtentLeaf {
    /// Parses `block` as the leaf `index` of the extents of the file `owner`.
    pub(crate) fn parse(block: &Block, owner: u64, index: u64) -> Result<Self, FormatError> {
        let raw: &RawExtentLeaf = transmute_ref!(block.bytes());
        let count = Identity::extent_leaf(owner, index).check(&raw.header)?;
        let (used, rest) = raw.extents.split_at(count.min(EXTENTS_PER_LEAF));
        let extents = used
            .iter()
            .enumerate()
            .map(|(entry, raw)| Extent::decode(raw).map_err(|e| e.in_entry(entry)))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = Fields(Structure::ExtentLeaf);
        fields.zero("extents past the count", rest.as_bytes())?;
        fields.zero("unused", &raw.unused)?;
        Ok(Self { extents })
    }

    /// The extents, in the order they lie.
    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

/// Builds a leaf extent by extent.
#[derive(Debug)]
pub(crate) struct ExtentLeafBuilder {
    identity: Identity,
    block: Block,
    count: usize,
}

impl ExtentLeafBuilder {
    /// An empty leaf `index` of the extents of the file `owner`.
    pub(crate) fn new(owner: u64, index: u64) -> Self {
        Self {
            identity: Identity::extent_leaf(owner, index),
            block: Block::zeroed(),
            count: 0,
        }
    }

    /// Adds the next extent; the caller keeps them sorted and merged.
    ///
    /// # Errors
    /// [`BlockFull`] when the leaf has 169 extents; it is unchanged.
    pub(crate) fn push(&mut self, extent: &Extent) -> Result<(), BlockFull> {
        let raw: &mut RawExtentLeaf = transmute_mut!(self.block.bytes_mut());
        *raw.extents.get_mut(self.count).ok_or(BlockFull)? = extent.encode();
        self.count += 1;
        Ok(())
    }

    /// The finished block. It must have at least one extent to parse again.
    pub(crate) fn finish(mut self) -> Block {
        let raw: &mut RawExtentLeaf = transmute_mut!(self.block.bytes_mut());
        raw.header = self.identity.encode(self.count);
        self.block
    }
}
