//! How many blocks may be taken, and by whom: exact, without a counter that all write to.
//!
//! # Why
//! Data may not take the last blocks, which are the metadata's, and nobody may be refused a block
//! that is there. One counter would say both, and every allocation of every shard would write to
//! it.
//!
//! # States
//! Free blocks are counted in one of three places: the metadata's *reserve*, the *credit* of a
//! shard, or what is *spare*. Who takes a block takes it from its shard's credit, under the shard's
//! latch; who gives one back adds it to what was *given* to the shard, which becomes credit when
//! that runs out. When there is too little or too much of both, some hundred blocks move from or to
//! the spare ones, under the pool's latch.
//!
//! ```text
//!             spare < low: all credit is called in, everybody goes through the pool
//!           +---------------------------------------------------------------------+
//!   roomy --+                                                                     +--> short
//!           +---------------------------------------------------------------------+
//!             spare >= 2 low
//! ```
//! While it is short, one latch orders all that is taken: what it then refuses is not there, and
//! what it grants is. So refusals are exact, and cost nothing while there is room.
//!
//! # Invariants
//! 1. `spare` + reserve + all credit and given blocks + what takers under way have been granted =
//!    free blocks, or fewer: blocks are marked free before they are counted. `spare` is negative
//!    when metadata has taken from the reserve.
//! 2. While roomy, `spare` >= 0 whenever the pool's latch is free: no shard's credit is of the
//!    reserve.
//! 3. While short, no shard has credit, and nobody takes blocks without the pool's latch. What is
//!    given to a shard comes to the pool before the giver returns.
//!
//! # Locking
//! The pool's latch, then a shard's. A shard's alone, where its credit is enough. `is_short`
//! changes under the pool's latch, before the shards' are taken in turn to call their credit in: so
//! whoever holds a shard's latch and reads `false` will have that shard called in after it.
//!
//! # Memory ordering
//! A giver adds to `given_blocks` and then reads `is_short`; whoever makes it short writes that and
//! then empties `given_blocks`. All four are sequentially consistent, so one of the two sees the
//! other, and nothing stays behind.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use super::shards::{Shard, Shards, Slot};
use crate::run::Run;

/// How many blocks move between a shard and the pool at once.
const BATCH_BLOCKS: u64 = 128;

pub(super) struct Budget {
    pub(super) shards: Shards,
    pool: CachePadded<Mutex<Pool>>,
    is_short: CachePadded<AtomicBool>,
    /// How often blocks came back when somebody may have been refused some.
    frees: CachePadded<AtomicU64>,
    low_blocks: i64,
}

struct Pool {
    spare_blocks: i64,
    /// What writing all metadata anew would take, as of the last checkpoint.
    reserve_blocks: u64,
    /// What has been added to it since, but for what shards have of their own.
    growth_blocks: u64,
}

/// What blocks are taken for, which says how many may be.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Whole units of so many blocks; not from the reserve.
    Data { unit_blocks: u64 },
    /// From the reserve too.
    Metadata,
}

/// Blocks that are free, and those of them that data may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) free_blocks: u64,
    pub(super) spare_blocks: i64,
}

impl Budget {
    pub(super) fn new(shards: Shards, free_blocks: u64) -> Self {
        let low_blocks = (shards.count() as u64 * BATCH_BLOCKS) as i64;
        let spare_blocks = free_blocks as i64;
        Self {
            shards,
            pool: CachePadded::new(Mutex::new(Pool {
                spare_blocks,
                reserve_blocks: 0,
                growth_blocks: 0,
            })),
            is_short: CachePadded::new(AtomicBool::new(spare_blocks < low_blocks)),
            frees: CachePadded::new(AtomicU64::new(0)),
            low_blocks,
        }
    }

    // ---- Taking and giving --------------------------------------------------------------------

    /// Lets `search` find at most `max_blocks` blocks, at least one, and counts those it found.
    /// `search` may be called again when it found none.
    ///
    /// # Errors
    /// How many blocks data may take, when there are none for `purpose`, or `search` found none.
    pub(super) fn take(
        &self,
        purpose: Purpose,
        max_blocks: u64,
        mut search: impl FnMut(&mut Shard, u64) -> Option<Run>,
    ) -> Result<Run, u64> {
        if let Some(run) = self.take_from_shard(max_blocks, &mut search) {
            return Ok(run);
        }
        let mut pool = self.pool();
        if let Some(run) = self.take_with_refill(&mut pool, max_blocks, &mut search) {
            return Ok(run);
        }
        self.become_short(&mut pool);
        let run = self.take_from_pool(&mut pool, purpose, max_blocks, &mut search);
        self.become_roomy(&mut pool);
        run
    }

