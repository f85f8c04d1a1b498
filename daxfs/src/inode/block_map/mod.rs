//! Which device block holds which block of a file: the truth that mapping entries and page tables
//! cache.
//!
//! The map is a radix tree of 2 MiB segments. A segment that is one contiguous run is one word;
//! any other has an array with a word for each block. Extents are the maximal runs that a look-up
//! or [`BlockMap::extents`] reads off; on the medium they are stored as extents.
//!
//! A block that other places may have too is marked as shared. Whoever wants to write it makes sure
//! first that he alone has it, or takes another in its place: see
//! [`copy_on_write`](crate::dax).
//!
//! | Module | What it is for |
//! |---|---|
//! | [`checksums`] | what blocks hold that nobody changes |
//! | [`segment`] | the words of 2 MiB |
//! | this file | the map |
//!
//! # Locking
//! Look-ups are lock-free: one or two acquire loads. Changes take the map's latch (a `std` mutex:
//! page faults take it), which is innermost; the caller has begun a transaction. What a look-up
//! found may be out of date a moment later: keeping that harmless is what the I/O lock and the
//! mapping lock are for.

pub(crate) mod checksums;
mod segment;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::allocation::GROUP_BLOCKS;
use crate::format::item::Sharing;
use crate::radix::Radix;
use crate::run::Run;
use crate::sync::{Mutex, MutexGuard, Ordering, PoisonError, Tally};
use checksums::Checksums;
use segment::Segment;

/// Blocks in one segment: 2 MiB, as in a group. Models have small ones: see [`crate::sync`].
pub(crate) const SEGMENT_BLOCKS: u64 = if cfg!(loom) { 4 } else { GROUP_BLOCKS };

/// The block map of one file.
#[derive(Default)]
pub(crate) struct BlockMap {
    segments: Radix<Segment>,
    /// The latch, and which 2 MiB of the file differ from the last checkpoint's.
    changed: Mutex<BTreeSet<u64>>,
    allocated_blocks: Tally,
    /// Those of blocks that stay; a block that goes takes its own with it.
    pub(crate) checksums: Checksums,
}

/// What a look-up found at a file block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No block; the hole goes on for at least `len_blocks`.
    Hole {
        /// How many blocks from the one asked for are known to be a hole.
        len_blocks: u64,
    },
    /// Contiguous device blocks from the one asked for, all shared or none.
    Mapped(MappedRun),
}

/// Blocks of a file that lie together on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappedRun {
    pub(crate) run: Run,
    /// Whether anything else may have them too.
    pub(crate) sharing: Sharing,
}

