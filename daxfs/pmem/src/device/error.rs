//! What can go wrong with a device: what, where, and what to do next.
//!
//! Touches nothing. Takes no locks.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a device could not be created, opened, read, written or made durable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A file of that name exists; creating never overwrites.
    #[error("{path} exists already: remove it, or choose another name", path = .path.display())]
    AlreadyExists {
        /// The file asked for.
        path: PathBuf,
    },
    /// Another process, or another open device of this one, holds the image.
    #[error("{path} is in use by another opener: unmount or stop it first", path = .path.display())]
    Busy {
        /// The image asked for.
        path: PathBuf,
    },
    /// Only regular files can be images.
    #[error("{path} is not a regular file: give the name of an image file", path = .path.display())]
    NotRegularFile {
        /// The file asked for.
        path: PathBuf,
    },
    /// The length cannot be that of a device.
    #[error("a device of {len_bytes} bytes is not possible: {requirement}")]
    BadLength {
        /// The length asked for or found, in bytes.
        len_bytes: u64,
        /// What a length must be.
        requirement: &'static str,
    },
    /// The host has no room for the image.
    #[error("no room for {len_bytes} bytes at {path}: free some space, or make a smaller image",
        path = .path.display())]
    NoSpace {
        /// The file asked for; had it been new, it has been removed again.
        path: PathBuf,
        /// The length asked for, in bytes.
        len_bytes: u64,
    },
    /// The kernel has too few huge pages in its pool.
    #[error(
        "no {pages} free huge pages of 2 MiB: reserve them with \
         `sysctl vm.nr_hugepages={pages}`, more if others use some, or use a plain memfd"
    )]
    NoHugePages {
        /// How many the device needs.
        pages: u64,
    },
    /// The processor cannot write back single cache lines.
    #[error("this processor has no instruction to write back a cache line: use msync instead")]
    NoFlushInstruction,
    /// A range reaches past the end of the device.
    #[error(
        "{len_bytes} bytes at offset {offset_bytes} lie outside the device, \
         which has {usable_bytes} usable bytes"
    )]
    OutOfBounds {
        /// Where the range begins, in bytes.
        offset_bytes: u64,
        /// How long it is, in bytes.
        len_bytes: u64,
        /// How many bytes of the device can be used.
        usable_bytes: u64,
    },
    /// The device was opened for reading only.
    #[error("the device is open for reading only: open it for reading and writing to change it")]
    ReadOnly,
    /// A token of another device was fenced here.
    #[error("the bytes to fence belong to another device: fence them on the one that stored them")]
    ForeignToken,
    /// The bytes could not be made durable.
    #[error(
        "syncing {len_bytes} bytes at offset {offset_bytes} failed: what was not yet durable may \
         be lost; stop using the device, check its disk, and open it again"
    )]
    Sync {
        /// Where the range begins, in bytes.
        offset_bytes: u64,
        /// How long it is, in bytes.
        len_bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// An earlier sync failed. The kernel reports a lost page once and then forgets it, so no later
    /// sync can be believed.
    #[error("an earlier sync of this device failed: stop using it, check its disk, and reopen it")]
    SyncFailedBefore,
    /// Any other failed system call.
    #[error("cannot {operation} {object}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        object: String,
        /// What the kernel said.
        source: io::Error,
    },
}
