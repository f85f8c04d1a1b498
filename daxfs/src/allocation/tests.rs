//! The allocator against an oracle, and its policy.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const FIRST: u64 = 512;
const BLOCKS: u64 = 512 * 8 + 100;

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
    for run in allocator.take_pending() {
        allocator.free_now(run);
    }
    assert!(allocator.allocate_data(packed(0), 1).is_ok());
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

proptest! {
    #[test]
    fn no_block_is_ever_handed_out_twice(
        steps in proptest::collection::vec((0u8..4, 0u64..2000, 1u64..700), 1..200),
    ) {
        let allocator = Allocator::new(FIRST, BLOCKS, DataUnit::Block);
        let mut used = BTreeSet::new();
        let mut runs = Vec::new();
        for (action, file_block, count) in steps {
            let run = match action {
                0 => allocator.allocate_data(packed(file_block), count).ok(),
                1 => allocator.allocate_data(aligned(2, file_block), count).ok(),
                2 => allocator.allocate_metadata().ok().map(|block| Run::new(block, 1)),
                _ => {
                    if !runs.is_empty() {
                        let run: Run = runs.swap_remove(file_block as usize % runs.len());
                        allocator.free_now(run);
                        for block in run.block..run.end() {
                            prop_assert!(used.remove(&block));
                        }
                    }
                    None
                }
            };
            if let Some(run) = run {
                prop_assert!(run.len_blocks >= 1 && run.len_blocks <= count.max(1));
                for block in run.block..run.end() {
                    prop_assert!((FIRST..BLOCKS).contains(&block));
                    prop_assert!(used.insert(block), "block {block} handed out twice");
                }
                runs.push(run);
            }
            prop_assert_eq!(
                allocator.space().free_blocks,
                BLOCKS - FIRST - used.len() as u64
            );
        }
    }
}
