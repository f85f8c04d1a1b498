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

use daxfs_pmem::FaultError;

use super::steps::{publish_and_invalidate, remove_and_invalidate};
use crate::dax::mapped_file::{MappedFile, PageFault, Prepared};
use crate::error::Result;
use crate::schedule::Point;

pub(crate) struct Unlocked;

impl Unlocked {
    // ---- Fault --------------------------------------------------------------------------------

    pub(crate) fn fault(&self, file: &MappedFile, fault: &PageFault<'_>) -> Result<(), FaultError> {
        let seen = loop {
            let prepared = file.prepare_for(fault)?;
            let seen = file.look_up(fault)?;
            match prepared {
                Some(prepared) if fault.needs_block(seen) => {
                    let transaction = file.volume.gate.begin();
                    break file.publish_prepared(&transaction, fault, prepared)?;
                }
                None if fault.needs_block(seen) => {}
                _ => break seen,
            }
        };
        // Too late: what was seen may be stale by now.
        let first = fault.unit(file).start;
        let before_wait = || file.volume.reached(Point::LockWait, fault.page);
        let locked = file
            .entries
            .lock(first, before_wait)
            .map_err(|_| FaultError::Device)?;
        let before = locked.value();
        file.map(fault, seen, before)?;
        locked.unlock(file.entry_for(fault, seen, before));
        Ok(())
    }

    // ---- Publish ------------------------------------------------------------------------------

    pub(crate) fn publish(
        &self,
        file: &MappedFile,
        file_block: u64,
        fresh: &mut Prepared<'_>,
    ) -> Result<u64> {
        publish_and_invalidate(file, file_block, fresh)
    }

    // ---- Remove -------------------------------------------------------------------------------

    pub(crate) fn remove(&self, file: &MappedFile, pages: Range<u64>) -> Result<()> {
        remove_and_invalidate(file, pages)
    }
}
