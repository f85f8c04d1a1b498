//! The header of every metadata block: what the block is, whose, and which of how many.
//!
//! The parent's checksum already proves that the bytes are the ones the writer meant; the header
//! proves that the writer meant them for this place, and lets a block be recognised without its
//! parent. It holds no generation: a block that did not change must serialise to the same bytes, so
//! that a checkpoint can keep it.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Fields, FormatError, Structure};
use super::geometry::{EXTENTS_PER_LEAF, INODE_TABLE_OWNER, INODES_PER_LEAF, POINTERS_PER_INDEX};

/// A header as it lies on the medium.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    magic: U32,
    kind: U16,
    level: U16,
    owner: U64,
    index: U64,
    count: U32,
    reserved: U32,
}

/// Bytes that the header takes of each block.
pub(crate) const HEADER_LEN: usize = 32;
const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// The least bytes a directory entry takes: 16 and a name of one byte padded to 8.
const LEAST_DIRENT_LEN: usize = 24;

/// What a metadata block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BlockKind {
    /// Pointers to blocks one level below.
    Index = 1,
    /// Inodes.
    InodeLeaf = 2,
    /// Extents of one file.
    ExtentLeaf = 3,
    /// Entries of one directory.
    DirentLeaf = 4,
}

impl BlockKind {
    /// The first four bytes of such a block, readable in a hex dump.
    pub(crate) const fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            BlockKind::Index => *b"DXix",
            BlockKind::InodeLeaf => *b"DXin",
            BlockKind::ExtentLeaf => *b"DXex",
            BlockKind::DirentLeaf => *b"DXde",
        })
    }

    /// The most entries such a block can hold.
    pub(crate) fn capacity(self) -> usize {
        match self {
            BlockKind::Index => POINTERS_PER_INDEX,
            BlockKind::InodeLeaf => INODES_PER_LEAF,
            BlockKind::ExtentLeaf => EXTENTS_PER_LEAF,
            BlockKind::DirentLeaf => (super::geometry::BLOCK_LEN - HEADER_LEN) / LEAST_DIRENT_LEN,
        }
    }

    /// The structure that messages name.
    pub(crate) fn structure(self) -> Structure {
        match self {
            BlockKind::Index => Structure::IndexBlock,
            BlockKind::InodeLeaf => Structure::InodeLeaf,
            BlockKind::ExtentLeaf => Structure::ExtentLeaf,
            BlockKind::DirentLeaf => Structure::DirentLeaf,
        }
    }
}

/// What a block is and where in its tree it belongs: all of the header that its parent knows
/// beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// What it holds.
    pub(crate) kind: BlockKind,
    /// Index levels below it; 0 for a leaf.
    pub(crate) level: u16,
    /// The inode whose tree it is in; 0 for the inode table.
    pub(crate) owner: u64,
    /// Its ordinal within its level, from 0.
    pub(crate) index: u64,
}

impl Identity {
    /// The index block `index` at `level` in the tree of `owner`.
    pub(crate) fn index_block(owner: u64, level: u16, index: u64) -> Self {
        Self {
            kind: BlockKind::Index,
            level,
            owner,
            index,
        }
    }

    /// The leaf `index` of the inode table.
    pub(crate) fn inode_leaf(index: u64) -> Self {
        Self {
            kind: BlockKind::InodeLeaf,
            level: 0,
            owner: INODE_TABLE_OWNER,
            index,
        }
    }

    /// The leaf `index` of the extents of the file `owner`.
    pub(crate) fn extent_leaf(owner: u64, index: u64) -> Self {
        Self {
            kind: BlockKind::ExtentLeaf,
            level: 0,
            owner,
            index,
        }
    }

    /// The leaf `index` of the entries of the directory `owner`.
    pub(crate) fn dirent_leaf(owner: u64, index: u64) -> Self {
        Self {
            kind: BlockKind::DirentLeaf,
            level: 0,
            owner,
            index,
        }
    }

    pub(super) fn encode(self, count: usize) -> RawHeader {
        RawHeader {
            magic: self.kind.magic().into(),
            kind: (self.kind as u16).into(),
            level: self.level.into(),
            owner: self.owner.into(),
            index: self.index.into(),
            // Builders stop at the capacity, which is below 2^32.
            count: (count as u32).into(),
            reserved: U32::ZERO,
        }
    }

    /// Checks that `raw` is the header of this block, and returns how many entries it counts:
    /// at least 1, at most the kind's capacity.
    pub(super) fn check(self, raw: &RawHeader) -> Result<usize, FormatError> {
        let fields = Fields(self.kind.structure());
        fields.equal("magic", self.kind.magic(), raw.magic.get())?;
        fields.equal("kind", self.kind as u16, raw.kind.get())?;
        fields.equal("level", self.level, raw.level.get())?;
        fields.equal("owner", self.owner, raw.owner.get())?;
        fields.equal("index", self.index, raw.index.get())?;
        fields.zero("reserved", raw.reserved.as_bytes())?;
        let count = raw.count.get();
        fields.range("count", 1, self.kind.capacity() as u64, count.into())?;
        Ok(count as usize)
    }
}
