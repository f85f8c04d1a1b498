//! Blocks that several places have: the steps by which a file comes to have its own.
//!
//! # Why
//! A clone of a file costs next to nothing when both have the same blocks until one of them is
//! written. Linux's DAX for XFS copies on write in `dax_iomap_cow_copy` and
//! `xfs_reflink_allocate_cow`; the idea is that of every copy-on-write filesystem.
//!
//! # States of a block of a file
//! ```text
//!                      protect (the source of a clone)
//!     exclusive -------------------------------------------> shared, alone
//!     may be mapped        <------- take back -------           |   ^
//!     writable                                            share |   | others drop it
//!        ^                                                      v   |
//!        +------------ copy, replace ------------------- shared by several
//! ```
//! A block is marked as shared in the block map of each file that has it; how many places there
//! are is in [`Owners`](crate::allocation::Owners). The mark may stay when the others are gone: the
//! last takes the block back instead of copying it.
//!
//! # Invariants
//! 1. No page table has a block writable that is marked: marking comes first, then every mapping
//!    entry and translation of it is dropped, and later faults see the mark.
//! 2. So the content of a marked block stays what it is until the mark goes.
//! 3. Marks of a file come and go under its sharing lock: whoever copies holds it shared from
//!    looking at the mark until the copy is published, and what is published is what he looked at,
//!    or nothing; whoever marks and then shares holds it alone, so that no mark goes in between.
//!
//! # Locking
//! The sharing lock of a file, rank: after the I/O range, before the mapping range. `std`'s: page
//! faults take it, shared. No user memory is touched inside it. (Marks also change under the file's
//! order latch, so that whoever logs what he saw there logs what is.)

use std::ops::Range;

use daxfs_pmem::Persistence;

use super::entry::Size;
use super::entry_tree::Removal;
use super::fault::{Request, Seen, Stop};
use super::mapped_file::MappedFile;
use super::prepared::{Content, Filled};
use crate::allocation::Places;
use crate::error::Result;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::Sharing;
use crate::format::record::Record;
use crate::inode::attributes::now;
use crate::inode::block_map::{Found, MappedRun};
use crate::lock_order::{Held, Rank};
use crate::run::Run;
use crate::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::volume::Transaction;

/// What the record of a replacement takes of the log beside its runs, in bytes, and each run.
pub(super) const REPLACE_LOG_BYTES: u64 = 128;
const RUN_LOG_BYTES: u64 = 16;

/// What copies and clones of one file agree by.
#[derive(Default)]
pub(crate) struct SharingLock(RwLock<()>);

/// Marks of the file stay, unless it takes blocks back that it alone has.
pub(crate) struct Sharers<'file> {
    _guard: RwLockReadGuard<'file, ()>,
    _rank: Held,
}

/// Marks of the file stay.
pub(crate) struct Marker<'file> {
    _guard: RwLockWriteGuard<'file, ()>,
    _rank: Held,
}

impl SharingLock {
    /// For who copies.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn shared(&self) -> Sharers<'_> {
        let rank = Held::take(Rank::Sharing);
        Sharers {
            _guard: self.0.read().unwrap_or_else(PoisonError::into_inner),
            _rank: rank,
        }
    }

    /// For who marks.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn alone(&self) -> Marker<'_> {
        let rank = Held::take(Rank::Sharing);
        Marker {
            _guard: self.0.write().unwrap_or_else(PoisonError::into_inner),
            _rank: rank,
        }
    }
}

impl MappedFile {
    // ---- Step: take back ----------------------------------------------------------------------

    /// Takes the mark from the blocks of `file_blocks` that no other place has, up to the first
    /// that another has, or that is not marked. Returns how many they were.
    ///
    /// # Errors
    /// What syncing the log reports, where records wait for that: a crash must not give a block
    /// back to another place once it is written for this one.
    pub(super) fn take_back(&self, file_blocks: Range<u64>, sharers: &Sharers<'_>) -> Result<u64> {
        let len_blocks = self.alone_from(file_blocks.clone(), sharers);
        if len_blocks == 0 {
            return Ok(0);
        }
        if self.volume.device.persistence() == Persistence::Msync {
            self.volume.log.sync()?;
        }
        let _order = self.order();
        let alone = file_blocks.start..file_blocks.start + len_blocks;
        self.blocks.mark(alone, Sharing::Exclusive);
        Ok(len_blocks)
    }

    /// How many blocks of `file_blocks`, from the first on, are marked and have no other place.
    fn alone_from(&self, file_blocks: Range<u64>, _sharers: &Sharers<'_>) -> u64 {
        let mut at = file_blocks.start;
        while at < file_blocks.end {
            let Some(run) = self.shared_run(at, file_blocks.end - at) else {
                break;
            };
            match self.volume.owners.places(run) {
                (Places::Several, _) => break,
                (Places::One, len_blocks) => at += len_blocks,
            }
        }
        at - file_blocks.start
    }

    /// The blocks from `file_block` on, as far as they are marked and lie together.
    pub(super) fn shared_run(&self, file_block: u64, max_blocks: u64) -> Option<Run> {
        match self.blocks.look_up(file_block, max_blocks) {
            Found::Mapped(found) if found.sharing == Sharing::Shared => Some(found.run),
            _ => None,
        }
    }

    // ---- Step: copy, in a fault ---------------------------------------------------------------

