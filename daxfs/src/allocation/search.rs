//! Where the blocks that somebody wants come from: the policy of the [module above](super).
//!
//! Takes claims' and groups' latches, inside the shard's.

use super::claims::{Claims, Segment};
use super::group_set::GroupSet;
use super::groups::{Groups, group_of};
use super::shards::Shard;
use super::{GROUP_BLOCKS, Goal, Placement};
use crate::run::Run;

/// The space of one device, and who wants which part of it kept together.
pub(super) struct Space {
    pub(super) groups: Groups,
    pub(super) claims: Claims,
    /// Groups that some shard packs small files into; the others look elsewhere first.
    packed: GroupSet,
    /// While there are more whole groups than this, a shard that packs begins one of its own.
    whole_groups_to_keep: usize,
}

impl Space {
    pub(super) fn new(groups: Groups, shards: usize) -> Self {
        Self {
            packed: GroupSet::new(groups.count()),
            claims: Claims::new(),
            whole_groups_to_keep: 2 * shards,
            groups,
        }
    }

    /// One run of `wanted` blocks at most for a file.
    pub(super) fn take_for_file(&self, shard: &mut Shard, goal: Goal, wanted: u64) -> Option<Run> {
        let in_group = goal.file_block % GROUP_BLOCKS;
        if in_group == 0
            && wanted >= GROUP_BLOCKS
            && let Some(run) = self.take_groups(shard, wanted / GROUP_BLOCKS)
        {
            return Some(run);
        }
        let wanted = wanted.min(GROUP_BLOCKS - in_group);
        if goal.placement == Placement::Aligned
            && let Some(run) = self.take_claimed(shard, goal, wanted)
        {
            return Some(run);
        }
        self.take_packed(shard, wanted)
    }

    /// Whole free groups, as many side by side as there are, up to `groups`.
    pub(super) fn take_groups(&self, shard: &mut Shard, groups: u64) -> Option<Run> {
        let run = self.groups.take_groups(shard.whole_group, groups)?;
        shard.whole_group = group_of(run.block);
        Some(run)
    }

    /// From the group that the goal's segment claims, claiming a free one if it has none.
    fn take_claimed(&self, shard: &mut Shard, goal: Goal, wanted: u64) -> Option<Run> {
        let segment = (goal.inode, goal.file_block / GROUP_BLOCKS);
        let is_same = |claim: &(Segment, usize)| claim.0 == segment;
        let take = |claim| self.take_claimed_at(claim, goal.file_block % GROUP_BLOCKS, wanted);
        let taken = shard.last_claim.filter(is_same).and_then(take);
        taken.or_else(|| {
            let claim = || self.groups.claim(segment, shard.whole_group);
            let group = self.claims.find_or(segment, claim)?;
            shard.whole_group = group;
            shard.last_claim = Some((segment, group));
            take((segment, group))
        })
    }

    fn take_claimed_at(&self, claim: (Segment, usize), at: u64, wanted: u64) -> Option<Run> {
        let (run, is_full) = self.groups.take_claimed_at(claim, at, wanted)?;
        if is_full {
            self.claims.forget(claim.0, claim.1);
        }
        Some(run)
    }

    /// The first free run of a group in use: of the shard's own, of one that no shard packs into,
    /// of a whole one if there are many, of another shard's. Then what is left, claimed or not.
    pub(super) fn take_packed(&self, shard: &mut Shard, wanted: u64) -> Option<Run> {
        let (groups, own) = (&self.groups, shard.packed_group);
        let except = Some(&self.packed);
        let run = groups
            .take_partial(own, except, wanted)
            .or_else(|| {
                let has_many = groups.whole_count() > self.whole_groups_to_keep;
                has_many.then(|| groups.take_whole(own, wanted)).flatten()
            })
            .or_else(|| groups.take_partial(own, None, wanted))
            .or_else(|| groups.take_whole(own, wanted))
            .or_else(|| groups.take_claimed(own, wanted))?;
        let group = group_of(run.block);
        if group != own {
            self.packed.remove(own);
            shard.packed_group = group;
        }
        self.packed.insert(group);
        Some(run)
    }
}
