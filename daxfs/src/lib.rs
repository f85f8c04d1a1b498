//! A userspace DAX filesystem on a device image, in which `read`, `write` and memory mappings of
//! a file stay coherent.
#![forbid(unsafe_code)]

mod allocation;
mod clock;
mod dax;
mod directory;
mod error;
mod file_lock;
mod format;
mod fs;
pub mod fsck;
mod gate;
mod inode;
mod lock_order;
mod log;
mod metadata;
mod radix;
mod run;
pub mod schedule;
mod sync;
mod volume;

pub use dax::{
    DataMode, EntrySizes, IoLock, Length, LockState, MAX_FILE_BYTES, MapOptions, Mapping,
    MappingLock, PageTables, Unmapping,
};
pub use daxfs_pmem::{
    Access, AccessError, Backing, Device, DeviceAccess, DeviceError, FaultError, HUGE_PAGE_BYTES,
    MappingMechanism, PAGE_BYTES, PageTableCounts, PageTableError, Persistence, PersistenceChoice,
    Protection,
};
pub use error::{AttributeProblem, Error, LockRangeProblem, LockWaitEnd, Result};
pub use file_lock::{HeldLock, LockCancellation, LockKind, LockOwner, LockRange};
pub use fs::{
    Checkpoints, CreateOptions, DataChecksums, DirectoryEntry, ExistingImage, ExtentInfo, File,
    FileKind, Filesystem, FormatOptions, LogSpace, Metadata, MountAccess, MountOptions, RenameMode,
    SetAttributes, SetMode, Space, SpecialFile,
};