    /// A copy of the blocks of a write fault that are marked; `None` when the file has them for
    /// itself now.
    pub(super) fn prepare_copy(&self, request: &Request<'_>) -> Result<Option<Filled<'_>>, Stop> {
        let sharers = self.sharing.shared();
        let pages = request.pages();
        let len_blocks = pages.end - pages.start;
        if self.take_back(pages.clone(), &sharers)? == len_blocks {
            return Ok(None);
        }
        let Some(Seen::Shared(block)) = self.whole(pages) else {
            return Err(Stop::Again);
        };
        let prepared = self.allocate_for(request)?;
        let run = prepared.run();
        let copied = self.volume.device_copy(
            block * BLOCK_BYTES,
            run.block * BLOCK_BYTES,
            len_blocks * BLOCK_BYTES,
        )?;
        let settled = self.volume.settle(copied)?;
        let content = Content::CopyOf {
            source: Run::new(block, len_blocks),
            _unchanged: sharers,
        };
        Ok(Some(prepared.filled(&settled, content)?))
    }

    /// Puts a copy in the place of what it was made from. Returns the new block.
    ///
    /// # Errors
    /// [`Stop::Again`] when the file has something else there by now; [`Stop::BreakUp`] when an
    /// entry of 2 MiB stands for blocks of which one goes.
    pub(super) fn publish_copy(
        &self,
        transaction: &mut Transaction<'_>,
        request: &Request<'_>,
        mut copy: Filled<'_>,
    ) -> Result<Seen, Stop> {
        let entry = self.entries.get(request.fault.page);
        let is_within_large = entry.size() == Size::Large && entry.device_block().is_some();
        if request.size == Size::Small && is_within_large {
            return Err(Stop::BreakUp);
        }
        let block = copy.run().block;
        let pages = request.pages();
        let Some(withdrawn) = self.replace(transaction, pages.start, &mut copy)? else {
            return Err(Stop::Again);
        };
        // The old block may still be mapped, to be read; the entry is the caller's, or nobody can
        // look at it before he has made it the new block's.
        self.windows.unmap(pages)?;
        self.volume.allocator.free_withdrawn(withdrawn);
        Ok(Seen::Block(block))
    }

    // ---- Step: replace ------------------------------------------------------------------------

    /// Puts a copy in the place of the blocks that it was made from, if the file still has those
    /// and they are marked. Returns what has no place any more: to be freed once no mapping reaches
    /// it. `None` if the file has something else there.
    ///
    /// # Errors
    /// What the log reports; the filesystem then accepts no further changes.
    pub(super) fn replace(
        &self,
        transaction: &mut Transaction<'_>,
        file_block: u64,
        copy: &mut Filled<'_>,
    ) -> Result<Option<Vec<Run>>> {
        let run = copy.run();
        let Content::CopyOf { source, .. } = *copy.content() else {
            return Ok(None);
        };
        let _order = self.order();
        if self.shared_run(file_block, run.len_blocks) != Some(source) {
            return Ok(None);
        }
        self.put_in_place(transaction, [(file_block, copy)], 0)
            .map(Some)
    }

    /// Puts blocks in the place of whatever is there, all in one record, which makes the file
    /// `len_bytes` long at least. Returns what has no place any more, as [`MappedFile::replace`].
    ///
    /// # Errors
    /// As [`MappedFile::replace`].
    pub(super) fn replace_all(
        &self,
        mut filled: Vec<(u64, Filled<'_>)>,
        len_bytes: u64,
    ) -> Result<Vec<Run>> {
        let log_bytes = REPLACE_LOG_BYTES + filled.len() as u64 * RUN_LOG_BYTES;
        let mut transaction = self.volume.begin(log_bytes)?;
        let _order = self.order();
        let filled = filled.iter_mut().map(|(at, fresh)| (*at, fresh));
        self.put_in_place(&mut transaction, filled, len_bytes)
    }

    /// What both have in common. The caller keeps the order: see [`MappedFile::order`].
    fn put_in_place<'fresh, 'file: 'fresh>(
        &self,
        transaction: &mut Transaction<'_>,
        filled: impl IntoIterator<Item = (u64, &'fresh mut Filled<'file>)>,
        len_bytes: u64,
    ) -> Result<Vec<Run>> {
        let mut filled = filled.into_iter().peekable();
        let Some(&(file_block, _)) = filled.peek() else {
            return Ok(Vec::new());
        };
        let (mut runs, mut given_up) = (Vec::new(), Vec::new());
        for (at, fresh) in filled {
            let run = fresh.run();
            given_up.extend(self.blocks.replace(at, MappedRun::exclusive(run)));
            // What the block map has is no longer the preparer's to give back.
            runs.push(fresh.take_first(run.len_blocks));
            self.volume.allocator.note_published(run);
        }
        self.volume.mark_changed(transaction, &self.inode);
        let time = now();
        transaction.log(&Record::Replace {
            inode: self.inode.number(),
            file_block,
            runs,
            len_bytes,
            time,
        })?;
        self.inode.touch(time);
        self.inode.extend_len_bytes(len_bytes);
        Ok(self.volume.withdraw(&given_up))
    }

    // ---- Step: give up ------------------------------------------------------------------------

    /// Takes what was replaced in `pages` from every mapping, and then frees what no place has.
    pub(super) fn give_up(&self, pages: Range<u64>, withdrawn: Vec<Run>) -> Result<()> {
        self.invalidate(pages, Removal::All)?;
        self.volume.allocator.free_withdrawn(withdrawn);
        Ok(())
    }

    // ---- Step: protect ------------------------------------------------------------------------

    /// Marks all blocks of `pages`, and takes them from every mapping that may write them. What was
    /// stored through these is durable then. The caller holds what keeps faults of `pages` away, as
    /// his design has it.
    pub(super) fn protect(&self, pages: Range<u64>, _marker: &Marker<'_>) -> Result<()> {
        {
            let _order = self.order();
            self.blocks.mark(pages.clone(), Sharing::Shared);
        }
        self.invalidate_moved(pages)
    }
}
