//! Two threads at once, each in a directory of its own, both syncing.
//!
//! Which of their steps come before which is the scheduler's choice, so each run sees other traces;
//! what is promised is the same in all: a sync that returned covers all that had returned, in any
//! thread, when it began. Whatever began since may be there, each operation whole or not at all.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use daxfs::Filesystem;
use daxfs_pmem::{Action, Event, Mark, Moment, Recording};
use daxfs_tests::crash::{Counts, Limits, for_each_crash_state};
use daxfs_tests::fixture::{Numbers, bytes_of, stress_factor};
use daxfs_tests::model::Model;

use crate::driver::mounted;
use crate::oracle::{is_first_of, recover};
use crate::snapshot::Snapshot;

const THREADS: usize = 2;
const OPERATIONS: usize = 8;
const DIRECTORIES: [&str; THREADS] = ["/one", "/two"];

/// What one thread did: its part of the filesystem before each of its operations and after the
/// last, and which of them were syncs.
struct Part {
    versions: Vec<Snapshot>,
    syncs: Vec<usize>,
}

#[test]
fn what_a_sync_of_either_thread_covers_is_there() {
    let limits = Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 4,
        most_sets: 32,
        random_states: 8,
        ..Limits::default()
    };
    let mut total = Counts::default();
    for seed in 0..4 * u64::from(stress_factor()) {
        let (fs, device, recording) = mounted();
        for directory in DIRECTORIES {
            fs.create_directory(directory).unwrap();
        }
        fs.sync().unwrap();
        drop(recording.take());
        let base = bytes_of(&device);
        let parts = run(&fs, &recording, seed);
        let trace = recording.take();
        drop(fs);
        total += for_each_crash_state(&base, &trace, &limits, |state| {
            let shown =
                recover(state.device()).unwrap_or_else(|broken| panic!("{broken}\n{state}"));
            let bounds = Bounds::at(&trace[..state.event], &parts);
            for (thread, part) in parts.iter().enumerate() {
                let shown = below(&shown, DIRECTORIES[thread]);
                let (from, to) = (bounds.covered[thread], bounds.begun[thread]);
                let is_there = (from..=to).any(|at| is_first_of(&part.versions[at..=to], &shown));
                assert!(
                    is_there,
                    "thread {thread}, {from}..={to}: {shown:?}\n{state}"
                );
            }
        });
    }
    println!("two threads: {total}");
}

fn run(fs: &Filesystem, recording: &Recording, seed: u64) -> Vec<Part> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    act(
                        fs,
                        recording,
                        thread,
                        Numbers::new(seed * 100 + thread as u64),
                    )
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    })
}

fn act(fs: &Filesystem, recording: &Recording, thread: usize, mut numbers: Numbers) -> Part {
    let directory = DIRECTORIES[thread];
    let mut model = Model::default();
    model.create_directory(directory).unwrap();
    let mut versions = vec![below(&Snapshot::of_model(&model), directory)];
    let mut syncs = Vec::new();
    for operation in 0..OPERATIONS {
        let mark = |moment| {
            let operation = number(thread, operation);
            recording.mark(Mark { operation, moment });
        };
        let path = format!("{directory}/{}", numbers.below(2));
        mark(Moment::Begins);
        match (numbers.below(5), model.open(&path)) {
            (0, _) => {
                syncs.push(operation);
                fs.sync().unwrap();
            }
            (_, Err(_)) => {
                fs.create(&path).unwrap();
                model.create(&path).unwrap();
            }
            (1, Ok(_)) => {
                fs.remove_file(&path).unwrap();
                model.remove_file(&path).unwrap();
            }
            (2, Ok(file)) => {
                let len_bytes = numbers.below(9000);
                fs.open(&path).unwrap().truncate(len_bytes).unwrap();
                model.truncate(file, len_bytes as usize);
            }
            (_, Ok(file)) => {
                let (at, len) = (numbers.below(5000), 1 + numbers.below(5000));
                let bytes = numbers.bytes(len as usize);
                fs.open(&path).unwrap().write_all_at(&bytes, at).unwrap();
                model.write_at(file, &bytes, at as usize);
            }
        }
        mark(Moment::Returned);
        versions.push(below(&Snapshot::of_model(&model), directory));
    }
    Part { versions, syncs }
}

fn number(thread: usize, operation: usize) -> u64 {
    (thread as u64) << 32 | operation as u64
}

/// What is in one directory.
fn below(snapshot: &Snapshot, directory: &str) -> Snapshot {
    let inside = format!("{directory}/");
    let nodes = snapshot
        .0
        .iter()
        .filter(|(path, _)| path.starts_with(&inside));
    Snapshot(
        nodes
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect(),
    )
}

/// How far each thread is.
struct Bounds {
    /// Operations that some sync has made durable for certain.
    covered: Vec<usize>,
    begun: Vec<usize>,
}

impl Bounds {
    fn at(trace: &[Event], parts: &[Part]) -> Self {
        let mut bounds = Self {
            covered: vec![0; parts.len()],
            begun: vec![0; parts.len()],
        };
        let mut returned = vec![0; parts.len()];
        let mut when_it_began = BTreeMap::new();
        for event in trace {
            let Action::Mark(mark) = event.action else {
                continue;
            };
            let thread = (mark.operation >> 32) as usize;
            let operation = mark.operation as u32 as usize;
            match mark.moment {
                Moment::Begins => {
                    bounds.begun[thread] = operation + 1;
                    when_it_began.insert(mark.operation, returned.clone());
                }
                Moment::Returned => {
                    returned[thread] = operation + 1;
                    if parts[thread].syncs.contains(&operation) {
                        let covers = when_it_began.remove(&mark.operation).unwrap_or_default();
                        for (covered, covers) in bounds.covered.iter_mut().zip(covers) {
                            *covered = covers.max(*covered);
                        }
                    }
                }
            }
        }
        bounds
    }
}

/// The oracle can be dissatisfied: it is, when a sync is taken to cover what began after it.
#[test]
fn bounds_follow_the_order_of_the_marks() {
    let (_device, recording) = daxfs::Device::create_recording(4096).unwrap();
    let mark = |thread, operation, moment| {
        let operation = number(thread, operation);
        recording.mark(Mark { operation, moment });
    };
    mark(0, 0, Moment::Begins);
    mark(0, 0, Moment::Returned);
    mark(1, 0, Moment::Begins);
    mark(0, 1, Moment::Begins);
    mark(0, 1, Moment::Returned);
    mark(1, 0, Moment::Returned);
    let part = |syncs| Part {
        versions: Vec::new(),
        syncs,
    };
    let parts = [part(vec![]), part(vec![0])];
    let trace = recording.take();
    let bounds = Bounds::at(&trace, &parts);
    assert_eq!((bounds.covered, bounds.begun), (vec![1, 0], vec![2, 1]));
    let before = Bounds::at(&trace[..5], &parts);
    assert_eq!((before.covered, before.begun), (vec![0, 0], vec![2, 1]));
}
