//! The allocator's policy, case by case.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`oracle`] | random operations on several shards against a naive model |
//! | [`threads`] | threads at once: what may never happen, however they meet |
//! | this file | policy, and when a freed block is free |

mod oracle;
mod threads;

use std::cell::Cell;
use std::sync::atomic::AtomicU32;

use super::*;

const FIRST: u64 = 512;
const BLOCKS: u64 = 512 * 8 + 100;

thread_local! {
    /// Where [`on_set_shard`] has the thread.
    static SHARD: Cell<u32> = const { Cell::new(0) };
}

/// The thread is of shard `number` of `count` from now on.
fn enter_shard(number: usize, count: usize) {
    SHARD.set(((number as u64) << 32).div_ceil(count as u64) as u32);
}

/// Each thread is of the shard that it has entered.
fn on_set_shard(count: usize) -> ShardChoice {
    ShardChoice {
        count,
        current: || SHARD.get(),
    }
}

/// A thread is of another shard whenever it looks, in the middle of a call too.
fn on_changing_shard(count: usize) -> ShardChoice {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    ShardChoice {
        count,
        current: || NEXT.fetch_add(0x5555_5556, Ordering::Relaxed),
    }
}

fn on_one_core(first_block: u64, block_count: u64) -> Allocator {
    Allocator::with_shards(first_block, block_count, DataUnit::Block, on_set_shard(1))
}

fn packed(file_block: u64) -> Goal {
    Goal {
        inode: 1,
        file_block,
        placement: Placement::Packed,
    }
}

fn aligned(inode: u64, file_block: u64) -> Goal {
    Goal {
        inode,
        file_block,
        placement: Placement::Aligned,
    }
}

#[test]
fn a_segment_filled_backwards_becomes_one_aligned_run() {
    let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Block);
    let mut blocks: Vec<u64> = (0..GROUP_BLOCKS)
        .rev()
        .map(|page| allocator.allocate_data(aligned(1, page), 1).unwrap().block)
        .collect();
    blocks.reverse();
    assert_eq!(blocks[0] % GROUP_BLOCKS, 0);
    assert!(blocks.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn small_files_stay_out_of_claimed_groups_while_there_is_room() {
    let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Block);
    let claimed = allocator.allocate_data(aligned(1, 0), 1).unwrap().block / GROUP_BLOCKS;
    for n in 0..100 {
        let run = allocator.allocate_data(packed(n), 1).unwrap();
        assert_ne!(run.block / GROUP_BLOCKS, claimed);
    }
}

#[test]
fn claims_are_ignored_rather_than_fail() {
    let allocator = Allocator::new(FIRST, 1024, DataUnit::Block);
    allocator.allocate_data(aligned(1, 0), 1).unwrap();
    for n in 0..511 {
        allocator.allocate_data(packed(n), 1).unwrap();
    }
    assert!(matches!(
        allocator.allocate_data(packed(0), 1),
        Err(Error::NoSpace {
            available_blocks: 0,
            ..
        })
    ));
}

#[test]
fn large_requests_get_whole_groups() {
    let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Block);
    let run = allocator.allocate_data(packed(0), 1024).unwrap();
    assert_eq!((run.block % GROUP_BLOCKS, run.len_blocks), (0, 1024));
}

#[test]
fn data_cannot_take_the_reserve_and_metadata_can() {
    let allocator = Allocator::new(FIRST, 1024, DataUnit::Block);
    allocator.set_reserve(500);
    let mut taken = 0;
    while let Ok(run) = allocator.allocate_data(packed(taken), 512) {
        taken += run.len_blocks;
    }
    assert_eq!(taken, 12);
    assert!(allocator.grow_reserve(1).is_err());
    for _ in 0..500 {
        allocator.allocate_metadata().unwrap();
    }
    assert!(allocator.allocate_metadata().is_err());
}

#[test]
fn a_unit_of_a_group_gives_whole_groups_only() {
    let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Group);
    allocator.allocate_metadata().unwrap();
    let mut groups = 0;
    while let Ok(run) = allocator.allocate_data(packed(0), GROUP_BLOCKS) {
        assert_eq!(
            (run.block % GROUP_BLOCKS, run.len_blocks),
            (0, GROUP_BLOCKS)
        );
        groups += 1;
    }
    assert_eq!(
        groups, 7,
        "eight groups less the head; the metadata went to the short tail"
    );
}

#[test]
fn pending_blocks_are_not_reused_before_they_are_freed() {
    let allocator = Allocator::new(FIRST, 1024, DataUnit::Block);
    let run = allocator.allocate_data(packed(0), 512).unwrap();
    allocator.free_after_checkpoint([run]);
    assert!(allocator.has_pending());
    assert!(allocator.allocate_data(packed(0), 1).is_err());
    allocator.free_pending(&allocator.take_pending());
    assert!(allocator.allocate_data(packed(0), 1).is_ok());
}

#[test]
fn a_block_that_came_and_went_is_free_at_once_and_no_checkpoint_hears_of_it() {
    let allocator = on_one_core(FIRST, BLOCKS);
    let before = allocator.space();
    let run = allocator.allocate_data(packed(0), 3).unwrap();
    allocator.note_published(run);
    allocator.note_withdrawn(&[run]);
    assert_eq!(
        allocator.space().free_blocks,
        before.free_blocks - 3,
        "not free before nobody can reach it"
    );
    allocator.free_withdrawn([run]);
    assert_eq!(allocator.space(), before);
    assert!(!allocator.has_pending());
    let changes = allocator.take_changes();
    assert_eq!((changes.published, changes.withdrawn), (vec![], vec![]));
    assert_eq!(allocator.allocate_data(packed(0), 3).unwrap(), run);
}

