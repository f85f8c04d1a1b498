//! The workloads, and all their crashes.

use std::sync::Arc;

use daxfs::schedule::{Mistake, Point, Schedule};
use daxfs::{DataChecksums, DataMode};
use daxfs_tests::crash::workload::{
    self, Core, Length, Means, Operation, Place, Role, Step, Workload, ace, more, random,
    two_operations,
};
use daxfs_tests::crash::{Counts, Limits};
use daxfs_tests::fixture::{Numbers, stress_factor};
use daxfs_tests::model::Model;

use crate::choose::choose;
use crate::driver::{Setup, run_with};
use crate::oracle::check;
use crate::perform::perform_on_model;

/// All operations that there are, of ACE's set and beyond.
fn cores() -> Vec<Core> {
    [ace(), more()].concat()
}

/// Checks all crashes of the last operations: those before are crashed in shorter workloads.
fn check_all(name: &str, workloads: Vec<Workload>, limits: &Limits) {
    let last = |workload: Workload| {
        let last = workload.last_core();
        (workload, last)
    };
    check_from(name, workloads.into_iter().map(last).collect(), limits);
}

/// Checks all crashes of each workload from one of its operations on, and says how much that was.
fn check_from(name: &str, workloads: Vec<(Workload, usize)>, limits: &Limits) {
    check_in(&Setup::default(), name, workloads, limits);
}

fn check_in(setup: &Setup, name: &str, workloads: Vec<(Workload, usize)>, limits: &Limits) {
    let mut total = Counts::default();
    let count = workloads.len();
    for (workload, first) in workloads {
        let run = run_with(&workload, setup);
        let limits = Limits {
            from_event: run.beginning_of(first),
            ..limits.clone()
        };
        let (counts, broken) = check(&run, &run.trace, &limits);
        if let Some(broken) = broken {
            panic!("{workload}\n{broken}");
        }
        total += counts;
    }
    println!("{name}: {count} workloads, {total}");
}

#[test]
fn one_operation() {
    let workloads = workload::one_operation(&cores());
    check_all("one operation", workloads, &usual());
}

/// The operation works on what a checkpoint holds, and overwrites it; and a checkpoint has to find
/// what it did.
#[test]
fn one_operation_between_checkpoints() {
    let workloads = cores().into_iter().map(|core| {
        let mut workload = Workload::of(&[core]);
        let checkpoint = Workload::of(&[Core::Plain(Operation::Checkpoint)]).steps[0];
        workload.steps.insert(workload.last_core(), checkpoint);
        workload.steps.push(checkpoint);
        workload
    });
    check_all(
        "one operation between checkpoints",
        workloads.collect(),
        &usual(),
    );
}

/// A sample of all; in the slow tier a larger one, and all of ACE's.
#[test]
fn two_operations_in_a_row() {
    const SAMPLE: u64 = 60;
    let mut workloads = two_operations(&cores());
    let all = workloads.len() as u64;
    let mut numbers = Numbers::new(2);
    workloads.retain(|_| numbers.below(all) < SAMPLE * u64::from(stress_factor()));
    if stress_factor() > 1 {
        workloads.extend(two_operations(&ace()));
    }
    check_all("two operations", workloads, &few());
}

#[test]
fn random_workloads() {
    const OPERATIONS: usize = 15;
    let seeds = 0..4 * u64::from(stress_factor());
    let workloads = seeds.map(|seed| random(&cores(), OPERATIONS, seed));
    let from = 0;
    check_from(
        "random",
        workloads.map(|workload| (workload, from)).collect(),
        &few(),
    );
}

/// What takes several steps: a length comes with the last of them.
#[test]
fn a_write_over_holes_and_blocks() {
    const FILE: &str = "/A/foo";
    let hole = Core::Punch(FILE, Place::MiddleBlock);
    let ahead = Core::Allocate(FILE, Place::End, Length::Kept);
    let extended = Core::Allocate(FILE, Place::Across, Length::Extended);
    let zeroed = Core::Zero(FILE, Place::Across, Length::Extended);
    let write = Core::Write(FILE, Place::Across, Means::Write);
    let sequences: [&[Core]; 5] = [
        &[hole, write],
        &[hole, ahead, write],
        &[hole, extended],
        &[hole, zeroed],
        &[hole, Core::Insert(FILE), write],
    ];
    let workloads = sequences.map(Workload::of).to_vec();
    check_all("over holes and blocks", workloads, &Limits::default());
}

