//! Which blocks of the device are in use, and which one comes next.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`bitmap`] | one bit a block, grouped by 2 MiB, with free counts |
//! | [`owners`] | how many places each shared block has |
//! | this file | policy: where a file's next block goes, the reserve, deferred frees |
//!
//! # Policy
//! A file that is large or mapped (`Placement::Aligned`) gets blocks that are congruent with its
//! offsets: each of its 2 MiB segments *claims* a wholly free group, and the segment's page `n`
//! goes to the group's block `n`, so that a segment filled in any order ends as one aligned 2 MiB
//! run that one huge mapping can cover (WineFS's idea). Small files (`Placement::Packed`) fill
//! groups that are in use already. When space runs short, claims are ignored.
//!
//! # The reserve
//! A checkpoint writes changed metadata to free blocks before it lets go of the old ones. So that
//! a full device can still be unmounted, data may not take the last blocks: as many as writing all
//! metadata anew would take ([`Allocator::set_reserve`], [`Allocator::grow_reserve`]).
//!
//! # Deferred frees
//! A block that the last checkpoint, or the log, still refers to is not reused before the next
//! checkpoint is durable: it waits in `pending`. A block that was never published is given back at
//! once.
//!
//! # What the medium is told
//! The medium's space map has the blocks that files own, not those that somebody is still filling.
//! So whoever puts blocks into a block map or takes them out says so in the same transaction
//! ([`Allocator::note_published`], [`Allocator::note_withdrawn`]), and a checkpoint takes the list
//! ([`Allocator::take_changes`]). Withdrawn blocks become `pending` a little later, once no mapping
//! can reach them.
//!
//! # Locking
//! One mutex (rank: allocator latch, innermost; nothing is taken inside it). It is a `std` mutex
//! because page faults allocate, from a signal handler: `std`'s neither allocates nor parks through
//! thread-local state.

mod bitmap;
mod owners;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::run::Run;
use bitmap::Bitmap;
pub(crate) use bitmap::GROUP_BLOCKS;
pub(crate) use owners::{Owners, Places, SharedRun};

/// How a file wants its blocks laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Congruent with the file's offsets, so that 2 MiB runs come about.
    Aligned,
    /// Wherever there is room in groups that are in use already.
    Packed,
}

/// Where in which file the wanted blocks will be, which decides where they are taken from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) inode: u64,
    pub(crate) file_block: u64,
    pub(crate) placement: Placement,
}

/// How many blocks make one unit of data: devices of huge pages can only map whole 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataUnit {
    Block,
    Group,
}

/// The free space of one device.
pub(crate) struct Allocator {
    state: Mutex<State>,
    /// Mirrors the bitmap, for [`Allocator::space`] without the mutex.
    free_blocks: AtomicU64,
    /// Blocks that the next checkpoint frees, those of a checkpoint under way among them.
    pending_blocks: AtomicU64,
    /// How often blocks became free.
    frees: AtomicU64,
    /// Blocks that only metadata may take: what writing all metadata anew would take, as of the
    /// last checkpoint.
    reserve_base: AtomicU64,
    /// And what has been added to it since.
    reserve_growth: AtomicU64,
    data_unit: DataUnit,
}

struct State {
    bitmap: Bitmap,
    /// (inode, 2 MiB segment of the file) to the group that it claims.
    claims: HashMap<(u64, u64), usize>,
    claimed: Vec<bool>,
    /// Freed, but still part of the last checkpoint.
    pending: Vec<Run>,
    changes: SpaceChanges,
    /// The group where the last packed allocation succeeded: the next starts there.
    packed_cursor: usize,
    /// The group where the last whole group was found.
    group_cursor: usize,
}

/// What files have got and given up since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpaceChanges {
    pub(crate) published: Vec<Run>,
    /// Some of these may be among those published: they came and went.
    pub(crate) withdrawn: Vec<Run>,
}

