//! DWRM-k: reads and writes of random overlapping ranges of one shared file.
//!
//! How long a range is, is drawn so that each power of two from 64 B to 2 MiB comes up as often as
//! any other; ranges are whole multiples of 64 bytes. A read must see each overlapping write whole
//! or not at all. [`claim`] is how it finds out.
//!
//! Touches one file through the library; takes no locks of its own.

mod claim;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use daxfs::File;

use self::claim::Claim;
use super::buffer::Buffer;
use super::random::Random;
use super::{BLOCK_BYTES, Opening, SHARED_FILE};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// How long the file is, in bytes.
pub(super) const FILE_BYTES: u64 = 8 << 20;
/// The shortest and the longest range, in bytes, as powers of two.
const LEN_BITS: Range<u64> = 6..21;
/// Reads up to this length are all checked, of longer ones one in so many.
const ALWAYS_CHECKED_BYTES: u64 = 64 << 10;
const LONG_READS_PER_CHECK: u64 = 8;

/// The open file of one slice.
pub(super) struct Mixed {
    read_percent: u64,
    file: File,
    wrong: AtomicBool,
}

impl Mixed {
    /// Opens the file.
    pub(super) fn open(opening: &Opening<'_>, read_percent: u8) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        Ok(Self {
            read_percent: u64::from(read_percent),
            file,
            wrong: AtomicBool::new(false),
        })
    }

    fn read(
        &self,
        bytes: Range<u64>,
        buffer: &mut Buffer,
        random: &mut Random,
        recorder: &mut Recorder<'_>,
    ) -> Result<()> {
        let len_bytes = bytes.end - bytes.start;
        let target = &mut buffer.bytes_mut()[..len_bytes as usize];
        let count = recorder.timed(|| Ok(self.file.read_at(target, bytes.start)?))?;
        ensure!(count as u64 == len_bytes, "short read of {count} bytes");
        let checked = len_bytes <= ALWAYS_CHECKED_BYTES || random.below(LONG_READS_PER_CHECK) == 0;
        if checked && !claim::is_atomic(target, bytes.start) {
            self.wrong.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&self, claim: Claim, buffer: &mut Buffer, recorder: &mut Recorder<'_>) -> Result<()> {
        let bytes = claim.bytes();
        let source = &mut buffer.bytes_mut()[..(bytes.end - bytes.start) as usize];
        claim.fill(source);
        recorder.timed(|| Ok(self.file.write_all_at(source, bytes.start)?))
    }
}

/// Fills the file with one claim to all of it.
pub(super) fn fill_file(file: &File) -> Result<()> {
    let claim = Claim::new(0..FILE_BYTES, Claim::NOBODY, 0);
    let mut chunk = vec![0; 1 << 20];
    claim.fill(&mut chunk);
    for start in (0..FILE_BYTES).step_by(chunk.len()) {
        file.write_all_at(&chunk, start)?;
    }
    Ok(())
}

/// A range to read or write.
fn random_range(random: &mut Random) -> Range<u64> {
    let bits = LEN_BITS.start + random.below(LEN_BITS.end - LEN_BITS.start);
    let shortest = 1 << bits;
    let len_bytes = claim::whole_units(shortest + random.below(shortest + 1));
    let start = claim::whole_units(random.below(FILE_BYTES - len_bytes + 1));
    start..start + len_bytes
}

impl Workload for Mixed {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut buffer = Buffer::zeroed(1 << LEN_BITS.end);
        let mut random = Random::seeded(thread as u64);
        let mut writes = 0;
        while recorder.running() {
            let bytes = random_range(&mut random);
            if random.below(100) < self.read_percent {
                self.read(bytes, &mut buffer, &mut random, recorder)?;
            } else {
                writes += 1;
                self.write(Claim::new(bytes, thread, writes), &mut buffer, recorder)?;
            }
        }
        Ok(())
    }

    /// The whole file, when nobody writes any more, and what a mapping shows of it.
    fn verify(&self) -> Result<Coherence> {
        let mut whole = vec![0; FILE_BYTES as usize];
        let mut half = vec![0; FILE_BYTES as usize];
        self.file.read_at(&mut whole, 0)?;
        // A second read in other pieces sees the same, or one of them was wrong.
        for (index, piece) in half.chunks_mut(BLOCK_BYTES as usize).enumerate() {
            self.file.read_at(piece, index as u64 * BLOCK_BYTES)?;
        }
        if whole != half || !claim::is_atomic(&whole, 0) {
            return Ok(Coherence::Incoherent("the file holds a torn write"));
        }
        Ok(match self.wrong.load(Ordering::Relaxed) {
            false => Coherence::Coherent,
            true => Coherence::Incoherent("a read saw half of a write"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inside_the_file_and_of_every_length() {
        let mut random = Random::seeded(1);
        let mut lengths = [0_u32; 22];
        for _ in 0..20_000 {
            let range = random_range(&mut random);
            let len_bytes = range.end - range.start;
            assert!(range.end <= FILE_BYTES && range.start.is_multiple_of(64));
            assert!((64..=2 << 20).contains(&len_bytes));
            lengths[len_bytes.ilog2() as usize] += 1;
        }
        assert!(lengths[6..21].iter().all(|&count| count > 0), "{lengths:?}");
    }
}
