//! What an inode is and who uses a block, as issues say it. Plain values.

use std::fmt;

use crate::format::FileType;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl InodeKind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::File => InodeKind::File,
            FileType::Directory => InodeKind::Directory,
            FileType::Symlink => InodeKind::Symlink,
            FileType::Fifo => InodeKind::Fifo,
            FileType::Socket => InodeKind::Socket,
            FileType::CharacterDevice => InodeKind::CharacterDevice,
            FileType::BlockDevice => InodeKind::BlockDevice,
        }
    }

    pub(super) fn stored(self) -> FileType {
        match self {
            InodeKind::File => FileType::File,
            InodeKind::Directory => FileType::Directory,
            InodeKind::Symlink => FileType::Symlink,
            InodeKind::Fifo => FileType::Fifo,
            InodeKind::Socket => FileType::Socket,
            InodeKind::CharacterDevice => FileType::CharacterDevice,
            InodeKind::BlockDevice => FileType::BlockDevice,
        }
    }
}

impl fmt::Display for InodeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stored().fmt(formatter)
    }
}

/// Who uses a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The metadata tree, as a node.
    Tree,
    /// A file, for its content.
    Data {
        /// The file.
        inode: u64,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Tree => formatter.write_str("metadata tree"),
            Owner::Data { inode } => write!(formatter, "data of inode {inode}"),
        }
    }
}

pub(super) fn owners_text(owners: &[Owner]) -> String {
    let texts = owners.iter().map(Owner::to_string).collect::<Vec<_>>();
    texts.join(", ")
}
