//! Which 2 MiB segment of which file claims which group.
//!
//! # Why a table of many latches
//! Faults and writes on different segments of one file look up different claims, so the table is
//! divided by segment. A group knows who claims it, too: so whoever goes on where it took the last
//! block does not ask the table ([`Shard::last_claim`](super::shards::Shard)). Closing a file ends
//! all its claims, wherever they are; a count by inode says beforehand that there are none, which
//! is so for all files that are small and not mapped.
//!
//! # Locking
//! One latch for each part of the table; a group's latch may be taken inside it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use super::groups::Groups;

const PARTS: usize = 64;
const COUNTS: usize = 256;

/// A segment of a file: its inode, and its number.
pub(super) type Segment = (u64, u64);

pub(super) struct Claims {
    parts: Box<[CachePadded<Part>]>,
    /// How many claims the inodes of one hash have, or more.
    counts: Box<[AtomicU32]>,
}

type Part = Mutex<HashMap<Segment, usize>>;

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| CachePadded::default()).collect(),
            counts: (0..COUNTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The group that `segment` claims, or else the one that `claim` finds for it.
    pub(super) fn find_or(
        &self,
        segment: Segment,
        claim: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        let mut part = self.part(segment);
        if let Some(group) = part.get(&segment) {
            return Some(*group);
        }
        let group = claim()?;
        // Relaxed: closing a file comes after all that is done with it, by the file's own locks.
        self.count(segment.0).fetch_add(1, Ordering::Relaxed);
        part.insert(segment, group);
        Some(group)
    }

    /// The claim of `segment` to `group` is over, if it is still there.
    pub(super) fn forget(&self, segment: Segment, group: usize) {
        let mut part = self.part(segment);
        if part.get(&segment) == Some(&group) {
            part.remove(&segment);
            self.count(segment.0).fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends all claims of `inode`.
    pub(super) fn release(&self, inode: u64, groups: &Groups) {
        let count = self.count(inode);
        if count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.retain(|&segment, &mut group| {
                let goes = segment.0 == inode;
                if goes {
                    groups.forget_claim(segment, group);
                    count.fetch_sub(1, Ordering::Relaxed);
                }
                !goes
            });
        }
    }

    fn part(&self, (inode, segment): Segment) -> MutexGuard<'_, HashMap<Segment, usize>> {
        let part = &self.parts[mixed(inode ^ segment.rotate_left(32)) % PARTS];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, inode: u64) -> &AtomicU32 {
        &self.counts[mixed(inode) % COUNTS]
    }
}

/// Spreads neighbours: the upper bits of a product with the golden ratio.
fn mixed(number: u64) -> usize {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
}
