//! Real processes that are killed at any moment, all with one image file, one after the other.
//!
//! A child mounts the image, works, and says after each sync how far it is. Its parent kills it,
//! checks what is left, and starts the next. The system keeps what was stored in a file when its
//! process dies, so this shows in which order daxfs stores things, not that a disk keeps them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use daxfs::fsck::{self, NoProgress, Severity};
use daxfs::{Device, DeviceAccess, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
use daxfs_tests::crash::workload::Operation;
use daxfs_tests::fixture::{Numbers, stress_factor};
use daxfs_tests::model::{Failure, Model};

use crate::choose::choose;
use crate::history::{History, Step};
use crate::perform::{file_of, perform, perform_on_model};
use crate::snapshot::{Snapshot, Version};

const IMAGE_BYTES: u64 = 8 << 20;
const KILLS: u64 = 200;
/// A child that is not killed ends by itself.
const MOST_OPERATIONS: usize = 5000;
const MOST_BETWEEN_SYNCS: u64 = 8;
const NAMES: [&str; 6] = ["/a", "/b", "/c", "/in/a", "/in/b", "/in/c"];
const IMAGE: &str = "DAXFS_KILL_IMAGE";
const SEED: &str = "DAXFS_KILL_SEED";

#[test]
fn what_was_synced_outlives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let device = Device::create_file(&image, IMAGE_BYTES, PersistenceChoice::Detect).unwrap();
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    let fs = Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap();
    fs.create_directory("/in").unwrap();
    let mut found = Snapshot::of(&fs).unwrap();
    fs.unmount().unwrap();
    let (mut synced, mut operations) = (0, 0);
    let kills = KILLS * u64::from(stress_factor());
    for kill in 0..kills {
        let reached = live_and_die(&image, kill);
        let history = expected(&found, kill, reached);
        found = check(&image);
        let at = reached.unwrap_or(0);
        assert!(
            history.is_since(at, &found),
            "after kill {kill}, synced were {reached:?}; {}",
            history.tell_since(at, &found)
        );
        synced += usize::from(reached.is_some());
        operations += at;
    }
    println!("killed {kills} times, {synced} of them after a sync; {operations} operations synced");
    assert!(synced as u64 > kills / 4, "too few came to a sync");
}

/// Starts a child and kills it. Returns how many operations it had synced, if it came to that.
fn live_and_die(image: &Path, seed: u64) -> Option<usize> {
    let mut numbers = Numbers::new(seed);
    let mut child = start(image, seed);
    let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
    let reports = thread::spawn(move || {
        let said = lines.map_while(Result::ok);
        let numbers = said.filter_map(|line| line.strip_prefix("synced ")?.parse().ok());
        numbers.last()
    });
    thread::sleep(Duration::from_micros(2000 + numbers.below(60_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    reports.join().unwrap()
}

fn start(image: &Path, seed: u64) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "--nocapture", "kill::child"]);
    command.env(IMAGE, image).env(SEED, seed.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Operations of the child, and after how many of them it syncs.
struct Plan {
    numbers: Numbers,
    until_sync: u64,
}

impl Plan {
    fn new(seed: u64) -> Self {
        Self {
            numbers: Numbers::new(seed ^ 0xca11),
            until_sync: 3,
        }
    }

    fn next(&mut self, model: &Model) -> Operation {
        if self.until_sync == 0 {
            self.until_sync = self.numbers.below(MOST_BETWEEN_SYNCS);
            return Operation::SyncAll;
        }
        self.until_sync -= 1;
        let operation = choose(model, &NAMES, &mut self.numbers);
        if matches!(operation, Operation::Collapse(..) | Operation::Insert(..)) {
            // What is then written in place lies elsewhere in the file as it was before.
            self.until_sync = 0;
        }
        operation
    }
}

#[test]
#[ignore = "what the test above starts and kills"]
fn child() {
    let image = std::env::var_os(IMAGE).expect("its parent says which");
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let fs = mount(Path::new(&image));
    let mut model = model_of(&Snapshot::of(&fs).unwrap());
    let (mut plan, mut open) = (Plan::new(seed), Vec::new());
    let mut out = std::io::stdout();
    for number in 0..MOST_OPERATIONS {
        let operation = plan.next(&model);
        let done = perform(&fs, &mut open, operation, number as u64);
        let expected = perform_on_model(&mut model, operation, number as u64);
        assert_eq!(done.map_err(|error| Failure::of(&error)), expected);
        if operation == Operation::SyncAll {
            // On a line of its own, whatever the test runner has begun.
            writeln!(out, "\nsynced {}", number + 1).unwrap();
            open.clear();
        }
    }
}

/// What the child does, from what it found to the end of what it may have begun: after the last
/// sync that it spoke of, one more may have returned.
fn expected(found: &Snapshot, seed: u64, synced: Option<usize>) -> History {
    let mut model = model_of(found);
    let mut history = History::new(Version::of(&model));
    let mut plan = Plan::new(seed);
    loop {
        let number = history.steps.len();
        let operation = plan.next(&model);
        let file = file_of(&model, operation);
        // It may fail, there as here.
        let _ = perform_on_model(&mut model, operation, number as u64);
        history.push(Step { operation, file }, Version::of(&model));
        if operation == Operation::SyncAll && number >= synced.unwrap_or(0) {
            return history;
        }
    }
}

fn mount(image: &Path) -> Filesystem {
    let device = Device::open_file(image, DeviceAccess::ReadWrite, PersistenceChoice::Detect);
    Filesystem::mount(Arc::new(device.unwrap()), MountOptions::default()).unwrap()
}

fn check(image: &Path) -> Snapshot {
    check_consistent(image);
    let fs = mount(image);
    let found = Snapshot::of(&fs).unwrap();
    fs.unmount().unwrap();
    check_consistent(image);
    found
}

fn check_consistent(image: &Path) {
    let device = Device::open_file(image, DeviceAccess::ReadOnly, PersistenceChoice::Detect);
    let report = fsck::check(&device.unwrap(), &NoProgress).unwrap();
    assert!(
        report.worst() < Some(Severity::Error),
        "{:#?}",
        report.issues
    );
}

/// A model that shows the same.
fn model_of(snapshot: &Snapshot) -> Model {
    let mut model = Model::default();
    for (path, node) in snapshot.0.iter().filter(|(path, _)| *path != "/") {
        if *path != node.first_name {
            model.hard_link(&node.first_name, path).unwrap();
            continue;
        }
        model.put(path, node.body(), node.mode, node.owners);
        for (name, value) in &node.attributes {
            model.set_extended(path, name, value).unwrap();
        }
    }
    model
}
