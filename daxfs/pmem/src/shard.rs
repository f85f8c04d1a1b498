//! Which shard of a counter a thread uses, so that threads do not share a cache line.
//!
//! A word that all threads change would be the one contended line on a path that has no other. Each
//! thread therefore uses the shard that its stack's address picks: no thread-local variable is
//! needed, so a signal handler may do it. Two threads that pick one shard only slow each other
//! down. Touches nothing. Takes no locks.

/// Thread stacks lie at least this far apart (the smallest stack that a thread library gives out is
/// 16 KiB, the usual one megabytes), while one thread seldom leaves a block of this size.
const STACK_BLOCK_BITS: u32 = 16;

/// The shard, of so many, that this thread uses just now.
pub(crate) fn of_this_thread(shards: usize) -> usize {
    let on_stack = 0u8;
    let block = (&raw const on_stack).addr() as u64 >> STACK_BLOCK_BITS;
    // Fibonacci hashing: the golden ratio spreads addresses that differ by a power of two.
    (block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % shards
}
