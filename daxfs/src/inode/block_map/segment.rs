//! The words of one aligned 2 MiB of a file.
//!
//! A word is 0 for a hole; otherwise it holds the device block in its lower 63 bits, and in the
//! highest whether others may have that block too.
//!
//! # Invariants
//! 1. Once `blocks` is set, `run` is no longer read; until then `run` maps the whole segment or
//!    nothing.
//! 2. Both are written only with the map's latch held; a word is stored with release ordering after
//!    the block that it names was initialised, so that whoever loads it with acquire ordering sees
//!    an initialised block.
//! 3. A block takes another's place by one store: nobody finds a hole in between.
//!
//! Takes no locks: the map has the latch.

use super::{MappedRun, SEGMENT_BLOCKS};
use crate::format::item::Sharing;
use crate::run::Run;
use crate::sync::{AtomicU64, OnceLock, Ordering};

#[derive(Default)]
pub(super) struct Segment {
    /// The word of the segment's first block, when all 512 blocks lie together.
    run: AtomicU64,
    blocks: OnceLock<Box<[AtomicU64; SEGMENT_BLOCKS as usize]>>,
}

/// What a file has at one block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

/// Others may have the block too.
const SHARED: u64 = 1 << 63;

impl Word {
    /// No block: block 0 of a device holds a superblock, never data.
    pub(super) const HOLE: Self = Self(0);

    fn new(block: u64, sharing: Sharing) -> Self {
        match sharing {
            Sharing::Exclusive => Self(block),
            Sharing::Shared => Self(block | SHARED),
        }
    }

    /// The run that begins with it, if it is no hole.
    pub(super) fn run(self, len_blocks: u64) -> Option<MappedRun> {
        let sharing = match self.0 & SHARED {
            0 => Sharing::Exclusive,
            _ => Sharing::Shared,
        };
        let run = Run::new(self.0 & !SHARED, len_blocks);
        (self != Self::HOLE).then_some(MappedRun { run, sharing })
    }

    /// What a file has `blocks` later if all lies together.
    pub(super) fn plus(self, blocks: u64) -> Self {
        match self {
            Self::HOLE => Self::HOLE,
            Self(word) => Self(word + blocks),
        }
    }

    fn with(self, sharing: Sharing) -> Self {
        match self {
            Self::HOLE => Self::HOLE,
            Self(word) => Self::new(word & !SHARED, sharing),
        }
    }
}

impl Segment {
    /// Whether all of it is one run, or nothing: then one look says everything.
    fn is_whole(&self) -> bool {
        self.blocks.get().is_none()
    }

    fn word_at(&self, position: u64) -> Word {
        // Acquire: pairs with the release stores in `insert` and `replace` (Invariant 2); without
        // it a reader could copy from a block before it sees what the block was initialised with.
        if let Some(blocks) = self.blocks.get() {
            return Word(blocks[position as usize].load(Ordering::Acquire));
        }
        Word(self.run.load(Ordering::Acquire)).plus(position)
    }

    /// Returns how many blocks were holes and are mapped now.
    pub(super) fn insert(&self, position: u64, mapped: MappedRun) -> u64 {
        let run = mapped.run;
        let first = Word::new(run.block, mapped.sharing);
        let unused = self.is_whole() && self.run.load(Ordering::Relaxed) == Word::HOLE.0;
        if unused && position == 0 && run.len_blocks == SEGMENT_BLOCKS {
            // Release: pairs with the acquire load in `word_at` (Invariant 2).
            self.run.store(first.0, Ordering::Release);
            return run.len_blocks;
        }
        let words = self.split();
        for offset in 0..run.len_blocks {
            let word = &words[(position + offset) as usize];
            if word.load(Ordering::Relaxed) != Word::HOLE.0 {
                return offset;
            }
            // Release: pairs with the acquire load in `word_at` (Invariant 2).
            word.store(first.plus(offset).0, Ordering::Release);
        }
        run.len_blocks
    }

