//! DWAM: appends of all threads to one file.
//!
//! After a round every block must be in the file once, whole, where its append said, and each
//! thread's blocks in the order of their appends; by a read and through a mapping. Touches one file
//! through the library; takes no locks.

use anyhow::Result;
use daxfs::{File, Mapping};

use crate::bench::harness::{Coherence, Recorder};
use crate::bench::workload::rounds::{Contest, Stamps};
use crate::bench::workload::stamp::{self, Block};
use crate::bench::workload::{BLOCK_BYTES, Opening, SHARED_FILE};

/// How many blocks a thread appends in a round.
pub(crate) const BLOCKS_PER_ROUND: u64 = 64;

/// Appenders to one file.
pub(crate) struct SharedAppend {
    file: File,
    mapping: Mapping,
}

impl SharedAppend {
    /// Opens the file.
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let len_bytes = opening.threads as u64 * BLOCKS_PER_ROUND * BLOCK_BYTES;
        let mapping = opening.map(&file, len_bytes)?;
        Ok(Self { file, mapping })
    }

    /// The stamp of the block at `offset_bytes`, if it has one and a load sees the same.
    fn stamp_at(&self, offset_bytes: u64, block: &mut Block) -> Result<Option<u64>> {
        self.file.read_at(&mut block.0, offset_bytes)?;
        let mut loaded = [0; 8];
        self.mapping.load(offset_bytes, &mut loaded)?;
        Ok(block.stamp().filter(|&stamp| stamp == stamp::word(&loaded)))
    }
}

impl Contest for SharedAppend {
    fn stamps(&self, threads: usize) -> u64 {
        threads as u64 * BLOCKS_PER_ROUND
    }

    fn parts_alone(&self) -> usize {
        1
    }

    fn set_stage(&self, _stamps: Stamps) -> Result<()> {
        Ok(self.file.truncate(0)?)
    }

    fn act(&self, part: usize, stamps: Stamps, recorder: &mut Recorder<'_>) -> Result<Coherence> {
        let mut block = Block::zeroed();
        let mut back = Block::zeroed();
        let mut coherence = Coherence::Coherent;
        let first = stamps.first + part as u64 * BLOCKS_PER_ROUND;
        for stamp in first..first + BLOCKS_PER_ROUND {
            block.fill(stamp);
            let at = recorder.timed(|| Ok(self.file.append(&block.0)?))?;
            self.file.read_at(&mut back.0, at)?;
            if back.stamp() != Some(stamp) {
                coherence = Coherence::Incoherent("a block is not where its append said");
            }
        }
        Ok(coherence)
    }

    fn judge(&self, stamps: Stamps) -> Result<Coherence> {
        let blocks = self.stamps(stamps.threads);
        if self.file.len_bytes() != blocks * BLOCK_BYTES {
            return Ok(Coherence::Incoherent(
                "the file is not as long as what was appended",
            ));
        }
        let mut block = Block::zeroed();
        // What each thread's next block is.
        let mut next: Vec<u64> = (0..stamps.threads as u64)
            .map(|thread| stamps.first + thread * BLOCKS_PER_ROUND)
            .collect();
        for index in 0..blocks {
            let Some(stamp) = self.stamp_at(index * BLOCK_BYTES, &mut block)? else {
                return Ok(Coherence::Incoherent("a block is torn or mapped stale"));
            };
            let thread = stamp
                .checked_sub(stamps.first)
                .map(|past| past / BLOCKS_PER_ROUND);
            match thread.and_then(|thread| next.get_mut(thread as usize)) {
                Some(expected) if *expected == stamp => *expected += 1,
                _ => return Ok(Coherence::Incoherent("a block is lost, twice or too early")),
            }
        }
        Ok(Coherence::Coherent)
    }

    fn page_table_operations(&self) -> Option<u64> {
        None
    }
}
