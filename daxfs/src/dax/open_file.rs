//! An open file: what is mapped of it, and its two locks.
//!
//! There is one for each inode that is open or mapped, however many handles there are.
//!
//! # Locking
//! Owns the I/O lock, the mapping lock, and the append mutex (rank: just before the I/O range).

use std::ops::Range;

use crossbeam_utils::CachePadded;
use daxfs_pmem::FaultError;
use parking_lot::Mutex;

use super::checksums;
use super::fault::PageFault;
use super::io_lock::IoLocking;
use super::lock_state::LockState;
use super::mapped_file::MappedFile;
use super::mapping_lock::MappingLocking;
use super::settings::{DataMode, Settings};
use crate::error::Result;
use crate::inode::Inode;
use crate::run::Run;
use crate::sync::Arc;
use crate::volume::Volume;

/// A file that is open or mapped.
pub(crate) struct OpenFile {
    pub(crate) mapped: MappedFile,
    /// On cache lines of their own: the words of a lock move between processors all the time, what
    /// lies beside them is read by all.
    pub(crate) io_lock: CachePadded<IoLocking>,
    pub(crate) mapping_lock: CachePadded<MappingLocking>,
    /// Held by whoever appends, so that appenders queue up instead of chasing the end of file.
    pub(crate) append: Mutex<()>,
    pub(super) data: DataMode,
}

impl OpenFile {
    /// Opens the regular file `inode`.
    ///
    /// # Errors
    /// What reading its block map reports.
    pub(crate) fn new(volume: Arc<Volume>, inode: Arc<Inode>, settings: &Settings) -> Result<Self> {
        Ok(Self {
            mapped: MappedFile::new(volume, inode, settings)?,
            io_lock: CachePadded::new(IoLocking::new(settings.io_lock)),
            mapping_lock: CachePadded::new(MappingLocking::new(settings.mapping_lock)),
            append: Mutex::new(()),
            data: settings.data,
        })
    }

    pub(crate) fn inode(&self) -> &Arc<Inode> {
        &self.mapped.inode
    }

    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.mapped.volume
    }

    /// Answers a page fault. When space runs out and a checkpoint would free some, makes one, with
    /// no lock of this file's held, and tries again.
    pub(crate) fn fault(&self, fault: &PageFault<'_>) -> Result<(), FaultError> {
        let is_no_space = |error: &FaultError| *error == FaultError::NoSpace;
        checksums::before_mapping(&self.mapped, fault)?;
        let answer = || self.mapping_lock.fault(&self.mapped, fault);
        self.volume().retry_when_full(is_no_space, answer)
    }

    /// Flushes what was stored into `pages` through mappings, where flush instructions do that:
    /// writes were fenced when they were made. (On files a checkpoint's `msync` covers it.)
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn flush_mapped(&self, pages: Range<u64>) -> Result<()> {
        let result = self.flush_dirty(pages);
        if self.mapped.is_invalidating() {
            // Whoever moves blocks has taken their entries along, and flushes them before he lets
            // go of this.
            self.io_lock.shared(0..u64::MAX, || ());
        }
        result
    }

    /// The same, but for entries that others are taking out, who flush what these stand for.
    pub(super) fn flush_dirty(&self, pages: Range<u64>) -> Result<()> {
        let mut result = Ok(());
        self.mapped.entries.for_each_dirty(pages, |pages, block| {
            if result.is_ok() {
                let stored = Run::new(block, pages.end - pages.start);
                result = self.volume().flush_stored(&[stored]);
            }
        });
        result
    }

    /// What the mapping entries and the locks take and have done.
    pub(crate) fn lock_state(&self) -> LockState {
        let (lock, entries) = (self.mapping_lock.counts(), self.mapped.entries.counts());
        LockState {
            bytes: lock.bytes + entries.bytes,
            io_bytes: self.io_lock.memory_bytes(),
            entries: entries.entries,
            waits: lock.waits + entries.waits,
            wakes: lock.waits + entries.wakes,
            unmaps: self.mapped.windows.unmaps(),
        }
    }

    /// Brings the times of the last read and write into the log. The file is open.
    ///
    /// # Errors
    /// What the log reports.
    pub(crate) fn settle_times(&self) -> Result<()> {
        if !self.inode().has_unlogged_times() {
            return Ok(());
        }
        let volume = self.volume();
        volume.commit_times(&mut volume.begin_times()?, self.inode())
    }
}
