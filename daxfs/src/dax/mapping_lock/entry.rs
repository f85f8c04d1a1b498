//! Mapping lock `entry` (D2): the entry lock is taken before the look-up.
//!
//! # Why
//! It is what Jan Kara proposed in the thread and Linux did (commit 13e451fdc1af): a fault holds
//! the lock of its entry from before the look-up until the translation is in place, and an
//! invalidation, which comes after the block map has changed, waits for every locked entry of its
//! range. So a fault that looked too early is waited for and its entry removed; one that locks
//! later looks later, and sees the change.
//!
//! ```text
//!   fault                                write
//!   gate (only if it may allocate)
//!   lock entry
//!   look up: hole                        allocate, publish
//!   enter zero, map the zero page        invalidate: waits for the entry ...
//!   unlock entry                         ... removes it, unmaps the zero page
//! ```
//!
//! A removal needs more than that. A write fault that looked before the file was cut off holds its
//! entry, not the block map: it publishes a block past the new end while the invalidation waits
//! for it. (Linux holds `i_mmap_sem` exclusive around truncation and punching besides, commit
//! ea3d7209ca01.) Once that wait is over, every later fault sees the new length; so a second look
//! at the block map finds all such blocks.
//!
//! # Locking
//! The gate before the entry lock, and only when the fault may allocate: the other way round, a
//! fault that holds an entry would wait for a checkpoint that waits for a writer that waits for
//! that entry. Linux moved ext4's transaction start for the same reason (commit fb26a1cbed8c).

use std::ops::Range;

use super::steps::{lock_entry, publish_and_invalidate, remove_and_invalidate, remove_stragglers};
use super::{Cut, LockCounts};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::Found;
use crate::schedule::Mistake;

pub(crate) struct EntryLocked;

impl EntryLocked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        let prepared = file.prepare_for(request)?;
        let begin = || prepared.as_ref().map(|_| file.begin()).transpose();
        let (mut transaction, locked) = if file.volume.makes(Mistake::EntryBeforeTransaction) {
            let locked = lock_entry(file, request)?;
            (begin()?, locked)
        } else {
            let transaction = begin()?;
            (transaction, lock_entry(file, request)?)
        };
        let mut seen = file.look_up(request)?;
        if request.needs_block(seen) {
            // Without a transaction the block was punched since `prepare_for`: begin again.
            let prepared = prepared.zip(transaction.as_mut());
            let (prepared, transaction) = prepared.ok_or(Stop::Again)?;
            seen = file.publish_prepared(transaction, request, prepared)?;
        }
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
        remove_and_invalidate(file, pages.clone(), cut)?;
        // Published while the invalidation waited: see the module.
        remove_stragglers(file, pages, cut)
    }

    // ---- Change -------------------------------------------------------------------------------

    pub(crate) fn change<T>(
        &self,
        _file: &MappedFile,
        _pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> T {
        // Whoever invalidates waits for the entries that faults hold.
        section()
    }

    // ---- What it takes ------------------------------------------------------------------------

    pub(crate) fn counts(&self) -> LockCounts {
        // Its locks are bits of the entries.
        LockCounts::default()
    }
}
