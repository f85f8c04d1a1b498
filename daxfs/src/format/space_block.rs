//! Blocks of the space map: leaves with a bit for each block of the image, and index blocks above.
//!
//! A bit is set where the block is in use by a file or a node, and clear elsewhere, outside the
//! data area too. A block of the map without any bit below it is not stored: the pointer to it is
//! null. So a set of blocks has one form only. Plain bytes: no input or output, no locks.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::{Block, BlockFull};
use super::error::{Fields, FormatError, Structure};
use super::geometry::{BLOCK_LEN, POINTERS_PER_INDEX};
use super::image_geometry::{BLOCKS_PER_SPACE_LEAF, ImageGeometry};
use super::pointer::{BlockPointer, RawBlockPointer};

/// The first four bytes of every block of the space map, readable in a hex dump.
pub(crate) const SPACE_MAGIC: u32 = u32::from_le_bytes(*b"DXsm");
/// Words of 64 bits in a leaf.
pub(crate) const WORDS_PER_SPACE_LEAF: usize = 508;

const _: () = assert!(WORDS_PER_SPACE_LEAF as u64 * 64 == BLOCKS_PER_SPACE_LEAF);

/// The bits of one leaf: bit `b` is bit `b % 64` of word `b / 64`.
pub(crate) type SpaceWords = [u64; WORDS_PER_SPACE_LEAF];

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawSpaceHeader {
    pub(in crate::format) magic: U32,
    pub(in crate::format) level: U16,
    pub(in crate::format) reserved: U16,
    pub(in crate::format) index: U64,
    pub(in crate::format) generation: U64,
    pub(in crate::format) reserved_end: U64,
}

const _: () = assert!(size_of::<RawSpaceHeader>() == 32);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSpaceLeaf {
    header: RawSpaceHeader,
    words: [U64; WORDS_PER_SPACE_LEAF],
}

const _: () = assert!(size_of::<RawSpaceLeaf>() == BLOCK_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSpaceIndex {
    header: RawSpaceHeader,
    pointers: [RawBlockPointer; POINTERS_PER_INDEX],
}

const _: () = assert!(size_of::<RawSpaceIndex>() == BLOCK_LEN);

const FIELDS: Fields = Fields(Structure::SpaceMap);

/// Which block of the space map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpacePlace {
    /// Index levels below it; 0 for a leaf.
    pub(crate) level: u16,
    /// Its ordinal within its level.
    pub(crate) index: u64,
}

impl SpacePlace {
    /// The block `index` at `level`.
    pub(crate) fn new(level: u16, index: u64) -> Self {
        Self { level, index }
    }

    fn encode(self, generation: u64) -> RawSpaceHeader {
        RawSpaceHeader {
            magic: SPACE_MAGIC.into(),
            level: self.level.into(),
            reserved: U16::ZERO,
            index: self.index.into(),
            generation: generation.into(),
            reserved_end: U64::ZERO,
        }
    }

    fn check(self, raw: &RawSpaceHeader) -> Result<(), FormatError> {
        FIELDS.equal("magic", SPACE_MAGIC, raw.magic.get())?;
        FIELDS.equal("level", self.level, raw.level.get())?;
        FIELDS.equal("index", self.index, raw.index.get())?;
        FIELDS.range("generation", 1, u64::MAX - 1, raw.generation.get())?;
        FIELDS.zero("reserved", raw.reserved.as_bytes())?;
        FIELDS.zero("reserved", raw.reserved_end.as_bytes())
    }
}

/// The leaf `index`, or `None` when no bit is set: then it is not stored.
pub(crate) fn encode_space_leaf(index: u64, generation: u64, words: &SpaceWords) -> Option<Block> {
    if words.iter().all(|word| *word == 0) {
        return None;
    }
    let mut block = Block::zeroed();
    let raw: &mut RawSpaceLeaf = transmute_mut!(block.bytes_mut());
    raw.header = SpacePlace::new(0, index).encode(generation);
    for (raw, word) in raw.words.iter_mut().zip(words) {
        *raw = (*word).into();
    }
    Some(block)
}

