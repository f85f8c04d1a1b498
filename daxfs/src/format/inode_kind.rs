//! What an inode is. Inodes and directory entries both say it, with the same numbers.

use std::fmt;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum InodeKind {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
}

impl InodeKind {
    /// The kind with this number on the medium, if there is one.
    pub(super) fn decode(kind: u16) -> Option<Self> {
        match kind {
            1 => Some(InodeKind::File),
            2 => Some(InodeKind::Directory),
            _ => None,
        }
    }
}

impl fmt::Display for InodeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            InodeKind::File => "file",
            InodeKind::Directory => "directory",
        })
    }
}
