//! Inodes and the leaves of the inode table that hold them.
//!
//! Inode `n` is slot `n % 15` of leaf `n / 15`. A slot of zeroes is free. An inode has its first
//! four extents inline, so that a small or unfragmented file costs no block of metadata.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut,
    transmute_ref,
};

use super::block::Block;
use super::error::{Fields, FormatError, Structure};
use super::extent::{Extent, RawExtent};
use super::geometry::{
    BLOCK_LEN, INLINE_EXTENTS, INODES_PER_LEAF, MAXIMUM_BLOCKS, MAXIMUM_FILE_BYTES, MAXIMUM_INODES,
    MAXIMUM_LEAVES, ROOT_INODE, inode_leaf, inode_slot, level_for_leaves,
};
use super::header::{HEADER_LEN, Identity, RawHeader};
pub use super::inode_kind::InodeKind;
use super::pointer::{BlockPointer, RawBlockPointer};
use super::timestamp::RawTimestamp;
pub(crate) use super::timestamp::Timestamp;

/// The permission bits of a mode, with set-user-ID, set-group-ID and sticky.
pub(crate) const MODE_BITS: u16 = 0o7777;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInode {
    number: U64,
    size_bytes: U64,
    allocated_blocks: U64,
    links: U32,
    uid: U32,
    gid: U32,
    kind: U16,
    mode: U16,
    accessed: RawTimestamp,
    modified: RawTimestamp,
    changed: RawTimestamp,
    created: RawTimestamp,
    content: RawBlockPointer,
    content_level: U16,
    flags: U16,
    content_leaves: U32,
    extent_count: U64,
    parent: U64,
    inline_extents: [RawExtent; INLINE_EXTENTS],
    reserved: [u8; 16],
}

const _: () = assert!(size_of::<RawInode>() == 256);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInodeLeaf {
    header: RawHeader,
    inodes: [RawInode; INODES_PER_LEAF],
    unused: [u8; BLOCK_LEN - HEADER_LEN - INODES_PER_LEAF * size_of::<RawInode>()],
}

const _: () = assert!(size_of::<RawInodeLeaf>() == BLOCK_LEN);

/// The root of a pointer tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TreeRoot {
    /// The topmost block; null in a tree without leaves.
    pub(crate) pointer: BlockPointer,
    /// Levels of index blocks: [`level_for_leaves`] of `leaves`.
    pub(crate) level: u16,
    /// How many leaves the tree has.
    pub(crate) leaves: u32,
}

impl TreeRoot {
    /// The tree without leaves.
    pub(crate) const EMPTY: Self = Self {
        pointer: BlockPointer::NULL,
        level: 0,
        leaves: 0,
    };
}

/// An inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inode {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// What it is.
    pub(crate) kind: InodeKind,
    /// Permission bits, within [`MODE_BITS`].
    pub(crate) mode: u16,
    /// Directory entries that name it (file), or 2 and its subdirectories (directory).
    pub(crate) links: u32,
    /// The owning user.
    pub(crate) uid: u32,
    /// The owning group.
    pub(crate) gid: u32,
    /// Size of a file in bytes; 0 for a directory.
    pub(crate) size_bytes: u64,
    /// Data blocks of a file's extents; 0 for a directory.
    pub(crate) allocated_blocks: u64,
    /// Last read.
    pub(crate) accessed: Timestamp,
    /// Last change of the content.
    pub(crate) modified: Timestamp,
    /// Last change of content or attributes.
    pub(crate) changed: Timestamp,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// A directory's entries, or a file's extents when there are more than 4.
    pub(crate) content: TreeRoot,
    /// How many extents a file has; 0 for a directory.
    pub(crate) extent_count: u64,
    /// The directory that holds this directory (itself for the root); 0 for a file.
    pub(crate) parent: u64,
    /// A file's extents when there are at most 4, sorted; empty otherwise.
    pub(crate) inline_extents: Vec<Extent>,
}

