//! A bit for each block of an image, set by many threads at once.
//!
//! All operations are Relaxed: each bit is a fact by itself, and bits are counted and compared only
//! after the threads that set them were joined.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

const BITS: u64 = u64::BITS as u64;

/// A bit for each block.
#[derive(Debug)]
pub(super) struct Bits(Vec<AtomicU64>);

impl Bits {
    /// No bit of `block_count` is set.
    pub(super) fn new(block_count: u64) -> Self {
        let words = block_count.div_ceil(BITS) as usize;
        let zeroes = std::iter::repeat_with(AtomicU64::default);
        Self(zeroes.take(words).collect())
    }

    /// Sets the bits of `range` and hands those that were set before to `taken`, a word at a time.
    pub(super) fn set(&self, range: Range<u64>, mut taken: impl FnMut(usize, u64)) {
        for (word, mask) in masks(range) {
            let Some(bits) = self.0.get(word) else { return };
            let before = bits.fetch_or(mask, Ordering::Relaxed) & mask;
            if before != 0 {
                taken(word, before);
            }
        }
    }

    /// Clears the bits of `range`.
    pub(super) fn clear(&self, range: Range<u64>) {
        for (word, mask) in masks(range) {
            if let Some(bits) = self.0.get(word) {
                bits.fetch_and(!mask, Ordering::Relaxed);
            }
        }
    }

    /// Sets bits of one word.
    pub(super) fn set_word(&self, word: usize, mask: u64) {
        if let Some(bits) = self.0.get(word) {
            bits.fetch_or(mask, Ordering::Relaxed);
        }
    }

    /// The word of this number; 0 past the end.
    pub(super) fn word(&self, word: usize) -> u64 {
        let word = self.0.get(word);
        word.map_or(0, |bits| bits.load(Ordering::Relaxed))
    }

    /// How many words there are.
    pub(super) fn words(&self) -> usize {
        self.0.len()
    }

    /// Whether the bit of `block` is set.
    pub(super) fn contains(&self, block: u64) -> bool {
        self.word((block / BITS) as usize) >> (block % BITS) & 1 == 1
    }

    /// Whether no bit is set.
    pub(super) fn is_empty(&self) -> bool {
        (0..self.words()).all(|word| self.word(word) == 0)
    }

    /// How many bits are set.
    pub(super) fn count(&self) -> u64 {
        let counts = (0..self.words()).map(|word| self.word(word).count_ones());
        counts.map(u64::from).sum()
    }

    /// The longest runs of set bits within `range`, in order.
    pub(super) fn runs(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (word, mask) in masks(range) {
            let mut bits = self.word(word) & mask;
            let base = word as u64 * BITS;
            while bits != 0 {
                let start = u64::from(bits.trailing_zeros());
                let len = u64::from((!(bits >> start)).trailing_zeros());
                let end = (start + len).min(BITS);
                match runs.last_mut() {
                    Some(last) if last.end == base + start => last.end = base + end,
                    _ => runs.push(base + start..base + end),
                }
                bits = if end == BITS { 0 } else { bits >> end << end };
            }
        }
        runs
    }
}

/// The words that `range` touches, each with its bits.
fn masks(range: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    let words = match range.is_empty() {
        true => 0..0,
        false => range.start / BITS..range.end.div_ceil(BITS),
    };
    words.map(move |word| {
        let base = word * BITS;
        let first = range.start.max(base) - base;
        // At least 1: the range reaches into this word, and at most 64.
        let len = range.end.min(base + BITS) - base - first;
        (word as usize, (u64::MAX >> (BITS - len)) << first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_across_words() {
        let bits = Bits::new(256);
        let mut taken = Vec::new();
        for range in [3..5, 60..70, 64..66, 127..256, 10..10] {
            bits.set(range, |word, mask| taken.push((word, mask)));
        }
        assert_eq!(taken, [(1, 0b11)]);
        assert_eq!(bits.runs(0..256), [3..5, 60..70, 127..256]);
        assert_eq!(bits.runs(4..65), [4..5, 60..65]);
        assert_eq!(bits.count(), 2 + 10 + 129);
        assert!(bits.contains(127) && !bits.contains(126) && !bits.contains(1 << 40));
        bits.clear(62..200);
        assert_eq!(bits.runs(0..256), [3..5, 60..62, 200..256]);
    }
}
