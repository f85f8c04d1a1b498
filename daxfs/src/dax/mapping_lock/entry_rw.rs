//! Mapping lock `entry-rw` (D5): entries are reader/writer locks and cache the block map.
//!
//! # Why
//! It is what Ross Zwisler proposed in the thread: let the entry remember which block its page has,
//! and let whoever finds it there share the entry instead of taking it. Reads, writes and faults of
//! mapped blocks then never look the block map up and never wait for each other; only who changes
//! the mapping takes the entry alone.
//!
//! ```text
//!   fault, block cached                  fault, nothing cached (as in `entry`)
//!   share entry                          gate (only if it may allocate)
//!   within the file?                     lock entry, look up, allocate, publish
//!   map the cached block                 map, unlock with the block cached
//!   let go
//!                                        write, truncate, punch
//!   read, write: the cached block        change the block map
//!   (or look up, and cache it)           invalidate: waits for lockers and sharers, removes
//! ```
//!
//! A read or a write shares an entry for as long as it takes to read its word. More is not needed:
//! the I/O lock keeps the block the file's while it is copied. And more would be wrong: the copy
//! touches user memory, which may be a mapping of the same file, so that its fault would wait for
//! an invalidation that waits for the copy.
//!
//! Kara's doubts in the thread were the room and the price. The room is twelve bits of the word,
//! which count 4,095 readers ([`Entry`](crate::dax::entry::Entry)). The price is one more atomic
//! read-modify-write in each fault (share, and let go), an entry for each page that is read or
//! written though nobody maps it, and the invalidation of those.
//!
//! A removal looks twice, for the reason given in [`entry`](super::entry).
//!
//! # Locking
//! As in [`entry`](super::entry): the gate before the entry lock, and only when the fault may
//! allocate. Sharers take nothing while they share, so waiting for them ends. A stream of sharers
//! can keep an invalidation waiting, as long as faults of the page come faster than they are
//! answered; the pages of a truncation are past the end of file by then, and no fault shares those.

use std::ops::Range;

use super::steps::{
    lock_entry, publish_and_invalidate, remove_and_invalidate, remove_stragglers, share_entry,
};
use super::{Cut, LockCounts};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::{Found, MappedRun};
use crate::schedule::Point;

pub(crate) struct EntryShared;

impl EntryShared {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        if let Some(shared) = share_entry(file, request)
            && let Some(seen) = request.answer_of(shared.value())
        {
            file.check_within(request)?;
            file.volume
                .reached(Point::FaultLookedUp, request.fault.page);
            if request.entry_for(seen).is_dirty() {
                shared.mark_dirty();
            }
            return file.map(request, seen, shared.value());
        }
        let prepared = file.prepare_for(request)?;
        let mut transaction = prepared.as_ref().map(|_| file.begin()).transpose()?;
        let locked = lock_entry(file, request)?;
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
        if let Some(run) = file.cached_run(file_block, max_blocks) {
            return Found::Mapped(MappedRun::exclusive(run));
        }
        let found = file.blocks.look_up(file_block, max_blocks);
        if let Found::Mapped(mapped) = found {
            file.cache(file_block..file_block + mapped.run.len_blocks);
        }
        found
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
        // Published while the invalidation waited.
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
