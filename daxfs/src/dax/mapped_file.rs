//! A file as the fault and write paths see it, and the steps that every locking design is made of.
//!
//! Information flows one way: block map -> mapping entries -> page tables. Whoever changes the
//! first drops what is stale in the second and then in the third; whoever makes an entry afterwards
//! looks at the first again. The steps here do that and lock nothing; which locks are held around
//! which step is the whole of what a design in [`mapping_lock`](super::mapping_lock) says.
//!
//! # Locking
//! `windows` is a latch (innermost but for page tables' own locks), `std`'s because faults take
//! it. Changing the block map takes its latch and needs a transaction.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use daxfs_pmem::{Access, FaultError, Frame, PageTable, Protection};

use super::entry::{Dirtiness, Entry};
use super::entry_tree::{EntryTree, Removal};
use super::fault::{PageFault, Seen};
use crate::allocation::{GROUP_BLOCKS, Goal, Placement};
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::gate::Transaction;
use crate::inode::Inode;
use crate::inode::block_map::{BlockMap, Found};
use crate::run::Run;
use crate::schedule::Point;
use crate::volume::Volume;

/// An open file without its locks.
pub(crate) struct MappedFile {
    pub(crate) volume: Arc<Volume>,
    pub(crate) inode: Arc<Inode>,
    pub(crate) blocks: Arc<BlockMap>,
    pub(crate) entries: EntryTree,
    windows: RwLock<Vec<Arc<Window>>>,
}

/// Part of a file in somebody's page tables.
pub(crate) struct Window {
    pub(crate) table: Arc<dyn PageTable>,
    /// The file's page at the window's first page.
    pub(crate) first_page: u64,
}

/// Blocks that nobody else can reach yet; what was not published is given back when dropped.
pub(crate) struct Prepared<'file> {
    file: &'file MappedFile,
    run: Run,
}

impl MappedFile {
    /// A file with nothing mapped; `None` when `inode` is a directory.
    pub(crate) fn new(volume: Arc<Volume>, inode: Arc<Inode>) -> Option<Self> {
        let blocks = Arc::clone(inode.blocks()?);
        Some(Self {
            volume,
            inode,
            blocks,
            entries: EntryTree::default(),
            windows: RwLock::new(Vec::new()),
        })
    }

    /// Pages that are mapped and allocated together: 1, or 512 on a device of huge pages.
    pub(crate) fn unit_pages(&self) -> u64 {
        self.volume.allocator.unit_blocks()
    }

    /// The whole units that contain `pages`.
    pub(crate) fn units_of(&self, pages: Range<u64>) -> Range<u64> {
        let unit = self.unit_pages();
        pages.start / unit * unit..pages.end.div_ceil(unit).saturating_mul(unit)
    }

    // ---- Step: look up ------------------------------------------------------------------------

    /// What the block map has for the faulting unit, and whether the page is within the file.
    ///
    /// # Errors
    /// [`FaultError::BeyondEndOfFile`]; [`FaultError::Device`] when the file's blocks lie so that
    /// the device cannot map them.
    pub(crate) fn look_up(&self, fault: &PageFault<'_>) -> Result<Seen, FaultError> {
        self.check_within(fault)?;
        let seen = self.whole_unit(fault.page)?;
        self.volume.reached(Point::FaultLookedUp, fault.page);
        Ok(seen)
    }

    /// Whether the page is within the file.
    ///
    /// # Errors
    /// [`FaultError::BeyondEndOfFile`].
    pub(crate) fn check_within(&self, fault: &PageFault<'_>) -> Result<(), FaultError> {
        if fault.page >= blocks_for_bytes(self.inode.len_bytes()) {
            return Err(FaultError::BeyondEndOfFile);
        }
        Ok(())
    }

    /// What the whole unit of `page` is: on a device of huge pages nothing less can be mapped.
    fn whole_unit(&self, page: u64) -> Result<Seen, FaultError> {
        let unit = self.unit_pages();
        match self.blocks.look_up(page / unit * unit, unit) {
            Found::Hole { len_blocks } if len_blocks == unit => Ok(Seen::Hole),
            Found::Mapped(run) if run.len_blocks == unit && run.block.is_multiple_of(unit) => {
                Ok(Seen::Block(run.block))
            }
            _ => Err(FaultError::Device),
        }
    }

    // ---- Step: allocate -----------------------------------------------------------------------

