//! Index nodes: for each node one level below, its first key and the pointer to it.
//!
//! The key is exactly the first of the child, not some key before it. A child is never changed in
//! place, so this stays true for as long as the child lives, and parent and child can be checked
//! against each other. What lies before the first key of an index node is in none of its children.

use zerocopy::little_endian::U64;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::{NODE_BODY_LEN, NodePlace, RawNodeHeader, encode_header};
use crate::format::block::{Block, BlockFull};
use crate::format::error::{Fields, FormatError, Problem, Structure};
use crate::format::geometry::BLOCK_LEN;
use crate::format::item::Key;
use crate::format::pointer::{BlockPointer, RawBlockPointer};

/// Bytes that an entry takes in an index node.
pub(crate) const INDEX_ENTRY_LEN: usize = 40;
/// The most entries in an index node.
pub(crate) const MAXIMUM_INDEX_ENTRIES: usize = NODE_BODY_LEN / INDEX_ENTRY_LEN;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawIndexEntry {
    pub(in crate::format) inode: U64,
    pub(in crate::format) position: U64,
    pub(in crate::format) kind: u8,
    pub(in crate::format) reserved: [u8; 7],
    pub(in crate::format) pointer: RawBlockPointer,
}

const _: () = assert!(size_of::<RawIndexEntry>() == INDEX_ENTRY_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawIndexNode {
    pub(in crate::format) header: RawNodeHeader,
    pub(in crate::format) entries: [RawIndexEntry; MAXIMUM_INDEX_ENTRIES],
    pub(in crate::format) rest: [u8; NODE_BODY_LEN - MAXIMUM_INDEX_ENTRIES * INDEX_ENTRY_LEN],
}

const _: () = assert!(size_of::<RawIndexNode>() == BLOCK_LEN);

/// A node one level below: its first key, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The first key of the child.
    pub(crate) key: Key,
    /// The child.
    pub(crate) pointer: BlockPointer,
}

/// An index node, every key and pointer of it checked.
#[derive(Debug)]
pub(crate) struct IndexNode {
    level: u16,
    entries: Vec<IndexEntry>,
    generation: u64,
}

impl IndexNode {
    /// Parses `block` as the index node at `place`, whose level is 1 or more.
    pub(crate) fn parse(block: &Block, place: &NodePlace) -> Result<Self, FormatError> {
        let raw: &RawIndexNode = transmute_ref!(block.bytes());
        let count = place.check_header(&raw.header, MAXIMUM_INDEX_ENTRIES)?;
        let (used, unused) = raw.entries.split_at(count.min(MAXIMUM_INDEX_ENTRIES));
        let mut entries: Vec<IndexEntry> = Vec::with_capacity(used.len());
        for (slot, raw_entry) in used.iter().enumerate() {
            let entry = decode_entry(raw_entry).map_err(|error| error.in_entry(slot))?;
            let before = entries.last().map(|entry| entry.key);
            place
                .check_key(before, entry.key)
                .map_err(|error| error.in_entry(slot))?;
            entries.push(entry);
        }
        let fields = Fields(Structure::TreeIndex);
        fields.zero("entries past the count", unused.as_bytes())?;
        fields.zero("bytes past the entries", &raw.rest)?;
        Ok(Self {
            level: place.level,
            entries,
            generation: raw.header.generation.get(),
        })
    }

    /// Checks that this node, parsed before, belongs at `place`: as [`IndexNode::parse`] there.
    pub(crate) fn check_place(&self, place: &NodePlace) -> Result<(), FormatError> {
        Fields(Structure::TreeIndex).equal("level", self.level, place.level)?;
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            // A node without entries was not parsed.
            return Ok(());
        };
        place.check_key(None, first.key)?;
        place.check_key(Some(first.key).filter(|first| *first < last.key), last.key)
    }

    /// The entries, at least one, in order.
    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// The checkpoint that wrote it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The place of the child `slot` of this node, which is itself at `place`.
    ///
    /// # Panics
    /// When there is no such child.
    pub(crate) fn child_place(&self, slot: usize, place: &NodePlace) -> NodePlace {
        let entry = &self.entries[slot];
        NodePlace {
            block: entry.pointer.block,
            level: place.level.saturating_sub(1),
            first_key: Some(entry.key),
            end: self
                .entries
                .get(slot + 1)
                .map_or(place.end, |next| next.key),
        }
    }

    /// The child that has `key` if any has: nothing when `key` lies before the first.
    pub(crate) fn slot_of(&self, key: Key) -> Option<usize> {
        self.entries
            .partition_point(|entry| entry.key <= key)
            .checked_sub(1)
    }
}

fn decode_entry(raw: &RawIndexEntry) -> Result<IndexEntry, FormatError> {
    let fields = Fields(Structure::TreeIndex);
    let key = Key::decode(fields.0, raw.inode.get(), raw.kind, raw.position.get())?;
    fields.zero("reserved", &raw.reserved)?;
    let pointer = BlockPointer::decode(&raw.pointer)?;
    if pointer.is_null() {
        let problem = Problem::NullPointer;
        return Err(FormatError::new(Structure::BlockPointer, problem));
    }
    Ok(IndexEntry { key, pointer })
}

/// The index node at `level` (1 or more) with `entries`, for the block number `block`, as of the
/// checkpoint `generation`. The entries ascend; a node of none does not parse again.
///
/// # Errors
/// [`BlockFull`] when they do not fit.
pub(crate) fn encode_index(
    block: u64,
    level: u16,
    generation: u64,
    entries: &[IndexEntry],
) -> Result<Block, BlockFull> {
    let mut bytes = Block::zeroed();
    let raw: &mut RawIndexNode = transmute_mut!(bytes.bytes_mut());
    raw.header = encode_header(level, entries.len(), block, generation);
    let places = raw.entries.get_mut(..entries.len()).ok_or(BlockFull)?;
    for (place, entry) in places.iter_mut().zip(entries) {
        *place = RawIndexEntry {
            inode: entry.key.inode.into(),
            position: entry.key.position.into(),
            kind: entry.key.kind as u8,
            reserved: [0; 7],
            pointer: entry.pointer.encode(),
        };
    }
    Ok(bytes)
}
