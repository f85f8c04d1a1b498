//! Which blocks are in use, and which are in use twice: one bit each per block.
//!
//! Claims come from many threads at once. Setting a bit tells whether it was set before, so of two
//! claims of one block exactly one finds it taken, whichever comes first; the block then has its
//! bit in `twice`. Who the owners are is found by a second look at all claims ([`shares`]), the
//! same list whatever the order.
//!
//! [`shares`]: super::shared::shares

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bits::Bits;
use super::owner::Owner;

/// Claims stop being followed when they add up to this many times the image: that many are made
/// only to waste time.
const CLAIM_LIMIT: u64 = 64;

/// Which blocks of an image are in use.
#[derive(Debug)]
pub(super) struct Ownership {
    block_count: u64,
    claimed: AtomicU64,
    /// Blocks in use.
    pub(super) used: Bits,
    /// Blocks in use by nodes.
    pub(super) nodes: Bits,
    /// Blocks in use more than once.
    pub(super) twice: Bits,
}

impl Ownership {
    /// All of an image's `block_count` blocks unused.
    pub(super) fn new(block_count: u64) -> Self {
        Self {
            block_count,
            claimed: AtomicU64::new(0),
            used: Bits::new(block_count),
            nodes: Bits::new(block_count),
            twice: Bits::new(block_count),
        }
    }

    /// Notes that `owner` uses the blocks of `range`, all of them within the image.
    pub(super) fn claim(&self, range: Range<u64>, owner: Owner) {
        let len_blocks = range.end.saturating_sub(range.start);
        // Relaxed: a limit, not a count that anything depends on.
        let before = self.claimed.fetch_add(len_blocks, Ordering::Relaxed);
        if before / CLAIM_LIMIT > self.block_count {
            return;
        }
        if owner == Owner::Tree {
            self.nodes.set(range.clone(), |_, _| {});
        }
        let twice = &self.twice;
        self.used
            .set(range, |word, mask| twice.set_word(word, mask));
    }

    /// Blocks in use by files and by nothing else, each counted once.
    pub(super) fn data_blocks(&self) -> u64 {
        self.used.count() - self.nodes.count()
    }
}
