//! Random operations, each in another shard than the one before, against a model without any: sets
//! of blocks, and a number for the reserve. What is refused and what is granted must agree exactly.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Eight groups: so few that the allocator is short of blocks again and again.
const SHARDS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Data { goal: Goal, max_blocks: u64 },
    Metadata,
    FreeHeld(usize),
    Publish(usize),
    Withdraw { owned: usize, keep_blocks: u64 },
    Checkpoint { reserve_blocks: u64 },
    FailedCheckpoint,
    GrowReserve(u64),
    Close(u64),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let goal = (1u64..4, 0u64..2000, any::<bool>()).prop_map(|(inode, file_block, is_aligned)| {
        match is_aligned {
            true => aligned(inode, file_block),
            false => packed(file_block),
        }
    });
    let data = (goal, 1u64..700).prop_map(|(goal, max_blocks)| Step::Data { goal, max_blocks });
    let withdraw = (any::<usize>(), 0u64..3)
        .prop_map(|(owned, keep_blocks)| Step::Withdraw { owned, keep_blocks });
    let checkpoint = (0u64..600).prop_map(|reserve_blocks| Step::Checkpoint { reserve_blocks });
    let step = prop_oneof![
        6 => data,
        2 => Just(Step::Metadata),
        2 => any::<usize>().prop_map(Step::FreeHeld),
        6 => any::<usize>().prop_map(Step::Publish),
        4 => withdraw,
        1 => checkpoint,
        1 => Just(Step::FailedCheckpoint),
        1 => (1u64..200).prop_map(Step::GrowReserve),
        1 => (1u64..4).prop_map(Step::Close),
    ];
    proptest::collection::vec((0..SHARDS, step), 1..200)
}

#[derive(Default)]
struct Model {
    used: BTreeSet<u64>,
    /// Taken by a checkpoint, durable or not.
    stored: BTreeSet<u64>,
    pending: BTreeSet<u64>,
    held: Vec<Run>,
    published: Vec<Run>,
    /// What the space map on the medium has.
    medium: BTreeSet<u64>,
    reserve_blocks: u64,
    is_deferred: bool,
}

impl Model {
    fn free_blocks(&self) -> u64 {
        BLOCKS - FIRST - self.used.len() as u64
    }

    fn available_blocks(&self) -> u64 {
        self.free_blocks().saturating_sub(self.reserve_blocks)
    }

    fn got(&mut self, run: Run, max_blocks: u64) -> Result<(), TestCaseError> {
        prop_assert!(run.len_blocks >= 1 && run.len_blocks <= max_blocks);
        for block in blocks(run) {
            prop_assert!((FIRST..BLOCKS).contains(&block));
            prop_assert!(self.used.insert(block), "block {} handed out twice", block);
        }
        self.held.push(run);
        Ok(())
    }

    fn withdrew(&mut self, run: Run) {
        for block in blocks(run) {
            if self.stored.contains(&block) || self.is_deferred {
                self.pending.insert(block);
            } else {
                self.used.remove(&block);
            }
        }
    }

    fn cut(&mut self) {
        self.stored
            .extend(self.published.iter().copied().flat_map(blocks));
    }

    /// A checkpoint with `changes` is durable, and what was pending is free.
    fn checkpointed(&mut self, changes: &SpaceChanges) -> Result<(), TestCaseError> {
        for block in changes.published.iter().copied().flat_map(blocks) {
            prop_assert!(self.medium.insert(block), "published twice: {}", block);
        }
        for block in changes.withdrawn.iter().copied().flat_map(blocks) {
            prop_assert!(self.medium.remove(&block), "withdrawn twice: {}", block);
        }
        let owned: BTreeSet<u64> = self.published.iter().copied().flat_map(blocks).collect();
        prop_assert_eq!(&self.medium, &owned);
        for block in std::mem::take(&mut self.pending) {
            self.used.remove(&block);
            self.stored.remove(&block);
        }
        Ok(())
    }
}

fn blocks(run: Run) -> std::ops::Range<u64> {
    run.block..run.end()
}

fn pick(runs: &mut Vec<Run>, number: usize) -> Option<Run> {
    (!runs.is_empty()).then(|| runs.swap_remove(number % runs.len()))
}

fn perform(allocator: &Allocator, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Data { goal, max_blocks } => match allocator.allocate_data(goal, max_blocks) {
            Ok(run) => {
                prop_assert!(run.len_blocks <= model.available_blocks(), "of the reserve");
                model.got(run, max_blocks)?;
            }
            Err(_) => prop_assert_eq!(model.available_blocks(), 0),
        },
        Step::Metadata => match allocator.allocate_metadata() {
            Ok(block) => model.got(Run::new(block, 1), 1)?,
            Err(_) => prop_assert_eq!(model.free_blocks(), 0),
        },
        Step::FreeHeld(number) => {
            if let Some(run) = pick(&mut model.held, number) {
                allocator.free_now(run);
                model.used.retain(|block| !blocks(run).contains(block));
            }
        }
        Step::Publish(number) => {
            if let Some(run) = pick(&mut model.held, number) {
                allocator.note_published(run);
                model.published.push(run);
            }
        }
        Step::Withdraw { owned, keep_blocks } => {
            if let Some(run) = pick(&mut model.published, owned) {
                let (keeps, goes) = run.split_at(keep_blocks);
                allocator.note_withdrawn(&[goes]);
                allocator.free_withdrawn([goes]);
                model.withdrew(goes);
                model
                    .published
                    .extend((keeps.len_blocks > 0).then_some(keeps));
            }
        }
        Step::Checkpoint { reserve_blocks } => {
            allocator.fold_reserve();
            let (changes, freed) = (allocator.take_changes(), allocator.take_pending());
            model.cut();
            model.checkpointed(&changes)?;
            allocator.free_pending(&freed);
            allocator.end_checkpoint();
            allocator.set_reserve(reserve_blocks);
            model.reserve_blocks = reserve_blocks;
        }
        Step::FailedCheckpoint => {
            allocator.fold_reserve();
            let (changes, freed) = (allocator.take_changes(), allocator.take_pending());
            model.cut();
            allocator.restore_changes(changes);
            allocator.restore_pending(freed);
            allocator.end_checkpoint();
        }
        Step::GrowReserve(more_blocks) => {
            let is_there = model.available_blocks() >= more_blocks;
            prop_assert_eq!(allocator.grow_reserve(more_blocks).is_ok(), is_there);
            model.reserve_blocks += if is_there { more_blocks } else { 0 };
        }
        Step::Close(inode) => allocator.release_claims(inode),
    }
    let free_blocks = model.free_blocks() + model.pending.len() as u64;
    let expected = FreeSpace {
        free_blocks,
        available_blocks: free_blocks.saturating_sub(model.reserve_blocks),
    };
    prop_assert_eq!(allocator.space(), expected);
    prop_assert_eq!(allocator.has_pending(), !model.pending.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn it_agrees_with_a_model_that_has_no_shards(
        steps in steps(), is_deferred: bool, is_moving: bool,
    ) {
        let choice = match is_moving {
            true => on_changing_shard(SHARDS),
            false => on_set_shard(SHARDS),
        };
        let allocator = Allocator::with_shards(FIRST, BLOCKS, DataUnit::Block, choice);
        let mut model = Model { is_deferred, ..Model::default() };
        if is_deferred {
            allocator.defer_frees();
        }
        for (shard, step) in steps {
            enter_shard(shard, SHARDS);
            perform(&allocator, &mut model, step)?;
        }
    }
}
