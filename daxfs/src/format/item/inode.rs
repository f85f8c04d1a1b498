//! The inode item: everything about an inode that has a fixed size.
//!
//! Names, attributes, targets and extents are items of their own beside it, so an inode costs one
//! item however large its file is. Plain values, no locks.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file_type::FileType;
use super::key::INODE_LIMIT;
use super::symlink::MAXIMUM_TARGET_BYTES;
use super::xattr::MAXIMUM_XATTR_BYTES;
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::{MAXIMUM_BLOCKS, MAXIMUM_FILE_BYTES, ROOT_INODE};
use crate::format::timestamp::{RawTimestamp, Timestamp};

/// The permission bits of a mode, with set-user-ID, set-group-ID and sticky.
pub(crate) const PERMISSION_BITS: u16 = 0o7777;
/// Bytes that the value of an inode item has.
pub(crate) const STORED_INODE_LEN: usize = 120;
/// The flags that this library knows. None is defined yet.
pub(crate) const KNOWN_INODE_FLAGS: u32 = 0;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawStoredInode {
    pub(in crate::format) kind: u8,
    pub(in crate::format) version: u8,
    pub(in crate::format) mode: U16,
    pub(in crate::format) links: U32,
    pub(in crate::format) uid: U32,
    pub(in crate::format) gid: U32,
    pub(in crate::format) rdev: U64,
    pub(in crate::format) size_bytes: U64,
    pub(in crate::format) allocated_blocks: U64,
    pub(in crate::format) parent: U64,
    pub(in crate::format) flags: U32,
    pub(in crate::format) xattr_bytes: U32,
    pub(in crate::format) accessed: RawTimestamp,
    pub(in crate::format) modified: RawTimestamp,
    pub(in crate::format) changed: RawTimestamp,
    pub(in crate::format) created: RawTimestamp,
}

const _: () = assert!(size_of::<RawStoredInode>() == STORED_INODE_LEN);
const _: () = assert!(STORED_INODE_LEN.is_multiple_of(8));

/// An inode as it is stored. Its number is in its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredInode {
    /// What it is.
    pub(crate) kind: FileType,
    /// Permission bits, within [`PERMISSION_BITS`].
    pub(crate) mode: u16,
    /// Directory entries that name it (a directory: 2 and its subdirectories).
    pub(crate) links: u32,
    /// The owning user.
    pub(crate) uid: u32,
    /// The owning group.
    pub(crate) gid: u32,
    /// The device it stands for; 0 for what is no device.
    pub(crate) rdev: u64,
    /// See [`KNOWN_INODE_FLAGS`].
    pub(crate) flags: u32,
    /// The size of a file, or of a symbolic link's target, in bytes; 0 for the others.
    pub(crate) size_bytes: u64,
    /// Blocks of a file's extents; 0 for the others.
    pub(crate) allocated_blocks: u64,
    /// The directory that holds this directory (itself for the root); 0 for the others.
    pub(crate) parent: u64,
    /// Last read.
    pub(crate) accessed: Timestamp,
    /// Last change of the content.
    pub(crate) modified: Timestamp,
    /// Last change of content or attributes.
    pub(crate) changed: Timestamp,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// How many bytes of extended attributes it has, over all its chunks.
    pub(crate) xattr_bytes: u32,
}

impl StoredInode {
    /// The value of the item.
    pub(crate) fn encode(&self) -> [u8; STORED_INODE_LEN] {
        let raw = RawStoredInode {
            kind: self.kind as u8,
            version: 0,
            mode: self.mode.into(),
            links: self.links.into(),
            uid: self.uid.into(),
            gid: self.gid.into(),
            rdev: self.rdev.into(),
            size_bytes: self.size_bytes.into(),
            allocated_blocks: self.allocated_blocks.into(),
            parent: self.parent.into(),
            flags: self.flags.into(),
            xattr_bytes: self.xattr_bytes.into(),
            accessed: self.accessed.encode(),
            modified: self.modified.encode(),
            changed: self.changed.encode(),
            created: self.created.encode(),
        };
        zerocopy::transmute!(raw)
    }

    /// Decodes the value of an item, and checks what the inode alone can show: its fields are
    /// plausible and fit its kind.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Inode);
        fields.equal("length", STORED_INODE_LEN as u64, value.len() as u64)?;
        let raw = RawStoredInode::read_from_bytes(value)
            .map_err(|_| fields.invalid("length", "is not that of an inode"))?;
        let kind = FileType::decode(raw.kind)
            .ok_or_else(|| fields.invalid("kind", "is no kind of inode (1 to 7)"))?;
        fields.equal("version", 0_u8, raw.version)?;
        let inode = Self {
            kind,
            mode: raw.mode.get(),
            links: raw.links.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            rdev: raw.rdev.get(),
            flags: raw.flags.get(),
            size_bytes: raw.size_bytes.get(),
            allocated_blocks: raw.allocated_blocks.get(),
            parent: raw.parent.get(),
            accessed: Timestamp::decode(&raw.accessed, "accessed")?,
            modified: Timestamp::decode(&raw.modified, "modified")?,
            changed: Timestamp::decode(&raw.changed, "changed")?,
            created: Timestamp::decode(&raw.created, "created")?,
            xattr_bytes: raw.xattr_bytes.get(),
        };
        inode.check(fields)?;
        Ok(inode)
    }

    fn check(&self, fields: Fields) -> Result<(), FormatError> {
        fields.range("mode", 0, PERMISSION_BITS.into(), self.mode.into())?;
        fields.equal("unknown flags", 0_u32, self.flags & !KNOWN_INODE_FLAGS)?;
        let most = MAXIMUM_XATTR_BYTES as u64;
        fields.range("xattr_bytes", 0, most, self.xattr_bytes.into())?;
        self.check_size(fields)?;
        if self.kind != FileType::File {
            fields.equal("allocated_blocks", 0_u64, self.allocated_blocks)?;
        }
        fields.range("allocated_blocks", 0, MAXIMUM_BLOCKS, self.allocated_blocks)?;
        if !self.kind.is_device() {
            fields.equal("rdev", 0_u64, self.rdev)?;
        }
        match self.kind {
            FileType::Directory => fields.range("parent", ROOT_INODE, INODE_LIMIT - 1, self.parent),
            _ => fields.equal("parent", 0_u64, self.parent),
        }
    }

    fn check_size(&self, fields: Fields) -> Result<(), FormatError> {
        let (least, most) = match self.kind {
            FileType::File => (0, MAXIMUM_FILE_BYTES),
            FileType::Symlink => (1, MAXIMUM_TARGET_BYTES as u64),
            _ => (0, 0),
        };
        fields.range("size_bytes", least, most, self.size_bytes)
    }
}
