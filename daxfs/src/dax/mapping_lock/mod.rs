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
//! | `recheck` | D1 | not quite: a write invalidates before and after, as direct I/O does | [`recheck`] |
//! | `entry` | D2 | the entry lock is taken before the look-up, invalidation waits for it | [`entry`] |
//! | `inode` | D3 | one reader/writer lock for the whole file | [`inode`] |
//! | `range` | D4 | a reader/writer range lock over the pages | [`range`] |
//! | `entry-rw` | D5 | as `entry`, with entries that are shared and cache the block map | [`entry_rw`] |
//!
//! Every design has the same methods under the same headings, made of the same steps
//! ([`MappedFile`]), so that one can be read beside another (`daxfs/docs/designs.md` does that for
//! one write and one fault):
//! * `fault`: answer a page fault;
//! * `break_up`: make a 2 MiB entry give way to 4 KiB ones;
//! * `find`: which block a read or a write finds;
//! * `write`: around all of a write;
//! * `publish`: put a write's new blocks into the block map, and invalidate what they replace;
//! * `counts`: what its lock takes and has done;
//! * `remove`: take blocks out of the block map, invalidate, and free them;
//! * `change`: around any other change of the block map and the invalidation that follows it.
//!
//! # Locking
//! Rank: mapping range (after I/O range, before the gate), except that `none`, `recheck`, `entry`
//! and `entry-rw` have only entry locks, which rank after the gate. No user memory is touched
//! inside any of them. All of them may be taken in a signal handler.

mod entry;
mod entry_rw;
mod inode;
mod none;
mod range;
mod recheck;
mod steps;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use daxfs_pmem::FaultError;

use super::entry::Size;
use super::fault::{PageFault, Request, Stop};
use super::mapped_file::MappedFile;
use super::prepared::Filled;
use crate::error::{Error, Result};
use crate::format::record::ShiftDirection;
use crate::inode::block_map::Found;
use entry::EntryLocked;
use entry_rw::EntryShared;
use inode::InodeLocked;
use none::Unlocked;
use range::RangeLocked;
use recheck::Rechecked;

/// Which mapping lock the files of a mounted filesystem use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MappingLock {
    /// D0: look up before taking the entry lock. Corrupts; kept to show that the tests can tell.
    None,
    /// D1: a write invalidates before and after, as Linux's direct I/O does; faults are as in
    /// [`MappingLock::None`]. Narrows one of the races and leaves the others: not coherent.
    Recheck,
    /// D2: the entry lock is taken before the look-up, and invalidation waits for it.
    Entry,
    /// D3: one reader/writer lock for the whole file.
    Inode,
    /// D4: a reader/writer range lock over pages.
    Range,
    /// D5: reader/writer entry locks, whose entries cache the block map for reads, writes and
    /// faults.
    EntryRw,
}

impl MappingLock {
    /// All designs.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Recheck,
        Self::Entry,
        Self::Inode,
        Self::Range,
        Self::EntryRw,
    ];
    /// The designs that keep reads, writes and mappings coherent.
    pub const COHERENT: [Self; 4] = [Self::Entry, Self::Inode, Self::Range, Self::EntryRw];

    /// Whether the design keeps reads, writes and mappings coherent.
    #[must_use]
    pub fn is_coherent(self) -> bool {
        Self::COHERENT.contains(&self)
    }
}

impl fmt::Display for MappingLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::None => "none",
            Self::Recheck => "recheck",
            Self::Entry => "entry",
            Self::Inode => "inode",
            Self::Range => "range",
            Self::EntryRw => "entry-rw",
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

/// Why blocks are taken out of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The file ends before them, at this length.
    Truncate {
        /// The new length of the file, in bytes.
        len_bytes: u64,
    },
    /// They become a hole.
    Punch,
    /// They, and all that come after, move: see [`ShiftDirection`].
    Shift {
        /// How many blocks are taken out, or how large a hole is put in.
        len_blocks: u64,
        /// Which of the two.
        direction: ShiftDirection,
        /// The new length of the file, in bytes.
        len_bytes: u64,
    },
}

/// What the lock of a design takes and has done, beside what the entries have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LockCounts {
    pub(crate) bytes: u64,
    pub(crate) waits: u64,
}

/// The mapping lock of one file.
pub(crate) enum MappingLocking {
    None(Unlocked),
    Recheck(Rechecked),
    Entry(EntryLocked),
    Inode(InodeLocked),
    Range(RangeLocked),
    EntryRw(EntryShared),
}

impl MappingLocking {
    pub(crate) fn new(design: MappingLock) -> Self {
        match design {
            MappingLock::None => Self::None(Unlocked),
            MappingLock::Recheck => Self::Recheck(Rechecked),
            MappingLock::Entry => Self::Entry(EntryLocked),
            MappingLock::Inode => Self::Inode(InodeLocked::default()),
            MappingLock::Range => Self::Range(RangeLocked::default()),
            MappingLock::EntryRw => Self::EntryRw(EntryShared),
        }
    }

