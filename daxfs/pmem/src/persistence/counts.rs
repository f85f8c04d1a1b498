//! Counts of stores, flushes and fences, sharded so that threads do not share a cache line.
//!
//! See `shard` for why and how. Touches its own counters only. Takes no locks.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::shard;

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
pub(crate) enum Counted {
    Store,
    Flush,
    Fence,
}

const SHARDS: usize = 32;

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
    pub(crate) fn count(&self, event: Counted) {
        self.shards[shard::of_this_thread(SHARDS)].events[event as usize]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// The sums. Exact once the threads that counted have been joined, else a recent value.
    pub(crate) fn sample(&self) -> PersistenceCounts {
        let sum = |event: Counted| {
            let shards = self.shards.iter();
            shards
                .map(|shard| shard.events[event as usize].load(Ordering::Relaxed))
                .sum()
        };
        PersistenceCounts {
            stores: sum(Counted::Store),
            flushes: sum(Counted::Flush),
            fences: sum(Counted::Fence),
        }
    }
}
