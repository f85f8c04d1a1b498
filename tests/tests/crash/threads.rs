//! Two threads at once.
//!
//! Which of their steps come before which is the scheduler's choice, so each run sees other traces;
//! what is promised is the same in all: what returned is there, in any thread; what is under way
//! may be there. And whoever saw what another did comes after it.

use std::sync::Barrier;
use std::thread;

use daxfs::Filesystem;
use daxfs_pmem::{Action, Event, Mark, Moment, Recording};
use daxfs_tests::crash::{Counts, Limits, for_each_crash_state};
use daxfs_tests::fixture::{Numbers, bytes_of, stress_factor};
use daxfs_tests::model::{Failure, Model};

use crate::choose::choose;
use crate::driver::mounted;
use crate::history::{History, Step};
use crate::oracle::recover;
use crate::perform::{file_of, perform, perform_on_model};
use crate::snapshot::Version;

const THREADS: usize = 2;
const OPERATIONS: usize = 10;
const DIRECTORIES: [&str; THREADS] = ["/one", "/two"];
const NAMES: [[&str; 2]; THREADS] = [["/one/a", "/one/b"], ["/two/a", "/two/b"]];

fn limits() -> Limits {
    Limits {
        all_up_to_states: 32,
        pairs_up_to_units: 4,
        most_sets: 32,
        random_states: 8,
        ..Limits::default()
    }
}

#[test]
fn what_either_thread_has_done_is_there() {
    let mut total = Counts::default();
    for seed in 0..4 * u64::from(stress_factor()) {
        let (fs, device, recording) = mounted();
        for directory in DIRECTORIES {
            fs.create_directory(directory).unwrap();
        }
        drop(recording.take());
        let base = bytes_of(&device);
        let parts = run(&fs, &recording, seed);
        let trace = recording.take();
        drop(fs);
        total += for_each_crash_state(&base, &trace, &limits(), |state| {
            let shown =
                recover(state.device()).unwrap_or_else(|broken| panic!("{broken}\n{state}"));
            let reached = reached(&trace[..state.event]);
            for (thread, part) in parts.iter().enumerate() {
                let (begun, returned) = reached[thread];
                let shown = shown.below(DIRECTORIES[thread]);
                let verdict = part.judge(begun, returned, &shown);
                verdict.unwrap_or_else(|broken| panic!("thread {thread}: {broken}\n{state}"));
            }
        });
    }
    println!("two threads: {total}");
}

fn run(fs: &Filesystem, recording: &Recording, seed: u64) -> Vec<History> {
    let start = Barrier::new(THREADS);
    let act = |thread| {
        start.wait();
        let numbers = Numbers::new(seed * 100 + thread as u64);
        act(fs, recording, thread, numbers)
    };
    let act = &act;
    thread::scope(|scope| {
        let threads = [0, 1].map(|thread| scope.spawn(move || act(thread)));
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    })
}

/// One thread's part: the history of its directory.
fn act(fs: &Filesystem, recording: &Recording, thread: usize, mut numbers: Numbers) -> History {
    let directory = DIRECTORIES[thread];
    let mut model = Model::default();
    model.create_directory(directory).unwrap();
    let mut history = History::new(Version::of(&model).below(directory));
    let mut open = Vec::new();
    for number in 0..OPERATIONS {
        let operation = choose(&model, &NAMES[thread], &mut numbers);
        let file = file_of(&model, operation);
        let mark = |moment| {
            let operation = (thread as u64) << 32 | number as u64;
            recording.mark(Mark { operation, moment });
        };
        mark(Moment::Begins);
        let done = perform(fs, &mut open, operation, number as u64);
        mark(Moment::Returned);
        let expected = perform_on_model(&mut model, operation, number as u64);
        assert_eq!(done.map_err(|error| Failure::of(&error)), expected);
        let after = Version::of(&model).below(directory);
        history.push(Step { operation, file }, after);
    }
    history
}

/// How many operations of each thread had begun, and how many had returned.
fn reached(trace: &[Event]) -> [(usize, usize); THREADS] {
    let mut reached = [(0, 0); THREADS];
    for event in trace {
        if let Action::Mark(mark) = event.action {
            let (thread, operation) = (mark.operation >> 32, mark.operation as u32);
            let (begun, returned) = &mut reached[thread as usize];
            let count = match mark.moment {
                Moment::Begins => begun,
                Moment::Returned => returned,
            };
            *count = operation as usize + 1;
        }
    }
    reached
}

/// The fence comes before the unlock: one thread makes files, the other makes one whenever it has
/// seen one.
#[test]
fn whoever_saw_a_result_comes_after_it() {
    const FILES: usize = 6;
    let (fs, device, recording) = mounted();
    let base = bytes_of(&device);
    thread::scope(|scope| {
        scope
            .spawn(|| (0..FILES).for_each(|file| drop(fs.create(format!("/seen{file}")).unwrap())));
        scope.spawn(|| {
            for file in 0..FILES {
                while fs.metadata(format!("/seen{file}")).is_err() {
                    thread::yield_now();
                }
                fs.create(format!("/then{file}")).unwrap();
            }
        });
    });
    let trace = recording.take();
    drop(fs);
    let mut both = 0;
    let counts = for_each_crash_state(&base, &trace, &limits(), |state| {
        let shown = recover(state.device()).unwrap_or_else(|broken| panic!("{broken}\n{state}"));
        for file in 0..FILES {
            let is_there = |name: &str| shown.0.contains_key(&format!("/{name}{file}"));
            assert!(is_there("seen") || !is_there("then"), "{shown:?}\n{state}");
            both += usize::from(is_there("then"));
        }
    });
    println!("seen by another thread: {counts}");
    assert!(both > 0);
}
