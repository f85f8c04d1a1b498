//! DMFM and DMWM: every thread faults the 512 pages of its own 2 MiB of one shared file, through
//! one mapping that all threads share, so that they meet in the file's mapping lock and in the
//! page tables, but never on a page.
//!
//! What makes the pages fault again, a release or a punched hole, is between the operations and
//! not counted. Touches files through the library; takes no locks of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use daxfs::{File, HUGE_PAGE_BYTES, Mapping};

use super::stamp;
use super::{BLOCK_BYTES, Opening, SHARED_FILE};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// What each thread has for itself, in bytes.
pub(super) const REGION_BYTES: u64 = HUGE_PAGE_BYTES;

/// The offsets of the pages of a thread's region.
fn pages(thread: usize) -> impl Iterator<Item = u64> {
    let start_bytes = thread as u64 * REGION_BYTES;
    (start_bytes..start_bytes + REGION_BYTES).step_by(BLOCK_BYTES as usize)
}

/// DMFM: loads from allocated pages.
pub(super) struct ReadFaults {
    mapping: Mapping,
    wrong: AtomicBool,
}

impl ReadFaults {
    /// Maps the file for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let mapping = opening.map(&file, opening.threads as u64 * REGION_BYTES)?;
        Ok(Self {
            mapping,
            wrong: AtomicBool::new(false),
        })
    }
}

impl Workload for ReadFaults {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut bytes = [0; 8];
        while recorder.running() {
            for offset_bytes in pages(thread) {
                if !recorder.running() {
                    break;
                }
                recorder.timed(|| Ok(self.mapping.load(offset_bytes, &mut bytes)?))?;
                if stamp::word(&bytes) != stamp::of_block(offset_bytes) {
                    self.wrong.store(true, Ordering::Relaxed);
                }
            }
            self.mapping
                .release(thread as u64 * REGION_BYTES, REGION_BYTES)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("a load returned the bytes of another page"),
        })
    }
}

/// DMWM: stores to holes.
pub(super) struct WriteFaults {
    file: File,
    mapping: Mapping,
    wrong: AtomicBool,
}

impl WriteFaults {
    /// Maps the file for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let len_bytes = opening.threads as u64 * REGION_BYTES;
        let mapping = opening.map(&file, len_bytes)?;
        Ok(Self {
            file,
            mapping,
            wrong: AtomicBool::new(false),
        })
    }

    /// Whether `read_at` returns what was stored to the page, and zeroes after it.
    fn holds(&self, offset_bytes: u64, stamp: u64) -> Result<bool> {
        let mut bytes = [0; 16];
        self.file.read_at(&mut bytes, offset_bytes)?;
        Ok(stamp::word(&bytes[..8]) == stamp && stamp::word(&bytes[8..]) == 0)
    }
}

impl Workload for WriteFaults {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        while recorder.running() {
            let stamp = stamp::fresh();
            let mut stored = 0;
            for offset_bytes in pages(thread) {
                if !recorder.running() {
                    break;
                }
                let bytes = stamp.to_le_bytes();
                recorder.timed(|| Ok(self.mapping.store(offset_bytes, &bytes)?))?;
                stored += 1;
            }
            for offset_bytes in pages(thread).take(stored) {
                if !self.holds(offset_bytes, stamp)? {
                    self.wrong.store(true, Ordering::Relaxed);
                }
            }
            self.file
                .punch_hole(thread as u64 * REGION_BYTES, REGION_BYTES)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("read did not return what was stored"),
        })
    }
}
