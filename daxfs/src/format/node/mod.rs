//! Nodes of the metadata tree: leaves with items, and index nodes above them.
//!
//! A node begins with a header that says what it is and where it belongs; the pointer to it holds
//! the checksum. A parser is given the place at which it found the node ([`NodePlace`]) and checks
//! everything against it: any bytes give a node whose keys ascend within the bounds of that place,
//! or a [`FormatError`]. Plain bytes: no input or output, no locks.
//!
//! | Module | Holds |
//! |---|---|
//! | [`leaf`] | items: slots from the front, values at the end |
//! | [`index`] | keys and pointers to nodes one level below |

pub(crate) mod index;
pub(crate) mod leaf;

pub(crate) use index::{IndexEntry, IndexNode};
pub(crate) use leaf::LeafNode;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Fields, FormatError, Structure};
use super::geometry::BLOCK_LEN;
use super::item::Key;

/// The first four bytes of every node, readable in a hex dump.
pub(crate) const NODE_MAGIC: u32 = u32::from_le_bytes(*b"DXnd");
/// The highest level of a root. No image has as many blocks as would ask for a higher one.
pub(crate) const MAXIMUM_NODE_LEVEL: u16 = 15;

/// Bytes that the header takes of each node.
pub(in crate::format) const NODE_HEADER_LEN: usize = 32;
/// Bytes of a node for slots, entries and values.
pub(in crate::format) const NODE_BODY_LEN: usize = BLOCK_LEN - NODE_HEADER_LEN;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawNodeHeader {
    pub(in crate::format) magic: U32,
    pub(in crate::format) level: U16,
    pub(in crate::format) count: U16,
    pub(in crate::format) block: U64,
    pub(in crate::format) generation: U64,
    pub(in crate::format) reserved: U64,
}

const _: () = assert!(size_of::<RawNodeHeader>() == NODE_HEADER_LEN);

/// Where a node was found: all that its parent knows of it beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodePlace {
    /// The block it was read from.
    pub(crate) block: u64,
    /// Levels of nodes below it; 0 for a leaf.
    pub(crate) level: u16,
    /// The key it must begin with; nothing for the root, which may begin with any.
    pub(crate) first_key: Option<Key>,
    /// All its keys are below this.
    pub(crate) end: Key,
}

impl NodePlace {
    /// The place of a root at `level`.
    pub(crate) fn of_root(block: u64, level: u16) -> Self {
        Self {
            block,
            level,
            first_key: None,
            end: Key::MAX,
        }
    }

    /// Which of the two kinds of node belongs here.
    pub(crate) fn structure(&self) -> Structure {
        match self.level {
            0 => Structure::TreeLeaf,
            _ => Structure::TreeIndex,
        }
    }

    /// Checks a header, and returns how many slots or entries the node has: 1 to `capacity`.
    fn check_header(&self, raw: &RawNodeHeader, capacity: usize) -> Result<usize, FormatError> {
        let fields = Fields(self.structure());
        fields.equal("magic", NODE_MAGIC, raw.magic.get())?;
        fields.equal("level", self.level, raw.level.get())?;
        fields.equal("block", self.block, raw.block.get())?;
        fields.range("generation", 1, u64::MAX - 1, raw.generation.get())?;
        fields.zero("reserved", raw.reserved.as_bytes())?;
        let count = raw.count.get();
        fields.range("count", 1, capacity as u64, count.into())?;
        Ok(count.into())
    }

    /// Checks that `key`, which follows `before` in its node, belongs here and in this order.
    fn check_key(&self, before: Option<Key>, key: Key) -> Result<(), FormatError> {
        let fields = Fields(self.structure());
        if key >= self.end {
            return Err(fields.invalid("key", "is past what the parent says"));
        }
        match before {
            Some(before) if key <= before => {
                Err(fields.invalid("key", "does not come after the key before it"))
            }
            None if self.first_key.is_some_and(|first| first != key) => {
                Err(fields.invalid("first key", "is not the one in the parent"))
            }
            _ => Ok(()),
        }
    }
}

fn encode_header(level: u16, count: usize, block: u64, generation: u64) -> RawNodeHeader {
    RawNodeHeader {
        magic: NODE_MAGIC.into(),
        level: level.into(),
        // Builders stop at the capacity, which is at most 169.
        count: (count as u16).into(),
        block: block.into(),
        generation: generation.into(),
        reserved: U64::ZERO,
    }
}
