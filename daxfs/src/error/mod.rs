//! The one error type of the filesystem: what failed, where, and what to do next.
//!
//! Touches nothing and takes no locks. Every public operation of this crate returns
//! [`Error`]; nothing here is ever a panic.

mod errno;
mod file_lock;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use daxfs_pmem::{DeviceError, PageTableError};

pub use file_lock::{LockRangeProblem, LockWaitEnd};

/// The result of a filesystem operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeProblem {
    /// The name is empty, or has more than 255 bytes.
    #[error("a name has 1 to 255 bytes")]
    NameLength,
    /// The name begins with none of the prefixes that Linux knows.
    #[error(
        "a name begins with `user.`, `trusted.` or `security.`, or is `system.posix_acl_access` or \
         `system.posix_acl_default`"
    )]
    UnknownPrefix,
    /// The name is one of the prefixes that Linux knows, and nothing more.
    #[error("a name has something after its prefix")]
    OnlyPrefix,
    /// The value has more than 65536 bytes.
    #[error("a value has at most 65536 bytes")]
    ValueLength,
    /// All attributes of one inode together take at most 65536 bytes.
    #[error("all attributes of one inode take at most 65536 bytes")]
    NoRoom,
    /// Only files and directories have attributes of users.
    #[error("only files and directories have attributes that begin with `user.`")]
    NoUserAttributes,
    /// An access control list of another version than 2.
    #[error("an access control list is of version 2")]
    AclVersion,
    /// Bytes that are no access control list.
    #[error(
        "an access control list has entries of 8 bytes in order: owner, users, group, groups, \
         mask, others"
    )]
    MalformedAcl,
    /// Only what is made in directories begins with a default access control list.
    #[error("only directories have a default access control list")]
    NoDefaultAcl,
}

