//! Which blocks of the device are in use, and which one comes next.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`group`] | the states of the 512 blocks of one group, two bits each |
//! | [`groups`] | all groups, each behind a latch, and where to look for one |
//! | [`group_set`] | a set of groups that is searched without a lock |
//! | [`claims`] | which segment of a file has which group to itself |
//! | [`shards`] | what the threads of one shard have of their own |
//! | [`budget`] | how many blocks may be taken: credit for each shard, the metadata's reserve |
//! | [`search`] | policy: where a file's next block comes from |
//! | [`owners`] | how many places each shared block has |
//! | this file | what the rest of the filesystem calls; freed blocks that have to wait |
//!
//! # Why it is divided
//! Every write to a hole and every write fault comes by here. With one mutex around it, threads
//! that work on different files take turns, and the cache line of the mutex goes from core to core
//! each time. So a thread takes blocks of a group that its shard took the last ones of, counts them
//! against its shard's credit, and notes what it did in its shard's lists: what it writes to,
//! others seldom do. (WineFS and ext4 divide by core; they count in a shared counter, or
//! inexactly.)
//!
//! # Policy
//! A file that is large or mapped (`Placement::Aligned`) gets blocks that are congruent with its
//! offsets: each of its 2 MiB segments *claims* a wholly free group, and the segment's page `n`
//! goes to the group's block `n`, so that a segment filled in any order ends as one aligned 2 MiB
//! run that one huge mapping can cover (WineFS's idea). Small files (`Placement::Packed`) fill
//! groups that are in use already, one for each shard while whole groups are many. When space runs
//! short, claims are ignored: a block that is free anywhere is found.
//!
//! # The reserve
//! A checkpoint writes changed metadata to free blocks before it lets go of the old ones. So that
//! a full device can still be unmounted, data may not take the last blocks: as many as writing all
//! metadata anew would take ([`Allocator::set_reserve`], [`Allocator::grow_reserve`]).
//!
//! # When a freed block may be taken again
//! The danger is that a crash brings the old owner back, and it shows the new one's data.
//! - *Never published*, such as those of a write that failed: at once ([`Allocator::free_now`]).
//! - *Stored*: a checkpoint has it, and a crash may mount that. It waits in `pending` until a
//!   checkpoint without it is durable.
//! - *Published since the last checkpoint began*: only the log says whose it was, and it says too
//!   that it is so no longer. Once that second record is durable and nobody can reach the block, it
//!   is free ([`Allocator::free_withdrawn`]): whatever part of the log a crash leaves, either the
//!   block was not yet taken again, or the record that frees it is there. A replay comes through
//!   the same states, so it finds the block free when the next record gives it away. (Of bytes that
//!   a record has, to be written again, a replay forgets those for blocks that are given away.)
//! - The same while a checkpoint is under way: it waits. The records since that checkpoint began
//!   are replayed on top of it, and the first of them gives the block to a file: it must not have
//!   taken the block for a node of its tree.
//! - The same where records become durable only at the next sync (`msync`): it waits, since bytes
//!   may get to the medium before the record does ([`Allocator::defer_frees`]).
//!
//! # What the medium is told
//! The medium's space map has the blocks that files own, not those that somebody is still filling.
//! So whoever puts blocks into a block map or takes them out says so in the same transaction
//! ([`Allocator::note_published`], [`Allocator::note_withdrawn`]), and a checkpoint takes the list
//! ([`Allocator::take_changes`]): those that came and stayed, and those that it had and that went.
//!
//! # Locking
//! Latches (innermost of the filesystem's locks), in this order: the pool's, a shard's, one of the
//! claims', a group's. They are `std`'s because page faults allocate, from a signal handler:
//! `std`'s neither allocates nor parks through thread-local state.

