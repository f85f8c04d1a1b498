//! A page fault in terms of the file, and what can come of it. Plain values: touches nothing, takes
//! no locks.

use std::ops::Range;

use daxfs_pmem::{Access, FaultError, PageTable, Protection};

use super::entry::Entry;
use super::entry_tree::PageOutOfBounds;

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

/// What the file has where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Hole,
    /// The device block of the first page of the unit.
    Block(u64),
}

/// Why a fault is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What it was begun with is so no longer: begin again.
    Again,
    /// It cannot be.
    Failed(FaultError),
}

impl From<FaultError> for Stop {
    fn from(error: FaultError) -> Self {
        Self::Failed(error)
    }
}

impl From<PageOutOfBounds> for Stop {
    fn from(_: PageOutOfBounds) -> Self {
        Self::Failed(FaultError::Device)
    }
}

impl PageFault<'_> {
    /// Whether the fault cannot be answered by what was seen.
    pub(crate) fn needs_block(&self, seen: Seen) -> bool {
        self.access == Access::Write && seen == Seen::Hole
    }

    /// What `entry` says the file has, if that answers the fault.
    pub(crate) fn answer_of(&self, entry: Entry) -> Option<Seen> {
        let seen = match entry.device_block() {
            Some(block) => Seen::Block(block),
            None if entry.is_zero() => Seen::Hole,
            None => return None,
        };
        (!self.needs_block(seen)).then_some(seen)
    }

    /// The whole units of `unit_pages` that hold the page.
    pub(crate) fn unit(&self, unit_pages: u64) -> Range<u64> {
        let first = self.page / unit_pages * unit_pages;
        first..first + unit_pages
    }
}
