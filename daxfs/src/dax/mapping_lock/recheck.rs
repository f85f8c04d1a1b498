//! Mapping lock `recheck` (D1): a write invalidates before it and once more after it.
//!
//! # Why
//! It is what Linux's direct I/O does (`generic_file_direct_write`), and what Ross Zwisler weighed
//! first in the thread: leave faults as they are, and look again when the write is done. A fault
//! that saw the hole and has entered the zero page by then is found by the second look:
//!
//! ```text
//!   fault                                write
//!   look up: hole                        invalidate
//!                                        copy, publish
//!   enter zero, map the zero page
//!                                        invalidate: the zero page goes
//! ```
//!
//! It narrows race 1 from "entered after the publication" to "entered after the whole write", and
//! does nothing else: a fault that dawdles longer than the write leaves the zero page over its data
//! for as long as the mapping lives; a write fault that publishes (race 2), a truncation and a
//! punch have no second look. And every write unmaps what it covers, though the blocks are as they
//! were: the price is paid by all who map what they also write. So it is **not** coherent, and the
//! race tests assert both: what it catches, and what it does not.
//!
//! # Locking
//! That of [`none`](super::none): the entry lock around the installation alone.

use std::ops::Range;

use super::none::Unlocked;
use super::steps::publish;
use super::{Cut, LockCounts};
use crate::dax::entry_tree::Removal;
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::Found;

pub(crate) struct Rechecked;

impl Rechecked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        Unlocked.fault(file, request)
    }

    // ---- Break up -----------------------------------------------------------------------------

    pub(crate) fn break_up(&self, file: &MappedFile, page: u64) -> Result<()> {
        file.break_up(page)
    }

    // ---- Find ---------------------------------------------------------------------------------

    pub(crate) fn find(&self, file: &MappedFile, file_block: u64, max_blocks: u64) -> Found {
        file.blocks.look_up(file_block, max_blocks)
    }

    // ---- Write --------------------------------------------------------------------------------

    pub(crate) fn write<T>(
        &self,
        file: &MappedFile,
        pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> Result<T> {
        // Entries with blocks stay, for what was stored through a mapping is still to be flushed;
        // their translations go.
        file.invalidate(pages.clone(), Removal::Holes)?;
        let result = section();
        file.invalidate(pages, Removal::Holes)?;
        Ok(result)
    }

    // ---- Publish ------------------------------------------------------------------------------

    pub(crate) fn publish(
        &self,
        file: &MappedFile,
        file_block: u64,
        fresh: &mut Filled<'_>,
        len_bytes: u64,
    ) -> Result<u64> {
        // The invalidation comes when the whole write is over.
        publish(file, file_block, fresh, len_bytes)
    }

    // ---- Remove -------------------------------------------------------------------------------

    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
        Unlocked.remove(file, pages, cut)
    }

    // ---- Change -------------------------------------------------------------------------------

    pub(crate) fn change<T>(
        &self,
        _file: &MappedFile,
        _pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> T {
        section()
    }

    // ---- What it takes ------------------------------------------------------------------------

    pub(crate) fn counts(&self) -> LockCounts {
        // Its locks are bits of the entries.
        LockCounts::default()
    }
}
