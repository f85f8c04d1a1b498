//! Checksums of a file's blocks: which have one, and what the medium knows of it.
//!
//! # Why
//! Metadata is found damaged by the checksum in whatever points to it. Data is written in place,
//! through mappings even, where nobody sees the store: a checksum can only be kept of what is at
//! rest. So files that are closed are summed up, and before a block changes in place its checksum
//! is forgotten, on the medium first.
//!
//! # States of a group of 128 blocks
//! ```text
//!                      kept (the file is summed up)
//!       +-------------------------------------------------------------+
//!       v                                                             |
//!    stored ----------> forgetting -----------------------------> forgotten
//!    the medium has     a record says that it has none;           the record is durable:
//!    what memory has,   it is not known to be durable             blocks may change in place
//!    or will have it
//! ```
//! Blocks that nobody changes keep their checksums in memory meanwhile, and reads are still checked
//! against them: what decays then is found, and not summed up again as if it were right. Blocks
//! that move within a file, or that a clone gets as well, take theirs along.
//!
//! # Invariants
//! 1. A block whose checksum is in memory holds what that was computed of, or is damaged: whoever
//!    changes it forgets it first, and changes it when the group is forgotten. He forgets together
//!    with the look at its standing, or with the record: no checkpoint stores it in between.
//! 2. Of a group that is not stored the next checkpoint's tree has nothing; and once it is
//!    forgotten, a log that is replayed onto an earlier tree says so. So whatever a replay comes to
//!    have is in memory as well.
//! 3. Blocks have a checksum only where the block map has a block.
//!
//! # Locking
//! One latch, inside that of the block map. Groups become stored, and forgetting, inside a
//! transaction, so that a checkpoint sees both with the records that go with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::format::geometry::MAXIMUM_FILE_BLOCKS;
use crate::format::item::{CHECKSUM_GROUP_BLOCKS, StoredChecksums};
use crate::sync::{Mutex, MutexGuard, Ordering, PoisonError, Tally};

/// Blocks that are forgotten on the medium together, 16 MiB: a file that is written here and there
/// logs one record for each such part.
const REGION_BLOCKS: u64 = 32 * CHECKSUM_GROUP_BLOCKS;

/// The checksums of one file's blocks.
#[derive(Default)]
pub(crate) struct Checksums {
    /// How many blocks have one: tells who needs no latch. Whoever must see a checksum came to its
    /// file by a lock that who put it there has held.
    summed: Tally,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    /// By number; those without any checksum are not here.
    by_number: BTreeMap<u64, Group>,
    /// Numbers of those that differ from the last checkpoint's.
    changed: BTreeSet<u64>,
    /// How many were given out.
    tickets: u64,
}

struct Group {
    standing: Standing,
    /// Which blocks have one.
    bits: u128,
    sums: Box<[u32; CHECKSUM_GROUP_BLOCKS as usize]>,
}

/// What the medium knows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing, for good: its blocks may change.
    Forgotten,
    /// Nothing, once the log is durable up to the record that says so.
    Forgetting(Ticket),
    /// The same as memory, now or after the next checkpoint.
    Stored,
}

