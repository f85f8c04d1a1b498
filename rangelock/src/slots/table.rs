//! The slot table: all shards of one lock, and the tree's view of them.
//!
//! Takes no lock; what it does for the tree is called under the tree's mutex.

use super::granule::Granule;
use super::shard::{Attempt, Shard};
use super::word::Word;
use super::{SHARD_BITS, SLOTS};
use crate::mode::Mode;
use crate::probe::Probe;
use crate::span::Span;
use crate::tree::{Notice, Outside};

/// Places for narrow requests outside the tree.
#[derive(Debug)]
pub(crate) struct SlotTable {
    granule: Granule,
    probe: Probe,
    shards: [Shard; 1 << SHARD_BITS],
}

/// Names one slot of a table. One field as wide as a pointer, because it shares an enum with one:
/// to store two narrow ones and load them as one stalls the processor for longer than an atomic
/// operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(usize);

/// What became of a request that tried to go past the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FastPath {
    /// It holds its range.
    Held(SlotIndex),
    /// The tree must decide.
    Closed,
    /// The tree must first reconsider those who wait for this range and mode, then decide.
    ClosedAndNoticed,
}

/// A word that has left its slot, in the terms of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Nobody waits for it.
    Unnoticed,
    /// The tree must reconsider those who wait for this range and mode.
    Noticed(Span, Mode),
}

impl SlotTable {
    /// Allocates a table without holders. The probe says which mistake to make.
    pub(crate) fn new(granule: Granule, probe: Probe) -> Box<Self> {
        Box::new(Self {
            granule,
            probe,
            shards: std::array::from_fn(|_| Shard::new()),
        })
    }

    /// Takes a slot for a narrow request without the tree's mutex, if nothing speaks against it.
    #[inline]
    pub(crate) fn attempt(&self, span: Span, mode: Mode) -> FastPath {
        let Some((shard, word)) = self.granule.locate(span, mode) else {
            return FastPath::Closed;
        };
        match self.shards[shard].attempt(word, &self.probe) {
            Attempt::Held(slot) => FastPath::Held(SlotIndex::new(shard, slot)),
            Attempt::Refused => FastPath::Closed,
            Attempt::RefusedAndNoticed => FastPath::ClosedAndNoticed,
        }
    }

    /// Frees a slot that the caller holds.
    #[inline]
    pub(crate) fn release(&self, index: SlotIndex) -> Departure {
        let left = self.shard(index).release(index.slot());
        if left.is_contended() {
            return self.noticed(index, left);
        }
        Departure::Unnoticed
    }

    #[cold]
    fn noticed(&self, index: SlotIndex, left: Word) -> Departure {
        let span = self.granule.span_of(index.shard(), left);
        Departure::Noticed(span, left.mode())
    }

    /// The range held by way of a slot that the caller holds.
    pub(crate) fn span_of(&self, index: SlotIndex) -> Span {
        let word = self.shard(index).word(index.slot());
        self.granule.span_of(index.shard(), word)
    }

    /// How many slots are taken, as of now.
    pub(crate) fn taken(&self) -> usize {
        self.shards.iter().map(Shard::taken).sum()
    }

    /// The counts of all headers.
    #[cfg(test)]
    pub(crate) fn closings(&self) -> u64 {
        self.shards.iter().map(Shard::header).sum()
    }

    #[inline]
    fn shard(&self, index: SlotIndex) -> &Shard {
        &self.shards[index.shard()]
    }
}

impl SlotIndex {
    #[inline]
    fn new(shard: usize, slot: usize) -> Self {
        debug_assert!(shard < 1 << SHARD_BITS && slot < SLOTS);
        Self(shard << Self::SLOT_BITS | slot)
    }

    const SLOT_BITS: u32 = SLOTS.next_power_of_two().trailing_zeros();

    #[inline]
    fn shard(self) -> usize {
        self.0 >> Self::SLOT_BITS
    }

    #[inline]
    fn slot(self) -> usize {
        self.0 & ((1 << Self::SLOT_BITS) - 1)
    }
}

impl Outside for SlotTable {
    type Place = SlotIndex;

    #[inline]
    fn close(&self, span: Span) {
        for shard in self.granule.shards_of(span) {
            self.shards[shard].close();
        }
    }

    #[inline]
    fn reopen(&self, span: Span) {
        for shard in self.granule.shards_of(span) {
            self.shards[shard].reopen();
        }
    }

    #[inline]
    fn blocks(&self, span: Span, mode: Mode, notice: Notice) -> bool {
        self.granule.shards_of(span).any(|shard| {
            let conflicts = |word: Word| {
                mode.conflicts_with(word.mode()) && self.granule.span_of(shard, word).overlaps(span)
            };
            self.shards[shard].blocks(conflicts, notice, &self.probe)
        })
    }

    #[inline]
    fn settle(&self, span: Span, mode: Mode) -> Option<SlotIndex> {
        let (shard, word) = self.granule.locate(span, mode)?;
        let slot = self.shards[shard].occupy(word)?;
        Some(SlotIndex::new(shard, slot))
    }
}