/// **Symptom.** What was stored through a mapping was not there after `fsync` and a crash.
/// **Cause.** Taking a range out of the file, or putting one in, dropped the mapping entries of all
/// that moved, and with them what a sync has to flush. **Fix.** It is flushed when its entries go.
#[test]
fn what_was_stored_is_synced_where_it_has_moved_to() {
    const FILE: &str = "/A/foo";
    let store = Core::Write(FILE, Place::Middle, Means::Mapping);
    let sync = Core::Plain(Operation::SyncData(FILE));
    let sequences = [
        [store, Core::Collapse(FILE), sync],
        [store, Core::Insert(FILE), sync],
    ];
    let workloads = sequences.map(|sequence| (Workload::of(&sequence), 0));
    check_from("stored and moved", workloads.to_vec(), &few());
}

/// Blocks with several places: written, stored to, cut and given up by one or the other.
#[test]
fn clones_that_go_apart() {
    let (one, other) = ("/foo", "/A/bar");
    let clone = Core::Plain(Operation::Clone(one, other));
    let checkpoint = Core::Plain(Operation::Checkpoint);
    let store = |path| Core::Write(path, Place::Middle, Means::Mapping);
    let write = |path| Core::Write(path, Place::Middle, Means::Write);
    let sequences: [&[Core]; 8] = [
        &[
            store(one),
            clone,
            store(one),
            Core::Plain(Operation::SyncAll),
        ],
        &[clone, write(one), write(other)],
        &[clone, checkpoint, write(other), checkpoint, write(one)],
        &[clone, Core::Plain(Operation::Truncate(one, 5000)), clone],
        &[
            clone,
            checkpoint,
            Core::Plain(Operation::Unlink(one)),
            write(other),
        ],
        &[
            clone,
            Core::Punch(one, Place::Middle),
            Core::Collapse(other),
        ],
        &[
            clone,
            Core::Zero(one, Place::Across, Length::Extended),
            store(other),
        ],
        &[
            Core::Punch(one, Place::MiddleBlock),
            clone,
            write(other),
            Core::Insert(one),
        ],
    ];
    let workloads = sequences.map(|sequence| (Workload::of(sequence), 0));
    check_from("clones that go apart", workloads.to_vec(), &few());
}

/// In the mode `atomic`: each write there is, alone, between checkpoints, after another, and to
/// blocks that are mapped, shared or zeroed; most are followed by changes in place.
#[test]
fn atomic_writes() {
    const FILE: &str = "/A/foo";
    let is_write = |core: &Core| {
        matches!(
            core,
            Core::Write(_, _, Means::Write) | Core::Plain(Operation::Append(..))
        )
    };
    let writes: Vec<Core> = cores().into_iter().filter(is_write).collect();
    let checkpoint = Core::Plain(Operation::Checkpoint);
    let clone = Core::Plain(Operation::Clone(FILE, "/bar"));
    let store = Core::Write(FILE, Place::Start, Means::Mapping);
    let sync = Core::Plain(Operation::SyncAll);
    let small = Core::Write(FILE, Place::Start, Means::Write);
    let truncated = Core::Plain(Operation::Truncate(FILE, 256));
    let unlinked = Core::Plain(Operation::Unlink(FILE));
    let mut workloads = Vec::new();
    for write in writes {
        workloads.push(Workload::of(&[write]));
        workloads.push(Workload::of(&[write, checkpoint, write, checkpoint]));
        workloads.push(Workload::of(&[store, sync, write, small]));
        workloads.push(Workload::of(&[clone, write, write]));
    }
    let after_redo: [&[Core]; 5] = [
        &[small, store, sync],
        &[small, Core::Punch(FILE, Place::Start), sync],
        &[
            small,
            truncated,
            Core::Write(FILE, Place::End, Means::Write),
        ],
        &[
            small,
            unlinked,
            Core::Write("/foo", Place::End, Means::Write),
        ],
        &[small, Core::Zero(FILE, Place::Middle, Length::Kept), small],
    ];
    workloads.extend(after_redo.map(Workload::of));
    let workloads = workloads.into_iter().map(|workload| (workload, 0));
    let setup = Setup {
        data: DataMode::Atomic,
        ..Setup::default()
    };
    check_in(&setup, "atomic", workloads.collect(), &few());

    let seeds = 0..4 * u64::from(stress_factor());
    let random = seeds.map(|seed| (random(&cores(), 15, seed + 100), 0));
    check_in(&setup, "atomic, random", random.collect(), &few());
}