    fn take_from_shard(
        &self,
        max_blocks: u64,
        search: &mut impl FnMut(&mut Shard, u64) -> Option<Run>,
    ) -> Option<Run> {
        let slot = self.shards.current();
        let mut shard = slot.lock();
        if self.is_short() || !has_credit(slot, &mut shard, max_blocks) {
            return None;
        }
        let run = search(&mut shard, max_blocks)?;
        shard.credit_blocks -= run.len_blocks;
        Some(run)
    }

    fn take_with_refill(
        &self,
        pool: &mut Pool,
        max_blocks: u64,
        search: &mut impl FnMut(&mut Shard, u64) -> Option<Run>,
    ) -> Option<Run> {
        if self.is_short() {
            return None;
        }
        let mut shard = self.shards.lock();
        if !pool.refill(&mut shard, max_blocks, self.low_blocks) {
            return None;
        }
        let run = search(&mut shard, max_blocks);
        shard.credit_blocks -= run.map_or(0, |run| run.len_blocks);
        pool.take_back(&mut shard);
        run
    }

    /// While short. The pool's latch is held throughout, so that nobody is refused what this caller
    /// was granted and did not take.
    fn take_from_pool(
        &self,
        pool: &mut Pool,
        purpose: Purpose,
        max_blocks: u64,
        search: &mut impl FnMut(&mut Shard, u64) -> Option<Run>,
    ) -> Result<Run, u64> {
        let spare_blocks = pool.spare_blocks.max(0) as u64;
        let wanted = max_blocks.min(match purpose {
            Purpose::Data { unit_blocks } => spare_blocks / unit_blocks * unit_blocks,
            Purpose::Metadata => pool.free_blocks(),
        });
        let run = match wanted {
            0 => None,
            _ => search(&mut self.shards.lock(), wanted),
        };
        let run = run.ok_or(spare_blocks)?;
        pool.spare_blocks -= run.len_blocks as i64;
        Ok(run)
    }

    /// Counts blocks that have become free, and are marked so.
    pub(super) fn give(&self, blocks: u64) {
        let slot = self.shards.current();
        let given_blocks = slot.given_blocks.fetch_add(blocks, Ordering::SeqCst) + blocks;
        if given_blocks <= BATCH_BLOCKS && !self.is_short() {
            return;
        }
        let mut pool = self.pool();
        pool.spare_blocks += slot.given_blocks.swap(0, Ordering::SeqCst) as i64;
        if self.is_short() {
            self.note_free();
            self.become_roomy(&mut pool);
        }
    }

    /// Counts blocks that are found in use.
    pub(super) fn use_up(&self, blocks: u64) {
        let mut pool = self.pool();
        pool.spare_blocks -= blocks as i64;
        self.check_low(&mut pool);
    }