impl Inode {
    fn encode(&self) -> RawInode {
        let mut inline = [RawExtent::new_zeroed(); INLINE_EXTENTS];
        for (raw, extent) in inline.iter_mut().zip(&self.inline_extents) {
            *raw = extent.encode();
        }
        RawInode {
            number: self.number.into(),
            size_bytes: self.size_bytes.into(),
            allocated_blocks: self.allocated_blocks.into(),
            links: self.links.into(),
            uid: self.uid.into(),
            gid: self.gid.into(),
            kind: (self.kind as u16).into(),
            mode: self.mode.into(),
            accessed: self.accessed.encode(),
            modified: self.modified.encode(),
            changed: self.changed.encode(),
            created: self.created.encode(),
            content: self.content.pointer.encode(),
            content_level: self.content.level.into(),
            flags: U16::ZERO,
            content_leaves: self.content.leaves.into(),
            extent_count: self.extent_count.into(),
            parent: self.parent.into(),
            inline_extents: inline,
            reserved: [0; 16],
        }
    }

    /// Decodes a slot that is in use and checks what the inode alone can show: its fields are
    /// plausible and agree with its kind and with each other.
    fn decode(raw: &RawInode) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Inode);
        let number = raw.number.get();
        fields.range("number", ROOT_INODE, MAXIMUM_INODES - 1, number)?;
        let kind = InodeKind::decode(raw.kind.get())
            .ok_or_else(|| fields.invalid("kind", "is neither 1 (file) nor 2 (directory)"))?;
        fields.range("mode", 0, MODE_BITS.into(), raw.mode.get().into())?;
        fields.equal("flags", 0_u16, raw.flags.get())?;
        fields.zero("reserved", &raw.reserved)?;
        fields.range("size_bytes", 0, MAXIMUM_FILE_BYTES, raw.size_bytes.get())?;
        fields.range(
            "allocated_blocks",
            0,
            MAXIMUM_BLOCKS,
            raw.allocated_blocks.get(),
        )?;
        let inode = Self {
            number,
            kind,
            mode: raw.mode.get(),
            links: raw.links.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            size_bytes: raw.size_bytes.get(),
            allocated_blocks: raw.allocated_blocks.get(),
            accessed: Timestamp::decode(&raw.accessed, "accessed")?,
            modified: Timestamp::decode(&raw.modified, "modified")?,
            changed: Timestamp::decode(&raw.changed, "changed")?,
            created: Timestamp::decode(&raw.created, "created")?,
            content: decode_content(raw)?,
            extent_count: raw.extent_count.get(),
            parent: raw.parent.get(),
            inline_extents: decode_inline_extents(raw, kind)?,
        };
        match kind {
            InodeKind::File => inode.check_file(fields)?,
            InodeKind::Directory => inode.check_directory(fields)?,
        }
        Ok(inode)
    }

    fn check_file(&self, fields: Fields) -> Result<(), FormatError> {
        fields.equal("parent of a file", 0_u64, self.parent)?;
        if self.extent_count <= INLINE_EXTENTS as u64 {
            return fields.equal(
                "content_leaves of inline extents",
                0_u32,
                self.content.leaves,
            );
        }
        // A leaf holds at least one extent.
        let most = self.extent_count.min(MAXIMUM_LEAVES);
        fields.range("content_leaves", 1, most, self.content.leaves.into())
    }

    fn check_directory(&self, fields: Fields) -> Result<(), FormatError> {
        fields.range("parent", ROOT_INODE, MAXIMUM_INODES - 1, self.parent)?;
        fields.equal("size_bytes of a directory", 0_u64, self.size_bytes)?;
        fields.equal(
            "allocated_blocks of a directory",
            0_u64,
            self.allocated_blocks,
        )?;
        fields.equal("extent_count of a directory", 0_u64, self.extent_count)
    }
}

fn decode_content(raw: &RawInode) -> Result<TreeRoot, FormatError> {
    let fields = Fields(Structure::Inode);
    let pointer = BlockPointer::decode(&raw.content)?;
    let (level, leaves) = (raw.content_level.get(), raw.content_leaves.get());
    fields.range("content_leaves", 0, MAXIMUM_LEAVES, leaves.into())?;
    // There is a level for so many leaves: the line before has just bounded them.
    let expected_level = level_for_leaves(leaves.into()).unwrap_or_default();
    fields.equal("content_level", expected_level, level)?;
    match (pointer.is_null(), leaves == 0) {
        (true, false) => Err(fields.invalid("content", "is null and content_leaves is not 0")),
        (false, true) => Err(fields.invalid("content", "is not null and content_leaves is 0")),
        _ => Ok(TreeRoot {
            pointer,
            level,
            leaves,
        }),
    }
}

