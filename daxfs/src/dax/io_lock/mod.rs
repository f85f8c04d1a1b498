//! The I/O lock of a file: which reads and writes may run side by side.
//!
//! | Design | Reads | Writes | File |
//! |---|---|---|---|
//! | `inode` | together | alone in the whole file (Linux's `i_rwsem`) | [`inode`] |
//! | `range` | together | alone in their bytes | [`range`] |
//! | `segment` | alone in their 2 MiB | alone in their 2 MiB: as entry locks held across the copy | [`segment`] |
//! | `none` | - | - | [`none`]: a control for the benchmark only, reads may be torn |
//!
//! Every design has the same two methods. A section runs with the lock held; it may touch user
//! memory, and so fault, because no fault takes an I/O lock.
//!
//! # Locking
//! Rank: I/O range (after inode attributes, before mapping locks).

mod inode;
mod none;
mod range;
mod segment;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use inode::InodeIoLock;
use none::NoIoLock;
use range::RangeIoLock;
use segment::SegmentIoLock;

use crate::error::Error;
use crate::lock_order::{Held, Rank};

/// Which I/O lock the files of a mounted filesystem use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoLock {
    /// One reader/writer lock for the whole file.
    Inode,
    /// A byte-range reader/writer lock.
    Range,
    /// One exclusive lock for each 2 MiB: what a benchmark measures the others against.
    Segment,
    /// No lock: what a benchmark measures the others against. Overlapping reads and writes mix.
    None,
}

impl IoLock {
    /// All designs.
    pub const ALL: [Self; 4] = [Self::Inode, Self::Range, Self::Segment, Self::None];
}

impl fmt::Display for IoLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Inode => "inode",
            Self::Range => "range",
            Self::Segment => "segment",
            Self::None => "none",
        })
    }
}

impl FromStr for IoLock {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|design| design.to_string() == text)
            .ok_or_else(|| Error::InvalidOption {
                reason: format!("no I/O lock is called `{text}`"),
            })
    }
}

/// The I/O lock of one file.
pub(crate) enum IoLocking {
    Inode(InodeIoLock),
    Range(RangeIoLock),
    Segment(SegmentIoLock),
    None(NoIoLock),
}

impl IoLocking {
    pub(crate) fn new(design: IoLock) -> Self {
        match design {
            IoLock::Inode => Self::Inode(InodeIoLock::default()),
            IoLock::Range => Self::Range(RangeIoLock::default()),
            IoLock::Segment => Self::Segment(SegmentIoLock::default()),
            IoLock::None => Self::None(NoIoLock),
        }
    }

    /// What the lock takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Inode(_) => size_of::<InodeIoLock>(),
            Self::Range(lock) => size_of::<RangeIoLock>() + lock.heap_bytes(),
            Self::Segment(lock) => size_of::<SegmentIoLock>() + lock.heap_bytes(),
            Self::None(_) => size_of::<NoIoLock>(),
        };
        bytes as u64
    }

    /// Runs `section` while no write to `bytes` runs.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn shared<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::IoRange);
        match self {
            Self::Inode(lock) => lock.shared(bytes, section),
            Self::Range(lock) => lock.shared(bytes, section),
            Self::Segment(lock) => lock.shared(bytes, section),
            Self::None(lock) => lock.shared(bytes, section),
        }
    }

    /// Runs `section` while no other read or write of `bytes` runs.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn exclusive<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::IoRange);
        match self {
            Self::Inode(lock) => lock.exclusive(bytes, section),
            Self::Range(lock) => lock.exclusive(bytes, section),
            Self::Segment(lock) => lock.exclusive(bytes, section),
            Self::None(lock) => lock.exclusive(bytes, section),
        }
    }
}

#[cfg(test)]
mod tests;
