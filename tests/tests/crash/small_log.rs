//! The log goes round, and checkpoints are made because it is full: in the middle of workloads.

use daxfs_pmem::{Action, Event};
use daxfs_tests::crash::workload::{Core, Operation, Workload, ace, more};
use daxfs_tests::crash::{Counts, Limits};
use daxfs_tests::fixture::{Numbers, stress_factor};

use crate::driver::run;
use crate::oracle::check;

/// As `daxfs/src/format/image_geometry.rs` has it for the smallest images.
const LOG_BYTES: std::ops::Range<u64> = 2 * 4096..(2 + 256) * 4096;

#[test]
fn a_full_log_is_emptied_and_used_again() {
    // Each takes a 17th of the log, and as much again while it is made.
    const LARGE: usize = 24;
    let cores = [ace(), more()].concat();
    let large = Core::Plain(Operation::SetLargeAttribute("/foo"));
    let limits = Limits {
        all_up_to_states: 16,
        pairs_up_to_units: 0,
        most_sets: 12,
        random_states: 4,
        ..Limits::default()
    };
    let (mut total, mut checkpoints, mut laps) = (Counts::default(), 0, 0);
    for seed in 0..u64::from(stress_factor()) {
        let mut numbers = Numbers::new(seed);
        let mut sequence = Vec::new();
        for _ in 0..LARGE {
            sequence.extend([large, cores[numbers.below(cores.len() as u64) as usize]]);
        }
        let is_asked_for = |core: &Core| matches!(core, Core::Plain(Operation::Checkpoint));
        sequence.retain(|core| !is_asked_for(core));
        let run = run(&Workload::of(&sequence).synced());
        // One is of the unmounting.
        checkpoints += superblocks(&run.trace) - 1;
        laps += turns(&run.trace);
        let (counts, broken) = check(&run, &run.trace, &limits);
        assert_eq!(broken, None);
        total += counts;
    }
    println!("small log: {checkpoints} checkpoints, {laps} times round, {total}");
    assert!(checkpoints > 0 && laps > 0);
}

fn superblocks(trace: &[Event]) -> usize {
    let is_first_copy = |event: &&Event| {
        matches!(
            event.action,
            Action::Store {
                offset_bytes: 0,
                ..
            }
        )
    };
    trace.iter().filter(is_first_copy).count()
}

/// How often a record was written before the place of the one before it.
fn turns(trace: &[Event]) -> usize {
    let places = trace.iter().filter_map(|event| match event.action {
        Action::Stream { offset_bytes, .. } => {
            LOG_BYTES.contains(&offset_bytes).then_some(offset_bytes)
        }
        _ => None,
    });
    let places: Vec<u64> = places.collect();
    let is_back = |pair: &&[u64]| pair[1] + LOG_BYTES.end / 2 < pair[0];
    places.windows(2).filter(is_back).count()
}
