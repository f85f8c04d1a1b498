//! DWUM: writes over holes that are mapped as zeroes, in the thread's own 2 MiB of one shared file.
//!
//! Each write allocates, and then has to take every page of its range out of the page tables: with
//! one call, or entry by entry. What makes the pages holes and maps them again is between the
//! operations and not counted; nor is the load of each page that must show what was written.
//! Touches one file through the library; takes no locks of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use daxfs::{File, HUGE_PAGE_BYTES, Mapping};

use super::buffer::Buffer;
use super::stamp;
use super::{BLOCK_BYTES, Opening, SHARED_FILE};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// The open file of one slice.
pub(super) struct WritesOverZeroes {
    file: File,
    mapping: Mapping,
    len_bytes: u64,
    wrong: AtomicBool,
}

impl WritesOverZeroes {
    /// How long the file of `threads` threads is, in bytes.
    pub(super) fn file_bytes(threads: usize) -> u64 {
        threads as u64 * HUGE_PAGE_BYTES
    }

    /// Maps the file for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let mapping = opening.map(&file, Self::file_bytes(opening.threads))?;
        Ok(Self {
            file,
            mapping,
            len_bytes: opening.block_bytes,
            wrong: AtomicBool::new(false),
        })
    }

    /// Loads from each page of the block at `start_bytes`, all of which must begin with `expected`.
    fn expect(&self, start_bytes: u64, expected: u64) -> Result<()> {
        let mut word = [0; 8];
        for offset_bytes in (0..self.len_bytes).step_by(BLOCK_BYTES as usize) {
            self.mapping.load(start_bytes + offset_bytes, &mut word)?;
            if stamp::word(&word) != expected {
                self.wrong.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Workload for WritesOverZeroes {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let start_bytes = thread as u64 * HUGE_PAGE_BYTES;
        let mut block = Buffer::zeroed(self.len_bytes as usize);
        while recorder.running() {
            let stamp = stamp::fresh();
            block.fill(stamp);
            self.expect(start_bytes, 0)?;
            recorder.timed(|| Ok(self.file.write_all_at(block.bytes(), start_bytes)?))?;
            self.expect(start_bytes, stamp)?;
            self.file.punch_hole(start_bytes, self.len_bytes)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("a load did not return what was written or punched"),
        })
    }

    fn page_table_operations(&self) -> Option<u64> {
        let counts = self.mapping.counts();
        Some(counts.maps + counts.unmaps)
    }
}