/// What is free, or will be when somebody wants it, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeSpace {
    pub(crate) free_blocks: u64,
    /// What data may take: free less the reserve.
    pub(crate) available_blocks: u64,
}

impl Allocator {
    /// An allocator over the blocks `first_block..block_count`, all free.
    pub(crate) fn new(first_block: u64, block_count: u64, data_unit: DataUnit) -> Self {
        let bitmap = Bitmap::new(first_block, block_count);
        let groups = bitmap.groups();
        Self {
            free_blocks: AtomicU64::new(bitmap.free_blocks()),
            pending_blocks: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            reserve_base: AtomicU64::new(0),
            reserve_growth: AtomicU64::new(0),
            data_unit,
            state: Mutex::new(State {
                bitmap,
                claims: HashMap::new(),
                claimed: vec![false; groups],
                pending: Vec::new(),
                changes: SpaceChanges::default(),
                packed_cursor: 0,
                group_cursor: 0,
            }),
        }
    }

    /// Blocks in one unit of data: 1, or 512 on a device of huge pages.
    pub(crate) fn unit_blocks(&self) -> u64 {
        match self.data_unit {
            DataUnit::Block => 1,
            DataUnit::Group => GROUP_BLOCKS,
        }
    }

    /// Marks blocks found in use when mounting.
    ///
    /// # Errors
    /// The first block that is out of bounds or in use already.
    pub(crate) fn mark_used(&self, run: Run) -> std::result::Result<(), u64> {
        let mut state = self.lock();
        state.bitmap.set_if_free(run)?;
        self.mirror(&state);
        Ok(())
    }

    /// Takes at least one and at most `max_blocks` contiguous blocks for data.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when nothing is left above the reserve.
    pub(crate) fn allocate_data(&self, goal: Goal, max_blocks: u64) -> Result<Run> {
        let mut state = self.lock();
        let unit = self.unit_blocks();
        let available = self.available(&state);
        let wanted = max_blocks.min(available / unit * unit);
        let run = match (wanted, self.data_unit) {
            (0, _) => None,
            (_, DataUnit::Group) => state.take_groups(wanted / GROUP_BLOCKS),
            (_, DataUnit::Block) => state.take_for_file(goal, wanted),
        };
        self.mirror(&state);
        run.ok_or(Error::NoSpace {
            needed_blocks: max_blocks.min(unit),
            available_blocks: available,
        })
    }

    /// Takes one block for metadata; it may come from the reserve.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the device is full to the last block.
    pub(crate) fn allocate_metadata(&self) -> Result<u64> {
        let mut state = self.lock();
        let run = state.take_packed(1);
        self.mirror(&state);
        run.map(|run| run.block).ok_or(Error::NoSpace {
            needed_blocks: 1,
            available_blocks: 0,
        })
    }

    /// Gives back blocks that no checkpoint and no reader can reach.
    pub(crate) fn free_now(&self, run: Run) {
        let mut state = self.lock();
        state.bitmap.clear(run);
        self.mirror(&state);
        self.frees.fetch_add(1, Ordering::Relaxed);
    }

