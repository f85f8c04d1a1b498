//! A file as the fault and write paths see it, and the steps that every locking design is made of.
//!
//! Information flows one way: block map -> mapping entries -> page tables. Whoever changes the
//! first drops what is stale in the second and then in the third; whoever makes an entry afterwards
//! looks at the first again. The steps here do that and lock nothing; which locks are held around
//! which step is the whole of what a design in [`mapping_lock`](super::mapping_lock) says.
//!
//! # Locking
//! None. Changing the block map takes its latch and needs a transaction; see [`windows`] for
//! theirs.
//!
//! [`windows`]: super::windows

use std::ops::Range;

use daxfs_pmem::{Access, FaultError, Frame, Protection};

use super::checksums;
use super::entry::{Dirtiness, Entry, Size};
use super::entry_tree::{EntryTree, Held, LockedEntry, Removal};
use super::fault::{PageFault, Request, Seen, Stop};
use super::prepared::{Content, Filled, Prepared};
use super::settings::{EntrySizes, Settings, Unmapping};
use super::sharing::SharingLock;
use super::windows::Windows;
use crate::allocation::{GROUP_BLOCKS, Goal, Placement};
use crate::error::Result;
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::item::Sharing;
use crate::format::record::Record;
use crate::inode::Inode;
use crate::inode::attributes::now;
use crate::inode::block_map::{BlockMap, Found};
use crate::run::Run;
use crate::schedule::{Mistake, Point};
use crate::sync::{Arc, AtomicU32, Mutex, MutexGuard, Ordering, PoisonError};
use crate::volume::{Transaction, Volume};

/// What the record of new blocks takes of the log, in bytes.
const MAP_LOG_BYTES: u64 = 128;

/// An open file without its locks.
pub(crate) struct MappedFile {
    pub(crate) volume: Arc<Volume>,
    pub(crate) inode: Arc<Inode>,
    pub(crate) blocks: Arc<BlockMap>,
    pub(crate) entries: EntryTree,
    pub(crate) windows: Windows,
    pub(crate) sharing: SharingLock,
    unmapping: Unmapping,
    entry_sizes: EntrySizes,
    /// Invalidations that have removed entries and not yet their translations; or, where blocks
    /// stay and move, have not yet made durable what was stored through these.
    invalidating: AtomicU32,
    /// Held from a change of the block map until its record is in the log, so that the log has the
    /// changes of one file in the order in which they were made. A latch inside a transaction;
    /// `std`'s, since faults take it.
    order: Mutex<()>,
}