/// An operation, and then its like, on a file that a checkpoint stored with its checksums; whatever
/// a crash leaves must agree with those that are left.
fn on_summed_files() -> Vec<(Workload, usize)> {
    let checkpoint = Core::Plain(Operation::Checkpoint);
    let workloads = cores().into_iter().map(|core| {
        let mut workload = Workload::of(&[core, core, checkpoint]);
        let is_core = |step: &Step| step.role == Role::Core;
        let first = workload.steps.iter().position(is_core).unwrap_or(0);
        let steps = Workload::of(&[checkpoint]).steps;
        workload.steps.insert(first, steps[0]);
        (workload, first + 1)
    });
    workloads.collect()
}

#[test]
fn checksums_of_data() {
    for data in [DataMode::InPlace, DataMode::Atomic] {
        let setup = Setup {
            data,
            checksums: DataChecksums::On,
            ..Setup::default()
        };
        let name = format!("checksums of data, {data:?}");
        check_in(&setup, &name, on_summed_files(), &few());
        let seeds = 0..4 * u64::from(stress_factor());
        let random = seeds.map(|seed| (random(&cores(), 15, seed + 200), 0));
        check_in(&setup, &format!("{name}, random"), random.collect(), &few());
    }
}

/// Makes one mistake, always.
struct Makes(Mistake);

impl Schedule for Makes {
    fn reached(&self, _: Point, _: u64) {}

    fn makes(&self, mistake: Mistake) -> bool {
        self.0 == mistake
    }
}

#[test]
#[should_panic(expected = "DataDamaged")]
fn a_checksum_that_outlives_its_data_is_noticed() {
    let setup = Setup {
        checksums: DataChecksums::On,
        schedule: Some(Arc::new(Makes(Mistake::ChecksumsStay))),
        ..Setup::default()
    };
    check_in(&setup, "checksums that stay", on_summed_files(), &few());
}

/// Names that meet: several of one file, symbolic links, one in the place of the other.
#[test]
fn random_operations_on_few_names() {
    const OPERATIONS: u64 = 20;
    const NAMES: [&str; 4] = ["/a", "/b", "/in/a", "/in/b"];
    let chosen = |seed| {
        let mut numbers = Numbers::new(seed);
        let mut model = Model::default();
        let mut operations = vec![Operation::MakeDirectory("/in")];
        perform_on_model(&mut model, operations[0], 0).expect("it is empty");
        for number in 1..OPERATIONS {
            let operation = choose(&model, &NAMES, &mut numbers);
            // It may fail, in the filesystem as well.
            let _ = perform_on_model(&mut model, operation, number);
            operations.push(operation);
        }
        let role = Role::Core;
        let steps = operations.into_iter();
        let steps = steps.map(|operation| Step { operation, role });
        (
            Workload {
                steps: steps.collect(),
            },
            0,
        )
    };
    let seeds = 0..8 * u64::from(stress_factor());
    check_from("random, few names", seeds.map(chosen).collect(), &few());
}

/// In the slow tier more.
fn usual() -> Limits {
    match stress_factor() {
        1 => Limits {
            all_up_to_states: 64,
            pairs_up_to_units: 8,
            most_sets: 64,
            random_states: 8,
            ..Limits::default()
        },
        _ => Limits::default(),
    }
}

/// What single operations are tried with in full is tried here in part.
fn few() -> Limits {
    Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 6,
        most_sets: 32,
        random_states: 4,
        ..Limits::default()
    }
}
