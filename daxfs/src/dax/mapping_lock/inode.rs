//! Mapping lock `inode` (D3): one reader/writer lock for the whole file.
//!
//! # Why
//! It is the other way that the thread names: `i_mmap_sem` held shared by faults that change no
//! block mapping, and exclusive by those that do and by writes that allocate. Correct at a glance;
//! "would scale rather poorly" is what the benchmark measures.
//!
//! # Locking
//! One `std::sync::RwLock` a file (fit for a signal handler: it neither allocates nor parks through
//! thread-local state), outside the gate. Entries are not locked: what two faults enter side by
//! side under the shared lock is the same, since the block map cannot change.

use std::ops::Range;

use super::steps::{publish_and_invalidate, remove_and_invalidate};
use super::{Cut, LockCounts};
use crate::dax::fault::{Request, Stop};
use crate::dax::mapped_file::MappedFile;
use crate::dax::prepared::Filled;
use crate::error::Result;
use crate::inode::block_map::Found;
use crate::lock_order::{Held, Rank};
use crate::schedule::Point;
use crate::sync::{Ordering, PoisonError, RwLock, Tally};

#[derive(Default)]
pub(crate) struct InodeLocked {
    lock: RwLock<()>,
    waits: Tally,
}

impl InodeLocked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, request: &Request<'_>) -> Result<(), Stop> {
        let Some(prepared) = file.prepare_for(request)? else {
            return self.shared(file, request.fault.page, || {
                let seen = file.look_up(request)?;
                if request.needs_block(seen) {
                    return Err(Stop::Again);
                }
                file.install(request, seen)
            });
        };
        self.exclusive(file, request.fault.page, || {
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
        self.exclusive(file, page, || file.break_up(page))
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
        self.exclusive(file, file_block, || {
            publish_and_invalidate(file, file_block, fresh, len_bytes)
        })
    }

    // ---- Remove -------------------------------------------------------------------------------

    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>, cut: Cut) -> Result<()> {
        self.exclusive(file, pages.start, || {
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
        self.exclusive(file, pages.start, section)
    }

    // ---- The lock -----------------------------------------------------------------------------

    fn shared<T>(&self, file: &MappedFile, page: u64, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::MappingRange);
        let _guard = self.lock.try_read().unwrap_or_else(|_| {
            self.note_wait(file, page);
            self.lock.read().unwrap_or_else(PoisonError::into_inner)
        });
        section()
    }

    fn exclusive<T>(&self, file: &MappedFile, page: u64, section: impl FnOnce() -> T) -> T {
        let _rank = Held::take(Rank::MappingRange);
        let _guard = self.lock.try_write().unwrap_or_else(|_| {
            self.note_wait(file, page);
            self.lock.write().unwrap_or_else(PoisonError::into_inner)
        });
        section()
    }

    fn note_wait(&self, file: &MappedFile, page: u64) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        file.volume.reached(Point::LockWait, page);
    }

    // ---- What it takes ------------------------------------------------------------------------

    pub(crate) fn counts(&self) -> LockCounts {
        LockCounts {
            bytes: size_of::<Self>() as u64,
            waits: self.waits.load(Ordering::Relaxed),
        }
    }
}
