//! How to make an image and how to mount it. Plain values.

use std::fmt;
use std::sync::Arc;

use super::namespace::NewInode;
use crate::dax::{DataMode, EntrySizes, IoLock, MappingLock, Settings, Unmapping};
use crate::format::FileType;
use crate::schedule::Schedule;

/// What [`Filesystem::format`](crate::Filesystem::format) does with an image that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistingImage {
    /// Leaves it alone and fails.
    #[default]
    Refuse,
    /// Replaces it: everything in it is lost.
    Replace,
}

/// Whether an image keeps checksums of what files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataChecksums {
    /// Of metadata alone, which always has them.
    #[default]
    Off,
    /// Of data too: computed when a file's last handle is closed, compared by every read, and by a
    /// page fault of what it maps. A block that decayed is an error ([`Error::DataCorrupt`]),
    /// instead of what it decayed to. What has been written since the file was last closed has none
    /// yet, and what a writable mapping has brought in has none until then.
    ///
    /// [`Error::DataCorrupt`]: crate::Error::DataCorrupt
    On,
}

/// How to make an image.
#[derive(Clone, Debug, Default)]
pub struct FormatOptions {
    /// The image's name: at most 64 bytes of text without NUL.
    pub label: String,
    /// What to do with an image that is there already.
    pub existing: ExistingImage,
    /// Whether it keeps checksums of data, for as long as it lives.
    pub data_checksums: DataChecksums,
}

/// Permission bits and owners of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Permission bits; others are ignored.
    pub mode: u16,
    /// The owning user.
    pub uid: u32,
    /// The owning group. In a directory with the set-group-ID bit, that of the directory counts.
    pub gid: u32,
}

impl CreateOptions {
    /// A file that its owner, user 0, may write and all may read.
    #[must_use]
    pub fn file() -> Self {
        Self {
            mode: 0o644,
            uid: 0,
            gid: 0,
        }
    }

    /// A directory that its owner, user 0, may change and all may look into.
    #[must_use]
    pub fn directory() -> Self {
        Self {
            mode: 0o755,
            ..Self::file()
        }
    }

    /// A symbolic link, whose permission bits mean nothing.
    #[must_use]
    pub fn symbolic_link() -> Self {
        Self {
            mode: 0o777,
            ..Self::file()
        }
    }

    pub(super) fn new_inode(self, kind: FileType) -> NewInode {
        NewInode {
            kind,
            mode: self.mode & 0o7777,
            uid: self.uid,
            gid: self.gid,
            device_number: 0,
            target: Vec::new(),
        }
    }
}

/// What a special file stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialFile {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device with this number, as the system makes it of major and minor.
    CharacterDevice(u64),
    /// A block device with this number.
    BlockDevice(u64),
}

impl SpecialFile {
    pub(super) fn stored(self) -> (FileType, u64) {
        match self {
            Self::Fifo => (FileType::Fifo, 0),
            Self::Socket => (FileType::Socket, 0),
            Self::CharacterDevice(number) => (FileType::CharacterDevice, number),
            Self::BlockDevice(number) => (FileType::BlockDevice, number),
        }
    }
}

/// Whether a mounted filesystem may be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountAccess {
    /// It may.
    #[default]
    ReadWrite,
    /// It may not; the device may be open read-only.
    ReadOnly,
}

/// Who makes the checkpoints that give an operation room in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checkpoints {
    /// A thread of the filesystem's, once the log is half full, so that nobody has to wait.
    #[default]
    Ahead,
    /// Whoever finds the log full: there is no thread, and what is done to the device, and when,
    /// follows from the operations alone. For tests, and for programs that count their threads.
    WhenNeeded,
}

/// How to mount an image.
///
/// ```
/// use daxfs::{IoLock, MappingLock, MountOptions};
///
/// let mut options = MountOptions::default();
/// options.mapping_lock = MappingLock::Entry;
/// assert_eq!(options.io_lock(), IoLock::Range);
/// ```
#[derive(Clone)]
pub struct MountOptions {
    /// Whether the filesystem may be changed.
    pub access: MountAccess,
    /// What keeps page faults and changes of the block map apart.
    pub mapping_lock: MappingLock,
    /// How translations are taken out of page tables.
    pub unmapping: Unmapping,
    /// How much of a file one fault may map.
    pub entry_sizes: EntrySizes,
    /// What a crash may leave of a write.
    pub data: DataMode,
    /// Who makes checkpoints.
    pub checkpoints: Checkpoints,
    /// Told of each step of faults and allocating writes; for tests that force an interleaving.
    pub schedule: Option<Arc<dyn Schedule>>,
    io_lock: IoLock,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            access: MountAccess::ReadWrite,
            mapping_lock: MappingLock::Range,
            unmapping: Unmapping::default(),
            entry_sizes: EntrySizes::default(),
            data: DataMode::default(),
            checkpoints: Checkpoints::default(),
            schedule: None,
            io_lock: IoLock::Range,
        }
    }
}

impl MountOptions {
    /// What concerns open files.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            io_lock: self.io_lock,
            mapping_lock: self.mapping_lock,
            unmapping: self.unmapping,
            entry_sizes: self.entry_sizes,
            data: self.data,
        }
    }

    /// What keeps overlapping reads and writes apart.
    #[must_use]
    pub fn io_lock(&self) -> IoLock {
        self.io_lock
    }

    /// Locks whole files for I/O, as Linux does.
    #[must_use]
    pub fn with_inode_io_lock(self) -> Self {
        Self {
            io_lock: IoLock::Inode,
            ..self
        }
    }

    /// Locks 2 MiB at a time for I/O, reads like writes: for a benchmark, which needs to know what
    /// entry locks held across the copy would cost.
    #[must_use]
    pub fn with_segment_io_lock_for_benchmark(self) -> Self {
        Self {
            io_lock: IoLock::Segment,
            ..self
        }
    }

    /// Locks nothing for I/O. Overlapping reads and writes mix, and a file that is truncated while
    /// it is read may show other files' data, and with checksums of data a file that is written
    /// while it is closed may be taken for damaged: only for a benchmark, which needs to know what
    /// the copies alone cost.
    #[must_use]
    pub fn without_io_lock_for_benchmark(self) -> Self {
        Self {
            io_lock: IoLock::None,
            ..self
        }
    }
}

impl fmt::Debug for MountOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MountOptions")
            .field("access", &self.access)
            .field("io_lock", &self.io_lock)
            .field("mapping_lock", &self.mapping_lock)
            .field("unmapping", &self.unmapping)
            .field("entry_sizes", &self.entry_sizes)
            .field("data", &self.data)
            .field("checkpoints", &self.checkpoints)
            .field("scheduled", &self.schedule.is_some())
            .finish()
    }
}
