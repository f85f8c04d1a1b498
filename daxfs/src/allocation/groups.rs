//! All groups of the device, each behind a latch of its own, and the sets that find one quickly.
//!
//! Threads that take and give back blocks of different groups meet neither in a latch nor in a
//! cache line: a latch lies beside the bits that it guards, and the sets change only when a group
//! begins or ceases to be of a class.
//!
//! # Invariants
//! 1. While a group's latch is free, the group is in the set of its [`Class`] and in no other
//!    (that of the full ones has no set).
//! 2. A group with published blocks is in `published`.
//! 3. Blocks outside the managed range are stored, and nobody gives them back.
//!
//! # Locking
//! A group's latch is innermost, and nobody holds two.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::claims::Segment;
use super::group::{Class, GROUP_BLOCKS, Group, Positions};
use super::group_set::GroupSet;
use crate::run::Run;

pub(super) struct Groups {
    slots: Box<[Slot]>,
    first_block: u64,
    block_count: u64,
    partial: GroupSet,
    whole: GroupSet,
    claimed: GroupSet,
    /// How many are in `whole`.
    whole_count: AtomicUsize,
    published: GroupSet,
}

/// In cache lines of its own.
#[repr(align(64))]
struct Slot(Mutex<Group>);

impl Groups {
    /// All of `first_block..block_count` free, everything else stored.
    pub(super) fn new(first_block: u64, block_count: u64) -> Self {
        let count = block_count.div_ceil(GROUP_BLOCKS) as usize;
        let slots = (0..count).map(|_| Slot(Mutex::new(Group::full())));
        let groups = Self {
            slots: slots.collect(),
            first_block,
            block_count,
            partial: GroupSet::new(count),
            whole: GroupSet::new(count),
            claimed: GroupSet::new(count),
            whole_count: AtomicUsize::new(0),
            published: GroupSet::new(count),
        };
        if first_block < block_count {
            groups.release(Run::new(first_block, block_count - first_block));
        }
        groups
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// How many groups are free from end to end and claimed by nobody.
    pub(super) fn whole_count(&self) -> usize {
        self.whole_count.load(Ordering::Relaxed)
    }

    // ---- Taking -------------------------------------------------------------------------------

    /// Blocks of one group that nobody claims and that is not all free: of `first` if it is such a
    /// one, otherwise of one from there on that is not in `except`. `wanted` at most.
    pub(super) fn take_partial(
        &self,
        first: usize,
        except: Option<&GroupSet>,
        wanted: u64,
    ) -> Option<Run> {
        let take = |group| self.take_first(group, Class::Partial, wanted);
        let of_first = (first < self.count()).then(|| take(first)).flatten();
        of_first.or_else(|| self.partial.find(except, first, take))
    }

    /// Blocks of a group that is all free, from `from` on. `wanted` at most.
    pub(super) fn take_whole(&self, from: usize, wanted: u64) -> Option<Run> {
        let take = |group| self.take_first(group, Class::Whole, wanted);
        self.whole.find(None, from, take)
    }

    /// Blocks of a group that somebody claims. `wanted` at most.
    pub(super) fn take_claimed(&self, from: usize, wanted: u64) -> Option<Run> {
        let take = |group| self.take_first(group, Class::Claimed, wanted);
        self.claimed.find(None, from, take)
    }

    fn take_first(&self, group: usize, class: Class, wanted: u64) -> Option<Run> {
        self.change(group, |found| {
            if found.class() != class {
                return None;
            }
            let positions = found.first_free(to_position(wanted));
            found.take(positions.clone());
            Some(run_of(group, positions))
        })
    }

    /// Whole groups side by side, `groups` at most.
    pub(super) fn take_groups(&self, from: usize, groups: u64) -> Option<Run> {
        let first = self.whole.find(None, from, |group| {
            self.take_if_whole(group).then_some(group)
        })?;
        let mut count = 1;
        while count < groups && self.take_if_whole(first + count as usize) {
            count += 1;
        }
        Some(Run::new(group_start(first), count * GROUP_BLOCKS))
    }

    fn take_if_whole(&self, group: usize) -> bool {
        group < self.count()
            && self.change(group, |found| {
                let is_whole = found.class() == Class::Whole;
                if is_whole {
                    found.take(0..GROUP_BLOCKS as usize);
                }
                is_whole
            })
    }

    /// Lets `segment` claim a group that is all free.
    pub(super) fn claim(&self, segment: Segment, from: usize) -> Option<usize> {
        self.whole.find(None, from, |group| {
            self.change(group, |found| {
                let is_whole = found.class() == Class::Whole;
                if is_whole {
                    found.set_claimant(Some(segment));
                }
                is_whole.then_some(group)
            })
        })
    }

    /// The blocks of a group from `position` on, `wanted` at most, if `segment` claims it; and
    /// whether they were the last: the claim is over then.
    pub(super) fn take_claimed_at(
        &self,
        (segment, group): (Segment, usize),
        position: u64,
        wanted: u64,
    ) -> Option<(Run, bool)> {
        self.change(group, |found| {
            let positions = found.free_from(position as usize, to_position(wanted));
            if positions.is_empty() || found.claimant() != Some(segment) {
                return None;
            }
            found.take(positions.clone());
            let is_full = found.class() == Class::Full;
            if is_full {
                found.set_claimant(None);
            }
            Some((run_of(group, positions), is_full))
        })
    }

    /// Ends a claim.
    pub(super) fn forget_claim(&self, segment: Segment, group: usize) {
        self.change(group, |found| {
            if found.claimant() == Some(segment) {
                found.set_claimant(None);
            }
        });
    }

    // ---- Blocks that are known ----------------------------------------------------------------

    /// Free blocks become held, or none of them: the first that is out of bounds or in use.
    pub(super) fn take(&self, run: Run) -> Result<(), u64> {
        self.check_free(run)?;
        self.for_each(run, Group::take);
        Ok(())
    }

    /// Free blocks become stored, or none of them: the first that is out of bounds or in use.
    pub(super) fn store(&self, run: Run) -> Result<(), u64> {
        self.check_free(run)?;
        self.for_each(run, Group::store);
        Ok(())
    }

    fn check_free(&self, run: Run) -> Result<(), u64> {
        if run.block < self.first_block {
            return Err(run.block);
        }
        let end = run.block.checked_add(run.len_blocks).ok_or(run.block)?;
        if end > self.block_count {
            return Err(self.block_count.max(run.block));
        }
        let used = parts(run).find_map(|(group, positions)| {
            let used = self.latch(group).first_used(positions)?;
            Some(group_start(group) + used as u64)
        });
        used.map_or(Ok(()), Err)
    }

    /// Blocks in use become free.
    pub(super) fn release(&self, run: Run) {
        self.for_each(run, Group::release);
    }

    /// Held blocks become published.
    pub(super) fn publish(&self, run: Run) {
        for (group, positions) in parts(run) {
            self.latch(group).publish(positions);
            self.published.insert(group);
        }
    }

    /// Published blocks become held; those stored stay so, and are handed to `stored`.
    pub(super) fn withdraw(&self, run: Run, mut stored: impl FnMut(Run)) {
        for (group, positions) in parts(run) {
            let mut latch = self.latch(group);
            latch.withdraw(positions, |part| stored(run_of(group, part)));
        }
    }

    /// Those of the blocks that are held become free. Hands the others to `others`, and returns how
    /// many became free.
    pub(super) fn release_held(&self, run: Run, mut others: impl FnMut(Run)) -> u64 {
        let freed = parts(run).map(|(group, positions)| {
            self.change(group, |found| {
                found.release_held(positions, |part| others(run_of(group, part)))
            })
        });
        freed.sum()
    }

    /// Published blocks become stored, and are handed to `taken` in order.
    pub(super) fn take_published(&self, mut taken: impl FnMut(Run)) {
        self.published.drain(|group| {
            let mut latch = self.latch(group);
            latch.take_published(|part| taken(run_of(group, part)));
        });
    }

    fn for_each(&self, run: Run, act: impl Fn(&mut Group, Positions)) {
        for (group, positions) in parts(run) {
            self.change(group, |found| act(found, positions));
        }
    }

    /// Whether somebody claims the group of a block.
    #[cfg(test)]
    pub(super) fn is_claimed(&self, block: u64) -> bool {
        self.latch(group_of(block)).class() == Class::Claimed
    }

    // ---- The latch ----------------------------------------------------------------------------

    /// Changes a group, and the sets with it (Invariant 1).
    fn change<T>(&self, group: usize, act: impl FnOnce(&mut Group) -> T) -> T {
        let mut latch = self.latch(group);
        let before = latch.class();
        let done = act(&mut latch);
        let after = latch.class();
        if before != after {
            self.enter(group, before, after);
        }
        done
    }

    fn enter(&self, group: usize, before: Class, after: Class) {
        if let Some(set) = self.set_of(after) {
            set.insert(group);
        }
        if let Some(set) = self.set_of(before) {
            set.remove(group);
        }
        match (before, after) {
            (Class::Whole, _) => self.whole_count.fetch_sub(1, Ordering::Relaxed),
            (_, Class::Whole) => self.whole_count.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn set_of(&self, class: Class) -> Option<&GroupSet> {
        match class {
            Class::Full => None,
            Class::Partial => Some(&self.partial),
            Class::Whole => Some(&self.whole),
            Class::Claimed => Some(&self.claimed),
        }
    }

    /// Bits and a count that each method leaves consistent: a panic elsewhere spoils nothing.
    fn latch(&self, group: usize) -> MutexGuard<'_, Group> {
        let slot = &self.slots[group].0;
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The group of a block.
pub(super) fn group_of(block: u64) -> usize {
    (block / GROUP_BLOCKS) as usize
}

fn group_start(group: usize) -> u64 {
    group as u64 * GROUP_BLOCKS
}

fn to_position(blocks: u64) -> usize {
    blocks.min(GROUP_BLOCKS) as usize
}

fn run_of(group: usize, positions: Positions) -> Run {
    Run::new(
        group_start(group) + positions.start as u64,
        positions.len() as u64,
    )
}

/// The parts of a run, group by group.
fn parts(run: Run) -> impl Iterator<Item = (usize, Positions)> {
    pieces(run).map(|piece| {
        let start = piece.block % GROUP_BLOCKS;
        let positions = start as usize..(start + piece.len_blocks) as usize;
        (group_of(piece.block), positions)
    })
}

/// The same, as runs.
pub(super) fn pieces(run: Run) -> impl Iterator<Item = Run> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(GROUP_BLOCKS - rest.block % GROUP_BLOCKS);
        rest = after;
        (piece.len_blocks > 0).then_some(piece)
    })
}
