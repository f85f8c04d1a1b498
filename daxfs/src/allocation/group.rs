//! What the 512 blocks of one group are: two bits for each.
//!
//! | State | `owned` | `fresh` | What it says |
//! |---|---|---|---|
//! | free | 0 | 0 | anybody may take it |
//! | held | 0 | 1 | taken, no file owns it: being filled, or given up before a checkpoint had it |
//! | published | 1 | 1 | a file owns it since the last checkpoint began |
//! | stored | 1 | 0 | a checkpoint, durable or under way, has it |
//!
//! ```text
//!   free --take--> held --publish--> published --take_published--> stored
//!    ^              | ^                  |                            |
//!    +---release----+ +----withdraw------+                            |
//!    +------------------------------release---------------------------+
//! ```
//! Plain data: touches no device and takes no locks (its owner's latch guards it).

use std::ops::Range;

use super::claims::Segment;

/// Blocks in one group: 2 MiB.
pub(crate) const GROUP_BLOCKS: u64 = 512;
const WORD_BLOCKS: usize = 64;
const WORDS: usize = GROUP_BLOCKS as usize / WORD_BLOCKS;

/// Positions within a group.
pub(super) type Positions = Range<usize>;

/// # Invariant
/// `free_blocks` is the number of positions whose bits are both clear.
pub(super) struct Group {
    owned: [u64; WORDS],
    fresh: [u64; WORDS],
    free_blocks: u16,
    /// The segment of a file that claims it: others take from it only when there is nothing else.
    claimant: Option<Segment>,
}

/// What a search for blocks wants to know of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing is free.
    Full,
    /// Something is free, and nobody claims it.
    Partial,
    /// All is free, and nobody claims it.
    Whole,
    /// Something is free, and somebody claims it.
    Claimed,
}

impl Group {
    /// All stored: outside the managed range.
    pub(super) fn full() -> Self {
        Self {
            owned: [u64::MAX; WORDS],
            fresh: [0; WORDS],
            free_blocks: 0,
            claimant: None,
        }
    }

    pub(super) fn class(&self) -> Class {
        match (u64::from(self.free_blocks), self.claimant.is_some()) {
            (0, _) => Class::Full,
            (_, true) => Class::Claimed,
            (GROUP_BLOCKS, false) => Class::Whole,
            (_, false) => Class::Partial,
        }
    }

    pub(super) fn claimant(&self) -> Option<Segment> {
        self.claimant
    }

    pub(super) fn set_claimant(&mut self, claimant: Option<Segment>) {
        self.claimant = claimant;
    }

    /// The free positions from `start` on, `max` at most: empty when `start` is not free.
    pub(super) fn free_from(&self, start: usize, max: usize) -> Positions {
        let end = GROUP_BLOCKS as usize;
        let end = end.min(start.saturating_add(max));
        start..find(start..end, |word| self.used(word)).unwrap_or(end)
    }

    /// The first free positions, `max` at most: empty when there are none.
    pub(super) fn first_free(&self, max: usize) -> Positions {
        match find(0..GROUP_BLOCKS as usize, |word| !self.used(word)) {
            Some(start) => self.free_from(start, max),
            None => 0..0,
        }
    }

    /// The first of `positions` that is not free.
    pub(super) fn first_used(&self, positions: Positions) -> Option<usize> {
        find(positions, |word| self.used(word))
    }

    /// Free positions become held.
    pub(super) fn take(&mut self, positions: Positions) {
        debug_assert_eq!(
            self.first_used(positions.clone()),
            None,
            "took a block that was in use"
        );
        self.free_blocks -= positions.len() as u16;
        for_each_word(positions, |word, mask| self.fresh[word] |= mask);
    }

    /// Free positions become stored: a mount finds them so.
    pub(super) fn store(&mut self, positions: Positions) {
        self.free_blocks -= positions.len() as u16;
        for_each_word(positions, |word, mask| self.owned[word] |= mask);
    }