#[test]
fn a_block_that_a_checkpoint_took_along_waits_for_the_next() {
    let allocator = on_one_core(FIRST, BLOCKS);
    let run = allocator.allocate_data(packed(0), 3).unwrap();
    let (stays, goes) = run.split_at(1);
    allocator.note_published(run);
    // Whether it succeeds is not known yet.
    assert_eq!(allocator.take_changes().published, [run]);
    allocator.note_withdrawn(&[goes]);
    allocator.free_withdrawn([goes]);
    assert_ne!(allocator.allocate_data(packed(0), 1).unwrap(), goes);
    let changes = allocator.take_changes();
    assert_eq!((changes.published, changes.withdrawn), (vec![], vec![goes]));
    allocator.free_pending(&allocator.take_pending());
    let again = allocator.allocate_data(packed(0), 1).unwrap();
    assert_eq!((again.block, stays.end()), (goes.block, goes.block));
}

/// **Danger.** A checkpoint takes a block for its tree that came and went after it had begun. The
/// records that gave the block to a file are replayed on top of that tree.
#[test]
fn a_block_that_comes_and_goes_beside_a_checkpoint_is_not_taken_by_it() {
    let allocator = on_one_core(FIRST, BLOCKS);
    assert!(allocator.take_changes().published.is_empty());
    let run = allocator.allocate_data(packed(0), 1).unwrap();
    allocator.note_published(run);
    allocator.note_withdrawn(&[run]);
    allocator.free_withdrawn([run]);
    assert_ne!(allocator.allocate_metadata().unwrap(), run.block);
    assert_eq!(allocator.take_pending(), [run]);

    allocator.end_checkpoint();
    let run = allocator.allocate_data(packed(0), 1).unwrap();
    allocator.note_published(run);
    allocator.note_withdrawn(&[run]);
    allocator.free_withdrawn([run]);
    assert!(!allocator.has_pending(), "no checkpoint is under way");
}

#[test]
fn where_records_wait_for_a_sync_freed_blocks_wait_for_a_checkpoint() {
    let allocator = on_one_core(FIRST, BLOCKS);
    allocator.defer_frees();
    let run = allocator.allocate_data(packed(0), 1).unwrap();
    allocator.note_published(run);
    allocator.note_withdrawn(&[run]);
    allocator.free_withdrawn([run]);
    assert_ne!(allocator.allocate_data(packed(0), 1).unwrap(), run);
    assert_eq!(allocator.take_pending(), [run]);
}

/// The group of the next block of a small file in one of two shards.
fn packed_group(allocator: &Allocator, shard: usize) -> u64 {
    enter_shard(shard, 2);
    allocator.allocate_data(packed(0), 1).unwrap().block / GROUP_BLOCKS
}

#[test]
fn shards_pack_into_groups_of_their_own_while_there_are_many() {
    let blocks = 100 * GROUP_BLOCKS;
    let allocator = Allocator::with_shards(0, blocks, DataUnit::Block, on_set_shard(2));
    let groups = [0, 1].map(|shard| packed_group(&allocator, shard));
    assert_ne!(groups[0], groups[1]);
    for _ in 0..100 {
        assert_eq!([0, 1].map(|shard| packed_group(&allocator, shard)), groups);
    }
}

#[test]
fn shards_share_a_group_rather_than_break_up_the_last_whole_ones() {
    let blocks = 4 * GROUP_BLOCKS;
    let allocator = Allocator::with_shards(0, blocks, DataUnit::Block, on_set_shard(2));
    let first = packed_group(&allocator, 0);
    for n in 1..GROUP_BLOCKS as usize {
        assert_eq!(packed_group(&allocator, n % 2), first);
    }
}

#[test]
fn closing_a_file_ends_its_claims_and_no_others() {
    let allocator = on_one_core(0, 4 * GROUP_BLOCKS);
    for (inode, segment) in [(1, 0), (1, 7), (2, 0), (3, 0)] {
        let goal = aligned(inode, segment * GROUP_BLOCKS);
        allocator.allocate_data(goal, 1).unwrap();
    }
    allocator.release_claims(1);
    let packed_blocks = 2 * (GROUP_BLOCKS - 1);
    for n in 0..packed_blocks {
        let run = allocator.allocate_data(packed(n), 1).unwrap();
        let is_claimed = allocator.space.groups.is_claimed(run.block);
        assert!(!is_claimed, "block {n} was taken from a claimed group");
    }
    let run = allocator.allocate_data(packed(packed_blocks), 1).unwrap();
    assert!(allocator.space.groups.is_claimed(run.block));
}

#[test]
fn blocks_out_of_bounds_or_used_twice_are_named() {
    let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Block);
    assert_eq!(allocator.mark_used(Run::new(FIRST - 1, 1)), Err(FIRST - 1));
    assert_eq!(allocator.mark_used(Run::new(BLOCKS - 1, 2)), Err(BLOCKS));
    assert_eq!(allocator.mark_used(Run::new(u64::MAX, 2)), Err(u64::MAX));
    allocator.mark_used(Run::new(600, 10)).unwrap();
    assert_eq!(allocator.mark_used(Run::new(590, 20)), Err(600));
}
