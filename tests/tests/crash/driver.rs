//! Runs a workload on a filesystem that is recorded, and on the model beside it.

use std::sync::Arc;

use daxfs::{Device, Filesystem, FormatOptions, MapOptions, MountOptions, PageTables};
use daxfs_pmem::{Event, Mark, Moment, Recording};
use daxfs_tests::crash::workload::{Core, Means, Operation, Span, Workload};
use daxfs_tests::fixture::{Numbers, bytes_of};
use daxfs_tests::model::{Failure, Model};

use crate::snapshot::Snapshot;

/// Small, so that a state costs little.
const DEVICE_BYTES: u64 = 4 << 20;

/// What was done, and what should have come of it.
pub(crate) struct Run {
    /// The device after the mount, when all is quiet.
    pub(crate) base: Vec<u8>,
    pub(crate) trace: Vec<Event>,
    /// Before each operation, and after the last, which is the unmounting.
    pub(crate) versions: Vec<Snapshot>,
    /// Which operations make all durable.
    pub(crate) syncs: Vec<usize>,
}

/// An empty filesystem on a device that is recorded from now on.
pub(crate) fn mounted() -> (Filesystem, Arc<Device>, Recording) {
    let (device, recording) = Device::create_recording(DEVICE_BYTES).expect("there is memory");
    let device = Arc::new(device);
    Filesystem::format(&device, &FormatOptions::default()).expect("an empty filesystem");
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).expect("it mounts");
    drop(recording.take());
    (fs, device, recording)
}

/// Runs a workload, from the empty filesystem to its unmounting.
pub(crate) fn run(workload: &Workload) -> Run {
    let (fs, device, recording) = mounted();
    let base = bytes_of(&device);
    let mut model = Model::default();
    let mut versions = Vec::new();
    let mut syncs = Vec::new();
    let mark = |operation: usize, moment| {
        let operation = operation as u64;
        recording.mark(Mark { operation, moment });
    };
    for (number, step) in workload.steps.iter().enumerate() {
        versions.push(Snapshot::of_model(&model));
        if is_sync(step.operation) {
            syncs.push(number);
        }
        mark(number, Moment::Begins);
        let done = perform(&fs, step.operation, number as u64);
        mark(number, Moment::Returned);
        let expected = perform_on_model(&mut model, step.operation, number as u64);
        let done = done.map_err(|error| Failure::of(&error));
        assert_eq!(done, expected, "{} in {workload}", step.operation);
    }
    let unmounting = workload.steps.len();
    versions.push(Snapshot::of_model(&model));
    versions.push(Snapshot::of_model(&model));
    syncs.push(unmounting);
    mark(unmounting, Moment::Begins);
    fs.unmount().expect("it unmounts");
    mark(unmounting, Moment::Returned);
    let trace = recording.take();
    Run {
        base,
        trace,
        versions,
        syncs,
    }
}

/// Those of the operations that this filesystem has.
pub(crate) fn possible(cores: Vec<Core>) -> Vec<Core> {
    let is_possible = |core: &Core| match core {
        Core::Plain(operation) => match operation {
            Operation::Create(_)
            | Operation::MakeDirectory(_)
            | Operation::Unlink(_)
            | Operation::Remove(_)
            | Operation::RemoveDirectory(_)
            | Operation::Truncate(..)
            | Operation::SyncAll => true,
            Operation::Sync(path) | Operation::SyncData(path) => path.ends_with("foo"),
            _ => false,
        },
        Core::Punch(..) | Core::Write(..) => true,
        Core::Allocate(..) => false,
    };
    cores.into_iter().filter(is_possible).collect()
}

fn is_sync(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Sync(_) | Operation::SyncData(_) | Operation::SyncAll
    )
}

/// What an operation puts into a file.
fn bytes_for(seed: u64, span: Span) -> Vec<u8> {
    Numbers::new(seed).bytes(span.len_bytes as usize)
}

fn perform(fs: &Filesystem, operation: Operation, seed: u64) -> daxfs::Result<()> {
    match operation {
        Operation::Create(path) => fs.create(path).map(drop),
        Operation::MakeDirectory(path) => fs.create_directory(path),
        Operation::Unlink(path) | Operation::Remove(path) => fs.remove_file(path),
        Operation::RemoveDirectory(path) => fs.remove_directory(path),
        Operation::Truncate(path, len_bytes) => fs.open(path)?.truncate(len_bytes),
        Operation::Punch(path, span) => {
            fs.open(path)?.punch_hole(span.offset_bytes, span.len_bytes)
        }
        Operation::Write(path, span, Means::Write) => {
            let bytes = bytes_for(seed, span);
            fs.open(path)?.write_all_at(&bytes, span.offset_bytes)
        }
        Operation::Write(path, span, Means::Mapping) => {
            let mut options = MapOptions::new(span.end_bytes().next_multiple_of(4096));
            options.page_tables = PageTables::Software;
            let mapping = fs.open(path)?.map(options)?;
            mapping.store(span.offset_bytes, &bytes_for(seed, span))
        }
        Operation::Sync(path) | Operation::SyncData(path) => fs.open(path)?.sync(),
        Operation::SyncAll => fs.sync(),
        other => panic!("this filesystem has no {other}"),
    }
}

fn perform_on_model(model: &mut Model, operation: Operation, seed: u64) -> Result<(), Failure> {
    match operation {
        Operation::Create(path) => model.create(path).map(drop),
        Operation::MakeDirectory(path) => model.create_directory(path),
        Operation::Unlink(path) | Operation::Remove(path) => model.remove_file(path),
        Operation::RemoveDirectory(path) => model.remove_directory(path),
        Operation::Truncate(path, len_bytes) => {
            let file = model.open(path)?;
            model.truncate(file, len_bytes as usize);
            Ok(())
        }
        Operation::Punch(path, span) => {
            let file = model.open(path)?;
            model.punch_hole(file, span.offset_bytes as usize, span.len_bytes as usize);
            Ok(())
        }
        Operation::Write(path, span, means) => {
            let file = model.open(path)?;
            let bytes = bytes_for(seed, span);
            match means {
                Means::Write => model.write_at(file, &bytes, span.offset_bytes as usize),
                Means::Mapping => model.store(file, 0, span.offset_bytes as usize, &bytes)?,
            }
            Ok(())
        }
        Operation::Sync(path) | Operation::SyncData(path) => model.open(path).map(drop),
        Operation::SyncAll => Ok(()),
        other => panic!("this filesystem has no {other}"),
    }
}