    /// Positions in use, in whatever state, become free.
    pub(super) fn release(&mut self, positions: Positions) {
        debug_assert_eq!(
            find(positions.clone(), |word| !self.used(word)),
            None,
            "freed a block that was free"
        );
        self.free_blocks += positions.len() as u16;
        for_each_word(positions, |word, mask| {
            self.owned[word] &= !mask;
            self.fresh[word] &= !mask;
        });
    }

    /// Held positions become published.
    pub(super) fn publish(&mut self, positions: Positions) {
        for_each_word(positions, |word, mask| {
            debug_assert_eq!(
                (self.fresh[word] & mask, self.owned[word] & mask),
                (mask, 0),
                "published a block that nobody held"
            );
            self.owned[word] |= mask;
        });
    }

    /// Published positions become held again; those stored stay so, and are handed to `stored`. So
    /// are those that are free, which only a damaged image has in a file: the checkpoint finds out.
    pub(super) fn withdraw(&mut self, positions: Positions, mut stored: impl FnMut(Positions)) {
        for_each_word(positions.clone(), |word, mask| {
            self.owned[word] &= !(mask & self.fresh[word]);
        });
        runs(positions, |word| !self.fresh[word], &mut stored);
    }

    /// Held positions become free; others stay what they are, and are handed to `others`. Returns
    /// how many became free.
    pub(super) fn release_held(
        &mut self,
        positions: Positions,
        mut others: impl FnMut(Positions),
    ) -> u64 {
        let (mut at, end) = (positions.start, positions.end);
        let mut freed = 0;
        while at < end {
            let held_end = find(at..end, |word| !self.held(word)).unwrap_or(end);
            freed += (held_end - at) as u64;
            self.release(at..held_end);
            at = find(held_end..end, |word| self.held(word)).unwrap_or(end);
            if held_end < at {
                others(held_end..at);
            }
        }
        freed
    }

    /// Published positions become stored, and are handed to `taken`.
    pub(super) fn take_published(&mut self, mut taken: impl FnMut(Positions)) {
        let published = |word: usize| self.owned[word] & self.fresh[word];
        runs(0..GROUP_BLOCKS as usize, published, &mut taken);
        for (fresh, owned) in self.fresh.iter_mut().zip(&self.owned) {
            *fresh &= !owned;
        }
    }

    fn used(&self, word: usize) -> u64 {
        self.owned[word] | self.fresh[word]
    }

    fn held(&self, word: usize) -> u64 {
        self.fresh[word] & !self.owned[word]
    }
}

/// The first of `positions` whose bit is set in `bits`.
fn find(positions: Positions, bits: impl Fn(usize) -> u64) -> Option<usize> {
    let mut position = positions.start;
    while position < positions.end {
        let rest = bits(position / WORD_BLOCKS) >> (position % WORD_BLOCKS);
        if rest != 0 {
            let found = position + rest.trailing_zeros() as usize;
            return (found < positions.end).then_some(found);
        }
        position = (position / WORD_BLOCKS + 1) * WORD_BLOCKS;
    }
    None
}

/// The longest runs within `positions` whose bits are set in `bits`.
fn runs(positions: Positions, bits: impl Fn(usize) -> u64, visit: &mut impl FnMut(Positions)) {
    let end = positions.end;
    let mut at = positions.start;
    while let Some(start) = find(at..end, &bits) {
        at = find(start..end, |word| !bits(word)).unwrap_or(end);
        visit(start..at);
    }
}

fn for_each_word(positions: Positions, mut visit: impl FnMut(usize, u64)) {
    let mut at = positions.start;
    while at < positions.end {
        let first = at % WORD_BLOCKS;
        let len = (WORD_BLOCKS - first).min(positions.end - at);
        visit(at / WORD_BLOCKS, (u64::MAX >> (WORD_BLOCKS - len)) << first);
        at += len;
    }
}