/// A maximal run of a file's blocks that lie together on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileExtent {
    pub(crate) file_block: u64,
    pub(crate) run: Run,
    pub(crate) sharing: Sharing,
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
        let (word, len_blocks) = segment.look(position, limit);
        match word.run(len_blocks) {
            Some(mapped) => Found::Mapped(mapped),
            None => Found::Hole { len_blocks },
        }
    }

    /// Maps `file_block..` to the blocks of `run`, which nothing else has, up to the first file
    /// block that is mapped already. Returns how many blocks it mapped: the rest of `run` is still
    /// the caller's.
    ///
    /// This is what makes two allocators of one hole agree on a winner, whatever design locks
    /// them (or does not).
    pub(crate) fn insert_into_hole(&self, file_block: u64, run: Run) -> u64 {
        self.load_into_hole(file_block, MappedRun::exclusive(run))
    }

    /// The same for blocks that may be shared.
    pub(crate) fn load_into_hole(&self, file_block: u64, mapped: MappedRun) -> u64 {
        self.insert(&mut self.latch(), file_block, mapped)
    }

    fn insert(&self, changed: &mut BTreeSet<u64>, file_block: u64, mapped: MappedRun) -> u64 {
        let mut inserted = 0;
        for (block, piece) in pieces(file_block, mapped) {
            let Some(segment) = self.segments.get_or_insert(block / SEGMENT_BLOCKS) else {
                break;
            };
            let here = segment.insert(block % SEGMENT_BLOCKS, piece);
            if here > 0 {
                changed.insert(block / GROUP_BLOCKS);
            }
            inserted += here;
            if here < piece.run.len_blocks {
                break;
            }
        }
        self.allocated_blocks.fetch_add(inserted, Ordering::Relaxed);
        inserted
    }

    /// Maps `file_block..` to the blocks of `mapped`, and returns what was there before. Whoever
    /// looks up meanwhile finds the one or the other for each block.
    pub(crate) fn replace(&self, file_block: u64, mapped: MappedRun) -> Vec<MappedRun> {
        let mut changed = self.latch();
        // First: whoever compares the new block does not find the old one's still there.
        self.checksums
            .forget(&(file_block..file_block + mapped.run.len_blocks));
        let mut replaced = Vec::new();
        for (block, piece) in pieces(file_block, mapped) {
            // A file has no more blocks than the tree has places: never `None`.
            if let Some(segment) = self.segments.get_or_insert(block / SEGMENT_BLOCKS) {
                segment.replace(block % SEGMENT_BLOCKS, piece, &mut replaced);
                changed.insert(block / GROUP_BLOCKS);
            }
        }
        let before = count(&replaced);
        self.allocated_blocks
            .fetch_add(mapped.run.len_blocks, Ordering::Relaxed);
        self.allocated_blocks.fetch_sub(before, Ordering::Relaxed);
        replaced
    }

    /// Marks the blocks of `file_blocks` that are there, and nothing else.
    pub(crate) fn mark(&self, file_blocks: Range<u64>, sharing: Sharing) {
        let mut changed = self.latch();
        self.for_each_segment(file_blocks, |first, segment, from, to| {
            if segment.mark(from, to, sharing) {
                changed.insert(first / GROUP_BLOCKS);
            }
        });
    }

    /// Unmaps `file_blocks` and returns the device blocks that they had, in order of file block.
    pub(crate) fn remove(&self, file_blocks: Range<u64>) -> Vec<MappedRun> {
        self.take(&mut self.latch(), file_blocks)
    }

    fn take(&self, changed: &mut BTreeSet<u64>, file_blocks: Range<u64>) -> Vec<MappedRun> {
        let mut removed = Vec::new();
        self.for_each_segment(file_blocks.clone(), |first, segment, from, to| {
            if segment.remove(from, to, &mut removed) {
                changed.insert(first / GROUP_BLOCKS);
            }
        });
        self.checksums.forget(&file_blocks);
        self.allocated_blocks
            .fetch_sub(count(&removed), Ordering::Relaxed);
        removed
    }

    /// Calls `visit` with the first block of each segment that there is, the segment, and which of
    /// its positions are asked for.
    fn for_each_segment(
        &self,
        file_blocks: Range<u64>,
        mut visit: impl FnMut(u64, &Segment, u64, u64),
    ) {
        if file_blocks.is_empty() {
            return;
        }
        let keys = file_blocks.start / SEGMENT_BLOCKS..=(file_blocks.end - 1) / SEGMENT_BLOCKS;
        self.segments.for_each(keys, &mut |key, segment| {
            let first = key * SEGMENT_BLOCKS;
            let from = file_blocks.start.saturating_sub(first);
            let to = (file_blocks.end - first).min(SEGMENT_BLOCKS);
            visit(first, segment, from, to);
        });
    }

    /// Takes `len_blocks` blocks from `file_block` on out, and moves all that comes after up to
    /// there. Returns the device blocks that were taken out. Look-ups meanwhile may find holes.
    pub(crate) fn collapse(&self, file_block: u64, len_blocks: u64) -> Vec<MappedRun> {
        let mut changed = self.latch();
        let end = file_block + len_blocks;
        let moved = Checksums::default();
        moved.bring(&self.checksums, &(end..u64::MAX), file_block);
        let removed = self.take(&mut changed, file_block..end);
        for extent in self.extents_from(end) {
            self.take(&mut changed, extent.file_blocks());
            self.insert(
                &mut changed,
                extent.file_block - len_blocks,
                extent.mapped(),
            );
        }
        self.checksums
            .bring(&moved, &(file_block..u64::MAX), file_block);
        removed
    }

    /// Moves all from `file_block` on by `len_blocks` towards the end, where the caller has made
    /// sure that there is room. Look-ups meanwhile may find holes.
    pub(crate) fn spread(&self, file_block: u64, len_blocks: u64) {
        let mut changed = self.latch();
        let moved = Checksums::default();
        moved.bring(
            &self.checksums,
            &(file_block..u64::MAX),
            file_block + len_blocks,
        );
        for extent in self.extents_from(file_block).into_iter().rev() {
            self.take(&mut changed, extent.file_blocks());
            self.insert(
                &mut changed,
                extent.file_block + len_blocks,
                extent.mapped(),
            );
        }
        self.checksums
            .bring(&moved, &(file_block..u64::MAX), file_block);
    }

    /// Blocks that `from` has at `from_blocks` are here now, too, from `to_block` on: so are their
    /// checksums. Inside the transaction that makes it so.
    pub(crate) fn bring_checksums(&self, from: &Self, from_blocks: &Range<u64>, to_block: u64) {
        self.checksums.bring(&from.checksums, from_blocks, to_block);
    }

    /// Extents from `file_block` on; the first begins there if it would begin before.
    fn extents_from(&self, file_block: u64) -> Vec<FileExtent> {
        let from = |extent: FileExtent| {
            let before = file_block.saturating_sub(extent.file_block);
            let (_, run) = extent.run.split_at(before);
            let file_block = extent.file_block + before;
            (run.len_blocks > 0).then_some(FileExtent {
                file_block,
                run,
                ..extent
            })
        };
        self.extents().into_iter().filter_map(from).collect()
    }

    /// The extents of `file_blocks`, cut off where these begin and end.
    pub(crate) fn extents_within(&self, file_blocks: Range<u64>) -> Vec<FileExtent> {
        let mut extents = Vec::new();
        let mut at = file_blocks.start;
        while at < file_blocks.end {
            let found = self.look_up(at, file_blocks.end - at);
            if let Found::Mapped(mapped) = found {
                extents.push(FileExtent {
                    file_block: at,
                    run: mapped.run,
                    sharing: mapped.sharing,
                });
            }
            at += found.len_blocks();
        }
        extents
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
            segment.for_each_run(|position, mapped| {
                let extent = FileExtent {
                    file_block: key * SEGMENT_BLOCKS + position,
                    run: mapped.run,
                    sharing: mapped.sharing,
                };
                match extents.last_mut() {
                    Some(last) if last.is_continued_by(&extent) => {
                        last.run.len_blocks += extent.run.len_blocks;
                    }
                    _ => extents.push(extent),
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
    pub(crate) fn file_blocks(&self) -> Range<u64> {
        self.file_block..self.file_block + self.run.len_blocks
    }

    /// Without its place.
    pub(crate) fn mapped(&self) -> MappedRun {
        MappedRun {
            run: self.run,
            sharing: self.sharing,
        }
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        self.file_blocks().end == next.file_block
            && self.run.end() == next.run.block
            && self.sharing == next.sharing
    }
}

impl MappedRun {
    /// Blocks that nothing else has.
    pub(crate) fn exclusive(run: Run) -> Self {
        Self {
            run,
            sharing: Sharing::Exclusive,
        }
    }

    /// The first `len_blocks` of it, and the rest.
    pub(crate) fn split_at(self, len_blocks: u64) -> (Self, Self) {
        let (first, rest) = self.run.split_at(len_blocks);
        (Self { run: first, ..self }, Self { run: rest, ..self })
    }
}

/// The pieces of a run within each segment, with the file's block of each.
fn pieces(file_block: u64, mapped: MappedRun) -> impl Iterator<Item = (u64, MappedRun)> {
    let mut rest = (file_block, mapped);
    std::iter::from_fn(move || {
        let (block, mapped) = rest;
        let len = mapped
            .run
            .len_blocks
            .min(SEGMENT_BLOCKS - block % SEGMENT_BLOCKS);
        let (piece, after) = mapped.split_at(len);
        rest = (block + len, after);
        (len > 0).then_some((block, piece))
    })
}

fn count(runs: &[MappedRun]) -> u64 {
    runs.iter().map(|mapped| mapped.run.len_blocks).sum()
}

impl Found {
    pub(crate) fn len_blocks(self) -> u64 {
        match self {
            Found::Hole { len_blocks } => len_blocks,
            Found::Mapped(mapped) => mapped.run.len_blocks,
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
            (Found::Mapped(one), Found::Mapped(two))
                if one.run.end() == two.run.block && one.sharing == two.sharing =>
            {
                let len_blocks = one.run.len_blocks + two.run.len_blocks;
                let run = Run::new(one.run.block, len_blocks);
                Some(Found::Mapped(MappedRun { run, ..one }))
            }
            _ => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
