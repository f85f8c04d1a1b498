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
//! What comes from elsewhere makes a group stored too, even while it is being forgotten: whoever
//! waits for the record waits for it all the same.
//!
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
    /// How many blocks have one.
    summed: Tally,
    /// How many groups there are: tells who needs no latch. Whoever must see one came to its file
    /// by a lock that who put it there has held.
    present: Tally,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    /// By number; those without any checksum are not here, unless they are being forgotten.
    by_number: BTreeMap<u64, Group>,
    /// Numbers of those that differ from the last checkpoint's.
    changed: BTreeSet<u64>,
    /// How many were given out.
    tickets: u64,
}

struct Group {
    /// Whether the medium has what memory has, now or after the next checkpoint; otherwise it has
    /// nothing, once the log is durable.
    is_stored: bool,
    /// The last record that made the medium forget, until it is durable.
    pending: Option<Ticket>,
    /// Which blocks have one.
    bits: u128,
    sums: Box<[u32; CHECKSUM_GROUP_BLOCKS as usize]>,
}

/// What the medium knows of blocks that are about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing, for good.
    Forgotten,
    /// Nothing, once the log is durable up to a record that says so.
    Forgetting(Ticket),
    /// A checksum of theirs, perhaps.
    Stored,
}

impl Group {
    /// What the medium knows of some of the blocks; `None` when that is nothing, and was so all
    /// along.
    fn standing(&self, blocks: u128) -> Option<Standing> {
        let has_some = self.bits & blocks > 0;
        match self.pending {
            _ if has_some && self.is_stored => Some(Standing::Stored),
            Some(ticket) => Some(Standing::Forgetting(ticket)),
            None => has_some.then_some(Standing::Forgotten),
        }
    }

    /// Those of some of the blocks, with their places in the group.
    fn sums(&self, blocks: u128) -> impl Iterator<Item = (u64, u32)> {
        let wanted = self.bits & blocks;
        let places = (0..CHECKSUM_GROUP_BLOCKS).filter(move |place| wanted >> place & 1 == 1);
        places.map(|place| (place, self.sums[place as usize]))
    }
}

/// Which of the records of one file that make the medium forget; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Checksums {
    /// Whether any block has one, or has had one of which the medium may still know.
    pub(crate) fn has_any(&self) -> bool {
        self.present.load(Ordering::Relaxed) > 0
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
    pub(crate) fn within(&self, file_blocks: &Range<u64>) -> Vec<(u64, u32)> {
        if !self.has_any() {
            return Vec::new();
        }
        let groups = self.latch();
        let mut found = Vec::new();
        for (number, group) in groups.by_number.range(groups_of(file_blocks)) {
            let first = number * CHECKSUM_GROUP_BLOCKS;
            let sums = group.sums(mask(*number, file_blocks));
            found.extend(sums.map(|(place, sum)| (first + place, sum)));
        }
        found
    }

    /// Blocks are about to change. Forgets them if the medium has nothing of them, for good or
    /// once the log is durable; says how it is: the standing that is furthest from forgotten of
    /// the groups that have checksums among them, or are being forgotten; `None` without such.
    pub(crate) fn forget_unless_stored(&self, file_blocks: &[Range<u64>]) -> Option<Standing> {
        if !self.has_any() {
            return None;
        }
        let mut groups = self.latch();
        let standings = file_blocks.iter().flat_map(|blocks| {
            let touched = groups.by_number.range(groups_of(blocks));
            touched.filter_map(|(number, group)| group.standing(mask(*number, blocks)))
        });
        let standing = standings.max();
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
            group.pending = Some(ticket);
            if std::mem::take(&mut group.is_stored) {
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
            group.pending.take_if(|pending| *pending <= ticket);
        }
        self.drop_empty(&mut groups, region);
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
        for (number, group) in by_number.range_mut(groups_of(file_blocks)) {
            let gone = group.bits & mask(*number, file_blocks);
            group.bits &= !gone;
            forgotten += u64::from(gone.count_ones());
            if gone > 0 && group.is_stored {
                changed.insert(*number);
            }
        }
        self.summed.fetch_sub(forgotten, Ordering::Relaxed);
        self.drop_empty(groups, file_blocks);
    }

    fn drop_empty(&self, groups: &mut Groups, file_blocks: &Range<u64>) {
        let is_over = |group: &Group| group.bits == 0 && group.pending.is_none();
        let touched = groups.by_number.range(groups_of(file_blocks));
        let empty = touched.filter(|(_, group)| is_over(group));
        for number in empty.map(|(number, _)| *number).collect::<Vec<_>>() {
            groups.by_number.remove(&number);
        }
        self.note_present(groups);
    }

    fn note_present(&self, groups: &Groups) {
        let present = groups.by_number.len() as u64;
        self.present.store(present, Ordering::Relaxed);
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
            // What else memory has of the group is right as well, and may be stored.
            self.put(&mut groups, block, sum).is_stored = true;
            groups.changed.insert(block / CHECKSUM_GROUP_BLOCKS);
        }
        self.note_present(&groups);
    }

    /// Adds those of blocks that had none; all of the region are stored then.
    pub(crate) fn keep(&self, region: &Range<u64>, sums: impl IntoIterator<Item = (u64, u32)>) {
        let mut groups = self.latch();
        for (block, sum) in sums {
            self.put(&mut groups, block, sum);
            groups.changed.insert(block / CHECKSUM_GROUP_BLOCKS);
        }
        let Groups {
            by_number, changed, ..
        } = &mut *groups;
        for (number, group) in by_number.range_mut(groups_of(region)) {
            if group.bits > 0 && !std::mem::replace(&mut group.is_stored, true) {
                changed.insert(*number);
            }
        }
        self.note_present(&groups);
    }

    /// Adds what the medium has.
    pub(crate) fn load(&self, stored: &StoredChecksums) {
        let mut groups = self.latch();
        for (block, sum) in stored.blocks() {
            self.put(&mut groups, block, sum).is_stored = true;
        }
        self.note_present(&groups);
    }

    fn put<'groups>(
        &self,
        groups: &'groups mut Groups,
        file_block: u64,
        sum: u32,
    ) -> &'groups mut Group {
        let number = file_block / CHECKSUM_GROUP_BLOCKS;
        let group = groups.by_number.entry(number).or_insert_with(|| Group {
            is_stored: false,
            pending: None,
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
        touched.all(|(_, group)| group.bits == 0 || group.is_stored)
    }

    /// What the next checkpoint stores of a group; `None`: nothing.
    pub(crate) fn to_store(&self, number: u64) -> Option<StoredChecksums> {
        let groups = self.latch();
        let group = groups.by_number.get(&number)?;
        if !group.is_stored || group.bits == 0 {
            return None;
        }
        Some(StoredChecksums {
            first_block: number * CHECKSUM_GROUP_BLOCKS,
            bits: group.bits,
            sums: group.sums(u128::MAX).map(|(_, sum)| sum).collect(),
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
mod tests;