/// Which of the records of one file that make the medium forget; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Checksums {
    /// Whether any block has one.
    pub(crate) fn has_any(&self) -> bool {
        self.summed.load(Ordering::Relaxed) > 0
    }

    /// That of a block.
    pub(crate) fn of(&self, file_block: u64) -> Option<u32> {
        if !self.has_any() {
            return None;
        }
        let groups = self.latch();
        let group = groups
            .by_number
            .get(&(file_block / CHECKSUM_GROUP_BLOCKS))?;
        let place = file_block % CHECKSUM_GROUP_BLOCKS;
        (group.bits >> place & 1 == 1).then(|| group.sums[place as usize])
    }

    /// Those of the blocks in a range, with the blocks.
    fn within(&self, file_blocks: &Range<u64>) -> Vec<(u64, u32)> {
        if !self.has_any() {
            return Vec::new();
        }
        let groups = self.latch();
        let mut found = Vec::new();
        for (number, group) in groups.by_number.range(groups_of(file_blocks)) {
            let wanted = group.bits & mask(*number, file_blocks);
            let places = (0..CHECKSUM_GROUP_BLOCKS).filter(|place| wanted >> place & 1 == 1);
            let first = number * CHECKSUM_GROUP_BLOCKS;
            found.extend(places.map(|place| (first + place, group.sums[place as usize])));
        }
        found
    }

    /// Blocks are about to change. Forgets them if the medium has nothing of them, for good or
    /// once the log is durable; says how it is: the standing that is furthest from forgotten of
    /// the groups with checksums among them, `None` when there are no such.
    pub(crate) fn forget_unless_stored(&self, file_blocks: &[Range<u64>]) -> Option<Standing> {
        if !self.has_any() {
            return None;
        }
        let mut groups = self.latch();
        let standings = file_blocks.iter().flat_map(|blocks| {
            let touched = groups.by_number.range(groups_of(blocks));
            touched.filter(|(number, group)| group.bits & mask(**number, blocks) > 0)
        });
        let standing = standings.map(|(_, group)| group.standing).max();
        if standing != Some(Standing::Stored) {
            for blocks in file_blocks {
                self.take_out(&mut groups, blocks);
            }
        }
        standing
    }

    /// The blocks that are forgotten on the medium together with these.
    pub(crate) fn region_of(file_blocks: &Range<u64>) -> Range<u64> {
        let start = file_blocks.start / REGION_BLOCKS * REGION_BLOCKS;
        let end = file_blocks.end.next_multiple_of(REGION_BLOCKS);
        start..end.min(MAXIMUM_FILE_BLOCKS)
    }

    /// A record that is in the log says that the medium has none of the region's; blocks in it are
    /// about to change. Inside its transaction.
    pub(crate) fn begin_forgetting(
        &self,
        region: &Range<u64>,
        file_blocks: &[Range<u64>],
    ) -> Ticket {
        let mut groups = self.latch();
        groups.tickets += 1;
        let ticket = Ticket(groups.tickets);
        let Groups {
            by_number, changed, ..
        } = &mut *groups;
        for (number, group) in by_number.range_mut(groups_of(region)) {
            if group.standing == Standing::Stored {
                group.standing = Standing::Forgetting(ticket);
                changed.insert(*number);
            }
        }
        for blocks in file_blocks {
            self.take_out(&mut groups, blocks);
        }
        ticket
    }

    /// The record is durable.
    pub(crate) fn end_forgetting(&self, region: &Range<u64>, ticket: Ticket) {
        let mut groups = self.latch();
        for (_, group) in groups.by_number.range_mut(groups_of(region)) {
            if matches!(group.standing, Standing::Forgetting(begun) if begun <= ticket) {
                group.standing = Standing::Forgotten;
            }
        }
    }

    /// Blocks go, or the medium has forgotten them.
    pub(crate) fn forget(&self, file_blocks: &Range<u64>) {
        if self.has_any() && !file_blocks.is_empty() {
            self.take_out(&mut self.latch(), file_blocks);
        }
    }

    fn take_out(&self, groups: &mut Groups, file_blocks: &Range<u64>) {
        let Groups {
            by_number, changed, ..
        } = groups;
        let mut forgotten = 0;
        let mut empty = Vec::new();
        for (number, group) in by_number.range_mut(groups_of(file_blocks)) {
            let gone = group.bits & mask(*number, file_blocks);
            group.bits &= !gone;
            forgotten += u64::from(gone.count_ones());
            if gone > 0 && group.standing == Standing::Stored {
                changed.insert(*number);
            }
            if group.bits == 0 {
                empty.push(*number);
            }
        }
        for number in empty {
            by_number.remove(&number);
        }
        self.summed.fetch_sub(forgotten, Ordering::Relaxed);
    }

    /// Adds those of blocks that have come from `moved.start..` of `from` to `to` and after, by a
    /// record of which the medium knows as much: their groups are stored. Inside its transaction.
    pub(super) fn bring(&self, from: &Self, moved: &Range<u64>, to: u64) {
        let sums = from.within(moved).into_iter();
        self.arrive(sums.map(|(block, sum)| (block - moved.start + to, sum)));
    }

    fn arrive(&self, sums: impl Iterator<Item = (u64, u32)>) {
        let mut groups = self.latch();
        for (block, sum) in sums {
            let group = self.put(&mut groups, block, sum, Standing::Stored);
            // What else memory has of the group is right as well, and may be stored.
            group.standing = Standing::Stored;
            groups.changed.insert(block / CHECKSUM_GROUP_BLOCKS);
        }
    }

    /// Adds those of blocks that had none; all of the region are stored then.
    pub(crate) fn keep(&self, region: &Range<u64>, sums: impl IntoIterator<Item = (u64, u32)>) {
        let mut groups = self.latch();
        for (block, sum) in sums {
            self.put(&mut groups, block, sum, Standing::Forgotten);
            groups.changed.insert(block / CHECKSUM_GROUP_BLOCKS);
        }
        let Groups {
            by_number, changed, ..
        } = &mut *groups;
        for (number, group) in by_number.range_mut(groups_of(region)) {
            if group.standing != Standing::Stored {
                group.standing = Standing::Stored;
                changed.insert(*number);
            }
        }
    }

    /// Adds what the medium has.
    pub(crate) fn load(&self, stored: &StoredChecksums) {
        let mut groups = self.latch();
        for (block, sum) in stored.blocks() {
            self.put(&mut groups, block, sum, Standing::Stored);
        }
    }

    fn put<'groups>(
        &self,
        groups: &'groups mut Groups,
        file_block: u64,
        sum: u32,
        standing: Standing,
    ) -> &'groups mut Group {
        let number = file_block / CHECKSUM_GROUP_BLOCKS;
        let group = groups.by_number.entry(number).or_insert_with(|| Group {
            standing,
            bits: 0,
            sums: Box::new([0; CHECKSUM_GROUP_BLOCKS as usize]),
        });
        let place = file_block % CHECKSUM_GROUP_BLOCKS;
        if group.bits >> place & 1 == 0 {
            self.summed.fetch_add(1, Ordering::Relaxed);
        }
        group.bits |= 1 << place;
        group.sums[place as usize] = sum;
        group
    }

    /// How many blocks have one.
    pub(crate) fn summed_blocks(&self) -> u64 {
        self.summed.load(Ordering::Relaxed)
    }

    /// Whether the medium has all of a range, now or after the next checkpoint, that memory has.
    pub(crate) fn are_stored(&self, file_blocks: &Range<u64>) -> bool {
        let groups = self.latch();
        let mut touched = groups.by_number.range(groups_of(file_blocks));
        touched.all(|(_, group)| group.standing == Standing::Stored)
    }

    /// What the next checkpoint stores of a group; `None`: nothing.
    pub(crate) fn to_store(&self, number: u64) -> Option<StoredChecksums> {
        let groups = self.latch();
        let group = groups.by_number.get(&number)?;
        if group.standing != Standing::Stored {
            return None;
        }
        let has = |place: &usize| group.bits >> place & 1 == 1;
        let places = (0..CHECKSUM_GROUP_BLOCKS as usize).filter(has);
        Some(StoredChecksums {
            first_block: number * CHECKSUM_GROUP_BLOCKS,
            bits: group.bits,
            sums: places.map(|place| group.sums[place]).collect(),
        })
    }

    /// The groups that changed since the last call. The caller keeps transactions out.
    pub(crate) fn take_changed(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.latch().changed)
    }

    /// Puts back what [`Checksums::take_changed`] took, after a checkpoint that failed.
    pub(crate) fn restore_changed(&self, groups: BTreeSet<u64>) {
        self.latch().changed.extend(groups);
    }

    fn latch(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of the groups that the blocks are in.
fn groups_of(file_blocks: &Range<u64>) -> Range<u64> {
    let start = file_blocks.start / CHECKSUM_GROUP_BLOCKS;
    start..file_blocks.end.div_ceil(CHECKSUM_GROUP_BLOCKS).max(start)
}

/// Those blocks of a group that are in a range.
fn mask(number: u64, file_blocks: &Range<u64>) -> u128 {
    let first = number * CHECKSUM_GROUP_BLOCKS;
    let from = file_blocks
        .start
        .saturating_sub(first)
        .min(CHECKSUM_GROUP_BLOCKS);
    let to = file_blocks
        .end
        .saturating_sub(first)
        .min(CHECKSUM_GROUP_BLOCKS);
    let below = |place: u64| match place {
        CHECKSUM_GROUP_BLOCKS => u128::MAX,
        place => (1 << place) - 1,
    };
    below(to) & !below(from)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn summed(blocks: Range<u64>) -> Checksums {
        let checksums = Checksums::default();
        checksums.keep(
            &(0..REGION_BLOCKS),
            blocks.map(|block| (block, block as u32)),
        );
        checksums
    }

    fn begin_forgetting(checksums: &Checksums, blocks: Range<u64>) -> Ticket {
        checksums.begin_forgetting(&(0..REGION_BLOCKS), std::slice::from_ref(&blocks))
    }

    #[test]
    fn what_is_kept_is_there_and_what_is_forgotten_is_not() {
        let checksums = summed(100..300);
        assert_eq!((checksums.of(99), checksums.of(100)), (None, Some(100)));
        checksums.forget(&(127..257));
        let found: Vec<_> = (90..310)
            .filter(|block| checksums.of(*block).is_some())
            .collect();
        assert_eq!(found, (100..127).chain(257..300).collect::<Vec<_>>());
        assert_eq!(checksums.summed_blocks(), 27 + 43);
        checksums.forget(&(0..u64::MAX));
        assert!(!checksums.has_any());
    }

    #[test]
    fn a_change_needs_what_the_summed_blocks_among_it_need() {
        let checksums = summed(100..130);
        let forget = |blocks: Range<u64>| checksums.forget_unless_stored(&[blocks]);
        assert_eq!(forget(0..100), None);
        assert_eq!(forget(0..101), Some(Standing::Stored));
        assert_eq!(checksums.of(100), Some(100), "not yet");
        let region = Checksums::region_of(&(0..101));
        assert_eq!(region, 0..REGION_BLOCKS);
        let ticket = begin_forgetting(&checksums, 0..101);
        assert_eq!(checksums.of(100), None);
        assert_eq!(forget(129..500), Some(Standing::Forgetting(ticket)));
        checksums.end_forgetting(&region, ticket);
        assert_eq!(forget(128..500), Some(Standing::Forgotten));
        assert_eq!((checksums.of(127), checksums.of(128)), (Some(127), None));
    }

    /// One has waited for his own record, and not for that of another.
    #[test]
    fn a_record_that_came_later_is_not_durable_with_the_first() {
        let checksums = summed(100..130);
        let region = 0..REGION_BLOCKS;
        let first = begin_forgetting(&checksums, 100..101);
        checksums.bring(&summed(0..1), &(0..1), 110);
        let second = begin_forgetting(&checksums, 101..102);
        checksums.end_forgetting(&region, first);
        let standing = checksums.forget_unless_stored(&[110..111, 129..130]);
        assert_eq!(standing, Some(Standing::Forgetting(second)));
    }

    #[test]
    fn blocks_that_come_bring_theirs_and_are_stored() {
        let checksums = summed(100..130);
        checksums.take_changed();
        begin_forgetting(&checksums, 100..120);
        checksums.bring(&summed(5..8), &(4..7), 200);
        assert_eq!(
            [200, 201, 202, 203].map(|block| checksums.of(block)),
            [None, Some(5), Some(6), None]
        );
        assert_eq!(
            checksums.to_store(1).map(|stored| stored.sums),
            Some(vec![128, 129, 5, 6])
        );
        assert_eq!(checksums.to_store(0), None);
    }

    #[test]
    fn a_checkpoint_stores_what_stands_and_nothing_of_what_is_forgotten() {
        let checksums = summed(100..130);
        assert_eq!(checksums.take_changed(), BTreeSet::from([0, 1]));
        assert_eq!(
            checksums.to_store(1).map(|stored| stored.sums),
            Some(vec![128, 129])
        );
        checksums.begin_forgetting(&(0..REGION_BLOCKS), &[]);
        assert_eq!(checksums.to_store(1), None);
        assert_eq!(checksums.take_changed(), BTreeSet::from([0, 1]));
        assert!(!checksums.are_stored(&(0..500)));
        checksums.keep(&(0..REGION_BLOCKS), [(131, 7)]);
        assert!(checksums.are_stored(&(0..500)));
        assert_eq!(
            checksums.to_store(1).map(|stored| stored.sums),
            Some(vec![128, 129, 7])
        );
        // Blocks that go are stored without, by the record that takes them.
        checksums.take_changed();
        checksums.forget(&(128..200));
        assert_eq!(checksums.take_changed(), BTreeSet::from([1]));
        assert_eq!(checksums.to_store(1), None);
    }

    #[test]
    fn what_is_loaded_is_what_the_medium_has() {
        let before = summed(120..140);
        let after = Checksums::default();
        for group in [0, 1] {
            after.load(&before.to_store(group).unwrap());
        }
        assert!((120..140).all(|block| after.of(block) == Some(block as u32)));
        assert_eq!(
            (after.summed_blocks(), after.take_changed()),
            (20, BTreeSet::new())
        );
    }
}
