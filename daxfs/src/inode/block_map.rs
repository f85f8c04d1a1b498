//! Which device block holds which block of a file: the truth that mapping entries and page tables
//! cache.
//!
//! The map is a radix tree of 2 MiB segments. A segment that is one contiguous run is one word;
//! any other has an array with a word for each block. Extents are the maximal runs that a look-up
//! or [`BlockMap::extents`] reads off; on the medium they are stored as extents.
//!
//! # Locking
//! Look-ups are lock-free: one or two acquire loads. Changes take the map's latch (a `std` mutex:
//! page faults take it), which is innermost; the caller has begun a transaction. What a look-up
//! found may be out of date a moment later: keeping that harmless is what the I/O lock and the
//! mapping lock are for.

use std::collections::BTreeSet;

use crate::allocation::GROUP_BLOCKS;
use crate::radix::Radix;
use crate::run::Run;
use crate::sync::{AtomicU64, Mutex, MutexGuard, OnceLock, Ordering, PoisonError, Tally};

/// Blocks in one segment: 2 MiB, as in a group. Models have small ones: see [`crate::sync`].
pub(crate) const SEGMENT_BLOCKS: u64 = if cfg!(loom) { 4 } else { GROUP_BLOCKS };

/// The value of a word that maps nothing; block 0 holds a superblock, never data.
const HOLE: u64 = 0;

/// The block map of one file.
#[derive(Default)]
pub(crate) struct BlockMap {
    segments: Radix<Segment>,
    /// The latch, and which 2 MiB of the file differ from the last checkpoint's.
    changed: Mutex<BTreeSet<u64>>,
    allocated_blocks: Tally,
}

/// # Invariants
/// 1. Once `blocks` is set, `run` is no longer read; until then `run` maps the whole segment or
///    nothing.
/// 2. Both are written only with the latch held; a word is stored with release ordering after the
///    block that it names was initialised, so that whoever loads it with acquire ordering sees an
///    initialised block.
#[derive(Default)]
struct Segment {
    /// The device block of the segment's first block, when all 512 follow it.
    run: AtomicU64,
    blocks: OnceLock<Box<[AtomicU64; SEGMENT_BLOCKS as usize]>>,
}

/// What a look-up found at a file block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No block; the hole goes on for at least `len_blocks`.
    Hole {
        /// How many blocks from the one asked for are known to be a hole.
        len_blocks: u64,
    },
    /// Contiguous device blocks from the one asked for.
    Mapped(Run),
}

/// A maximal run of a file's blocks that lie together on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileExtent {
    pub(crate) file_block: u64,
    pub(crate) run: Run,
}

impl BlockMap {
    /// Data blocks that the file has.
    pub(crate) fn allocated_blocks(&self) -> u64 {
        self.allocated_blocks.load(Ordering::Relaxed)
    }

    /// What is at `file_block`, and how far it goes on: to `max_blocks` or the end of a 2 MiB
    /// segment at most, except that whole contiguous segments and empty segments are joined.
    pub(crate) fn look_up(&self, file_block: u64, max_blocks: u64) -> Found {
        let mut found = self.look_up_in_segment(file_block, max_blocks);
        loop {
            let len = found.len_blocks();
            let next = file_block + len;
            if len >= max_blocks || !next.is_multiple_of(SEGMENT_BLOCKS) {
                return found;
            }
            match found.join(self.look_up_in_segment(next, max_blocks - len)) {
                Some(longer) => found = longer,
                None => return found,
            }
        }
    }

    fn look_up_in_segment(&self, file_block: u64, max_blocks: u64) -> Found {
        let position = file_block % SEGMENT_BLOCKS;
        let limit = max_blocks.min(SEGMENT_BLOCKS - position);
        let Some(segment) = self.segments.get(file_block / SEGMENT_BLOCKS) else {
            return Found::Hole { len_blocks: limit };
        };
        let first = segment.block_at(position);
        let mut len_blocks = 1;
        if first == HOLE {
            while len_blocks < limit && segment.block_at(position + len_blocks) == HOLE {
                len_blocks += 1;
            }
            return Found::Hole { len_blocks };
        }
        if segment.blocks.get().is_none() {
            return Found::Mapped(Run::new(first, limit));
        }
        while len_blocks < limit && segment.block_at(position + len_blocks) == first + len_blocks {
            len_blocks += 1;
        }
        Found::Mapped(Run::new(first, len_blocks))
    }

