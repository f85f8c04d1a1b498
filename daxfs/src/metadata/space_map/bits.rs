//! One bit for each block, in the leaves that are stored. Plain data: no device, no locks.

use std::collections::BTreeSet;

use crate::format::image_geometry::BLOCKS_PER_SPACE_LEAF;
use crate::format::space_block::{SpaceWords, WORDS_PER_SPACE_LEAF};
use crate::run::Run;

const WORD_BLOCKS: u64 = 64;

/// Bits of all blocks of an image. A leaf without a bit takes no memory.
pub(super) struct Bits {
    leaves: Vec<Option<Box<SpaceWords>>>,
    used_blocks: u64,
}

impl Bits {
    pub(super) fn new(leaves: u64) -> Self {
        Self {
            leaves: (0..leaves).map(|_| None).collect(),
            used_blocks: 0,
        }
    }

    pub(super) fn used_blocks(&self) -> u64 {
        self.used_blocks
    }

    /// The words of a leaf, if it has any bit.
    pub(super) fn leaf(&self, leaf: u64) -> Option<&SpaceWords> {
        self.leaves[leaf as usize].as_deref()
    }

    /// Puts in the words of a leaf that had none.
    pub(super) fn load_leaf(&mut self, leaf: u64, words: Box<SpaceWords>) {
        self.used_blocks += words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum::<u64>();
        self.leaves[leaf as usize] = Some(words);
    }

    #[cfg(test)]
    pub(super) fn is_set(&self, block: u64) -> bool {
        let word = self.word(block / WORD_BLOCKS);
        word >> (block % WORD_BLOCKS) & 1 == 1
    }

    /// How many bits of `run` are set.
    pub(super) fn used_blocks_in(&self, run: Run) -> u64 {
        let words = words_of(run).map(|(word, mask)| self.word(word) & mask);
        words.map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Sets the bits of `run`, and adds the leaves that this changes to `changed`.
    pub(super) fn set(&mut self, run: Run, changed: &mut BTreeSet<u64>) {
        self.update(run, changed, |word, mask| word | mask);
    }

    /// Clears the bits of `run`, and adds the leaves that this changes to `changed`.
    pub(super) fn clear(&mut self, run: Run, changed: &mut BTreeSet<u64>) {
        self.update(run, changed, |word, mask| word & !mask);
    }

    /// The runs of set bits, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.next_set(next)?;
            next = self.next_clear(start);
            Some(Run::new(start, next - start))
        })
    }

    fn update(&mut self, run: Run, changed: &mut BTreeSet<u64>, change: impl Fn(u64, u64) -> u64) {
        for (word, mask) in words_of(run) {
            let old = self.word(word);
            let new = change(old, mask);
            if new != old {
                let leaf = word * WORD_BLOCKS / BLOCKS_PER_SPACE_LEAF;
                let words = self.leaves[leaf as usize]
                    .get_or_insert_with(|| Box::new([0; WORDS_PER_SPACE_LEAF]));
                words[word as usize % WORDS_PER_SPACE_LEAF] = new;
                self.used_blocks += u64::from(new.count_ones());
                self.used_blocks -= u64::from(old.count_ones());
                changed.insert(leaf);
            }
        }
    }

    fn limit(&self) -> u64 {
        self.leaves.len() as u64 * BLOCKS_PER_SPACE_LEAF
    }

    /// The first block from `from` on whose bit is set.
    fn next_set(&self, from: u64) -> Option<u64> {
        let mut block = from;
        while block < self.limit() {
            let leaf = block / BLOCKS_PER_SPACE_LEAF;
            if self.leaf(leaf).is_none() {
                block = (leaf + 1) * BLOCKS_PER_SPACE_LEAF;
                continue;
            }
            let rest = self.word(block / WORD_BLOCKS) >> (block % WORD_BLOCKS);
            if rest != 0 {
                return Some(block + u64::from(rest.trailing_zeros()));
            }
            block = (block / WORD_BLOCKS + 1) * WORD_BLOCKS;
        }
        None
    }

    /// The first block from `from` on whose bit is clear, or the limit.
    fn next_clear(&self, from: u64) -> u64 {
        let mut block = from;
        while block < self.limit() {
            let rest = !self.word(block / WORD_BLOCKS) >> (block % WORD_BLOCKS);
            if rest != 0 {
                return block + u64::from(rest.trailing_zeros());
            }
            block = (block / WORD_BLOCKS + 1) * WORD_BLOCKS;
        }
        self.limit()
    }

    /// The word `word` of the whole map.
    fn word(&self, word: u64) -> u64 {
        let words = WORDS_PER_SPACE_LEAF as u64;
        let leaf = self.leaves[(word / words) as usize].as_deref();
        leaf.map_or(0, |leaf| leaf[(word % words) as usize])
    }
}

/// The words of the whole map that a run has bits in, each with those.
fn words_of(run: Run) -> impl Iterator<Item = (u64, u64)> {
    let mut block = run.block;
    std::iter::from_fn(move || {
        if block >= run.end() {
            return None;
        }
        let first_bit = block % WORD_BLOCKS;
        let bits = (WORD_BLOCKS - first_bit).min(run.end() - block);
        let mask = (u64::MAX >> (WORD_BLOCKS - bits)) << first_bit;
        let word = block / WORD_BLOCKS;
        block += bits;
        Some((word, mask))
    })
}