fn decode_inline_extents(raw: &RawInode, kind: InodeKind) -> Result<Vec<Extent>, FormatError> {
    let count = match (kind, usize::try_from(raw.extent_count.get())) {
        (InodeKind::File, Ok(count)) if count <= INLINE_EXTENTS => count,
        _ => 0,
    };
    let (used, rest) = raw.inline_extents.split_at(count);
    Fields(Structure::Inode).zero("inline_extents past the count", rest.as_bytes())?;
    used.iter().map(Extent::decode).collect()
}

/// A leaf of inodes whose header was checked; each inode is checked when asked for.
#[derive(Debug)]
pub(crate) struct InodeLeaf<'a> {
    index: u64,
    inodes: &'a [RawInode; INODES_PER_LEAF],
}

impl<'a> InodeLeaf<'a> {
    /// Parses `block` as the leaf `index` of the inode table.
    pub(crate) fn parse(block: &'a Block, index: u64) -> Result<Self, FormatError> {
        let raw: &RawInodeLeaf = transmute_ref!(block.bytes());
        let count = Identity::inode_leaf(index).check(&raw.header)?;
        let fields = Fields(Structure::InodeLeaf);
        fields.zero("unused", &raw.unused)?;
        let used = raw.inodes.iter().filter(|raw| !is_free(raw)).count();
        fields.equal("count", used as u64, count as u64)?;
        Ok(Self {
            index,
            inodes: &raw.inodes,
        })
    }

    /// The inode in `slot` (below 15), or `None` when the slot is free or no slot.
    pub(crate) fn slot(&self, slot: usize) -> Result<Option<Inode>, FormatError> {
        let Some(raw) = self.inodes.get(slot).filter(|raw| !is_free(raw)) else {
            return Ok(None);
        };
        // What is wrong may be a pointer or an extent inside: the slot is what can be found again.
        let in_slot = |error: FormatError| {
            FormatError {
                structure: Structure::Inode,
                ..error
            }
            .in_entry(slot)
        };
        let inode = Inode::decode(raw).map_err(in_slot)?;
        let expected = self.index.saturating_mul(INODES_PER_LEAF as u64) + slot as u64;
        let fields = Fields(Structure::Inode);
        fields
            .equal("number", expected, inode.number)
            .map_err(|e| e.in_entry(slot))?;
        Ok(Some(inode))
    }

    /// The inodes in use, by number; a slot that holds no valid inode gives an error.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = Result<Inode, FormatError>> {
        (0..INODES_PER_LEAF).filter_map(|slot| self.slot(slot).transpose())
    }
}

fn is_free(raw: &RawInode) -> bool {
    raw.as_bytes().iter().all(|byte| *byte == 0)
}

/// Builds a leaf inode by inode.
#[derive(Debug)]
pub(crate) struct InodeLeafBuilder {
    index: u64,
    block: Block,
}

impl InodeLeafBuilder {
    /// A leaf `index` of the inode table with all slots free.
    pub(crate) fn new(index: u64) -> Self {
        Self {
            index,
            block: Block::zeroed(),
        }
    }

    /// Puts `inode` into its slot.
    ///
    /// # Errors
    /// A [`FormatError`] when this is not the leaf of that inode; the leaf is unchanged.
    pub(crate) fn set(&mut self, inode: &Inode) -> Result<(), FormatError> {
        let fields = Fields(Structure::InodeLeaf);
        fields.equal("index", self.index, inode_leaf(inode.number))?;
        let raw: &mut RawInodeLeaf = transmute_mut!(self.block.bytes_mut());
        raw.inodes[inode_slot(inode.number)] = inode.encode();
        Ok(())
    }

    /// The finished block, or `None` when no slot is in use: such a leaf is not stored, its parent
    /// has a null pointer.
    pub(crate) fn finish(mut self) -> Option<Block> {
        let raw: &mut RawInodeLeaf = transmute_mut!(self.block.bytes_mut());
        let count = raw.inodes.iter().filter(|raw| !is_free(raw)).count();
        raw.header = Identity::inode_leaf(self.index).encode(count);
        (count > 0).then_some(self.block)
    }
}
