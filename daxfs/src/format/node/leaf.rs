//! Leaves: items in the order of their keys.
//!
//! Slots of 24 bytes grow from the front and values lie packed at the end, in the same order, so
//! the offsets follow from the lengths and a set of items has one form only.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::{NODE_BODY_LEN, NODE_HEADER_LEN, NodePlace, RawNodeHeader, encode_header};
use crate::format::block::{Block, BlockFull};
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::BLOCK_LEN;
use crate::format::item::{Key, MAXIMUM_VALUE_BYTES};

const SLOT_LEN: usize = 24;
const MAXIMUM_SLOTS: usize = NODE_BODY_LEN / SLOT_LEN;

/// Bytes that the items of a leaf take together, at most: see [`item_len`].
pub(crate) const LEAF_CAPACITY: usize = NODE_BODY_LEN;

/// Bytes that an item with a value of `value_len` bytes takes in a leaf.
pub(crate) const fn item_len(value_len: usize) -> usize {
    SLOT_LEN + value_len
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawSlot {
    pub(in crate::format) inode: U64,
    pub(in crate::format) position: U64,
    pub(in crate::format) kind: u8,
    pub(in crate::format) reserved: u8,
    pub(in crate::format) value_offset: U16,
    pub(in crate::format) value_len: U16,
    pub(in crate::format) reserved_end: U16,
}

const _: () = assert!(size_of::<RawSlot>() == SLOT_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawLeaf {
    pub(in crate::format) header: RawNodeHeader,
    /// As many as could be; values lie over those that are not in use.
    pub(in crate::format) slots: [RawSlot; MAXIMUM_SLOTS],
    pub(in crate::format) rest: [u8; NODE_BODY_LEN - MAXIMUM_SLOTS * SLOT_LEN],
}

const _: () = assert!(size_of::<RawLeaf>() == BLOCK_LEN);

/// A slot that was checked: its value lies within the block.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Key,
    value_start: usize,
    value_end: usize,
}

/// A leaf, every key and every length of it checked.
#[derive(Debug)]
pub(crate) struct LeafNode {
    block: Block,
    slots: Vec<Slot>,
    generation: u64,
}

impl LeafNode {
    /// Parses `block` as the leaf at `place`.
    pub(crate) fn parse(block: Block, place: &NodePlace) -> Result<Self, FormatError> {
        let raw: &RawLeaf = transmute_ref!(block.bytes());
        let count = place.check_header(&raw.header, MAXIMUM_SLOTS)?;
        let raw_slots = &raw.slots[..count.min(MAXIMUM_SLOTS)];
        let slots = parse_slots(raw_slots, place)?;
        let generation = raw.header.generation.get();
        check_free_space(Self {
            block,
            slots,
            generation,
        })
    }

    /// How many items it has, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The checkpoint that wrote it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The items, in order.
    pub(crate) fn items(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.items_from(Key::MIN)
    }

    /// The items whose keys are not less than `key`, in order.
    pub(crate) fn items_from(&self, key: Key) -> impl Iterator<Item = (Key, &[u8])> {
        let start = self.slots.partition_point(|slot| slot.key < key);
        self.slots[start..]
            .iter()
            .map(|slot| (slot.key, self.value(slot)))
    }

    /// The value of the item with this key.
    pub(crate) fn get(&self, key: Key) -> Option<&[u8]> {
        let at = self
            .slots
            .binary_search_by_key(&key, |slot| slot.key)
            .ok()?;
        Some(self.value(&self.slots[at]))
    }

    fn value(&self, slot: &Slot) -> &[u8] {
        &self.block.bytes()[slot.value_start..slot.value_end]
    }
}

/// Checks keys, lengths, and that the values lie where the lengths say.
fn parse_slots(raw_slots: &[RawSlot], place: &NodePlace) -> Result<Vec<Slot>, FormatError> {
    let fields = Fields(Structure::TreeLeaf);
    let value_bytes = raw_slots
        .iter()
        .map(|slot| usize::from(slot.value_len.get()));
    let total = value_bytes.sum::<usize>();
    let most = NODE_BODY_LEN - raw_slots.len() * SLOT_LEN;
    fields.range("length of all values", 0, most as u64, total as u64)?;
    let mut value_start = BLOCK_LEN - total;
    let mut slots: Vec<Slot> = Vec::with_capacity(raw_slots.len());
    for (entry, raw) in raw_slots.iter().enumerate() {
        let before = slots.last().map(|slot| slot.key);
        let slot = parse_slot(raw, value_start, before, place).map_err(|e| e.in_entry(entry))?;
        value_start = slot.value_end;
        slots.push(slot);
    }
    Ok(slots)
}

fn parse_slot(
    raw: &RawSlot,
    value_start: usize,
    before: Option<Key>,
    place: &NodePlace,
) -> Result<Slot, FormatError> {
    let fields = Fields(Structure::TreeLeaf);
    let key = Key::decode(fields.0, raw.inode.get(), raw.kind, raw.position.get())?;
    place.check_key(before, key)?;
    fields.zero("reserved", &[raw.reserved])?;
    fields.zero("reserved", raw.reserved_end.as_bytes())?;
    let len = raw.value_len.get();
    fields.range("value_len", 0, MAXIMUM_VALUE_BYTES as u64, len.into())?;
    fields.equal("value_offset", value_start as u64, raw.value_offset.get())?;
    Ok(Slot {
        key,
        value_start,
        value_end: value_start + usize::from(len),
    })
}

fn check_free_space(leaf: LeafNode) -> Result<LeafNode, FormatError> {
    let slots_end = NODE_HEADER_LEN + leaf.len() * SLOT_LEN;
    let values_start = leaf
        .slots
        .first()
        .map_or(BLOCK_LEN, |slot| slot.value_start);
    let free = &leaf.block.bytes()[slots_end..values_start];
    Fields(Structure::TreeLeaf).zero("space between slots and values", free)?;
    Ok(leaf)
}

/// The leaf with `items`, for the block number `block`, as of the checkpoint `generation`. The
/// items ascend; a leaf of none does not parse again.
///
/// # Errors
/// [`BlockFull`] when they do not fit, or one has more than 1024 bytes.
pub(crate) fn encode_leaf<'a>(
    block: u64,
    generation: u64,
    items: impl ExactSizeIterator<Item = (Key, &'a [u8])> + Clone,
) -> Result<Block, BlockFull> {
    let value_lens = items.clone().map(|(_, value)| value.len());
    let is_too_long = value_lens.clone().any(|len| len > MAXIMUM_VALUE_BYTES);
    let value_bytes = value_lens.sum::<usize>();
    let count = items.len();
    let items_bytes = count * SLOT_LEN + value_bytes;
    if is_too_long || count > MAXIMUM_SLOTS || items_bytes > LEAF_CAPACITY {
        return Err(BlockFull);
    }
    let mut bytes = Block::zeroed();
    let mut value_start = BLOCK_LEN - value_bytes;
    for (at, (key, value)) in items.enumerate() {
        let raw: &mut RawLeaf = transmute_mut!(bytes.bytes_mut());
        raw.slots[at] = RawSlot {
            inode: key.inode.into(),
            position: key.position.into(),
            kind: key.kind as u8,
            reserved: 0,
            // Both are below 4096, as all values lie within the block.
            value_offset: (value_start as u16).into(),
            value_len: (value.len() as u16).into(),
            reserved_end: U16::ZERO,
        };
        bytes.bytes_mut()[value_start..][..value.len()].copy_from_slice(value);
        value_start += value.len();
    }
    let raw: &mut RawLeaf = transmute_mut!(bytes.bytes_mut());
    raw.header = encode_header(0, count, block, generation);
    Ok(bytes)
}
