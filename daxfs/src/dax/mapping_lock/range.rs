//! Mapping lock `range` (D4): a reader/writer range lock over the file's pages.
//!
//! # Why
//! D3 with Davidlohr Bueso's lock in place of the semaphore, as the thread suggests: a fault that
//! changes no block mapping holds its page shared, a write fault on a hole holds it exclusive, and
//! a write that allocates holds the pages that it allocates exclusive around publication and
//! invalidation. Faults and writes on other pages never meet.
//!
//! # Locking
//! One `RangeLock` a file, over pages, outside the gate; first come first served, so that a write
//! does not starve behind a stream of faults. A fault's node lies in its frame: locking allocates
//! nothing, and a signal handler may do it. Entries are not locked: what two faults enter side by
//! side under shared locks is the same, since the block map of the page cannot change.

use std::ops::Range;
use std::pin::pin;

use rangelock::{Granule, RangeLock};

use super::steps::{publish_and_invalidate, remove_and_invalidate};
use super::{Cut, LockCounts};
use crate::dax::entry::Size;
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::Found;
use crate::lock_order::{Held, Rank};
use crate::schedule::Point;

/// Faults and allocations within one aligned 256 KiB are locked without the tree. Threads that work
/// in one 2 MiB, each on a part of its own, do not meet; and who wants all of it has eight shards
/// to visit.
const GRANULE: Granule = Granule::from_len(64).expect("a power of two");

/// Pinned nodes do not make the lock grow, so that of a mapped file is made as large as some dozens
/// of threads want it. A file that is not mapped has what its writers needed. (Models have two
/// threads.)
const RANGES_AT_ONCE: usize = if cfg!(loom) { 1 } else { 64 };

pub(crate) struct RangeLocked {
    lock: Box<RangeLock>,
}

impl Default for RangeLocked {
    fn default() -> Self {
        Self {
            lock: Box::new(RangeLock::with_granule(GRANULE)),
        }
    }
}

impl RangeLocked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        let pages = request.pages();
        let Some(prepared) = file.prepare_for(request)? else {
            return self.shared(file, pages, || {
                let seen = file.look_up(request)?;
                if request.needs_block(seen) {
                    return Err(Stop::Again);
                }
                file.install(request, seen)
            });
        };
        self.exclusive_in_fault(file, pages, || {
            let mut seen = file.look_up(request)?;
            if request.needs_block(seen) {
                let mut transaction = file.begin()?;
                seen = file.publish_prepared(&mut transaction, request, prepared)?;
            }
            file.install(request, seen)
        })
    }

    // ---- Break up -----------------------------------------------------------------------------

    pub(crate) fn break_up(&self, file: &MappedFile, page: u64) -> Result<()> {
        let pages = Size::Large.around(page);
        self.exclusive_in_fault(file, pages, || file.break_up(page))
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
        let pages = file.units_of(file_block..file_block + fresh.run().len_blocks);
        self.exclusive(file, pages, || {
            publish_and_invalidate(file, file_block, fresh, len_bytes)
        })
    }

    // ---- Remove -------------------------------------------------------------------------------

    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
        self.exclusive(file, pages.clone(), || {
            remove_and_invalidate(file, pages, cut)
        })
    }

    // ---- Change -------------------------------------------------------------------------------

    pub(crate) fn change<T>(
        &self,
        file: &MappedFile,
        pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> T {
        self.exclusive(file, pages, section)
    }

    // ---- The lock -----------------------------------------------------------------------------

    /// For a fault, with a node of its own.
    fn shared<T>(&self, file: &MappedFile, pages: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::MappingRange);
        if file.volume.is_scheduled() && self.lock.try_read(pages.clone()).is_none() {
            file.volume.reached(Point::LockWait, pages.start);
        }
        let node = pin!(self.lock.node());
        let _guard = node.read(pages);
        section()
    }

    /// For a fault, with a node of its own.
    fn exclusive_in_fault<T>(
        &self,
        file: &MappedFile,
        pages: Range<u64>,
        section: impl FnOnce() -> T,
    ) -> T {
        let _rank = Held::take(Rank::MappingRange);
        self.announce_wait(file, &pages);
        let node = pin!(self.lock.node());
        let _guard = node.write(pages);
        section()
    }

    /// For what may allocate, and lets the lock grow.
    fn exclusive<T>(&self, file: &MappedFile, pages: Range<u64>, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::MappingRange);
        self.announce_wait(file, &pages);
        let _guard = self.lock.write(pages);
        section()
    }

    /// Tells a schedule that whoever wants `pages` alone is going to wait.
    fn announce_wait(&self, file: &MappedFile, pages: &Range<u64>) {
        if file.volume.is_scheduled() && self.lock.try_write(pages.clone()).is_none() {
            file.volume.reached(Point::LockWait, pages.start);
        }
    }

    // ---- Expect faults ------------------------------------------------------------------------

    /// Makes room for the faults of a mapping, which may not allocate.
    pub(crate) fn expect_faults(&self) {
        self.lock.reserve(RANGES_AT_ONCE);
    }

    // ---- What it takes ------------------------------------------------------------------------

    pub(crate) fn counts(&self) -> LockCounts {
        LockCounts {
            bytes: (size_of::<Self>() + self.lock.memory_bytes()) as u64,
            waits: self.lock.counters().waits,
        }
    }
}
