//! A page fault in terms of the file, and what can come of it. Plain values: touches nothing, takes
//! no locks.

use std::ops::Range;

use daxfs_pmem::{Access, FaultError, PageTable, Protection};

use super::entry::{Dirtiness, Entry, Size};
use super::entry_tree::Refused;
use crate::error::Error;

/// A page fault, in terms of the file.
pub(crate) struct PageFault<'table> {
    pub(crate) table: &'table dyn PageTable,
    /// The file's page at the window's first page.
    pub(crate) window_first_page: u64,
    /// The file's page that was touched.
    pub(crate) page: u64,
    pub(crate) access: Access,
    /// What the window may have.
    pub(crate) protection: Protection,
}

/// A fault, and how much of the file its answer is to cover.
pub(crate) struct Request<'fault> {
    pub(crate) fault: &'fault PageFault<'fault>,
    pub(crate) size: Size,
}

/// What the file has where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Hole,
    /// The device block of the first page.
    Block(u64),
    /// The same, of blocks that other places have too: they must not be written.
    Shared(u64),
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What it was begun with is so no longer: begin again.
    Again,
    /// 2 MiB cannot be had: ask for 4 KiB.
    FallBack,
    /// A 2 MiB entry is in the way of a 4 KiB one: break it up, and begin again.
    BreakUp,
    /// It cannot be.
    Failed(FaultError),
}

impl From<FaultError> for Stop {
    fn from(error: FaultError) -> Self {
        Self::Failed(error)
    }
}

/// What a failed operation means to the access that faulted.
impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(match error {
            Error::NoSpace { .. } => FaultError::NoSpace,
            _ => FaultError::Device,
        })
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Divided => Self::FallBack,
            Refused::LargeInTheWay => Self::BreakUp,
            Refused::OutOfBounds => Self::Failed(FaultError::Device),
        }
    }
}

impl PageFault<'_> {
    /// Whether the window has all of the 2 MiB around the page.
    pub(crate) fn window_covers(&self, pages: &Range<u64>) -> bool {
        let end = self.window_first_page + self.table.len_pages();
        self.window_first_page <= pages.start && pages.end <= end
    }
}

impl Request<'_> {
    /// The pages that the answer covers.
    pub(crate) fn pages(&self) -> Range<u64> {
        self.size.around(self.fault.page)
    }

    /// Whether the fault cannot be answered by what was seen.
    pub(crate) fn needs_block(&self, seen: Seen) -> bool {
        self.fault.access == Access::Write && !matches!(seen, Seen::Block(_))
    }

    /// What `entry` says the file has, if that answers the request.
    pub(crate) fn answer_of(&self, entry: Entry) -> Option<Seen> {
        if self.size == Size::Large && entry.size() == Size::Small {
            return None;
        }
        let seen = match entry.device_block_of(self.pages().start) {
            Some(block) if entry.is_shared() => Seen::Shared(block),
            Some(block) => Seen::Block(block),
            None if entry.is_zero() => Seen::Hole,
            None => return None,
        };
        (!self.needs_block(seen)).then_some(seen)
    }

    /// The entry that stands for what was seen.
    pub(crate) fn entry_for(&self, seen: Seen) -> Entry {
        match (seen, self.fault.protection) {
            (Seen::Hole, _) => Entry::zero(self.size),
            (Seen::Shared(block), _) => Entry::shared(block, self.size),
            (Seen::Block(block), Protection::ReadWrite) => {
                Entry::block(block, self.size, Dirtiness::Dirty)
            }
            (Seen::Block(block), Protection::ReadOnly) => {
                Entry::block(block, self.size, Dirtiness::Clean)
            }
        }
    }
}
