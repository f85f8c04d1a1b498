//! Which blocks are in use, and which are in use twice: one bit each per block.
//!
//! Claims come from many threads at once. Setting a bit tells whether it was set before, so of two
//! claims of one block exactly one finds it taken, whichever comes first; the block then has its
//! bit in `shared`. Who the owners are is found by a second scan, in which nothing is claimed and
//! each owner of a shared block is noted ([`Ownership::begin_attribution`]): the same list whatever
//! the order.
//!
//! All operations are Relaxed: each bit is a fact by itself, and the bits are read only after the
//! scan has joined its threads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::issue::{Issue, Owner};
use crate::format::geometry::DATA_START_BLOCK;

const BITS: u64 = u64::BITS as u64;

/// Claims stop being followed when they add up to this many times the image: a sane image has at
/// most one claim a block, and one that was made to waste our time is known to be bad by then.
const CLAIM_LIMIT: u64 = 4;

/// Blocks that are shared, and one of their owners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    block: u64,
    end: u64,
    owner: Owner,
}

/// Which blocks of an image are in use.
#[derive(Debug)]
pub(super) struct Ownership {
    block_count: u64,
    claimed: AtomicU64,
    used: Vec<AtomicU64>,
    shared: Vec<AtomicU64>,
    /// `Some` while owners of shared blocks are being noted.
    shares: Option<Mutex<Vec<Share>>>,
}

impl Ownership {
    /// All of an image's `block_count` blocks unused.
    pub(super) fn new(block_count: u64) -> Self {
        let words = block_count.div_ceil(BITS) as usize;
        let zeroes = || {
            std::iter::repeat_with(AtomicU64::default)
                .take(words)
                .collect()
        };
        let claimed = AtomicU64::new(0);
        Self {
            block_count,
            claimed,
            used: zeroes(),
            shared: zeroes(),
            shares: None,
        }
    }

    /// Notes that `owner` uses the blocks of `range`, all of them within the image.
    pub(super) fn claim(&self, range: Range<u64>, owner: Owner) {
        let len_blocks = range.end.saturating_sub(range.start);
        let before = self.claimed.fetch_add(len_blocks, Ordering::Relaxed);
        if before / CLAIM_LIMIT > self.block_count {
            return;
        }
        match &self.shares {
            None => self.mark(range),
            Some(shares) => self.note_shared(range, owner, shares),
        }
    }

    fn mark(&self, range: Range<u64>) {
        for (word, mask) in masks(range) {
            let Some(used) = self.used.get(word) else {
                return;
            };
            let taken = used.fetch_or(mask, Ordering::Relaxed) & mask;
            if taken != 0
                && let Some(shared) = self.shared.get(word)
            {
                shared.fetch_or(taken, Ordering::Relaxed);
            }
        }
    }

    fn note_shared(&self, range: Range<u64>, owner: Owner, shares: &Mutex<Vec<Share>>) {
        let mut found: Option<Range<u64>> = None;
        for (word, mask) in masks(range) {
            let Some(shared) = self.shared.get(word) else {
                break;
            };
            let bits = shared.load(Ordering::Relaxed) & mask;
            if bits == 0 {
                continue;
            }
            let base = word as u64 * BITS;
            let first = base + u64::from(bits.trailing_zeros());
            let end = base + BITS - u64::from(bits.leading_zeros());
            // Shared blocks of one extent are reported as one range, with what lies between.
            found = Some(found.map_or(first, |range| range.start)..end);
        }
        if let Some(Range { start: block, end }) = found {
            shares.lock().push(Share { block, end, owner });
        }
    }

    /// Whether any block is used twice.
    pub(super) fn has_shared(&self) -> bool {
        self.shared
            .iter()
            .any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// From now on claims are not marked: those of shared blocks are noted with their owner.
    pub(super) fn begin_attribution(&mut self) {
        self.claimed = AtomicU64::new(0);
        self.shares = Some(Mutex::new(Vec::new()));
    }

    /// The shared blocks with the owners noted since [`Ownership::begin_attribution`].
    pub(super) fn shared_issues(&mut self) -> Vec<Issue> {
        let mut shares = self
            .shares
            .take()
            .map(Mutex::into_inner)
            .unwrap_or_default();
        shares.sort_unstable();
        let mut issues = Vec::new();
        let mut rest = shares.as_slice();
        while let Some(first) = rest.first() {
            let mut end = first.end;
            let mut len = 1;
            while let Some(next) = rest.get(len).filter(|next| next.block < end) {
                end = end.max(next.end);
                len += 1;
            }
            let (group, after) = rest.split_at(len);
            let mut owners = group.iter().map(|share| share.owner).collect::<Vec<_>>();
            owners.sort_unstable();
            owners.dedup();
            let len_blocks = end - first.block;
            issues.push(Issue::SharedBlocks {
                block: first.block,
                len_blocks,
                owners,
            });
            rest = after;
        }
        issues
    }

    /// Blocks of the data area that nothing uses.
    pub(super) fn free_blocks(&self) -> u64 {
        let used = self
            .used
            .iter()
            .map(|word| word.load(Ordering::Relaxed).count_ones());
        let used = used.map(u64::from).sum::<u64>();
        self.block_count
            .saturating_sub(DATA_START_BLOCK)
            .saturating_sub(used)
    }
}

/// The words of the bitmap that `range` touches, each with its bits.
fn masks(range: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    let words = range.start / BITS..range.end.div_ceil(BITS);
    words.map(move |word| {
        let base = word * BITS;
        let first = range.start.max(base) - base;
        // At least 1: the range reaches into this word, and at most 64.
        let len = range.end.min(base + BITS) - base - first;
        (word as usize, (u64::MAX >> (BITS - len)) << first)
    })
}
