//! DWOM, DWOL, DRBM, DRBL: every thread writes or reads one 4 KiB block, always the same one, in
//! a region of its own of a shared file, or in a file of its own.
//!
//! The files are full before the slice, so that nothing is allocated. Touches files through the
//! library; takes no locks of its own.

use anyhow::{Result, ensure};
use daxfs::{File, Mapping};

use super::stamp::{self, Block};
use super::{BLOCK_BYTES, Opening, SHARED_FILE, Sharing, private_file};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// What each thread has for itself, in bytes.
pub(super) const REGION_BYTES: u64 = 8 << 20;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Into the file.
    Write,
    /// Out of the file.
    Read,
}

/// The open files of one slice.
pub(super) struct Io {
    direction: Direction,
    lanes: Vec<Lane>,
}

/// What one thread works on.
struct Lane {
    file: File,
    offset_bytes: u64,
    /// What is in the block after the slice.
    stamp: u64,
    /// Shows the file as a mapping does, for the check.
    mapping: Mapping,
}

impl Io {
    /// Opens the files for `opening.threads` threads.
    pub(super) fn open(
        opening: &Opening<'_>,
        direction: Direction,
        sharing: Sharing,
    ) -> Result<Self> {
        let lane = |thread: usize| {
            let (name, offset_bytes) = match sharing {
                Sharing::Shared => (SHARED_FILE.to_owned(), thread as u64 * REGION_BYTES),
                Sharing::Private => (private_file(thread), 0),
            };
            let file = opening.open(&name)?;
            let mapping = opening.map(&file, offset_bytes + BLOCK_BYTES)?;
            let stamp = match direction {
                Direction::Write => stamp::fresh(),
                Direction::Read => stamp::of_block(offset_bytes),
            };
            Ok(Lane {
                file,
                offset_bytes,
                stamp,
                mapping,
            })
        };
        let lanes = (0..opening.threads).map(lane).collect::<Result<_>>()?;
        Ok(Self { direction, lanes })
    }
}

impl Workload for Io {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let Lane {
            file,
            offset_bytes,
            stamp,
            ..
        } = &self.lanes[thread];
        match self.direction {
            Direction::Write => {
                let block = Block::stamped(*stamp);
                // A thread that is not given a core before the slice ends must have written too.
                file.write_all_at(&block.0, *offset_bytes)?;
                while recorder.running() {
                    let count = recorder.sampled(|| Ok(file.write_at(&block.0, *offset_bytes)?))?;
                    ensure!(count as u64 == BLOCK_BYTES, "short write of {count} bytes");
                }
            }
            Direction::Read => {
                let mut block = Block::zeroed();
                while recorder.running() {
                    let count =
                        recorder.sampled(|| Ok(file.read_at(&mut block.0, *offset_bytes)?))?;
                    ensure!(count as u64 == BLOCK_BYTES, "short read of {count} bytes");
                }
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        let (mut read, mut loaded) = (Block::zeroed(), Block::zeroed());
        for lane in &self.lanes {
            lane.file.read_at(&mut read.0, lane.offset_bytes)?;
            lane.mapping.load(lane.offset_bytes, &mut loaded.0)?;
            if read.0 != loaded.0 {
                return Ok(Coherence::Incoherent("read and load differ"));
            }
            if read.stamp() != Some(lane.stamp) {
                return Ok(Coherence::Incoherent(
                    "a block is not what was written last",
                ));
            }
        }
        Ok(Coherence::Coherent)
    }
}