    /// A zeroed unit for a write fault on what seems to be a hole, made before any lock of the
    /// design is taken; `None` for any other fault. A guess: the design looks again under its lock.
    ///
    /// # Errors
    /// [`FaultError::NoSpace`], [`FaultError::Device`].
    pub(crate) fn prepare_for(
        &self,
        fault: &PageFault<'_>,
    ) -> Result<Option<Prepared<'_>>, FaultError> {
        let unit = self.unit_pages();
        let first = fault.page / unit * unit;
        if fault.access == Access::Read || self.whole_unit(fault.page)? != Seen::Hole {
            return Ok(None);
        }
        self.check_within(fault)?;
        let prepare = || -> Result<Prepared<'_>> {
            let prepared = self.allocate(first, unit, Placement::Aligned)?;
            self.volume.zero_blocks(prepared.run())?;
            Ok(prepared)
        };
        prepare().map(Some).map_err(|error| fault_error(&error))
    }

    /// Blocks for `file_block..`, at most `max_blocks`, not yet filled.
    ///
    /// # Errors
    /// [`Error::NoSpace`], for the blocks or for the metadata that names them.
    pub(crate) fn allocate(
        &self,
        file_block: u64,
        max_blocks: u64,
        placement: Placement,
    ) -> Result<Prepared<'_>> {
        self.volume.reserve_growth(&self.inode)?;
        let goal = Goal {
            inode: self.inode.number(),
            file_block,
            placement,
        };
        let run = self.volume.allocator.allocate_data(goal, max_blocks)?;
        Ok(Prepared { file: self, run })
    }

    /// How the file wants its blocks: aligned when it is large or mapped.
    pub(crate) fn placement(&self) -> Placement {
        let large = self.inode.len_bytes() >= GROUP_BLOCKS * BLOCK_BYTES;
        if large || self.is_mapped() {
            Placement::Aligned
        } else {
            Placement::Packed
        }
    }

    /// Puts a prepared unit into the block map, unless somebody else's is there. Returns what is.
    pub(crate) fn publish_prepared(
        &self,
        transaction: &Transaction<'_>,
        fault: &PageFault<'_>,
        mut prepared: Prepared<'_>,
    ) -> Result<Seen, FaultError> {
        let unit = self.unit_pages();
        let first = fault.page / unit * unit;
        let run = prepared.run();
        let inserted = self.insert(transaction, first, run);
        prepared.keep_rest(inserted);
        if inserted == run.len_blocks {
            return Ok(Seen::Block(run.block));
        }
        match self.whole_unit(fault.page)? {
            Seen::Hole => Err(FaultError::Device),
            seen => Ok(seen),
        }
    }

    /// Puts `run` into the block map from `file_block` up to the first block that is there already.
    /// Returns how many blocks it put in.
    pub(crate) fn insert(&self, transaction: &Transaction<'_>, file_block: u64, run: Run) -> u64 {
        let inserted = self.blocks.insert_into_hole(file_block, run);
        if inserted > 0 {
            self.volume.mark_changed(transaction, &self.inode);
            self.volume.reached(Point::WritePublished, file_block);
        }
        inserted
    }

    // ---- Step: install ------------------------------------------------------------------------

    /// Enters what was seen, and maps it; for designs that do not lock entries.
    pub(crate) fn install(&self, fault: &PageFault<'_>, seen: Seen) -> Result<(), FaultError> {
        let after = |before| self.entry_for(fault, seen, before);
        let first = fault.page / self.unit_pages() * self.unit_pages();
        let before = self
            .entries
            .replace(first, after)
            .map_err(|_| FaultError::Device)?;
        self.map(fault, seen, before)
    }

    /// The entry that stands for what was seen, where `before` is now.
    pub(crate) fn entry_for(&self, fault: &PageFault<'_>, seen: Seen, before: Entry) -> Entry {
        match (seen, fault.protection) {
            (Seen::Hole, _) => Entry::ZERO,
            (Seen::Block(block), Protection::ReadWrite) => Entry::block(block, Dirtiness::Dirty),
            (Seen::Block(block), Protection::ReadOnly) => {
                Entry::block(block, Dirtiness::Clean).keeping_dirty(before)
            }
        }
    }

    /// Puts what was seen into the faulting page table, where `before` was the entry until now. A
    /// block that takes the place of a hole first takes the zero page out of every window.
    pub(crate) fn map(
        &self,
        fault: &PageFault<'_>,
        seen: Seen,
        before: Entry,
    ) -> Result<(), FaultError> {
        let unit = self.unit_pages();
        let first = fault.page / unit * unit;
        let frame = match seen {
            Seen::Hole => Frame::Zero,
            Seen::Block(block) => {
                if before.is_zero() {
                    self.unmap(first..first + unit)
                        .map_err(|error| fault_error(&error))?;
                }
                Frame::Device {
                    offset_bytes: block * BLOCK_BYTES,
                    protection: fault.protection,
                }
            }
        };
        let window_page = first - fault.window_first_page;
        fault
            .table
            .map(window_page, unit, frame)
            .or_else(|_| {
                // Too many address ranges: translations may always be dropped.
                fault.table.unmap(0, fault.table.len_pages())?;
                fault.table.map(window_page, unit, frame)
            })
            .map_err(|_| FaultError::Device)?;
        self.volume.reached(Point::FaultInstalled, fault.page);
        Ok(())
    }

    // ---- Step: invalidate ---------------------------------------------------------------------

    /// Drops the mapping entries of `pages`, waiting for locked ones, and then, with one unmap of
    /// the whole range, their translations. Nothing is unmapped where there was no entry.
    pub(crate) fn invalidate(&self, pages: Range<u64>, removal: Removal) -> Result<()> {
        let before_wait = || self.volume.reached(Point::LockWait, pages.start);
        let removed = self
            .entries
            .remove(self.units_of(pages.clone()), removal, before_wait);
        let result = match removed {
            Some(hull) => self.unmap(self.units_of(hull)),
            None => Ok(()),
        };
        self.volume.reached(Point::Invalidated, pages.start);
        result
    }

    /// Takes the translations of `pages` out of every window.
    pub(crate) fn unmap(&self, pages: Range<u64>) -> Result<()> {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        for window in windows.iter() {
            let end = window.first_page + window.table.len_pages();
            let from = pages.start.max(window.first_page);
            let to = pages.end.min(end);
            if from >= to {
                continue;
            }
            // A page table that cannot drop a part (too many address ranges) can drop all.
            window
                .table
                .unmap(from - window.first_page, to - from)
                .or_else(|_| window.table.unmap(0, window.table.len_pages()))?;
        }
        Ok(())
    }

    // ---- Entries as a cache of the block map --------------------------------------------------

    /// What entries cache for `file_block` and the blocks after it, up to `max_blocks`. The caller
    /// holds the I/O lock over them, so that what was cached stays true.
    pub(crate) fn cached_run(&self, file_block: u64, max_blocks: u64) -> Option<Run> {
        if self.unit_pages() > 1 {
            return None;
        }
        let before_wait = || self.volume.reached(Point::LockWait, file_block);
        self.entries.cached_run(file_block, max_blocks, before_wait)
    }

    /// Enters the blocks that the block map has for `pages` where there is no entry yet. Each is
    /// looked up with its entry locked, as a fault does.
    pub(crate) fn cache(&self, pages: Range<u64>) {
        if self.unit_pages() > 1 {
            return;
        }
        for page in pages {
            let before_wait = || self.volume.reached(Point::LockWait, page);
            let Ok(locked) = self.entries.lock(page, before_wait) else {
                return;
            };
            if !locked.value().is_none() {
                continue;
            }
            if let Found::Mapped(run) = self.blocks.look_up(page, 1) {
                locked.unlock(Entry::block(run.block, Dirtiness::Clean));
            }
        }
    }

    // ---- Windows ------------------------------------------------------------------------------

    /// Adds a window, which from now on is told of what becomes stale.
    pub(crate) fn attach(&self, window: Arc<Window>) {
        self.windows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(window);
    }

    /// Removes a window.
    pub(crate) fn detach(&self, window: &Arc<Window>) {
        let mut windows = self.windows.write().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|other| !Arc::ptr_eq(other, window));
    }

    fn is_mapped(&self) -> bool {
        !self
            .windows
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}

impl Prepared<'_> {
    /// The blocks.
    pub(crate) fn run(&self) -> Run {
        self.run
    }

    /// Takes note that the first `len_blocks` are published: only the rest is given back.
    pub(crate) fn keep_rest(&mut self, len_blocks: u64) {
        (_, self.run) = self.run.split_at(len_blocks);
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if self.run.len_blocks > 0 {
            self.file.volume.allocator.free_now(self.run);
        }
    }
}

/// What a failed operation means to the access that faulted.
fn fault_error(error: &Error) -> FaultError {
    match error {
        Error::NoSpace { .. } => FaultError::NoSpace,
        _ => FaultError::Device,
    }
}