    /// How often blocks have become free: whoever found none and sees this change may find some.
    pub(crate) fn frees(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    /// Notes that a file owns blocks from now on. Inside the transaction that makes it so.
    pub(crate) fn note_published(&self, run: Run) {
        if run.len_blocks > 0 {
            push_joined(&mut self.lock().changes.published, run);
        }
    }

    /// Notes that no file owns blocks any longer. Inside the transaction that makes it so; they are
    /// freed once nobody can reach them.
    pub(crate) fn note_withdrawn(&self, runs: &[Run]) {
        if !runs.is_empty() {
            self.lock().changes.withdrawn.extend_from_slice(runs);
        }
    }

    /// What was noted since the last call. The caller keeps transactions out.
    pub(crate) fn take_changes(&self) -> SpaceChanges {
        std::mem::take(&mut self.lock().changes)
    }

    /// Puts back what [`Allocator::take_changes`] took, after a checkpoint that failed.
    pub(crate) fn restore_changes(&self, taken: SpaceChanges) {
        let mut state = self.lock();
        let since = std::mem::replace(&mut state.changes, taken);
        state.changes.published.extend(since.published);
        state.changes.withdrawn.extend(since.withdrawn);
    }

    /// Gives back blocks that the last checkpoint may still refer to.
    pub(crate) fn free_after_checkpoint(&self, runs: impl IntoIterator<Item = Run>) {
        let mut state = self.lock();
        for run in runs {
            state.pending.push(run);
            let pending = &self.pending_blocks;
            pending.fetch_add(run.len_blocks, Ordering::Relaxed);
        }
    }

    /// What has been freed since the last call; its owner frees it once a checkpoint that no
    /// longer refers to it is durable.
    pub(crate) fn take_pending(&self) -> Vec<Run> {
        std::mem::take(&mut self.lock().pending)
    }

    /// Frees what [`Allocator::take_pending`] gave: the checkpoint is durable.
    pub(crate) fn free_pending(&self, runs: &[Run]) {
        for run in runs {
            let pending = &self.pending_blocks;
            pending.fetch_sub(run.len_blocks, Ordering::Relaxed);
            self.free_now(*run);
        }
    }

    /// Puts back what [`Allocator::take_pending`] gave: the checkpoint failed.
    pub(crate) fn restore_pending(&self, runs: Vec<Run>) {
        self.lock().pending.extend(runs);
    }

    /// Whether a checkpoint would make blocks free.
    pub(crate) fn has_pending(&self) -> bool {
        !self.lock().pending.is_empty()
    }

    /// Begins a checkpoint: what was kept for growth so far stays kept, and is counted apart from
    /// what operations add from now on. The caller keeps operations out.
    pub(crate) fn fold_reserve(&self) {
        let _state = self.lock();
        let growth = self.reserve_growth.swap(0, Ordering::Relaxed);
        self.reserve_base.fetch_add(growth, Ordering::Relaxed);
    }

    /// Ends a checkpoint: `blocks` are kept for writing all metadata anew, beside what operations
    /// have added since [`Allocator::fold_reserve`].
    pub(crate) fn set_reserve(&self, blocks: u64) {
        let _state = self.lock();
        let before = self.reserve_base.swap(blocks, Ordering::Relaxed);
        if blocks < before {
            self.frees.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a checkpoint would let go of blocks that are kept for metadata.
    pub(crate) fn has_growth(&self) -> bool {
        self.reserve_growth.load(Ordering::Relaxed) > 0
    }

    /// Keeps `blocks` more for metadata, because an operation will need them at the next
    /// checkpoint.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when they are not there; nothing is kept then.
    pub(crate) fn grow_reserve(&self, blocks: u64) -> Result<()> {
        let state = self.lock();
        let available = self.available(&state);
        if available < blocks {
            return Err(Error::NoSpace {
                needed_blocks: blocks,
                available_blocks: available,
            });
        }
        self.reserve_growth.fetch_add(blocks, Ordering::Relaxed);
        Ok(())
    }

    /// Lets go of the groups that the segments of `inode` claim.
    pub(crate) fn release_claims(&self, inode: u64) {
        let state = &mut *self.lock();
        let claimed = &mut state.claimed;
        state.claims.retain(|&(owner, _), &mut group| {
            if owner == inode {
                claimed[group] = false;
            }
            owner != inode
        });
    }

    /// What is free right now, or as soon as somebody finds too little.
    pub(crate) fn space(&self) -> FreeSpace {
        let free_blocks =
            self.free_blocks.load(Ordering::Relaxed) + self.pending_blocks.load(Ordering::Relaxed);
        FreeSpace {
            free_blocks,
            available_blocks: free_blocks.saturating_sub(self.reserve()),
        }
    }

    fn available(&self, state: &State) -> u64 {
        state.bitmap.free_blocks().saturating_sub(self.reserve())
    }

    fn reserve(&self) -> u64 {
        self.reserve_base.load(Ordering::Relaxed) + self.reserve_growth.load(Ordering::Relaxed)
    }

    fn mirror(&self, state: &State) {
        self.free_blocks
            .store(state.bitmap.free_blocks(), Ordering::Relaxed);
    }

    /// The state is plain counters and bits that each method leaves consistent, so a panic
    /// elsewhere while it was held does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_for_file(&mut self, goal: Goal, wanted: u64) -> Option<Run> {
        let in_group = goal.file_block % GROUP_BLOCKS;
        if in_group == 0
            && wanted >= GROUP_BLOCKS
            && let Some(run) = self.take_groups(wanted / GROUP_BLOCKS)
        {
            return Some(run);
        }
        let wanted = wanted.min(GROUP_BLOCKS - in_group);
        if goal.placement == Placement::Aligned
            && let Some(run) = self.take_claimed(goal, in_group, wanted)
        {
            return Some(run);
        }
        self.take_packed(wanted)
    }

    /// Whole free groups, as many contiguous ones as there are, up to `groups`.
    fn take_groups(&mut self, groups: u64) -> Option<Run> {
        let claimed = &self.claimed;
        let is_free =
            |group: usize, bitmap: &Bitmap| bitmap.is_group_free(group) && !claimed[group];
        let first = self.find_group(self.group_cursor, |group, state| {
            is_free(group, &state.bitmap)
        })?;
        let mut count = 1;
        while count < groups
            && first + (count as usize) < self.bitmap.groups()
            && is_free(first + count as usize, &self.bitmap)
        {
            count += 1;
        }
        let run = Run::new(self.bitmap.group_start(first), count * GROUP_BLOCKS);
        self.bitmap.set(run);
        self.group_cursor = first;
        Some(run)
    }

    /// From the group that the goal's segment claims, claiming a free one if it has none.
    fn take_claimed(&mut self, goal: Goal, in_group: u64, wanted: u64) -> Option<Run> {
        let segment = (goal.inode, goal.file_block / GROUP_BLOCKS);
        let group = match self.claims.get(&segment) {
            Some(&group) => group,
            None => {
                let group = self.find_group(self.group_cursor, |group, state| {
                    state.bitmap.is_group_free(group) && !state.claimed[group]
                })?;
                self.claims.insert(segment, group);
                self.claimed[group] = true;
                self.group_cursor = group;
                group
            }
        };
        let start = self.bitmap.group_start(group) + in_group;
        let run = self.bitmap.free_run_at(start, wanted)?;
        self.bitmap.set(run);
        if self.bitmap.group_free_blocks(group) == 0 {
            self.claims.remove(&segment);
            self.claimed[group] = false;
        }
        Some(run)
    }

    /// The first free run, first in groups that are in use and unclaimed, then anywhere.
    fn take_packed(&mut self, wanted: u64) -> Option<Run> {
        let group = self
            .find_group(self.packed_cursor, |group, state| {
                state.bitmap.group_free_blocks(group) > 0
                    && !state.bitmap.is_group_free(group)
                    && !state.claimed[group]
            })
            .or_else(|| {
                self.find_group(self.packed_cursor, |group, state| {
                    state.bitmap.is_group_free(group) && !state.claimed[group]
                })
            })
            .or_else(|| {
                self.find_group(self.packed_cursor, |group, state| {
                    state.bitmap.group_free_blocks(group) > 0
                })
            })?;
        let run = self.bitmap.first_free_run(group, wanted)?;
        self.bitmap.set(run);
        self.packed_cursor = group;
        Some(run)
    }

    fn find_group(&self, from: usize, fits: impl Fn(usize, &Self) -> bool) -> Option<usize> {
        let groups = self.bitmap.groups();
        (from..groups)
            .chain(0..from.min(groups))
            .find(|&group| fits(group, self))
    }
}

fn push_joined(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.end() == run.block => last.len_blocks += run.len_blocks,
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests;
