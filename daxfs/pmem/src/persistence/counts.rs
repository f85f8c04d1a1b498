//! Counts of stores, flushes and fences, sharded so that threads do not share a cache line.
//!
//! A counter that all threads increment would be the one contended line on a data path that has no
//! other. Each thread therefore counts in the shard that its stack's address picks: no
//! thread-local variable is needed, so counting may happen in a signal handler. Two threads that
//! pick one shard only slow each other down. Touches its own counters only. Takes no locks.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// How often a device was stored to, flushed and fenced since it was opened.
///
/// Bulk copies are not counted as stores: they are counted by the fence that ends them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PersistenceCounts {
    /// Calls of [`Device::store`](crate::Device::store).
    pub stores: u64,
    /// Calls of [`Device::flush`](crate::Device::flush) and `flush_range`.
    pub flushes: u64,
    /// Calls of [`Device::fence`](crate::Device::fence).
    pub fences: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Store,
    Flush,
    Fence,
}

const SHARDS: usize = 32;

/// Thread stacks lie at least this far apart (the smallest stack that a thread library gives out is
/// 16 KiB, the usual one megabytes), while one thread seldom leaves a block of this size.
const STACK_BLOCK_BITS: u32 = 16;

#[derive(Debug, Default)]
struct Shard {
    events: [AtomicU64; 3],
}

/// The counters of one device.
#[derive(Debug, Default)]
pub(crate) struct ShardedCounts {
    shards: [CachePadded<Shard>; SHARDS],
}

impl ShardedCounts {
    pub(crate) fn count(&self, event: Event) {
        self.shards[shard_of_this_thread()].events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The sums. Exact once the threads that counted have been joined, else a recent value.
    pub(crate) fn sample(&self) -> PersistenceCounts {
        let sum = |event: Event| {
            let shards = self.shards.iter();
            shards
                .map(|shard| shard.events[event as usize].load(Ordering::Relaxed))
                .sum()
        };
        PersistenceCounts {
            stores: sum(Event::Store),
            flushes: sum(Event::Flush),
            fences: sum(Event::Fence),
        }
    }
}

fn shard_of_this_thread() -> usize {
    let on_stack = 0u8;
    let block = (&raw const on_stack).addr() as u64 >> STACK_BLOCK_BITS;
    // Fibonacci hashing: the golden ratio spreads addresses that differ by a power of two.
    (block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize % SHARDS
}
