//! A block that one file gave up and another got, with no checkpoint between the two.
//!
//! What must not be: the bytes of the new owner in the file of the old one. They would show after a
//! crash that has them and not the record that took the block away.

use std::collections::BTreeSet;

use daxfs_pmem::{Action, Event};
use daxfs_tests::crash::workload::{Core, Length, Means, Operation, Place, Workload};
use daxfs_tests::crash::{Counts, Damage, Limits, damaged, is_fence};

use crate::driver::{Run, run};
use crate::oracle::check;

const OLD: &str = "/foo";
const NEW: &str = "/bar";
/// Where the blocks of data begin in the smallest image.
const DATA_BYTES: u64 = 512 * 4096;

/// Ways to give up a block that came since the last checkpoint, each before a write of another file
/// that gets the block.
fn workloads() -> Vec<Workload> {
    let ways = [
        Core::Plain(Operation::Truncate(OLD, 0)),
        Core::Punch(OLD, Place::MiddleBlock),
        Core::Collapse(OLD),
    ];
    ways.map(|way| sequence(&[way])).to_vec()
}

/// More ways to give up blocks.
fn more_workloads() -> Vec<Workload> {
    let other = Core::Write("/A/foo", Place::End, Means::Write);
    let replace = Core::Plain(Operation::Rename("/A/foo", OLD));
    let zero = Core::Zero(OLD, Place::MiddleBlock, Length::Kept);
    let unlink = Core::Plain(Operation::Unlink(OLD));
    vec![
        sequence(&[unlink]),
        sequence(&[other, replace]),
        sequence(&[zero]),
    ]
}

fn sequence(way: &[Core]) -> Workload {
    let write = |path| Core::Write(path, Place::End, Means::Write);
    Workload::of(&[&[write(OLD)], way, &[write(NEW), write(NEW)]].concat())
}

/// The event that fills a block of the old file for the new one, which its first write does.
fn refill(run: &Run, workload: &Workload) -> Option<usize> {
    let new_write = workload.steps.len() - 2;
    let (start, end) = (run.beginning_of(new_write), run.beginning_of(new_write + 1));
    let filled: BTreeSet<u64> = run.trace[..start].iter().flat_map(filled_blocks).collect();
    let is_refill = |event: &Event| filled_blocks(event).any(|block| filled.contains(&block));
    let at = run.trace[start..end].iter().position(is_refill)?;
    Some(start + at)
}

/// The blocks of data that an event fills.
fn filled_blocks(event: &Event) -> std::ops::Range<u64> {
    match &event.action {
        Action::Stream {
            offset_bytes,
            bytes,
        } if *offset_bytes >= DATA_BYTES => {
            let end_bytes = offset_bytes + bytes.len() as u64;
            offset_bytes / 4096..end_bytes.div_ceil(4096)
        }
        _ => 0..0,
    }
}

#[test]
fn every_crash_leaves_the_old_owner_without_the_new_ones_bytes() {
    let mut total = Counts::default();
    for workload in [workloads(), more_workloads()].concat() {
        let run = run(&workload);
        let (counts, broken) = check(&run, &run.trace, &limits());
        if let Some(broken) = broken {
            panic!("{workload}\n{broken}");
        }
        total += counts;
    }
    println!("reuse: {total}");
}

/// Without it the test above would test nothing.
#[test]
fn blocks_are_used_again_without_a_checkpoint() {
    for workload in workloads() {
        let refill = refill(&run(&workload), &workload);
        assert!(refill.is_some(), "{workload}: no block was used again");
    }
}

/// When the record that frees a block is not durable before the block is filled anew.
#[test]
fn a_block_that_is_filled_before_its_record_is_durable_is_noticed() {
    const FENCES: usize = 4;
    for workload in workloads() {
        let run = run(&workload);
        let last = fences_before_refill(&run, &workload);
        let is_noticed = |fence| {
            let trace = damaged(&run.base, &run.trace, Damage::WithoutFence(fence));
            check(&run, &trace.expect("there is such a fence"), &limits())
                .1
                .is_some()
        };
        let is_any_noticed = (last.saturating_sub(FENCES)..last).rev().any(is_noticed);
        assert!(
            is_any_noticed,
            "{workload}: no fence before {last} is missed"
        );
    }
}

/// How many fences there are before the block is filled anew.
fn fences_before_refill(run: &Run, workload: &Workload) -> usize {
    let refill = refill(run, workload).expect("a block is used again");
    let before = run.trace[..refill].iter();
    before.filter(|event| is_fence(event)).count()
}

fn limits() -> Limits {
    Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 6,
        most_sets: 48,
        random_states: 4,
        ..Limits::default()
    }
}
