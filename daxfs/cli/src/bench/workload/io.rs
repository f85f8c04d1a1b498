//! DRBL, DRBM, DRBH, DWOL, DWOM, DWOH: every thread reads or writes one block, always the same one,
//! in a file of its own, in a region of its own of a shared file, or beside the others' blocks.
//!
//! The files are full before the slice, so that nothing is allocated. Every read is checked by its
//! first and last word, which costs about a nanosecond; a writer reads its block back once in
//! [`WRITES_PER_CHECK`] writes. Touches files through the library; takes no locks of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use daxfs::{File, HUGE_PAGE_BYTES, Mapping};

use super::buffer::Buffer;
use super::stamp;
use super::{BLOCK_BYTES, Opening, SHARED_FILE, private_file};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// What each thread has for itself, in bytes.
pub(super) const REGION_BYTES: u64 = 8 << 20;
/// One read in so many writes is too little to be seen in the numbers.
const WRITES_PER_CHECK: u64 = 1024;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Into the file.
    Write,
    /// Out of the file.
    Read,
}

/// Where the threads' blocks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file for each.
    OwnFile,
    /// In one file, regions of 8 MiB apart.
    OwnRegion,
    /// In one file, beside each other.
    Neighbours,
    /// All in the same place.
    OneBlock,
}

impl Place {
    fn offset_bytes(self, thread: usize, block_bytes: u64) -> u64 {
        let thread = thread as u64;
        match self {
            Self::OwnFile | Self::OneBlock => 0,
            Self::OwnRegion => thread * REGION_BYTES,
            Self::Neighbours => thread * block_bytes.max(BLOCK_BYTES),
        }
    }

    /// How long the shared file of `threads` threads is, in bytes.
    pub(super) fn shared_len_bytes(self, threads: usize) -> u64 {
        match self {
            Self::OwnRegion => threads as u64 * REGION_BYTES,
            Self::OwnFile | Self::OneBlock => REGION_BYTES,
            Self::Neighbours => (threads as u64 * HUGE_PAGE_BYTES).max(REGION_BYTES),
        }
    }
}

/// The open files of one slice.
pub(super) struct Io {
    direction: Direction,
    lanes: Vec<Lane>,
    wrong: AtomicBool,
}

/// What one thread works on.
struct Lane {
    file: File,
    offset_bytes: u64,
    len_bytes: u64,
    /// What is in the block after the slice; in a block that is read, what each 4 KiB begins with
    /// is counted up from it.
    stamp: u64,
    /// Shows the file as a mapping does, for the check.
    mapping: Mapping,
}

impl Io {
    /// Opens the files for `opening.threads` threads.
    pub(super) fn open(opening: &Opening<'_>, direction: Direction, place: Place) -> Result<Self> {
        let len_bytes = opening.block_bytes;
        let lane = |thread: usize| {
            let offset_bytes = place.offset_bytes(thread, len_bytes);
            let name = match place {
                Place::OwnFile => private_file(thread),
                _ => SHARED_FILE.to_owned(),
            };
            let file = opening.open(&name)?;
            let mapping = opening.map(&file, offset_bytes + len_bytes)?;
            let stamp = match direction {
                Direction::Write => stamp::fresh(),
                Direction::Read => stamp::of_block(offset_bytes),
            };
            Ok(Lane {
                file,
                offset_bytes,
                len_bytes,
                stamp,
                mapping,
            })
        };
        Ok(Self {
            direction,
            lanes: (0..opening.threads).map(lane).collect::<Result<_>>()?,
            wrong: AtomicBool::new(false),
        })
    }

    fn write(&self, lane: &Lane, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut block = Buffer::zeroed(lane.len_bytes as usize);
        let mut back = Buffer::zeroed(lane.len_bytes as usize);
        block.fill(lane.stamp);
        // A thread that is not given a core before the slice ends must have written too.
        lane.file.write_all_at(block.bytes(), lane.offset_bytes)?;
        let mut writes = 0_u64;
        while recorder.running() {
            let count =
                recorder.sampled(|| Ok(lane.file.write_at(block.bytes(), lane.offset_bytes)?))?;
            ensure!(
                count as u64 == lane.len_bytes,
                "short write of {count} bytes"
            );
            writes += 1;
            if writes.is_multiple_of(WRITES_PER_CHECK) {
                lane.file.read_at(back.bytes_mut(), lane.offset_bytes)?;
                self.expect(back.bytes() == block.bytes());
            }
        }
        Ok(())
    }

    fn read(&self, lane: &Lane, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut block = Buffer::zeroed(lane.len_bytes as usize);
        let expected = (lane.stamp, lane.stamp + (lane.len_bytes - 1) / BLOCK_BYTES);
        while recorder.running() {
            let count = recorder
                .sampled(|| Ok(lane.file.read_at(block.bytes_mut(), lane.offset_bytes)?))?;
            ensure!(
                count as u64 == lane.len_bytes,
                "short read of {count} bytes"
            );
            self.expect(block.ends() == expected);
        }
        Ok(())
    }

    #[inline]
    fn expect(&self, right: bool) {
        if !right {
            self.wrong.store(true, Ordering::Relaxed);
        }
    }

    /// What each 4 KiB of `lane`'s block must be full of.
    fn stamp_of_piece(&self, lane: &Lane, piece: usize) -> u64 {
        match self.direction {
            Direction::Write => lane.stamp,
            Direction::Read => lane.stamp + piece as u64,
        }
    }
}

impl Workload for Io {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let lane = &self.lanes[thread];
        match self.direction {
            Direction::Write => self.write(lane, recorder),
            Direction::Read => self.read(lane, recorder),
        }
    }

    fn verify(&self) -> Result<Coherence> {
        if self.wrong.load(Ordering::Relaxed) {
            return Ok(Coherence::Incoherent(
                "a block is not what was written last",
            ));
        }
        for lane in &self.lanes {
            let len = lane.len_bytes as usize;
            let (mut read, mut loaded) = (vec![0; len], vec![0; len]);
            lane.file.read_at(&mut read, lane.offset_bytes)?;
            lane.mapping.load(lane.offset_bytes, &mut loaded)?;
            if read != loaded {
                return Ok(Coherence::Incoherent("read and load differ"));
            }
            let mut pieces = read.chunks(BLOCK_BYTES as usize).enumerate();
            let whole = pieces.all(|(piece, bytes)| {
                let stamp = self.stamp_of_piece(lane, piece);
                bytes
                    .chunks_exact(8)
                    .all(|bytes| stamp::word(bytes) == stamp)
            });
            if !whole {
                return Ok(Coherence::Incoherent(
                    "a block is not what was written last",
                ));
            }
        }
        Ok(Coherence::Coherent)
    }
}