    /// Maps `file_block..` to the blocks of `run`, up to the first file block that is mapped
    /// already. Returns how many blocks it mapped: the rest of `run` is still the caller's.
    ///
    /// This is what makes two allocators of one hole agree on a winner, whatever design locks
    /// them (or does not).
    pub(crate) fn insert_into_hole(&self, file_block: u64, run: Run) -> u64 {
        self.insert(&mut self.latch(), file_block, run)
    }

    fn insert(&self, changed: &mut BTreeSet<u64>, file_block: u64, run: Run) -> u64 {
        let mut inserted = 0;
        while inserted < run.len_blocks {
            let block = file_block + inserted;
            let (_, rest) = run.split_at(inserted);
            let len = rest.len_blocks.min(SEGMENT_BLOCKS - block % SEGMENT_BLOCKS);
            let Some(segment) = self.segments.get_or_insert(block / SEGMENT_BLOCKS) else {
                break;
            };
            let mapped = segment.insert(block % SEGMENT_BLOCKS, Run::new(rest.block, len));
            if mapped > 0 {
                changed.insert(block / GROUP_BLOCKS);
            }
            inserted += mapped;
            if mapped < len {
                break;
            }
        }
        self.allocated_blocks.fetch_add(inserted, Ordering::Relaxed);
        inserted
    }

    /// Unmaps `file_blocks` and returns the device blocks that they had, in order of file block.
    pub(crate) fn remove(&self, file_blocks: std::ops::Range<u64>) -> Vec<Run> {
        self.take(&mut self.latch(), file_blocks)
    }

    fn take(&self, changed: &mut BTreeSet<u64>, file_blocks: std::ops::Range<u64>) -> Vec<Run> {
        let mut removed = Vec::new();
        if file_blocks.is_empty() {
            return removed;
        }
        let keys = file_blocks.start / SEGMENT_BLOCKS..=(file_blocks.end - 1) / SEGMENT_BLOCKS;
        self.segments.for_each(keys, &mut |key, segment| {
            let first = key * SEGMENT_BLOCKS;
            let from = file_blocks.start.saturating_sub(first);
            let to = (file_blocks.end - first).min(SEGMENT_BLOCKS);
            if segment.remove(from, to, &mut removed) {
                changed.insert(first / GROUP_BLOCKS);
            }
        });
        let blocks: u64 = removed.iter().map(|run| run.len_blocks).sum();
        self.allocated_blocks.fetch_sub(blocks, Ordering::Relaxed);
        removed
    }

    /// Takes `len_blocks` blocks from `file_block` on out, and moves all that comes after up to
    /// there. Returns the device blocks that were taken out. Look-ups meanwhile may find holes.
    pub(crate) fn collapse(&self, file_block: u64, len_blocks: u64) -> Vec<Run> {
        let mut changed = self.latch();
        let end = file_block + len_blocks;
        let removed = self.take(&mut changed, file_block..end);
        for extent in self.extents_from(end) {
            self.take(&mut changed, extent.file_blocks());
            self.insert(&mut changed, extent.file_block - len_blocks, extent.run);
        }
        removed
    }

    /// Moves all from `file_block` on by `len_blocks` towards the end, where the caller has made
    /// sure that there is room. Look-ups meanwhile may find holes.
    pub(crate) fn spread(&self, file_block: u64, len_blocks: u64) {
        let mut changed = self.latch();
        for extent in self.extents_from(file_block).into_iter().rev() {
            self.take(&mut changed, extent.file_blocks());
            self.insert(&mut changed, extent.file_block + len_blocks, extent.run);
        }
    }

    /// Extents from `file_block` on; the first begins there if it would begin before.
    fn extents_from(&self, file_block: u64) -> Vec<FileExtent> {
        let from = |extent: FileExtent| {
            let before = file_block.saturating_sub(extent.file_block);
            let (_, run) = extent.run.split_at(before);
            let file_block = extent.file_block + before;
            (run.len_blocks > 0).then_some(FileExtent { file_block, run })
        };
        self.extents().into_iter().filter_map(from).collect()
    }

    /// All extents in order of file block, neighbours merged.
    ///
    /// The caller keeps changes away (a checkpoint does), or accepts a list that mixes two states.
    pub(crate) fn extents(&self) -> Vec<FileExtent> {
        self.extents_of(0..=u64::MAX)
    }

