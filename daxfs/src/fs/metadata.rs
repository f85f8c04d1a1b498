//! What can be asked about files, directories and the whole filesystem. Plain values.

use std::ffi::OsString;
use std::time::SystemTime;

use crate::format::FileType;
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
    /// A symbolic link.
    SymbolicLink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::File => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::SymbolicLink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
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
    /// The length of a file, or of where a symbolic link leads, in bytes; 0 for others.
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
    /// The number of the device that a special file stands for.
    pub device_number: u64,
    /// When the content was last read, kept as Linux's `relatime` does.
    pub accessed: SystemTime,
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
            allocated_bytes: inode.allocated_blocks() * BLOCK_BYTES,
            links: inode.links(),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            device_number: inode.device_number(),
            accessed: attributes.accessed,
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
    /// Where it is in the directory, for as long as it has this name: a reader goes on from the
    /// position after the last that it has seen, whatever comes and goes meanwhile.
    pub position: u64,
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
    /// Whether other places may have these blocks too: writing them makes a copy.
    pub is_shared: bool,
}

/// How full the log is: a checkpoint empties it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpace {
    /// How many bytes the log has.
    pub capacity_bytes: u64,
    /// How many of them hold what no checkpoint has yet.
    pub used_bytes: u64,
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