    /// Answers a page fault: when it returns `Ok`, the access can be tried again. Asks for 2 MiB
    /// first, where it may be had, and again and again until nothing stops it.
    pub(crate) fn fault(&self, file: &MappedFile, fault: &PageFault<'_>) -> Result<(), FaultError> {
        let mut largest = Size::Large;
        loop {
            let request = file.request(fault, largest);
            match self.answer(file, &request) {
                Ok(()) => return Ok(()),
                Err(Stop::Again) => largest = Size::Large,
                Err(Stop::FallBack) => largest = Size::Small,
                Err(Stop::BreakUp) => self
                    .break_up(file, fault.page)
                    .map_err(|_| FaultError::Device)?,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    fn answer(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        match self {
            Self::None(design) => design.fault(file, request),
            Self::Recheck(design) => design.fault(file, request),
            Self::Entry(design) => design.fault(file, request),
            Self::Inode(design) => design.fault(file, request),
            Self::Range(design) => design.fault(file, request),
            Self::EntryRw(design) => design.fault(file, request),
        }
    }

    /// Makes the 2 MiB entry around `page` give way to 4 KiB ones.
    fn break_up(&self, file: &MappedFile, page: u64) -> Result<()> {
        match self {
            Self::None(design) => design.break_up(file, page),
            Self::Recheck(design) => design.break_up(file, page),
            Self::Entry(design) => design.break_up(file, page),
            Self::Inode(design) => design.break_up(file, page),
            Self::Range(design) => design.break_up(file, page),
            Self::EntryRw(design) => design.break_up(file, page),
        }
    }

    /// What a read or a write finds at `file_block`, as [`BlockMap::look_up`] says it. The caller
    /// holds the I/O lock over the block, so what is found stays while it is copied.
    ///
    /// [`BlockMap::look_up`]: crate::inode::block_map::BlockMap::look_up
    pub(crate) fn find(&self, file: &MappedFile, file_block: u64, max_blocks: u64) -> Found {
        match self {
            Self::None(design) => design.find(file, file_block, max_blocks),
            Self::Recheck(design) => design.find(file, file_block, max_blocks),
            Self::Entry(design) => design.find(file, file_block, max_blocks),
            Self::Inode(design) => design.find(file, file_block, max_blocks),
            Self::Range(design) => design.find(file, file_block, max_blocks),
            Self::EntryRw(design) => design.find(file, file_block, max_blocks),
        }
    }

    /// Runs `section`, which copies all of a write into `pages` and publishes what it allocates.
    pub(crate) fn write<T>(
        &self,
        file: &MappedFile,
        pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> Result<T> {
        match self {
            Self::None(design) => design.write(file, pages, section),
            Self::Recheck(design) => design.write(file, pages, section),
            Self::Entry(design) => design.write(file, pages, section),
            Self::Inode(design) => design.write(file, pages, section),
            Self::Range(design) => design.write(file, pages, section),
            Self::EntryRw(design) => design.write(file, pages, section),
        }
    }

    /// Puts the blocks of `fresh`, filled and ordered, into the block map at `file_block`, up to
    /// the first block that is there already, and invalidates what was mapped there. If all of them
    /// went in, the file is at least `len_bytes` long. Returns how many did; `fresh` keeps the
    /// rest.
    pub(crate) fn publish(
        &self,
        file: &MappedFile,
        file_block: u64,
        fresh: &mut Filled<'_>,
        len_bytes: u64,
    ) -> Result<u64> {
        match self {
            Self::None(design) => design.publish(file, file_block, fresh, len_bytes),
            Self::Recheck(design) => design.publish(file, file_block, fresh, len_bytes),
            Self::Entry(design) => design.publish(file, file_block, fresh, len_bytes),
            Self::Inode(design) => design.publish(file, file_block, fresh, len_bytes),
            Self::Range(design) => design.publish(file, file_block, fresh, len_bytes),
            Self::EntryRw(design) => design.publish(file, file_block, fresh, len_bytes),
        }
    }

    /// Makes `pages` (whole units) a hole, because of `cut`: no mapping reaches their old blocks
    /// when it returns.
    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
        match self {
            Self::None(design) => design.remove(file, pages, cut),
            Self::Recheck(design) => design.remove(file, pages, cut),
            Self::Entry(design) => design.remove(file, pages, cut),
            Self::Inode(design) => design.remove(file, pages, cut),
            Self::Range(design) => design.remove(file, pages, cut),
            Self::EntryRw(design) => design.remove(file, pages, cut),
        }
    }

    /// Runs `section`, which changes the block map for `pages` and invalidates them, with faults of
    /// these kept away as the design does that.
    pub(crate) fn change<T>(
        &self,
        file: &MappedFile,
        pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> T {
        match self {
            Self::None(design) => design.change(file, pages, section),
            Self::Recheck(design) => design.change(file, pages, section),
            Self::Entry(design) => design.change(file, pages, section),
            Self::Inode(design) => design.change(file, pages, section),
            Self::Range(design) => design.change(file, pages, section),
            Self::EntryRw(design) => design.change(file, pages, section),
        }
    }

    /// Called before the file is mapped: whatever a fault needs beforehand, because it may not
    /// allocate.
    pub(crate) fn expect_faults(&self) {
        if let Self::Range(design) = self {
            design.expect_faults();
        }
    }

    /// What the lock of the design takes and has done, beside what the entries have.
    pub(crate) fn counts(&self) -> LockCounts {
        match self {
            Self::None(design) => design.counts(),
            Self::Recheck(design) => design.counts(),
            Self::Entry(design) => design.counts(),
            Self::Inode(design) => design.counts(),
            Self::Range(design) => design.counts(),
            Self::EntryRw(design) => design.counts(),
        }
    }
}