impl MappedFile {
    /// A file with nothing mapped.
    ///
    /// # Errors
    /// What reading its block map reports.
    pub(crate) fn new(volume: Arc<Volume>, inode: Arc<Inode>, settings: &Settings) -> Result<Self> {
        let blocks = Arc::clone(volume.blocks(&inode)?);
        Ok(Self {
            volume,
            inode,
            blocks,
            entries: EntryTree::default(),
            windows: Windows::default(),
            sharing: SharingLock::default(),
            unmapping: settings.unmapping,
            entry_sizes: settings.entry_sizes,
            invalidating: AtomicU32::new(0),
            order: Mutex::new(()),
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

    // ---- Step: ask ----------------------------------------------------------------------------

    /// How much of the file the answer to a fault should cover: 2 MiB where that looks possible and
    /// is no more than `largest`, otherwise a page. A guess; entering it may be refused.
    pub(crate) fn request<'fault>(
        &self,
        fault: &'fault PageFault<'fault>,
        largest: Size,
    ) -> Request<'fault> {
        let size = match (self.unit_size(), largest) {
            (Size::Large, _) => Size::Large,
            (Size::Small, Size::Large) if self.may_be_large(fault) => Size::Large,
            _ => Size::Small,
        };
        Request { fault, size }
    }

    /// The rules of Linux's `dax_fault_check_fallback`: the window and the file cover the 2 MiB,
    /// and no smaller entry is there, which wins. And the block map has them in one piece, or not
    /// at all. Nor is any of it known to be damaged.
    fn may_be_large(&self, fault: &PageFault<'_>) -> bool {
        let pages = Size::Large.around(fault.page);
        let is_usable = |seen| match seen {
            // Copied one by one: a store of a byte should not cost 2 MiB.
            Seen::Shared(_) => fault.access == Access::Read,
            Seen::Hole | Seen::Block(_) => true,
        };
        self.entry_sizes == EntrySizes::Both
            && fault.window_covers(&pages)
            && pages.end <= blocks_for_bytes(self.inode.len_bytes())
            && !self.entries.is_divided(fault.page)
            && self.whole(pages.clone()).is_some_and(is_usable)
            && checksums::check(self, pages).is_ok()
    }

    // ---- Step: look up ------------------------------------------------------------------------

    /// What the block map has for all pages of the request, and whether the page is in the file.
    ///
    /// # Errors
    /// [`FaultError::BeyondEndOfFile`]; [`Stop::FallBack`] when the pages are not of one piece, but
    /// [`FaultError::Device`] where nothing smaller can be mapped.
    pub(crate) fn look_up(&self, request: &Request<'_>) -> Result<Seen, Stop> {
        self.check_within(request)?;
        let seen = self.whole(request.pages()).ok_or(self.too_small(request))?;
        self.volume
            .reached(Point::FaultLookedUp, request.fault.page);
        Ok(seen)
    }

    /// Whether all of the request is within the file, or on devices of huge pages its page.
    ///
    /// # Errors
    /// [`FaultError::BeyondEndOfFile`]; [`Stop::FallBack`] when the page is within the file.
    pub(crate) fn check_within(&self, request: &Request<'_>) -> Result<(), Stop> {
        let end = blocks_for_bytes(self.inode.len_bytes());
        if request.fault.page >= end {
            return Err(FaultError::BeyondEndOfFile.into());
        }
        if request.pages().end > end && request.size != self.unit_size() {
            return Err(Stop::FallBack);
        }
        Ok(())
    }

    /// What the pages of one entry are, if they are of one piece.
    pub(super) fn whole(&self, pages: Range<u64>) -> Option<Seen> {
        let len = pages.end - pages.start;
        match self.blocks.look_up(pages.start, len) {
            Found::Hole { len_blocks } if len_blocks == len => Some(Seen::Hole),
            Found::Mapped(found) if found.run.len_blocks == len => {
                let block = found.run.block;
                let seen = match found.sharing {
                    Sharing::Exclusive => Seen::Block(block),
                    Sharing::Shared => Seen::Shared(block),
                };
                block.is_multiple_of(len).then_some(seen)
            }
            _ => None,
        }
    }

    fn too_small(&self, request: &Request<'_>) -> Stop {
        if request.size == self.unit_size() {
            Stop::Failed(FaultError::Device)
        } else {
            Stop::FallBack
        }
    }

    fn unit_size(&self) -> Size {
        if self.unit_pages() == 1 {
            Size::Small
        } else {
            Size::Large
        }
    }

    // ---- Step: allocate -----------------------------------------------------------------------

    /// Zeroed blocks for a write fault on what seems to be a hole, a copy for one on blocks that
    /// others have too; made before any lock of the design is taken. `None` for any other fault. A
    /// guess: the design looks again under its lock.
    ///
    /// # Errors
    /// [`FaultError::NoSpace`], [`FaultError::Device`]; [`Stop::FallBack`] when there are no 2 MiB
    /// in one piece.
    pub(crate) fn prepare_for(&self, request: &Request<'_>) -> Result<Option<Filled<'_>>, Stop> {
        if request.fault.access != Access::Write {
            return Ok(None);
        }
        let fill = match self.whole(request.pages()) {
            Some(Seen::Hole) => Self::prepare_zeroes,
            Some(Seen::Shared(_)) => Self::prepare_copy,
            Some(Seen::Block(_)) | None => return Ok(None),
        };
        self.check_within(request)?;
        match fill(self, request) {
            Err(Stop::Failed(FaultError::NoSpace)) if request.size != self.unit_size() => {
                Err(Stop::FallBack)
            }
            prepared => prepared,
        }
    }

    fn prepare_zeroes(&self, request: &Request<'_>) -> Result<Option<Filled<'_>>, Stop> {
        let prepared = self.allocate_for(request)?;
        let zeroes = self.volume.zero_blocks(prepared.run())?;
        Ok(Some(prepared.filled(&zeroes, Content::New)?))
    }

    /// Blocks for all pages of the request, of one piece.
    ///
    /// # Errors
    /// [`FaultError::NoSpace`]; [`Stop::FallBack`] when there are none in one piece.
    pub(super) fn allocate_for(&self, request: &Request<'_>) -> Result<Prepared<'_>, Stop> {
        let len_blocks = request.size.pages();
        let prepared = self.allocate(request.pages().start, len_blocks, Placement::Aligned)?;
        let run = prepared.run();
        if run.len_blocks < len_blocks || !run.block.is_multiple_of(len_blocks) {
            return Err(self.too_small(request));
        }
        Ok(prepared)
    }

    /// Blocks for `file_block..`, at most `max_blocks`, not yet filled.
    ///
    /// # Errors
    /// [`NoSpace`](crate::Error::NoSpace), for the blocks or for the metadata that names them.
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
        Ok(Prepared::new(self, run))
    }

    /// How the file wants its blocks: aligned when it is large or mapped.
    pub(crate) fn placement(&self) -> Placement {
        let large = self.inode.len_bytes() >= GROUP_BLOCKS * BLOCK_BYTES;
        if large || !self.windows.is_empty() {
            Placement::Aligned
        } else {
            Placement::Packed
        }
    }

    /// Begins the transaction that publishes blocks.
    ///
    /// # Errors
    /// What [`Volume::begin`] reports.
    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        self.volume.begin(MAP_LOG_BYTES)
    }

    /// Puts prepared blocks into the block map, unless somebody else's are there. Returns what is.
    pub(crate) fn publish_prepared(
        &self,
        transaction: &mut Transaction<'_>,
        request: &Request<'_>,
        mut prepared: Filled<'_>,
    ) -> Result<Seen, Stop> {
        if let Content::CopyOf { .. } = prepared.content() {
            return self.publish_copy(transaction, request, prepared);
        }
        let run = prepared.run();
        if self.volume.makes(Mistake::WriteFaultReplaces) {
            self.blocks.remove(request.pages());
        }
        let inserted = self.insert(transaction, request.pages().start, &mut prepared, 0)?;
        if inserted == run.len_blocks {
            return Ok(Seen::Block(run.block));
        }
        match self.whole(request.pages()) {
            Some(Seen::Block(block)) => Ok(Seen::Block(block)),
            Some(Seen::Shared(_)) => Err(Stop::Again),
            _ => Err(self.too_small(request)),
        }
    }

    /// Puts the blocks of `fresh` into the block map from `file_block` up to the first block that
    /// is there already, and all of it into the log; the file is then at least `len_bytes` long, if
    /// all blocks went in. Returns how many did; `fresh` keeps the rest.
    ///
    /// # Errors
    /// What the log reports; the filesystem then accepts no further changes.
    pub(crate) fn insert(
        &self,
        transaction: &mut Transaction<'_>,
        file_block: u64,
        fresh: &mut Filled<'_>,
        len_bytes: u64,
    ) -> Result<u64> {
        let _order = self.order();
        let inserted = self.blocks.insert_into_hole(file_block, fresh.run());
        if inserted == 0 {
            return Ok(0);
        }
        // What the block map has is no longer ours to give back.
        let run = fresh.take_first(inserted);
        self.volume.allocator.note_published(run.run());
        self.volume.mark_changed(transaction, &self.inode);
        let len_bytes = if fresh.run().len_blocks == 0 {
            len_bytes
        } else {
            0
        };
        let time = now();
        let record = Record::Map {
            inode: self.inode.number(),
            file_block,
            run,
            flags: 0,
            len_bytes,
            time,
        };
        transaction.log(&record)?;
        self.inode.touch(time);
        self.inode.extend_len_bytes(len_bytes);
        self.volume.reached(Point::WritePublished, file_block);
        Ok(inserted)
    }

    /// Keeps others from changing the block map until what the caller changes is logged.
    pub(crate) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- Step: install ------------------------------------------------------------------------

    /// Enters what was seen, and maps it; for designs that do not lock entries.
    pub(crate) fn install(&self, request: &Request<'_>, seen: Seen) -> Result<(), Stop> {
        let entry = request.entry_for(seen);
        let before = self.entries.enter(request.fault.page, entry)?;
        self.map(request, seen, before)
    }

    /// The same for designs that have locked the entry; unlocks it.
    pub(crate) fn install_locked(
        &self,
        request: &Request<'_>,
        seen: Seen,
        locked: LockedEntry<'_>,
    ) -> Result<(), Stop> {
        let after = locked.admit(request.fault.page, request.entry_for(seen))?;
        // Acquire: pairs with the release in `invalidate`. Whoever finds its entry removed, but its
        // translations not yet, must not show what is new in one window while another shows what is
        // old.
        if seen != Seen::Hole && self.invalidating.load(Ordering::Acquire) > 0 {
            self.windows.unmap(request.pages())?;
        }
        self.map(request, seen, locked.value())?;
        locked.unlock(after);
        Ok(())
    }

    /// Puts what was seen into the faulting page table, where `before` was the entry until now. A
    /// block that takes the place of a hole, or of another block, first takes that out of every
    /// window: nobody may store through one what another does not show. (A hole does not: whoever
    /// makes one invalidates. It would hide what `none` does wrong.)
    pub(crate) fn map(&self, request: &Request<'_>, seen: Seen, before: Entry) -> Result<(), Stop> {
        let (fault, mut pages) = (request.fault, request.pages());
        if seen == Seen::Hole && self.volume.makes(Mistake::LargeOverSmall) {
            pages = Size::Large.around(fault.page);
        }
        let (block, protection) = match seen {
            Seen::Hole => (None, Protection::ReadOnly),
            Seen::Block(block) => (Some(block), fault.protection),
            Seen::Shared(block) => (Some(block), Protection::ReadOnly),
        };
        let stood_for_something = before.is_zero() || before.device_block().is_some();
        let is_other = before.device_block_of(pages.start) != block;
        if block.is_some() && stood_for_something && is_other {
            self.windows.unmap(pages.clone())?;
        }
        let frame = block.map_or(Frame::Zero, |block| Frame::Device {
            offset_bytes: block * BLOCK_BYTES,
            protection,
        });
        let window_page = pages.start - fault.window_first_page;
        let len_pages = pages.end - pages.start;
        fault
            .table
            .map(window_page, len_pages, frame)
            .or_else(|_| {
                // Too many address ranges: translations may always be dropped.
                fault.table.unmap(0, fault.table.len_pages())?;
                fault.table.map(window_page, len_pages, frame)
            })
            .map_err(|_| FaultError::Device)?;
        self.volume.reached(Point::FaultInstalled, fault.page);
        Ok(())
    }

    // ---- Step: invalidate ---------------------------------------------------------------------

    /// Drops the mapping entries of `pages`, waiting for locked ones, and then their translations,
    /// with one unmap of the whole range or, if so mounted, entry by entry. Nothing is unmapped
    /// where there was no entry.
    pub(crate) fn invalidate(&self, pages: Range<u64>, removal: Removal) -> Result<()> {
        self.invalidate_each(pages, removal, |_, _| ())
    }

    /// The same for blocks that stay and get other places in the file. What was stored into them
    /// through mappings is made durable: when their entries are gone, nothing says that it still
    /// has to be.
    pub(crate) fn invalidate_moved(&self, pages: Range<u64>) -> Result<()> {
        // Released before the entries go: see `is_invalidating`.
        self.invalidating.fetch_add(1, Ordering::AcqRel);
        let mut dirty = Vec::new();
        let result = self.invalidate_each(pages, Removal::All, |pages, entry| {
            if let (true, Some(block)) = (entry.is_dirty(), entry.device_block_of(pages.start)) {
                dirty.push(Run::new(block, pages.end - pages.start));
            }
        });
        let result = result.and_then(|()| self.volume.flush_stored(&dirty));
        // Release: whoever sees it after this sees what was stored made durable.
        self.invalidating.fetch_sub(1, Ordering::Release);
        result
    }

    /// Whether entries are being taken out. Whoever looked at them before, and finds that none
    /// are, has seen each that is dirty, or comes after what it stood for was made durable.
    pub(crate) fn is_invalidating(&self) -> bool {
        // Acquire: pairs with the releases of `invalidate_moved`.
        self.invalidating.load(Ordering::Acquire) > 0
    }

    fn invalidate_each(
        &self,
        pages: Range<u64>,
        removal: Removal,
        mut each: impl FnMut(Range<u64>, Entry),
    ) -> Result<()> {
        let units = self.units_of(pages.clone());
        let held = match self.volume.makes(Mistake::InvalidationSkipsLocked) {
            true => Held::PassBy,
            false => Held::WaitFor,
        };
        for edge in edges(&units) {
            self.break_up_if(edge, removal, held)?;
        }
        // Released before the entries go: see `install_locked`.
        self.invalidating.fetch_add(1, Ordering::AcqRel);
        let before_wait = || self.volume.reached(Point::LockWait, pages.start);
        let mut hull: Option<Range<u64>> = None;
        let mut result = Ok(());
        self.entries
            .remove(units, removal, held, before_wait, |found, entry| {
                each(found.clone(), entry);
                match self.unmapping {
                    Unmapping::Once => {
                        let start = hull.as_ref().map_or(found.start, |hull| hull.start);
                        hull = Some(start..found.end);
                    }
                    Unmapping::EachEntry if result.is_ok() => result = self.windows.unmap(found),
                    Unmapping::EachEntry => {}
                }
            });
        self.volume.reached(Point::EntriesRemoved, pages.start);
        if self.volume.makes(Mistake::RemovalLeavesMapped) && removal == Removal::All {
            hull = None;
        }
        if let Some(hull) = hull {
            result = self.windows.unmap(hull);
        }
        // Release: whoever sees it after this sees the translations gone.
        self.invalidating.fetch_sub(1, Ordering::Release);
        self.volume.reached(Point::Invalidated, pages.start);
        result
    }

    /// Makes a 2 MiB entry give way to 4 KiB ones of which some differ, if there is one around
    /// `page`. That of a hole goes whole, as in Linux: the next faults enter small ones. One with
    /// blocks is divided, if some of its blocks go; the rest stays mapped and, if it was, dirty.
    pub(crate) fn break_up(&self, page: u64) -> Result<()> {
        self.break_up_if(page, Removal::All, Held::WaitFor)
    }

    fn break_up_if(&self, page: u64, removal: Removal, held: Held) -> Result<()> {
        if held == Held::PassBy && !self.entries.get(page).is_free() {
            return Ok(());
        }
        let before_wait = || self.volume.reached(Point::LockWait, page);
        let Some(locked) = self.entries.lock_if_large(page, before_wait) else {
            return Ok(());
        };
        if locked.value().is_zero() {
            if !self.volume.makes(Mistake::BreakUpLeavesMapped) {
                self.windows.unmap(Size::Large.around(page))?;
            }
            locked.unlock(Entry::NONE);
        } else if removal == Removal::All {
            locked.divide();
        }
        Ok(())
    }

    // ---- Entries as a cache of the block map --------------------------------------------------

    /// What entries cache for `file_block` and the blocks after it, up to `max_blocks`. The caller
    /// holds the I/O lock over them, so that what was cached stays true.
    pub(crate) fn cached_run(&self, file_block: u64, max_blocks: u64) -> Option<Run> {
        let before_wait = || self.volume.reached(Point::LockWait, file_block);
        self.entries.cached_run(file_block, max_blocks, before_wait)
    }

    /// Enters the blocks that the block map has for `pages` where there is no entry yet. Each is
    /// looked up with its entry locked, as a fault does.
    pub(crate) fn cache(&self, pages: Range<u64>) {
        let mut page = pages.start;
        while page < pages.end {
            let size = self.size_to_cache(page);
            let before_wait = || self.volume.reached(Point::LockWait, page);
            let locked = self.entries.lock(page, size, before_wait).ok();
            let around = size.around(page);
            if let Some(locked) = locked.filter(|locked| locked.value().is_none())
                && let Some(Seen::Block(block)) = self.whole(around.clone())
            {
                locked.unlock(Entry::block(block, size, Dirtiness::Clean));
            }
            page = around.end;
        }
    }

    fn size_to_cache(&self, page: u64) -> Size {
        let pages = Size::Large.around(page);
        let is_large = self.entry_sizes == EntrySizes::Both
            && pages.end <= blocks_for_bytes(self.inode.len_bytes())
            && !self.entries.is_divided(page)
            && matches!(self.whole(pages), Some(Seen::Block(_)));
        if is_large {
            Size::Large
        } else {
            self.unit_size()
        }
    }
}

/// A page in each 2 MiB of which `pages` is only a part.
fn edges(pages: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let large = Size::Large.pages();
    let last = (!pages.end.is_multiple_of(large)).then(|| pages.end - 1);
    let first = (!pages.start.is_multiple_of(large)).then_some(pages.start);
    first
        .into_iter()
        .chain(last.filter(|last| first.is_none_or(|first| first / large != last / large)))
}
