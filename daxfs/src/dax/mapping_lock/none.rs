//! Mapping lock `none` (D0): the block map is looked up before the entry lock is taken.
//!
//! # Why
//! It is the code that the thread of April 2017 is about (Linux commit 9f141d6ef625 had moved the
//! look-up out of the entry lock). Between the look-up and the lock a write can allocate, find no
//! entry to invalidate, and finish: the fault then maps the zero page over the write's data. The
//! race tests assert that this design corrupts; nothing else may use it.
//!
//! # Locking
//! The entry lock around the installation alone. The gate is passed before it.

use std::ops::Range;

use super::steps::{lock_entry, publish_and_invalidate, remove_and_invalidate};
use super::{Cut, LockCounts};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::Found;

pub(crate) struct Unlocked;

impl Unlocked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        let prepared = file.prepare_for(request)?;
        let mut seen = file.look_up(request)?;
        if request.needs_block(seen) {
            let prepared = prepared.ok_or(Stop::Again)?;
            let mut transaction = file.begin()?;
            seen = file.publish_prepared(&mut transaction, request, prepared)?;
        }
        // Too late: what was seen may be stale by now.
        let locked = lock_entry(file, request)?;
        file.install_locked(request, seen, locked)
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
        _file: &MappedFile,
        _pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> Result<T> {
        Ok(section())
    }

    // ---- Publish ------------------------------------------------------------------------------

    pub(crate) fn publish(
        &self,
        file: &MappedFile,
        file_block: u64,
        fresh: &mut Filled<'_>,
        len_bytes: u64,
    ) -> Result<u64> {
        publish_and_invalidate(file, file_block, fresh, len_bytes)
    }

    // ---- Remove -------------------------------------------------------------------------------

    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
        remove_and_invalidate(file, pages, cut)
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
