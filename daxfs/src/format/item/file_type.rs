//! What an inode is. Inodes and directory entries both say it, with the same numbers.

use std::fmt;

use crate::format::numbered::numbered;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum FileType {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A named pipe.
    Fifo = 4,
    /// A socket.
    Socket = 5,
    /// A character device.
    CharacterDevice = 6,
    /// A block device.
    BlockDevice = 7,
}

impl FileType {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        FileType::File,
        FileType::Directory,
        FileType::Symlink,
        FileType::Fifo,
        FileType::Socket,
        FileType::CharacterDevice,
        FileType::BlockDevice,
    ];

    /// The one with this number on the medium, if there is one.
    pub(crate) fn decode(number: u8) -> Option<Self> {
        numbered(Self::ALL, number, |file_type| file_type as u8)
    }

    /// Whether it stands for a device and so has a device number.
    pub(crate) fn is_device(self) -> bool {
        matches!(self, FileType::CharacterDevice | FileType::BlockDevice)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FileType::File => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "symbolic link",
            FileType::Fifo => "named pipe",
            FileType::Socket => "socket",
            FileType::CharacterDevice => "character device",
            FileType::BlockDevice => "block device",
        })
    }
}