/// Parses `block` as the leaf `index` of the space map of an image.
pub(crate) fn parse_space_leaf(
    block: &Block,
    index: u64,
    geometry: &ImageGeometry,
) -> Result<Box<SpaceWords>, FormatError> {
    let raw: &RawSpaceLeaf = transmute_ref!(block.bytes());
    SpacePlace::new(0, index).check(&raw.header)?;
    let mut words = Box::new([0; WORDS_PER_SPACE_LEAF]);
    for (word, raw) in words.iter_mut().zip(&raw.words) {
        *word = raw.get();
    }
    if words.iter().all(|word| *word == 0) {
        return Err(FIELDS.invalid("leaf", "has no bit set, so it must not be stored"));
    }
    for (at, word) in (0_u64..).zip(words.iter()) {
        let first_block = index
            .saturating_mul(BLOCKS_PER_SPACE_LEAF)
            .saturating_add(at * 64);
        if word & !data_area_mask(first_block, geometry) != 0 {
            return Err(FIELDS.invalid("leaf", "has bits set outside the data area"));
        }
    }
    Ok(words)
}

/// Which of the 64 blocks from `first_block` on lie in the data area.
fn data_area_mask(first_block: u64, geometry: &ImageGeometry) -> u64 {
    let from = |block: u64| match block.saturating_sub(first_block) {
        bits @ 0..64 => u64::MAX << bits,
        _ => 0,
    };
    from(geometry.data_start_block) & !from(geometry.block_count)
}

/// The index block at `place` with `pointers`, or `None` when all are null: then it is not stored.
///
/// # Errors
/// [`BlockFull`] when there are more than 254.
pub(crate) fn encode_space_index(
    place: SpacePlace,
    generation: u64,
    pointers: &[BlockPointer],
) -> Result<Option<Block>, BlockFull> {
    if pointers.iter().all(|pointer| pointer.is_null()) {
        return Ok(None);
    }
    let mut block = Block::zeroed();
    let raw: &mut RawSpaceIndex = transmute_mut!(block.bytes_mut());
    raw.header = place.encode(generation);
    let places = raw.pointers.get_mut(..pointers.len()).ok_or(BlockFull)?;
    for (place, pointer) in places.iter_mut().zip(pointers) {
        *place = pointer.encode();
    }
    Ok(Some(block))
}

/// Parses `block` as the index block at `place`, whose level is 1 or more: the pointers to all the
/// blocks below it, each null or to one of the two places of its block.
pub(crate) fn parse_space_index(
    block: &Block,
    place: SpacePlace,
    geometry: &ImageGeometry,
) -> Result<Vec<BlockPointer>, FormatError> {
    let raw: &RawSpaceIndex = transmute_ref!(block.bytes());
    place.check(&raw.header)?;
    let count = geometry.space_children(place.level, place.index);
    let (used, rest) = raw.pointers.split_at(count.min(POINTERS_PER_INDEX));
    let mut pointers = Vec::with_capacity(used.len());
    for (slot, raw_pointer) in used.iter().enumerate() {
        let index = place.index * POINTERS_PER_INDEX as u64 + slot as u64;
        let child = SpacePlace::new(place.level.saturating_sub(1), index);
        let pointer = BlockPointer::decode(raw_pointer)
            .and_then(|pointer| check_slot(pointer, child, geometry))
            .map_err(|error| error.in_entry(slot))?;
        pointers.push(pointer);
    }
    FIELDS.zero("pointers past the count", rest.as_bytes())?;
    if pointers.iter().all(|pointer| pointer.is_null()) {
        return Err(FIELDS.invalid("index block", "has no pointer, so it must not be stored"));
    }
    Ok(pointers)
}

/// Checks that `pointer` is null or leads to one of the two places of the block at `place`.
pub(crate) fn check_slot(
    pointer: BlockPointer,
    place: SpacePlace,
    geometry: &ImageGeometry,
) -> Result<BlockPointer, FormatError> {
    let [least, most] = geometry.space_slots(place.level, place.index);
    if !pointer.is_null() {
        FIELDS.range("block of a pointer", least, most, pointer.block)?;
    }
    Ok(pointer)
}