    /// Puts blocks in the place of what was there (Invariant 3), and adds that to `replaced`.
    pub(super) fn replace(&self, position: u64, mapped: MappedRun, replaced: &mut Vec<MappedRun>) {
        let first = Word::new(mapped.run.block, mapped.sharing);
        if self.is_whole() && mapped.run.len_blocks == SEGMENT_BLOCKS {
            // Release: as in `insert`.
            let before = Word(self.run.swap(first.0, Ordering::Release));
            replaced.extend(before.run(SEGMENT_BLOCKS));
            return;
        }
        let words = self.split();
        for offset in 0..mapped.run.len_blocks {
            let word = &words[(position + offset) as usize];
            // Release: as in `insert`.
            let before = Word(word.swap(first.plus(offset).0, Ordering::Release));
            push_joined(replaced, before);
        }
    }

    /// Returns whether there was anything to remove.
    pub(super) fn remove(&self, from: u64, to: u64, removed: &mut Vec<MappedRun>) -> bool {
        let count_before = removed.len();
        if from == 0 && to == SEGMENT_BLOCKS && self.is_whole() {
            let before = Word(self.run.swap(Word::HOLE.0, Ordering::Relaxed));
            removed.extend(before.run(SEGMENT_BLOCKS));
            return removed.len() > count_before;
        }
        if self.is_whole() && self.run.load(Ordering::Relaxed) == Word::HOLE.0 {
            return false;
        }
        let mut any = false;
        for word in &self.split()[from as usize..to as usize] {
            let before = Word(word.swap(Word::HOLE.0, Ordering::Relaxed));
            any |= before != Word::HOLE;
            push_joined(removed, before);
        }
        any
    }

    /// Marks the blocks that are there. Returns whether any mark differs now.
    pub(super) fn mark(&self, from: u64, to: u64, sharing: Sharing) -> bool {
        let run = Word(self.run.load(Ordering::Relaxed));
        if self.is_whole() && run.with(sharing) == run {
            return false;
        }
        if from == 0 && to == SEGMENT_BLOCKS && self.is_whole() {
            // Release: keeps what the look-up of the block pairs with (Invariant 2).
            self.run.store(run.with(sharing).0, Ordering::Release);
            return true;
        }
        let mut any = false;
        for word in &self.split()[from as usize..to as usize] {
            let before = Word(word.load(Ordering::Relaxed));
            if before.with(sharing) != before {
                any = true;
                // Release: as above.
                word.store(before.with(sharing).0, Ordering::Release);
            }
        }
        any
    }

    /// The words of the segment, made from its run if it was one (Invariant 1).
    fn split(&self) -> &[AtomicU64; SEGMENT_BLOCKS as usize] {
        self.blocks.get_or_init(|| {
            let run = Word(self.run.load(Ordering::Relaxed));
            Box::new(std::array::from_fn(|position| {
                AtomicU64::new(run.plus(position as u64).0)
            }))
        })
    }

    /// Calls `visit` with each run, and the position at which it begins.
    pub(super) fn for_each_run(&self, mut visit: impl FnMut(u64, MappedRun)) {
        let mut position = 0;
        while position < SEGMENT_BLOCKS {
            let (word, len) = self.look(position, SEGMENT_BLOCKS - position);
            if let Some(run) = word.run(len) {
                visit(position, run);
            }
            position += len;
        }
    }

    /// What there is at `position`, and how far it goes on, up to `limit` blocks. Others may change
    /// the segment meanwhile: the word is read once, and is what all that follows is compared with.
    pub(super) fn look(&self, position: u64, limit: u64) -> (Word, u64) {
        let first = self.word_at(position);
        // A segment that is whole now was so when the word was read.
        if self.is_whole() {
            return (first, limit);
        }
        let goes_on = |len: &u64| self.word_at(position + len) == first.plus(*len);
        let more = (1..limit).take_while(goes_on).count() as u64;
        (first, 1 + more)
    }
}

/// Adds one block to runs, if it is one.
fn push_joined(runs: &mut Vec<MappedRun>, word: Word) {
    let Some(one) = word.run(1) else {
        return;
    };
    match runs.last_mut() {
        Some(last) if last.run.end() == one.run.block && last.sharing == one.sharing => {
            last.run.len_blocks += 1;
        }
        _ => runs.push(one),
    }
}
