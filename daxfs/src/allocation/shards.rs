//! What each shard of the threads has of its own, and which shard a caller is of.
//!
//! # Why by thread, and how
//! A thread that comes by again and again finds its latch free and its cache lines where it left
//! them. The number of the core it is on would do as well; asking for that costs more than a latch
//! (24 ns here), and a thread-local number is not to be had in a signal handler. But threads have
//! stacks, and stacks have addresses: those of threads started one after the other are evenly
//! spaced, and a product with the golden ratio spreads such addresses over the shards as evenly as
//! can be, whatever the distance. With four shards for each core, as many threads as there are
//! cores then have one each. A thread that takes some other shard now and then, on a signal stack
//! or deep in its own, is no harm.
//!
//! # Locking
//! A shard's latch; of several, only whoever holds the pool's takes more than one, one after the
//! other. Groups' latches and those of claims are taken inside it.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use super::claims::Segment;
use crate::run::Run;

const SHARDS_PER_CORE: usize = 4;
/// No shard has less of the device than this: where all are short, dividing it is of no use.
const GROUPS_PER_SHARD: usize = 8;
/// What stacks are apart at least, as a shift: 2 MiB, what Rust's threads have.
const STACK_SHIFT: u32 = 21;

/// How many shards there are, and how to find the caller's.
#[derive(Clone, Copy)]
pub(super) struct ShardChoice {
    pub(super) count: usize,
    /// The caller's part of the whole, in 2^-32.
    pub(super) current: fn() -> u32,
}

impl ShardChoice {
    /// For this machine, and a device of so many groups.
    pub(super) fn for_groups(groups: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let most = (groups / GROUPS_PER_SHARD).max(1);
        Self {
            count: (SHARDS_PER_CORE * cores).min(most),
            current: part_of_stack,
        }
    }
}

/// Differs between threads: from the place of a variable of theirs.
fn part_of_stack() -> u32 {
    let here = 0_u8;
    let stack = (std::ptr::from_ref(&here).addr() >> STACK_SHIFT) as u64;
    (stack.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

pub(super) struct Shards {
    choice: ShardChoice,
    slots: Box<[CachePadded<Slot>]>,
}

/// A shard's cache lines.
#[derive(Default)]
pub(super) struct Slot {
    /// Blocks given back and not yet counted as credit: giving is one addition, and no latch.
    pub(super) given_blocks: AtomicU64,
    latch: Mutex<Shard>,
}

/// What one shard has of its own: not shared, but for calling in its credit.
#[derive(Default)]
pub(super) struct Shard {
    /// Free blocks that may be taken here without asking anybody.
    pub(super) credit_blocks: u64,
    /// What has been added to the metadata's reserve here.
    pub(super) growth_blocks: u64,
    /// The group that small files are packed into here.
    pub(super) packed_group: usize,
    /// The group where the last whole one was found here.
    pub(super) whole_group: usize,
    /// The claim that was used last here, which may be over.
    pub(super) last_claim: Option<(Segment, usize)>,
    /// Given back, but a checkpoint may have them.
    pub(super) pending: Vec<Run>,
    pub(super) pending_blocks: u64,
    /// Stored blocks that no file owns any longer, for the next checkpoint.
    pub(super) withdrawn: Vec<Run>,
}

impl Shard {
    /// Keeps blocks from being taken before the next checkpoint.
    pub(super) fn wait_for_checkpoint(&mut self, run: Run) {
        if run.len_blocks > 0 {
            self.pending_blocks += run.len_blocks;
            self.pending.push(run);
        }
    }
}

impl Shards {
    /// Each begins its search in a part of the device of its own.
    pub(super) fn new(choice: ShardChoice, groups: usize) -> Self {
        let count = choice.count.max(1);
        let shard = |number: usize| {
            let first = number * groups / count;
            let shard = Shard {
                packed_group: first,
                whole_group: first,
                ..Shard::default()
            };
            CachePadded::new(Slot {
                latch: Mutex::new(shard),
                ..Slot::default()
            })
        };
        Self {
            choice,
            slots: (0..count).map(shard).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// The caller's.
    pub(super) fn current(&self) -> &Slot {
        let count = self.slots.len() as u64;
        let number = (u64::from((self.choice.current)()) * count) >> 32;
        &self.slots[number as usize]
    }

    /// The caller's shard.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.current().lock()
    }

    /// Each slot in turn.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|slot| &**slot)
    }

    /// Each shard in turn.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&mut Shard)) {
        for slot in self.slots() {
            visit(&mut slot.lock());
        }
    }
}

impl Slot {
    /// Numbers and lists that each method leaves consistent: a panic elsewhere spoils nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.latch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
