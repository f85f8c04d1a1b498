//! DWAL, DWTL, DWSL: every thread appends to, cuts or syncs a file of its own.
//!
//! What is written is read back between the operations, which is not counted. Touches files through
//! the library; takes no locks of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use daxfs::File;

use super::stamp::{self, Block};
use super::{BLOCK_BYTES, Opening, private_file};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// How many blocks a file has when it is longest.
pub(super) const BLOCKS: u64 = 64;

/// What is done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A block is appended.
    Append,
    /// The last block is cut off.
    Truncate,
    /// A block is overwritten, and the file synced.
    Sync,
}

/// The open files of one slice.
pub(super) struct Private {
    change: Change,
    files: Vec<File>,
    wrong: AtomicBool,
}

impl Private {
    /// Opens a file for each of `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>, change: Change) -> Result<Self> {
        let files = (0..opening.threads).map(|thread| opening.open(&private_file(thread)));
        Ok(Self {
            change,
            files: files.collect::<Result<_>>()?,
            wrong: AtomicBool::new(false),
        })
    }

    fn append(&self, file: &File, recorder: &mut Recorder<'_>) -> Result<()> {
        let first = stamp::fresh_run(BLOCKS);
        let mut block = Block::zeroed();
        file.truncate(0)?;
        for index in 0..BLOCKS {
            block.fill(first + index);
            let at = recorder.timed(|| Ok(file.append(&block.0)?))?;
            self.expect(at == index * BLOCK_BYTES);
        }
        for index in 0..BLOCKS {
            file.read_at(&mut block.0, index * BLOCK_BYTES)?;
            self.expect(block.stamp() == Some(first + index));
        }
        Ok(())
    }

    fn truncate(&self, file: &File, recorder: &mut Recorder<'_>) -> Result<()> {
        stamp::fill_file(file, BLOCKS * BLOCK_BYTES)?;
        let mut block = Block::zeroed();
        for blocks in (0..BLOCKS).rev() {
            let len_bytes = blocks * BLOCK_BYTES;
            recorder.timed(|| Ok(file.truncate(len_bytes)?))?;
            self.expect(file.len_bytes() == len_bytes);
            if let Some(last) = len_bytes.checked_sub(BLOCK_BYTES) {
                file.read_at(&mut block.0, last)?;
                self.expect(block.stamp() == Some(stamp::of_block(last)));
            }
        }
        file.truncate(BLOCKS * BLOCK_BYTES)?;
        for index in 0..BLOCKS {
            file.read_at(&mut block.0, index * BLOCK_BYTES)?;
            self.expect(block.stamp() == Some(0));
        }
        Ok(())
    }

    fn sync(&self, file: &File, recorder: &mut Recorder<'_>) -> Result<()> {
        let stamp = stamp::fresh();
        let mut block = Block::stamped(stamp);
        recorder.timed(|| {
            file.write_all_at(&block.0, 0)?;
            Ok(file.sync()?)
        })?;
        file.read_at(&mut block.0, 0)?;
        self.expect(block.stamp() == Some(stamp));
        Ok(())
    }

    fn expect(&self, right: bool) {
        if !right {
            self.wrong.store(true, Ordering::Relaxed);
        }
    }
}

impl Workload for Private {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let file = &self.files[thread];
        while recorder.running() {
            match self.change {
                Change::Append => self.append(file, recorder)?,
                Change::Truncate => self.truncate(file, recorder)?,
                Change::Sync => self.sync(file, recorder)?,
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("a read did not return what was left in the file"),
        })
    }
}
