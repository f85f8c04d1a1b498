//! The mapping lock of a file: what keeps a fault's answer true while it is entered.
//!
//! A fault looks the block map up, enters the answer in a mapping entry, and maps it. A write that
//! allocates changes the block map between the look-up and the entry, and finds nothing to
//! invalidate yet: the answer is stale for as long as the mapping lives. The designs differ in what
//! stops that.
//!
//! | Design | Thread | What stops the race | File |
//! |---|---|---|---|
//! | `none` | D0 | nothing: the look-up comes before the entry lock | [`none`] |
//! | `entry` | D2 | the entry lock is taken before the look-up, invalidation waits for it | [`entry`] |
//! | `inode` | D3 | one reader/writer lock for the whole file | [`inode`] |
//! | `range` | D4 | a reader/writer range lock over the pages | [`range`] |
//!
//! Every design has the same three methods under the same headings, made of the same steps
//! ([`MappedFile`]), so that one can be read beside another:
//! * `fault`: answer a page fault;
//! * `publish`: put a write's new blocks into the block map, and invalidate what they replace;
//! * `remove`: take blocks out of the block map, invalidate, and free them.
//!
//! # Locking
//! Rank: mapping range (after I/O range, before the gate), except that `entry` and `none` have only
//! entry locks, which rank after the gate. No user memory is touched inside any of them. All of
//! them may be taken in a signal handler.

mod entry;
mod inode;
mod none;
mod range;
mod steps;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use daxfs_pmem::FaultError;

use super::mapped_file::{MappedFile, PageFault, Prepared};
use crate::error::{Error, Result};
use entry::EntryLocked;
use inode::InodeLocked;
use none::Unlocked;
use range::RangeLocked;

/// Which mapping lock the files of a mounted filesystem use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MappingLock {
    /// D0: look up before taking the entry lock. Corrupts; kept to show that the tests can tell.
    None,
    /// D2: the entry lock is taken before the look-up, and invalidation waits for it.
    Entry,
    /// D3: one reader/writer lock for the whole file.
    Inode,
    /// D4: a reader/writer range lock over pages.
    Range,
}

impl MappingLock {
    /// All designs.
    pub const ALL: [Self; 4] = [Self::None, Self::Entry, Self::Inode, Self::Range];
    /// The designs that keep reads, writes and mappings coherent.
    pub const COHERENT: [Self; 3] = [Self::Entry, Self::Inode, Self::Range];
}

impl fmt::Display for MappingLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::None => "none",
            Self::Entry => "entry",
            Self::Inode => "inode",
            Self::Range => "range",
        })
    }
}

impl FromStr for MappingLock {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|design| design.to_string() == text)
            .ok_or_else(|| Error::InvalidOption {
                reason: format!("no mapping lock is called `{text}`"),
            })
    }
}

/// The mapping lock of one file.
pub(crate) enum MappingLocking {
    None(Unlocked),
    Entry(EntryLocked),
    Inode(InodeLocked),
    Range(RangeLocked),
}

impl MappingLocking {
    pub(crate) fn new(design: MappingLock) -> Self {
        match design {
            MappingLock::None => Self::None(Unlocked),
            MappingLock::Entry => Self::Entry(EntryLocked),
            MappingLock::Inode => Self::Inode(InodeLocked::default()),
            MappingLock::Range => Self::Range(RangeLocked::default()),
        }
    }

    /// Answers a page fault: when it returns `Ok`, the access can be tried again.
    pub(crate) fn fault(&self, file: &MappedFile, fault: &PageFault<'_>) -> Result<(), FaultError> {
        match self {
            Self::None(design) => design.fault(file, fault),
            Self::Entry(design) => design.fault(file, fault),
            Self::Inode(design) => design.fault(file, fault),
            Self::Range(design) => design.fault(file, fault),
        }
    }

    /// Puts the blocks of `fresh`, filled and ordered, into the block map at `file_block`, up to
    /// the first block that is there already, and invalidates what was mapped there. Returns how
    /// many blocks it put in; `fresh` keeps the rest.
    pub(crate) fn publish(
        &self,
        file: &MappedFile,
        file_block: u64,
        fresh: &mut Prepared<'_>,
    ) -> Result<u64> {
        match self {
            Self::None(design) => design.publish(file, file_block, fresh),
            Self::Entry(design) => design.publish(file, file_block, fresh),
            Self::Inode(design) => design.publish(file, file_block, fresh),
            Self::Range(design) => design.publish(file, file_block, fresh),
        }
    }

    /// Makes `pages` (whole units) a hole: no mapping reaches their old blocks when it returns.
    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>) -> Result<()> {
        match self {
            Self::None(design) => design.remove(file, pages),
            Self::Entry(design) => design.remove(file, pages),
            Self::Inode(design) => design.remove(file, pages),
            Self::Range(design) => design.remove(file, pages),
        }
    }
}