/// Why a filesystem operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file or directory has this path.
    #[error("{}: no such file or directory", path.display())]
    NotFound {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// Something with this path is there already.
    #[error("{}: already exists", path.display())]
    AlreadyExists {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A directory was needed, and this is none.
    #[error("{}: not a directory", path.display())]
    NotADirectory {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A regular file was needed, and this is a directory.
    #[error("{}: is a directory", path.display())]
    IsADirectory {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A directory can be removed only when it is empty.
    #[error("{}: directory not empty; remove what it holds first", path.display())]
    DirectoryNotEmpty {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A name of more than 255 bytes, or a path of more than 4095.
    #[error("{}: name or path too long", path.display())]
    NameTooLong {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A path that leads through too many symbolic links, or in a circle.
    #[error("{}: more than 40 symbolic links on the way", path.display())]
    TooManyLinks {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// An inode has as many names as it can have.
    #[error("{}: has as many names, or subdirectories, as there can be", path.display())]
    TooManyNames {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// A directory cannot be moved into itself or into what it holds.
    #[error("{}: cannot move a directory into itself", path.display())]
    IntoItself {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// The root, `.` and `..` have no names that could be moved or removed.
    #[error("{}: cannot be moved or removed; name it in its directory", path.display())]
    InUse {
        /// The path as the caller gave it.
        path: PathBuf,
    },
    /// This kind of inode does not have what was to be changed.
    #[error("{}: not supported: {reason}", path.display())]
    NotSupported {
        /// The path as the caller gave it.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// What was asked for is never allowed for this kind of inode.
    #[error("{}: not permitted: {reason}", path.display())]
    NotPermitted {
        /// The path as the caller gave it.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A symbolic link, or a regular file, was needed, and this is something else.
    #[error("{}: {reason}", path.display())]
    WrongKind {
        /// The path as the caller gave it.
        path: PathBuf,
        /// What was needed.
        reason: &'static str,
    },
    /// The inode has no extended attribute of that name.
    #[error("{}: no extended attribute {name:?}", path.display())]
    NoAttribute {
        /// The path as the caller gave it.
        path: PathBuf,
        /// The attribute's name.
        name: OsString,
    },
    /// The inode has an extended attribute of that name already.
    #[error("{}: has an extended attribute {name:?} already", path.display())]
    AttributeExists {
        /// The path as the caller gave it.
        path: PathBuf,
        /// The attribute's name.
        name: OsString,
    },
    /// An extended attribute that cannot be stored.
    #[error("{}: extended attribute {name:?}: {reason}", path.display())]
    InvalidAttribute {
        /// The path as the caller gave it.
        path: PathBuf,
        /// The attribute's name.
        name: OsString,
        /// What is wrong with it.
        reason: AttributeProblem,
    },
    /// An inode number that stands for nothing (any longer).
    #[error("inode {inode}: removed, or never there")]
    StaleInode {
        /// The number.
        inode: u64,
    },
    /// The filesystem failed before, and accepts no further changes.
    #[error("the filesystem has failed: {reason}; unmount it and run `daxfs fsck`")]
    Failed {
        /// What failed.
        reason: &'static str,
    },
    /// A path that cannot name anything: empty, a NUL byte, or not absolute.
    #[error("{}: invalid path: {reason}", path.display())]
    InvalidPath {
        /// The path as the caller gave it.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file offset or length outside what a file can have.
    #[error(
        "{operation}: range of {len_bytes} bytes at {offset_bytes} is outside a file's \
         {max_bytes} bytes"
    )]
    InvalidRange {
        /// The operation that was asked for.
        operation: &'static str,
        /// Where the range starts, in bytes.
        offset_bytes: u64,
        /// How long it is, in bytes.
        len_bytes: u64,
        /// The largest size of a file, in bytes.
        max_bytes: u64,
    },
    /// The bytes of a file lock cannot be such ones.
    #[error("file lock on {range}: {problem}")]
    InvalidLockRange {
        /// What was asked for.
        range: String,
        /// What is wrong with it.
        problem: LockRangeProblem,
    },
    /// Another owner's file lock is in the way.
    #[error(
        "bytes {first_byte} to {last_byte} are locked by another owner; try again later, or wait"
    )]
    LockConflict {
        /// The first byte of the lock that is in the way.
        first_byte: u64,
        /// Its last byte.
        last_byte: u64,
    },
    /// To wait for a file lock would be to wait for ever: who is in the way waits for this owner.
    #[error(
        "waiting for a lock on bytes {first_byte} to {last_byte} would never end: owners would \
         wait for each other; release what this one holds, and try again"
    )]
    LockDeadlock {
        /// The first byte that was asked for.
        first_byte: u64,
        /// The last byte that was asked for.
        last_byte: u64,
    },
    /// A wait for a file lock ended without the lock.
    #[error("no file lock: {reason}")]
    LockInterrupted {
        /// What ended it.
        reason: LockWaitEnd,
    },
    /// An exclusive file lock needs a file that is open for writing.
    #[error("{operation}: the file is open for reading only; ask for a shared lock")]
    NotOpenForWriting {
        /// The operation that was asked for.
        operation: &'static str,
    },
    /// The device has too few free blocks.
    #[error(
        "no space: {needed_blocks} blocks of 4 KiB needed, {available_blocks} available; remove \
         files or make a larger image"
    )]
    NoSpace {
        /// How many blocks the operation needed.
        needed_blocks: u64,
        /// How many blocks it could have had.
        available_blocks: u64,
    },
    /// The filesystem or the mapping was opened read-only.
    #[error("{operation}: read-only; mount read-write to change files")]
    ReadOnly {
        /// The operation that was asked for.
        operation: &'static str,
    },
    /// Files or mappings are still open.
    #[error("cannot unmount: {open_files} files are open or mapped; drop their handles first")]
    Busy {
        /// Files that are open or mapped.
        open_files: usize,
    },
    /// What is on the device is no daxfs image.
    #[error("not a daxfs image: {reason}; make one with `daxfs mkfs`")]
    NotAnImage {
        /// What was looked for and not found.
        reason: String,
    },
    /// The image was made by another version of the format.
    #[error("image format version {found}, this program reads version {supported}")]
    UnsupportedVersion {
        /// The version on the image.
        found: u32,
        /// The version that this library reads and writes.
        supported: u32,
    },
    /// The image uses features this program does not know.
    #[error("image uses unknown {class} features {bits:#x}; use a newer daxfs")]
    UnsupportedFeatures {
        /// Which class of feature bits: `incompatible` or `read-only compatible`.
        class: &'static str,
        /// The unknown bits.
        bits: u64,
    },
    /// The image is shorter than its superblock says.
    #[error(
        "image cut short: the superblock describes {expected_bytes} bytes, the device has \
         {found_bytes}; restore it from a copy"
    )]
    Truncated {
        /// The size that the superblock describes, in bytes.
        expected_bytes: u64,
        /// The size of the device, in bytes.
        found_bytes: u64,
    },
    /// The device holds a filesystem already.
    #[error("the device holds a daxfs image already; ask for it to be replaced if it may be lost")]
    AlreadyFormatted,
    /// A metadata structure does not hold what it must.
    #[error("corrupt {structure} at block {block}: {problem}; run `daxfs fsck`")]
    Corrupt {
        /// The structure, as named in the format document.
        structure: &'static str,
        /// The block that holds it.
        block: u64,
        /// What was expected and what was found.
        problem: String,
    },
    /// A block of a file does not hold what it held when its checksum was computed.
    #[error(
        "inode {inode}: block {file_block} of the file (device block {device_block}) is damaged: \
         its checksum is {found:#010x}, expected {expected:#010x}; restore the file from a copy"
    )]
    DataCorrupt {
        /// The file.
        inode: u64,
        /// The block within the file.
        file_block: u64,
        /// The block on the device.
        device_block: u64,
        /// The checksum that is stored for it.
        expected: u32,
        /// The checksum of what it holds.
        found: u32,
    },
    /// The device is too small, or too large, to hold a filesystem.
    #[error("device of {len_bytes} bytes cannot be formatted: {reason}")]
    UnusableDevice {
        /// The size of the device, in bytes.
        len_bytes: u64,
        /// Why.
        reason: &'static str,
    },
    /// A change of metadata is larger than what the log can take at once.
    #[error(
        "a change of metadata takes {len_bytes} bytes of the log, which has room for \
         {max_bytes} at once; use a larger image"
    )]
    LogRecordTooLarge {
        /// What it takes, in bytes.
        len_bytes: u64,
        /// The most it may take, in bytes.
        max_bytes: u64,
    },
    /// The log could not be written, now or earlier. Nothing that came after is durable, and
    /// nothing more is taken.
    #[error(
        "the log could not be written and the filesystem takes no more changes; unmount it, check \
         the device, and mount it again"
    )]
    LogFailed {
        /// The first error of the device.
        source: Arc<DeviceError>,
    },
    /// The medium itself failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A mapping could not be established or changed.
    #[error(transparent)]
    PageTable(#[from] PageTableError),
    /// A load or store through a mapping met what a CPU would report as SIGBUS or SIGSEGV.
    #[error(transparent)]
    Access(#[from] daxfs_pmem::AccessError),
    /// A crash may have torn bytes that the log has whole, and a mount that may not write cannot
    /// put them in place.
    #[error("{writes} writes are to be completed from the log: mount for writing once")]
    NeedsRecovery {
        /// How many pieces of bytes.
        writes: u64,
    },
    /// Two files of one operation are in different filesystems.
    #[error("{operation}: the files are in different filesystems; copy the bytes instead")]
    OtherFilesystem {
        /// What was asked for.
        operation: &'static str,
    },
    /// The options given at mount contradict each other or the device.
    #[error("invalid option: {reason}")]
    InvalidOption {
        /// What contradicts what.
        reason: String,
    },
}
