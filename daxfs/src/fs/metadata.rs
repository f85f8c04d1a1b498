//! What can be asked about files, directories and the whole filesystem. Plain values.

use std::ffi::OsString;
use std::time::SystemTime;

use crate::format::InodeKind;
use crate::format::geometry::BLOCK_BYTES;
use crate::inode::Inode;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

impl From<InodeKind> for FileKind {
    fn from(kind: InodeKind) -> Self {
        match kind {
            InodeKind::File => Self::File,
            InodeKind::Directory => Self::Directory,
        }
    }
}

/// What is known of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The inode number, unique in the filesystem for as long as the file lives.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
    /// The length of a file in bytes; 0 for a directory.
    pub len_bytes: u64,
    /// Bytes of data blocks that a file has; holes have none.
    pub allocated_bytes: u64,
    /// How many names it has (a directory: 2 and its subdirectories).
    pub links: u32,
    /// Permission bits.
    pub mode: u16,
    /// The owning user.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// When the content last changed.
    pub modified: SystemTime,
    /// When the content or the attributes last changed.
    pub changed: SystemTime,
    /// When it was made.
    pub created: SystemTime,
}

impl Metadata {
    pub(super) fn of(inode: &Inode) -> Self {
        let attributes = inode.attributes();
        Self {
            inode: inode.number(),
            kind: inode.kind().into(),
            len_bytes: inode.len_bytes(),
            allocated_bytes: inode
                .blocks()
                .map_or(0, |b| b.allocated_blocks() * BLOCK_BYTES),
            links: inode.links(),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            modified: attributes.modified,
            changed: attributes.changed,
            created: attributes.created,
        }
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name.
    pub name: OsString,
    /// The inode that it stands for.
    pub inode: u64,
    /// What that is.
    pub kind: FileKind,
}

/// Part of a file that lies in one piece on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentInfo {
    /// Where it is in the file, in bytes.
    pub file_offset_bytes: u64,
    /// Where it is on the device, in bytes.
    pub device_offset_bytes: u64,
    /// How long it is, in bytes.
    pub len_bytes: u64,
}

/// How the space of a filesystem is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the image.
    pub total_bytes: u64,
    /// What no block of data or metadata takes.
    pub free_bytes: u64,
    /// What data may still take: the rest is kept for writing metadata.
    pub available_bytes: u64,
    /// What metadata took at the last checkpoint.
    pub metadata_bytes: u64,
    /// How many files and directories there are.
    pub inodes: u64,
}