mod budget;
mod claims;
mod group;
mod group_set;
mod groups;
mod owners;
mod search;
mod shards;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::run::Run;
use budget::{Budget, Purpose};
pub(crate) use group::GROUP_BLOCKS;
use groups::Groups;
pub(crate) use owners::{Owners, Places, SharedRun};
use search::Space;
use shards::{ShardChoice, Shards};

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
    space: Space,
    budget: Budget,
    data_unit: DataUnit,
    /// No withdrawn block is free before the next checkpoint.
    are_frees_deferred: AtomicBool,
    /// A checkpoint takes blocks, and the records of what happens meanwhile stay in the log.
    is_checkpoint_under_way: AtomicBool,
    /// Blocks that a checkpoint under way frees.
    being_freed_blocks: AtomicU64,
    /// What a checkpoint took along that failed.
    restored: Mutex<SpaceChanges>,
}

/// What files have got and given up since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpaceChanges {
    pub(crate) published: Vec<Run>,
    /// Some of these may be among those published, after a checkpoint that failed: they came and
    /// went.
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
        Self::with_shards(
            first_block,
            block_count,
            data_unit,
            ShardChoice::for_groups(block_count.div_ceil(GROUP_BLOCKS) as usize),
        )
    }

    fn with_shards(
        first_block: u64,
        block_count: u64,
        unit: DataUnit,
        choice: ShardChoice,
    ) -> Self {
        let groups = Groups::new(first_block, block_count);
        let shards = Shards::new(choice, groups.count());
        Self {
            space: Space::new(groups, shards.count()),
            budget: Budget::new(shards, block_count.saturating_sub(first_block)),
            data_unit: unit,
            are_frees_deferred: AtomicBool::new(false),
            is_checkpoint_under_way: AtomicBool::new(false),
            being_freed_blocks: AtomicU64::new(0),
            restored: Mutex::default(),
        }
    }

    /// Blocks in one unit of data: 1, or 512 on a device of huge pages.
    pub(crate) fn unit_blocks(&self) -> u64 {
        match self.data_unit {
            DataUnit::Block => 1,
            DataUnit::Group => GROUP_BLOCKS,
        }
    }

    // ---- Mounting -----------------------------------------------------------------------------

    /// Marks blocks that the last checkpoint has. When mounting.
    ///
    /// # Errors
    /// The first block that is out of bounds or in use already.
    pub(crate) fn mark_stored(&self, run: Run) -> std::result::Result<(), u64> {
        self.space.groups.store(run)?;
        self.budget.use_up(run.len_blocks);
        Ok(())
    }

    /// Takes certain blocks, which a record of the log gives to a file. When mounting.
    ///
    /// # Errors
    /// The first block that is out of bounds or in use already.
    pub(crate) fn mark_used(&self, run: Run) -> std::result::Result<(), u64> {
        self.space.groups.take(run)?;
        self.budget.use_up(run.len_blocks);
        Ok(())
    }

    /// From now on withdrawn blocks wait for the next checkpoint, whatever they were: records are
    /// not durable before a sync. After a replay, whose records are.
    pub(crate) fn defer_frees(&self) {
        self.are_frees_deferred.store(true, Ordering::Relaxed);
    }

    // ---- Taking and giving back ---------------------------------------------------------------

    /// Takes at least one and at most `max_blocks` contiguous blocks for data.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when nothing is left above the reserve.
    pub(crate) fn allocate_data(&self, goal: Goal, max_blocks: u64) -> Result<Run> {
        let unit_blocks = self.unit_blocks();
        let max_blocks = max_blocks.max(unit_blocks) / unit_blocks * unit_blocks;
        let taken = self.budget.take(
            Purpose::Data { unit_blocks },
            max_blocks,
            |shard, wanted| match self.data_unit {
                DataUnit::Block => self.space.take_for_file(shard, goal, wanted),
                DataUnit::Group => self.space.take_groups(shard, wanted / GROUP_BLOCKS),
            },
        );
        taken.map_err(|available_blocks| Error::NoSpace {
            needed_blocks: unit_blocks,
            available_blocks,
        })
    }

    /// Takes one block for metadata; it may come from the reserve.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the device is full to the last block.
    pub(crate) fn allocate_metadata(&self) -> Result<u64> {
        let taken = self.budget.take(Purpose::Metadata, 1, |shard, wanted| {
            self.space.take_packed(shard, wanted)
        });
        taken.map(|run| run.block).map_err(|_| Error::NoSpace {
            needed_blocks: 1,
            available_blocks: 0,
        })
    }

    /// Gives back blocks that no checkpoint and no reader can reach.
    pub(crate) fn free_now(&self, run: Run) {
        self.space.groups.release(run);
        self.count_freed(run.len_blocks);
    }

    fn count_freed(&self, blocks: u64) {
        if blocks > 0 {
            self.budget.give(blocks);
            if self.data_unit == DataUnit::Group {
                // Where only whole groups will do, there may have been none with blocks to spare.
                self.budget.note_free();
            }
        }
    }

    /// How often blocks have become free that somebody may have been refused: whoever was, and sees
    /// this change, may find some.
    pub(crate) fn frees(&self) -> u64 {
        self.budget.frees()
    }

    // ---- What files own -----------------------------------------------------------------------

    /// Notes that a file owns blocks from now on. Inside the transaction that makes it so.
    pub(crate) fn note_published(&self, run: Run) {
        self.space.groups.publish(run);
    }

    /// Notes that no file owns blocks any longer. Inside the transaction that makes it so; they are
    /// freed once nobody can reach them.
    pub(crate) fn note_withdrawn(&self, runs: &[Run]) {
        let mut of_checkpoint = Vec::new();
        for run in runs {
            let groups = &self.space.groups;
            groups.withdraw(*run, |stored| of_checkpoint.push(stored));
        }
        if !of_checkpoint.is_empty() {
            let mut shard = self.budget.shards.lock();
            shard.withdrawn.append(&mut of_checkpoint);
        }
    }

    /// Gives back blocks that were withdrawn, by a record that is durable or will be with the next
    /// sync, and that no reader and no mapping can reach: at once, but those of a checkpoint, and
    /// all if frees are deferred, with the next checkpoint.
    pub(crate) fn free_withdrawn(&self, runs: impl IntoIterator<Item = Run>) {
        // Relaxed: set with transactions kept out, and whoever frees came through one.
        if self.are_frees_deferred.load(Ordering::Relaxed)
            || self.is_checkpoint_under_way.load(Ordering::Relaxed)
        {
            return self.free_after_checkpoint(runs);
        }
        let (mut freed_blocks, mut of_checkpoint) = (0, Vec::new());
        for run in runs {
            let groups = &self.space.groups;
            freed_blocks += groups.release_held(run, |stored| of_checkpoint.push(stored));
        }
        if !of_checkpoint.is_empty() {
            self.free_after_checkpoint(of_checkpoint);
        }
        self.count_freed(freed_blocks);
    }

    /// Gives back blocks that a checkpoint, or a record of the log, may still refer to.
    pub(crate) fn free_after_checkpoint(&self, runs: impl IntoIterator<Item = Run>) {
        let mut shard = self.budget.shards.lock();
        runs.into_iter()
            .for_each(|run| shard.wait_for_checkpoint(run));
    }

    // ---- Checkpoints --------------------------------------------------------------------------

    /// What was noted since the last call. The caller keeps transactions out. Blocks that are given
    /// up wait, from now until [`Allocator::end_checkpoint`].
    pub(crate) fn take_changes(&self) -> SpaceChanges {
        self.is_checkpoint_under_way.store(true, Ordering::Relaxed);
        let mut changes = std::mem::take(&mut *self.restored());
        let published = &mut changes.published;
        self.space
            .groups
            .take_published(|run| push_joined(published, run));
        let withdrawn = &mut changes.withdrawn;
        self.budget
            .shards
            .for_each(|shard| withdrawn.append(&mut shard.withdrawn));
        changes
    }

    /// A checkpoint takes no more blocks: it is durable, or has failed.
    pub(crate) fn end_checkpoint(&self) {
        self.is_checkpoint_under_way.store(false, Ordering::Relaxed);
    }

    /// Puts back what [`Allocator::take_changes`] took, after a checkpoint that failed: the next
    /// call gives it again. The blocks stay stored, since they may be withdrawn by now.
    pub(crate) fn restore_changes(&self, taken: SpaceChanges) {
        *self.restored() = taken;
    }

    /// What has been freed since the last call; its owner frees it once a checkpoint that no
    /// longer refers to it is durable.
    pub(crate) fn take_pending(&self) -> Vec<Run> {
        let (mut pending, mut blocks) = (Vec::new(), 0);
        self.budget.shards.for_each(|shard| {
            pending.append(&mut shard.pending);
            blocks += std::mem::take(&mut shard.pending_blocks);
        });
        self.being_freed_blocks.fetch_add(blocks, Ordering::Relaxed);
        pending
    }

    /// Frees what [`Allocator::take_pending`] gave: the checkpoint is durable.
    pub(crate) fn free_pending(&self, runs: &[Run]) {
        let blocks = runs.iter().map(|run| run.len_blocks).sum();
        for run in runs {
            self.space.groups.release(*run);
        }
        self.being_freed_blocks.fetch_sub(blocks, Ordering::Relaxed);
        self.count_freed(blocks);
    }

    /// Puts back what [`Allocator::take_pending`] gave: the checkpoint failed.
    pub(crate) fn restore_pending(&self, runs: Vec<Run>) {
        let blocks = runs.iter().map(|run| run.len_blocks).sum();
        self.being_freed_blocks.fetch_sub(blocks, Ordering::Relaxed);
        self.free_after_checkpoint(runs);
    }

    /// Whether a checkpoint would make blocks free.
    pub(crate) fn has_pending(&self) -> bool {
        let mut has_pending = false;
        self.budget
            .shards
            .for_each(|shard| has_pending |= !shard.pending.is_empty());
        has_pending
    }

    // ---- The reserve --------------------------------------------------------------------------

    /// Begins a checkpoint: what was kept for growth so far stays kept, and is counted apart from
    /// what operations add from now on. The caller keeps operations out.
    pub(crate) fn fold_reserve(&self) {
        self.budget.fold_reserve();
    }

    /// Ends a checkpoint: `blocks` are kept for writing all metadata anew, beside what operations
    /// have added since [`Allocator::fold_reserve`].
    pub(crate) fn set_reserve(&self, blocks: u64) {
        self.budget.set_reserve(blocks);
    }

    /// Whether a checkpoint would let go of blocks that are kept for metadata.
    pub(crate) fn has_growth(&self) -> bool {
        self.budget.has_growth()
    }

    /// Keeps `blocks` more for metadata, because an operation will need them at the next
    /// checkpoint.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when they are not there; nothing is kept then.
    pub(crate) fn grow_reserve(&self, blocks: u64) -> Result<()> {
        let kept = self.budget.grow_reserve(blocks);
        kept.map_err(|available_blocks| Error::NoSpace {
            needed_blocks: blocks,
            available_blocks,
        })
    }

    /// Lets go of the groups that the segments of `inode` claim.
    pub(crate) fn release_claims(&self, inode: u64) {
        self.space.claims.release(inode, &self.space.groups);
    }

    /// What is free right now, or as soon as somebody finds too little.
    pub(crate) fn space(&self) -> FreeSpace {
        let totals = self.budget.totals();
        let mut pending_blocks = self.being_freed_blocks.load(Ordering::Relaxed);
        self.budget
            .shards
            .for_each(|shard| pending_blocks += shard.pending_blocks);
        let available = totals.spare_blocks.saturating_add_unsigned(pending_blocks);
        FreeSpace {
            free_blocks: totals.free_blocks + pending_blocks,
            available_blocks: available.max(0) as u64,
        }
    }

    fn restored(&self) -> std::sync::MutexGuard<'_, SpaceChanges> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
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
