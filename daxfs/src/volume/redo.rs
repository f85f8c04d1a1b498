//! Bytes that the log wants written again, as far as a replay has come.
//!
//! A record of such bytes says where in the file they belong. Where on the device that is follows
//! from the block map at that point of the log; whether they are to be written is known at its end,
//! for the blocks may have gone to others by then, who filled them before they got them, or newer
//! bytes may be there.
//!
//! # Locking
//! One latch, innermost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::format::geometry::BLOCK_BYTES;
use crate::run::Run;

/// Bytes to be written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedoWrite {
    /// The file.
    pub(crate) inode: u64,
    /// Where on the device; all within one block.
    pub(crate) offset_bytes: u64,
    pub(crate) bytes: Vec<u8>,
}

/// All of them, oldest first.
#[derive(Default)]
pub(crate) struct Redo(Mutex<Vec<RedoWrite>>);

impl Redo {
    pub(crate) fn add(&self, write: RedoWrite) {
        self.lock().push(write);
    }

    /// The blocks have been given away, with all of their content.
    pub(crate) fn forget_blocks(&self, run: Run) {
        let blocks = run.block..run.end();
        self.lock()
            .retain(|write| !blocks.contains(&(write.offset_bytes / BLOCK_BYTES)));
    }

    /// All that was to be written into the file is in place.
    pub(crate) fn forget_file(&self, inode: u64) {
        self.lock().retain(|write| write.inode != inode);
    }

    /// What is left at the end of a replay.
    pub(crate) fn take(&self) -> Vec<RedoWrite> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RedoWrite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
