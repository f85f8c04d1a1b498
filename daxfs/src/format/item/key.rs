//! Keys of the metadata tree: whose item it is, what kind, and which of that kind.
//!
//! Ordered by inode, then kind, then position, so that everything about one inode lies together.
//! Plain numbers: touches nothing, takes no locks.

use std::ops::Range;

use crate::format::error::{Fields, FormatError, Structure};
use crate::format::numbered::numbered;

/// Inode numbers are below this, so that they fit signed numbers of 64 bits too.
pub(crate) const INODE_LIMIT: u64 = 1 << 63;

/// What an item holds. The numbers are those on the medium, and their order is that of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum ItemKind {
    /// The fixed part of an inode.
    Inode = 1,
    /// A piece of an inode's extended attributes.
    XattrChunk = 2,
    /// A piece of a symbolic link's target.
    SymlinkChunk = 3,
    /// A name in a directory.
    Dirent = 4,
    /// Runs of blocks of one segment of a file.
    Extents = 5,
    /// An inode without names, to be removed at the next mount.
    Orphan = 6,
    /// A run of blocks that several file blocks refer to.
    Shared = 7,
    /// Checksums of file blocks.
    DataChecksums = 8,
}

impl ItemKind {
    /// All kinds, in order.
    pub(crate) const ALL: [Self; 8] = [
        ItemKind::Inode,
        ItemKind::XattrChunk,
        ItemKind::SymlinkChunk,
        ItemKind::Dirent,
        ItemKind::Extents,
        ItemKind::Orphan,
        ItemKind::Shared,
        ItemKind::DataChecksums,
    ];

    /// The kind with this number on the medium, if there is one.
    pub(crate) fn decode(number: u8) -> Option<Self> {
        numbered(Self::ALL, number, |kind| kind as u8)
    }

    /// Whether such items belong to the image and have inode number 0.
    pub(crate) fn is_of_image(self) -> bool {
        matches!(self, ItemKind::Orphan | ItemKind::Shared)
    }
}

/// The key of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The inode it belongs to; 0 for items of the whole image.
    pub(crate) inode: u64,
    /// What it holds.
    pub(crate) kind: ItemKind,
    /// Which of that kind: what it counts depends on the kind.
    pub(crate) position: u64,
}

impl Key {
    /// Not greater than any key.
    pub(crate) const MIN: Self = Self::new(0, ItemKind::Inode, 0);
    /// Greater than the key of any item: the end of a range that has no other end.
    pub(crate) const MAX: Self = Self::new(u64::MAX, ItemKind::DataChecksums, u64::MAX);

    /// The key of an item.
    pub(crate) const fn new(inode: u64, kind: ItemKind, position: u64) -> Self {
        Self {
            inode,
            kind,
            position,
        }
    }

    /// Not greater than any key of `inode`.
    pub(crate) const fn first_of(inode: u64) -> Self {
        Self::new(inode, ItemKind::Inode, 0)
    }

    /// The least key greater than this one. [`Key::MAX`] is its own.
    pub(crate) fn successor(self) -> Self {
        match self.position.checked_add(1) {
            Some(position) => Self { position, ..self },
            None => Self::end_of_kind(self.inode, self.kind),
        }
    }

    /// This key alone, as a range.
    pub(crate) fn alone(self) -> Range<Self> {
        self..self.successor()
    }

    /// Everything of one inode.
    pub(crate) fn range_of_inode(inode: u64) -> Range<Self> {
        Self::first_of(inode)..Self::end_of_inode(inode)
    }

    /// Everything of one kind of one inode.
    pub(crate) fn range_of_kind(inode: u64, kind: ItemKind) -> Range<Self> {
        Self::new(inode, kind, 0)..Self::end_of_kind(inode, kind)
    }

    fn end_of_kind(inode: u64, kind: ItemKind) -> Self {
        match ItemKind::ALL.get(kind as usize) {
            // Kinds are numbered from 1, so this is the one after `kind`.
            Some(next) => Self::new(inode, *next, 0),
            None => Self::end_of_inode(inode),
        }
    }

    fn end_of_inode(inode: u64) -> Self {
        inode.checked_add(1).map_or(Self::MAX, Self::first_of)
    }

    /// Decodes the three numbers of a key in `structure`, and checks that an item can have it.
    pub(in crate::format) fn decode(
        structure: Structure,
        inode: u64,
        kind: u8,
        position: u64,
    ) -> Result<Self, FormatError> {
        let fields = Fields(structure);
        let kind = ItemKind::decode(kind)
            .ok_or_else(|| fields.invalid("kind", "is no kind of item (1 to 8)"))?;
        if kind.is_of_image() {
            fields.equal("inode of an item of the image", 0_u64, inode)?;
        } else {
            fields.range("inode", 1, INODE_LIMIT - 1, inode)?;
        }
        Ok(Self::new(inode, kind, position))
    }
}