    fn extents_of(&self, keys: std::ops::RangeInclusive<u64>) -> Vec<FileExtent> {
        let mut extents: Vec<FileExtent> = Vec::new();
        self.segments.for_each(keys, &mut |key, segment| {
            segment.for_each_run(|position, run| {
                let file_block = key * SEGMENT_BLOCKS + position;
                match extents.last_mut() {
                    Some(last)
                        if last.file_block + last.run.len_blocks == file_block
                            && last.run.end() == run.block =>
                    {
                        last.run.len_blocks += run.len_blocks;
                    }
                    _ => extents.push(FileExtent { file_block, run }),
                }
            });
        });
        extents
    }

    /// The runs of one 2 MiB of the file, each with the block of the file at which it begins.
    pub(crate) fn segment_runs(&self, segment: u64) -> Vec<FileExtent> {
        let first = segment * GROUP_BLOCKS;
        let keys = first / SEGMENT_BLOCKS..=(first + GROUP_BLOCKS - 1) / SEGMENT_BLOCKS;
        self.extents_of(keys)
    }

    /// The 2 MiB that changed since the last call. The caller keeps transactions out.
    pub(crate) fn take_changed(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.latch())
    }

    /// Puts back what [`BlockMap::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&self, segments: BTreeSet<u64>) {
        self.latch().extend(segments);
    }

    /// Forgets what changed: the map is what the medium has.
    pub(crate) fn forget_changed(&self) {
        self.latch().clear();
    }

    fn latch(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileExtent {
    /// The blocks of the file that it covers.
    pub(crate) fn file_blocks(&self) -> std::ops::Range<u64> {
        self.file_block..self.file_block + self.run.len_blocks
    }
}

impl Found {
    fn len_blocks(self) -> u64 {
        match self {
            Found::Hole { len_blocks } => len_blocks,
            Found::Mapped(run) => run.len_blocks,
        }
    }

    /// This and what follows it as one, if they are of one piece.
    fn join(self, next: Found) -> Option<Found> {
        match (self, next) {
            (Found::Hole { len_blocks: one }, Found::Hole { len_blocks: two }) => {
                Some(Found::Hole {
                    len_blocks: one + two,
                })
            }
            (Found::Mapped(one), Found::Mapped(two)) if one.end() == two.block => Some(
                Found::Mapped(Run::new(one.block, one.len_blocks + two.len_blocks)),
            ),
            _ => None,
        }
    }
}

impl Segment {
    fn block_at(&self, position: u64) -> u64 {
        // Acquire: pairs with the release stores in `insert` (Invariant 2); without it a reader
        // could copy from a block before it sees what the block was initialised with.
        if let Some(blocks) = self.blocks.get() {
            return blocks[position as usize].load(Ordering::Acquire);
        }
        match self.run.load(Ordering::Acquire) {
            HOLE => HOLE,
            block => block + position,
        }
    }

    /// Returns how many blocks were holes and are mapped now.
    fn insert(&self, position: u64, run: Run) -> u64 {
        let unused = self.blocks.get().is_none() && self.run.load(Ordering::Relaxed) == HOLE;
        if unused && position == 0 && run.len_blocks == SEGMENT_BLOCKS {
            // Release: pairs with the acquire load in `block_at` (Invariant 2).
            self.run.store(run.block, Ordering::Release);
            return run.len_blocks;
        }
        let words = self.split();
        for offset in 0..run.len_blocks {
            let word = &words[(position + offset) as usize];
            if word.load(Ordering::Relaxed) != HOLE {
                return offset;
            }
            // Release: pairs with the acquire load in `block_at` (Invariant 2).
            word.store(run.block + offset, Ordering::Release);
        }
        run.len_blocks
    }

    /// Returns whether there was anything to remove.
    fn remove(&self, from: u64, to: u64, removed: &mut Vec<Run>) -> bool {
        let whole = from == 0 && to == SEGMENT_BLOCKS && self.blocks.get().is_none();
        if whole {
            let block = self.run.swap(HOLE, Ordering::Relaxed);
            if block != HOLE {
                push_joined(removed, Run::new(block, SEGMENT_BLOCKS));
            }
            return block != HOLE;
        }
        if self.blocks.get().is_none() && self.run.load(Ordering::Relaxed) == HOLE {
            return false;
        }
        let mut any = false;
        for word in &self.split()[from as usize..to as usize] {
            let block = word.swap(HOLE, Ordering::Relaxed);
            if block != HOLE {
                any = true;
                push_joined(removed, Run::new(block, 1));
            }
        }
        any
    }

    /// The words of the segment, made from its run if it was one (Invariant 1).
    fn split(&self) -> &[AtomicU64; SEGMENT_BLOCKS as usize] {
        self.blocks.get_or_init(|| {
            let run = self.run.load(Ordering::Relaxed);
            Box::new(std::array::from_fn(|position| {
                AtomicU64::new(match run {
                    HOLE => HOLE,
                    block => block + position as u64,
                })
            }))
        })
    }

    fn for_each_run(&self, mut visit: impl FnMut(u64, Run)) {
        let mut position = 0;
        while position < SEGMENT_BLOCKS {
            let block = self.block_at(position);
            let mut len = 1;
            if self.blocks.get().is_none() {
                len = SEGMENT_BLOCKS;
            } else if block != HOLE {
                while position + len < SEGMENT_BLOCKS
                    && self.block_at(position + len) == block + len
                {
                    len += 1;
                }
            }
            if block != HOLE {
                visit(position, Run::new(block, len));
            }
            position += len;
        }
    }
}

fn push_joined(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.end() == run.block => last.len_blocks += run.len_blocks,
        _ => runs.push(run),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn oracle_extents(oracle: &BTreeMap<u64, u64>) -> Vec<FileExtent> {
        let mut extents: Vec<FileExtent> = Vec::new();
        for (&file_block, &block) in oracle {
            match extents.last_mut() {
                Some(last)
                    if last.file_block + last.run.len_blocks == file_block
                        && last.run.end() == block =>
                {
                    last.run.len_blocks += 1;
                }
                _ => extents.push(FileExtent {
                    file_block,
                    run: Run::new(block, 1),
                }),
            }
        }
        extents
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordered_map(
            steps in proptest::collection::vec(
                (any::<bool>(), 0u64..1600, 1u64..1200, any::<bool>()), 1..60),
            probes in proptest::collection::vec((0u64..3000, 1u64..1500), 20),
        ) {
            let map = BlockMap::default();
            let mut oracle = BTreeMap::new();
            let mut next_block = 512;
            for (insert, file_block, len, align) in steps {
                let (file_block, len) = if align {
                    (file_block / 512 * 512, len.div_ceil(512) * 512)
                } else {
                    (file_block, len)
                };
                if insert {
                    let run = Run::new(next_block, len);
                    next_block += len;
                    let inserted = map.insert_into_hole(file_block, run);
                    let expected = (0..len)
                        .take_while(|n| !oracle.contains_key(&(file_block + n)))
                        .count() as u64;
                    prop_assert_eq!(inserted, expected);
                    oracle.extend((0..inserted).map(|n| (file_block + n, run.block + n)));
                } else {
                    let removed: Vec<u64> = map
                        .remove(file_block..file_block + len)
                        .iter()
                        .flat_map(|run| run.block..run.end())
                        .collect();
                    let expected: Vec<u64> = oracle
                        .range(file_block..file_block + len)
                        .map(|(_, block)| *block)
                        .collect();
                    oracle.retain(|block, _| !(file_block..file_block + len).contains(block));
                    prop_assert_eq!(removed, expected);
                }
                prop_assert_eq!(map.allocated_blocks(), oracle.len() as u64);
            }
            prop_assert_eq!(map.extents(), oracle_extents(&oracle));
            for (file_block, max) in probes {
                match map.look_up(file_block, max) {
                    Found::Hole { len_blocks } => {
                        prop_assert!(len_blocks >= 1 && len_blocks <= max);
                        let first = oracle.range(file_block..file_block + len_blocks).next();
                        prop_assert!(first.is_none());
                    }
                    Found::Mapped(run) => {
                        prop_assert!(run.len_blocks >= 1 && run.len_blocks <= max);
                        for n in 0..run.len_blocks {
                            prop_assert_eq!(oracle.get(&(file_block + n)), Some(&(run.block + n)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_of_two_racing_allocators_wins_each_block() {
        for _ in 0..200 {
            let map = BlockMap::default();
            let start = std::sync::Barrier::new(2);
            let inserted: u64 = std::thread::scope(|scope| {
                let racers = [10_000, 20_000].map(|base| {
                    let (map, start) = (&map, &start);
                    scope.spawn(move || {
                        start.wait();
                        (0..64)
                            .map(|n| map.insert_into_hole(n, Run::new(base + n, 1)))
                            .sum::<u64>()
                    })
                });
                racers.into_iter().map(|racer| racer.join().unwrap()).sum()
            });
            assert_eq!(inserted, 64);
            assert_eq!(map.allocated_blocks(), 64);
        }
    }
}
