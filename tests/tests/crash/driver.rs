//! Runs a workload on a filesystem that is recorded, and on the model beside it.

use std::sync::Arc;

use daxfs::schedule::Schedule;
use daxfs::{
    Checkpoints, DataChecksums, DataMode, Device, Filesystem, FormatOptions, MountOptions,
};
use daxfs_pmem::{Action, Event, Mark, Moment, Recording};
use daxfs_tests::crash::workload::{Operation, Workload};
use daxfs_tests::fixture::bytes_of;
use daxfs_tests::model::{Failure, Model};

use crate::history::{History, Step};
use crate::perform::{file_of, perform, perform_on_model};
use crate::snapshot::Version;

/// Small, so that a state costs little.
const DEVICE_BYTES: u64 = 4 << 20;

/// What a filesystem is told besides its operations.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) data: DataMode,
    /// With them files are closed before each checkpoint, so that it has some to store.
    pub(crate) checksums: DataChecksums,
    /// Makes a mistake.
    pub(crate) schedule: Option<Arc<dyn Schedule>>,
}

/// What was done, and what should have come of it.
pub(crate) struct Run {
    /// The device after the mount, when all is quiet.
    pub(crate) base: Vec<u8>,
    pub(crate) trace: Vec<Event>,
    /// The last operation is the unmounting, before which open files are closed.
    pub(crate) history: History,
}

impl Run {
    /// The event with which an operation begins.
    pub(crate) fn beginning_of(&self, operation: usize) -> usize {
        let begins = |event: &Event| {
            matches!(event.action, Action::Mark(mark)
                if mark.operation == operation as u64 && mark.moment == Moment::Begins)
        };
        self.trace.iter().position(begins).expect("it was run")
    }
}

/// Nothing happens on the device but what the operations do to it.
pub(crate) fn options() -> MountOptions {
    let mut options = MountOptions::default();
    options.checkpoints = Checkpoints::WhenNeeded;
    options
}

/// An empty filesystem on a device that is recorded from now on.
pub(crate) fn mounted() -> (Filesystem, Arc<Device>, Recording) {
    mounted_with(&Setup::default())
}

fn mounted_with(setup: &Setup) -> (Filesystem, Arc<Device>, Recording) {
    let (device, recording) = Device::create_recording(DEVICE_BYTES).expect("there is memory");
    let device = Arc::new(device);
    let format = FormatOptions {
        data_checksums: setup.checksums,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &format).expect("an empty filesystem");
    let mut options = options();
    options.data = setup.data;
    options.schedule = setup.schedule.clone();
    let fs = Filesystem::mount(Arc::clone(&device), options).expect("it mounts");
    drop(recording.take());
    (fs, device, recording)
}

/// Runs a workload, from the empty filesystem to its unmounting.
pub(crate) fn run(workload: &Workload) -> Run {
    run_with(workload, &Setup::default())
}

/// The same, of another filesystem.
pub(crate) fn run_with(workload: &Workload, setup: &Setup) -> Run {
    let (fs, device, recording) = mounted_with(setup);
    let base = bytes_of(&device);
    let mut model = Model::default();
    let mut history = History::new(Version::of(&model));
    history.data = setup.data;
    let mut open = Vec::new();
    let mark = |operation: usize, moment| {
        let operation = operation as u64;
        recording.mark(Mark { operation, moment });
    };
    for (number, step) in workload.steps.iter().enumerate() {
        let (operation, seed) = (step.operation, number as u64);
        let file = file_of(&model, operation);
        mark(number, Moment::Begins);
        if setup.checksums == DataChecksums::On && operation == Operation::Checkpoint {
            open.clear();
        }
        let done = perform(&fs, &mut open, operation, seed);
        mark(number, Moment::Returned);
        let expected = perform_on_model(&mut model, operation, seed);
        let done = done.map_err(|error| Failure::of(&error));
        assert_eq!(done, expected, "{operation} in {workload}");
        history.push(Step { operation, file }, Version::of(&model));
    }
    let unmounting = Step {
        operation: Operation::SyncAll,
        file: None,
    };
    history.push(unmounting, Version::of(&model));
    mark(workload.steps.len(), Moment::Begins);
    drop(open);
    fs.unmount().expect("it unmounts");
    mark(workload.steps.len(), Moment::Returned);
    let trace = recording.take();
    Run {
        base,
        trace,
        history,
    }
}
