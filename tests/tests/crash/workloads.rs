//! The workloads, and all their crashes.

use daxfs_tests::crash::workload::{
    Core, Operation, Workload, ace, more, one_operation, random, two_operations,
};
use daxfs_tests::crash::{Counts, Limits};
use daxfs_tests::fixture::{Numbers, stress_factor};

use crate::driver::{possible, run};
use crate::oracle::check;

/// All operations that there are, of ACE's set and beyond.
fn cores() -> Vec<Core> {
    possible([ace(), more()].concat())
}

/// Checks all crashes of each workload, and says how much that was.
fn check_all(name: &str, workloads: &[Workload], limits: &Limits) {
    let mut total = Counts::default();
    for workload in workloads {
        let run = run(workload);
        let (counts, broken) = check(&run, &run.trace, limits);
        if let Some(broken) = broken {
            panic!("{workload}\n{broken}");
        }
        total += counts;
    }
    println!("{name}: {} workloads, {total}", workloads.len());
}

#[test]
fn one_operation_on_what_is_not_synced() {
    let workloads: Vec<_> = one_operation(&cores())
        .into_iter()
        .map(Workload::synced)
        .collect();
    check_all("one operation", &workloads, &Limits::default());
}

/// The operation works on what a checkpoint holds, and overwrites it.
#[test]
fn one_operation_on_what_is_synced() {
    let workloads: Vec<_> = cores().iter().map(|core| on_synced(*core)).collect();
    check_all(
        "one operation, synced before",
        &workloads,
        &Limits::default(),
    );
}

fn on_synced(core: Core) -> Workload {
    let mut workload = Workload::of(&[core]);
    let sync = Workload::of(&[Core::Plain(Operation::SyncAll)]).steps[0];
    workload.steps.insert(workload.last_core(), sync);
    workload.synced()
}

/// A sample; all in the slow tier.
#[test]
fn two_operations_in_a_row() {
    const SAMPLE: u64 = 30;
    let mut workloads: Vec<_> = two_operations(&cores())
        .into_iter()
        .map(Workload::synced)
        .collect();
    let all = workloads.len();
    if stress_factor() == 1 {
        let mut numbers = Numbers::new(2);
        workloads.retain(|_| numbers.below(all as u64) < SAMPLE);
    }
    check_all("two operations", &workloads, &few());
}

#[test]
fn random_workloads() {
    const OPERATIONS: usize = 15;
    let seeds = 0..4 * u64::from(stress_factor());
    let workloads: Vec<_> = seeds
        .map(|seed| random(&cores(), OPERATIONS, seed).synced())
        .collect();
    check_all("random", &workloads, &few());
}

/// What single operations are tried with in full is tried here in part.
fn few() -> Limits {
    Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 6,
        most_sets: 64,
        random_states: 8,
        ..Limits::default()
    }
}