    /// Whoever was refused blocks, and sees this change, may find some.
    pub(super) fn frees(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    /// Blocks came back that somebody may have been refused.
    pub(super) fn note_free(&self) {
        self.frees.fetch_add(1, Ordering::Relaxed);
    }

    // ---- The reserve --------------------------------------------------------------------------

    /// Keeps `blocks` more for metadata, or none.
    ///
    /// # Errors
    /// How many blocks could be kept.
    pub(super) fn grow_reserve(&self, blocks: u64) -> Result<(), u64> {
        {
            let slot = self.shards.current();
            let mut shard = slot.lock();
            if !self.is_short() && has_credit(slot, &mut shard, blocks) {
                keep(&mut shard, blocks);
                return Ok(());
            }
        }
        let mut pool = self.pool();
        if !self.is_short() {
            let mut shard = self.shards.lock();
            if pool.refill(&mut shard, blocks, self.low_blocks) {
                keep(&mut shard, blocks);
                return Ok(());
            }
        }
        self.become_short(&mut pool);
        let spare_blocks = pool.spare_blocks.max(0) as u64;
        let are_there = spare_blocks >= blocks;
        if are_there {
            pool.spare_blocks -= blocks as i64;
            pool.growth_blocks += blocks;
        }
        self.become_roomy(&mut pool);
        are_there.then_some(()).ok_or(spare_blocks)
    }

    /// Counts what was kept for growth so far with the reserve, apart from what is added later.
    pub(super) fn fold_reserve(&self) {
        let mut pool = self.pool();
        let mut growth_blocks = std::mem::take(&mut pool.growth_blocks);
        self.shards
            .for_each(|shard| growth_blocks += std::mem::take(&mut shard.growth_blocks));
        pool.reserve_blocks += growth_blocks;
    }

    /// Makes the reserve, but for what was added since it was folded, `blocks`.
    pub(super) fn set_reserve(&self, blocks: u64) {
        let mut pool = self.pool();
        let before = std::mem::replace(&mut pool.reserve_blocks, blocks);
        pool.spare_blocks += before as i64 - blocks as i64;
        if blocks < before {
            self.note_free();
        }
        self.check_low(&mut pool);
        self.become_roomy(&mut pool);
    }

    /// Whether anything was added to the reserve since it was folded.
    pub(super) fn has_growth(&self) -> bool {
        let mut growth_blocks = self.pool().growth_blocks;
        self.shards
            .for_each(|shard| growth_blocks += shard.growth_blocks);
        growth_blocks > 0
    }

    /// The sums.
    pub(super) fn totals(&self) -> Totals {
        let pool = self.pool();
        let (mut credit_blocks, mut growth_blocks) = (0, 0);
        for slot in self.shards.slots() {
            let shard = slot.lock();
            credit_blocks += shard.credit_blocks + slot.given_blocks.load(Ordering::SeqCst);
            growth_blocks += shard.growth_blocks;
        }
        Totals {
            free_blocks: pool.free_blocks() + credit_blocks + growth_blocks,
            spare_blocks: pool.spare_blocks + credit_blocks as i64,
        }
    }

    // ---- Roomy or short -----------------------------------------------------------------------

    fn is_short(&self) -> bool {
        self.is_short.load(Ordering::SeqCst)
    }

    fn check_low(&self, pool: &mut Pool) {
        if pool.spare_blocks < self.low_blocks {
            self.become_short(pool);
        }
    }

    /// Calls in all credit, unless that was done.
    fn become_short(&self, pool: &mut Pool) {
        if self.is_short.swap(true, Ordering::SeqCst) {
            return;
        }
        for slot in self.shards.slots() {
            let mut shard = slot.lock();
            pool.spare_blocks += std::mem::take(&mut shard.credit_blocks) as i64;
            pool.spare_blocks += slot.given_blocks.swap(0, Ordering::SeqCst) as i64;
            pool.growth_blocks += std::mem::take(&mut shard.growth_blocks);
        }
    }

    fn become_roomy(&self, pool: &mut Pool) {
        if pool.spare_blocks >= 2 * self.low_blocks && self.is_short() {
            self.is_short.store(false, Ordering::SeqCst);
            self.note_free();
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// What is neither credit nor granted to a taker; its reserve does not count what shards have
    /// added.
    fn free_blocks(&self) -> u64 {
        let reserve = self.reserve_blocks + self.growth_blocks;
        (self.spare_blocks + reserve as i64).max(0) as u64
    }

    /// Gives a shard enough credit for `blocks`, and some more, unless that would leave too little.
    fn refill(&mut self, shard: &mut Shard, blocks: u64, low_blocks: i64) -> bool {
        if shard.credit_blocks < blocks {
            let more = blocks - shard.credit_blocks + BATCH_BLOCKS;
            let left = self.spare_blocks.saturating_sub_unsigned(more);
            if left < low_blocks {
                return false;
            }
            self.spare_blocks = left;
            shard.credit_blocks += more;
        }
        true
    }

    /// Takes back what a shard has above its usual credit.
    fn take_back(&mut self, shard: &mut Shard) {
        let excess = shard.credit_blocks.saturating_sub(BATCH_BLOCKS);
        shard.credit_blocks -= excess;
        self.spare_blocks += excess as i64;
    }
}

/// Whether a shard has credit for `blocks`, with what was given to it.
fn has_credit(slot: &Slot, shard: &mut Shard, blocks: u64) -> bool {
    if shard.credit_blocks < blocks {
        shard.credit_blocks += slot.given_blocks.swap(0, Ordering::SeqCst);
    }
    shard.credit_blocks >= blocks
}

/// Turns credit, which is there, into reserve.
fn keep(shard: &mut Shard, blocks: u64) {
    shard.credit_blocks -= blocks;
    shard.growth_blocks += blocks;
}
