//! Threads that allocate and free at once. What is asserted holds however they meet: no block has
//! two owners, none is lost, data never takes the reserve, and nobody is refused what is there.

use std::sync::RwLock;
use std::sync::atomic::AtomicBool;

use super::*;

const THREADS: u64 = 4;
const ROUNDS: u64 = 3_000;

/// Who has which block.
struct Owners(Vec<AtomicBool>);

impl Owners {
    fn new(blocks: u64) -> Self {
        Self((0..blocks).map(|_| AtomicBool::new(false)).collect())
    }

    fn got(&self, run: Run) {
        for block in run.block..run.end() {
            let had = self.0[block as usize].swap(true, Ordering::AcqRel);
            assert!(!had, "block {block} has two owners");
        }
    }

    fn gives(&self, run: Run) {
        for block in run.block..run.end() {
            self.0[block as usize].store(false, Ordering::Release);
        }
    }
}

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 33) % below
}

/// As a filesystem with checkpoints does it, on a device that is full most of the time.
#[test]
fn no_block_has_two_owners_and_none_is_lost() {
    let allocator = Allocator::with_shards(FIRST, BLOCKS, DataUnit::Block, on_set_shard(3));
    let owners = Owners::new(BLOCKS);
    let gate = RwLock::new(());
    let at_start = allocator.space();
    let work = |thread: u64| {
        enter_shard(thread as usize % 3, 3);
        let (mut seed, mut runs) = (thread, Vec::new());
        for round in 0..ROUNDS {
            let goal = match round % 3 {
                0 => aligned(thread, random(&mut seed, 2048)),
                _ => packed(round),
            };
            if let Ok(run) = allocator.allocate_data(goal, 1 + random(&mut seed, 40)) {
                owners.got(run);
                let _inside = gate.read().unwrap();
                allocator.note_published(run);
                runs.push(run);
            }
            if random(&mut seed, 8) > 3 && !runs.is_empty() {
                let run = runs.swap_remove(random(&mut seed, runs.len() as u64) as usize);
                {
                    let _inside = gate.read().unwrap();
                    allocator.note_withdrawn(&[run]);
                }
                owners.gives(run);
                allocator.free_withdrawn([run]);
            }
            if round % 64 == thread {
                let freed = {
                    let _closed = gate.write().unwrap();
                    allocator.take_changes();
                    allocator.take_pending()
                };
                allocator.free_pending(&freed);
                allocator.end_checkpoint();
            }
        }
        for run in runs {
            allocator.note_withdrawn(&[run]);
            owners.gives(run);
            allocator.free_withdrawn([run]);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
    allocator.free_pending(&allocator.take_pending());
    assert_eq!(allocator.space(), at_start);
    let mut left = at_start.free_blocks;
    while let Ok(run) = allocator.allocate_data(packed(0), GROUP_BLOCKS) {
        left -= run.len_blocks;
    }
    assert_eq!(left, 0, "blocks that are counted free are found");
}

/// All together want exactly what there is above the reserve: one refusal, and somebody was denied
/// a block that was there; one grant too many, and it came out of the reserve.
#[test]
fn nobody_is_refused_what_is_there_nor_given_what_is_reserved() {
    const EACH: u64 = 150;
    const RESERVE: u64 = 300;
    let blocks = FIRST + THREADS * EACH + RESERVE;
    let allocator = Allocator::with_shards(FIRST, blocks, DataUnit::Block, on_changing_shard(3));
    allocator.set_reserve(RESERVE);
    let owners = Owners::new(blocks);
    let work = |thread: u64| {
        let mut seed = thread;
        for _ in 0..ROUNDS / 20 {
            let mut runs: Vec<Run> = Vec::new();
            let mut wanted = EACH;
            while wanted > 0 {
                let max_blocks = wanted.min(1 + random(&mut seed, 60));
                let goal = packed(1 + random(&mut seed, 500));
                let run = allocator
                    .allocate_data(goal, max_blocks)
                    .expect("the blocks are there");
                owners.got(run);
                wanted -= run.len_blocks;
                runs.push(run);
            }
            for run in runs {
                owners.gives(run);
                allocator.free_now(run);
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
    let mut taken = 0;
    while let Ok(run) = allocator.allocate_data(packed(0), 7) {
        taken += run.len_blocks;
    }
    assert_eq!(taken, THREADS * EACH);
    for _ in 0..RESERVE {
        allocator
            .allocate_metadata()
            .expect("metadata has the rest");
    }
}
