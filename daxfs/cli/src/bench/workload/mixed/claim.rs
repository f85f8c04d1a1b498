//! Bytes that say which range their write covered, and the check that a read saw every write whole
//! or not at all.
//!
//! Every word of a write holds the same number: where its range starts, how long it is, who wrote
//! it, and the how-manieth write of that thread it is. So a reader knows, of every write of which
//! it sees one word, all the places where that write was.
//!
//! ```text
//!  63       47        29     22                     0
//! +----------+---------+------+----------------------+
//! | start/64 | len/64  |thread| number of the write  |
//! +----------+---------+------+----------------------+
//! ```
//! Where the ranges of writes A and B overlap and the read shows A there, A came after B. If
//! another place of the overlap shows B, B came after A: one of them was seen by halves. A word
//! outside the range that it claims is wrong by itself.
//!
//! Pure functions: touches nothing, takes no locks.

use std::ops::Range;

use crate::bench::workload::stamp;

/// What starts and lengths are multiples of, in bytes.
const UNIT_BYTES: u64 = 64;
const LEN_BITS: u32 = 18;
const THREAD_BITS: u32 = 7;
const COUNT_BITS: u32 = 22;

/// The largest multiple of the unit up to `bytes`.
pub(super) fn whole_units(bytes: u64) -> u64 {
    bytes / UNIT_BYTES * UNIT_BYTES
}

/// What a write says of itself in each of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim(u64);

impl Claim {
    /// No thread: what is in the file at first.
    pub(super) const NOBODY: usize = (1 << THREAD_BITS) - 1;

    /// The claim of a thread's `count`th write, of `bytes`.
    pub(super) fn new(bytes: Range<u64>, thread: usize, count: u64) -> Self {
        let start = bytes.start / UNIT_BYTES;
        let len = (bytes.end - bytes.start) / UNIT_BYTES;
        // More threads than there are numbers share them: a check then sees less, never too much.
        let thread = thread as u64 & (Self::NOBODY as u64);
        let count = count & ((1 << COUNT_BITS) - 1);
        Self(((start << LEN_BITS | len) << THREAD_BITS | thread) << COUNT_BITS | count)
    }

    /// The range of the write.
    pub(super) fn bytes(self) -> Range<u64> {
        let len = self.0 >> (COUNT_BITS + THREAD_BITS) & ((1 << LEN_BITS) - 1);
        let start = self.0 >> (COUNT_BITS + THREAD_BITS + LEN_BITS);
        start * UNIT_BYTES..(start + len) * UNIT_BYTES
    }

    /// Writes the claim into every word of `bytes`.
    pub(super) fn fill(self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

/// A stretch of a read that shows one write.
struct Stretch {
    /// Index of the write among those seen.
    write: usize,
    bytes: Range<u64>,
}

/// Whether `bytes`, read at `offset_bytes`, show every write whole or not at all, as far as they
/// reach.
pub(super) fn is_atomic(bytes: &[u8], offset_bytes: u64) -> bool {
    let Some((writes, stretches)) = stretches(bytes, offset_bytes) else {
        return false;
    };
    // `after[a][b]`: write a is known to have come after write b.
    let mut after = vec![vec![false; writes.len()]; writes.len()];
    for stretch in &stretches {
        for (other, claim) in writes.iter().enumerate() {
            let claimed = claim.bytes();
            let overlap = claimed.start < stretch.bytes.end && stretch.bytes.start < claimed.end;
            if other != stretch.write && overlap {
                if after[other][stretch.write] {
                    return false;
                }
                after[stretch.write][other] = true;
            }
        }
    }
    true
}

/// The writes seen in `bytes` and where; `None` if a word is where its write never was, or a unit
/// holds more than one.
fn stretches(bytes: &[u8], offset_bytes: u64) -> Option<(Vec<Claim>, Vec<Stretch>)> {
    let mut writes: Vec<Claim> = Vec::new();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (unit, words) in bytes.chunks(UNIT_BYTES as usize).enumerate() {
        let first = stamp::word(&words[..8]);
        if !words.chunks_exact(8).all(|word| stamp::word(word) == first) {
            return None;
        }
        let claim = Claim(first);
        let start = offset_bytes + unit as u64 * UNIT_BYTES;
        if !claim.bytes().contains(&start) {
            return None;
        }
        if let Some(last) = stretches.last_mut()
            && writes[last.write] == claim
        {
            last.bytes.end = start + UNIT_BYTES;
            continue;
        }
        let known = writes.iter().position(|&write| write == claim);
        let write = known.unwrap_or_else(|| {
            writes.push(claim);
            writes.len() - 1
        });
        stretches.push(Stretch {
            write,
            bytes: start..start + UNIT_BYTES,
        });
    }
    Some((writes, stretches))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file holds after the writes, each whole.
    fn file_after(writes: &[(Range<u64>, usize)]) -> Vec<u8> {
        let mut file = vec![0; 4096];
        Claim::new(0..4096, Claim::NOBODY, 0).fill(&mut file);
        for (count, (range, thread)) in writes.iter().enumerate() {
            let claim = Claim::new(range.clone(), *thread, count as u64);
            claim.fill(&mut file[range.start as usize..range.end as usize]);
        }
        file
    }

    #[test]
    fn a_claim_gives_its_range_back() {
        for range in [0..64, 64..8 << 20, (8 << 20) - 64..8 << 20, 0..8 << 20] {
            let claim = Claim::new(range.clone(), 126, u64::MAX);
            assert_eq!(claim.bytes(), range);
            assert_ne!(claim, Claim::new(range, 125, u64::MAX));
        }
    }

    #[test]
    fn writes_one_after_the_other_are_atomic_to_every_read() {
        let file = file_after(&[(0..2048, 1), (1024..4096, 2), (512..1536, 3)]);
        for read in [0..4096, 0..64, 448..1600, 1024..2048] {
            let bytes = &file[read.clone()];
            assert!(is_atomic(bytes, read.start as u64), "{read:?}");
        }
    }

    #[test]
    fn half_of_a_write_is_found_out() {
        let before = file_after(&[(0..2048, 1)]);
        let after = file_after(&[(0..2048, 1), (1024..4096, 2)]);
        // A read that copied its first part before the second write, and its last part after it.
        for cut in [1088, 1536, 1984] {
            let torn = [&before[..cut], &after[cut..]].concat();
            assert!(!is_atomic(&torn, 0), "cut at {cut}");
        }
        // Where only one of the writes was, there is nothing to be torn.
        let whole = [&before[..1024], &after[1024..]].concat();
        assert!(is_atomic(&whole, 0));
    }

    #[test]
    fn a_write_that_left_a_part_of_the_old_bytes_is_found_out() {
        let mut file = file_after(&[(0..2048, 1), (0..2048, 2)]);
        Claim::new(0..2048, 1, 0).fill(&mut file[512..576]);
        assert!(!is_atomic(&file, 0));
    }

    #[test]
    fn bytes_of_another_place_are_wrong_by_themselves() {
        let mut file = file_after(&[(0..64, 1)]);
        file.copy_within(0..64, 2048);
        assert!(!is_atomic(&file, 0));
        let mut file = file_after(&[]);
        file[100] ^= 1;
        assert!(!is_atomic(&file, 0), "a flipped bit");
    }
}
