//! That the checks of the workloads can fail: each is shown a file that is not what it must be.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daxfs::schedule::{Point, Schedule};
use daxfs::{
    Device, Filesystem, FormatOptions, MappingLock, MountOptions, PageTables, PersistenceChoice,
};

use super::*;
use crate::bench::harness::{Coherence, Cpus, SliceTime, run_slice};

const TIME: SliceTime = SliceTime {
    warm_up: Duration::from_millis(1),
    measured: Duration::from_millis(5),
};
const THREADS: usize = 2;

fn with_workload(kind: WorkloadKind, test: impl FnOnce(&Opening<'_>)) {
    with_workload_under(MountOptions::default(), kind, test);
}

fn with_workload_under(options: MountOptions, kind: WorkloadKind, test: impl FnOnce(&Opening<'_>)) {
    let device = Device::create_memfd(64 << 20, PersistenceChoice::Detect).expect("a device");
    Filesystem::format(&device, &FormatOptions::default()).expect("an image");
    let filesystem = Filesystem::mount(Arc::new(device), options).expect("mounted");
    let directory = Path::new("/");
    set_up(kind, &filesystem, directory, THREADS).expect("files");
    let page_tables = PageTables::Software;
    test(&Opening {
        filesystem: &filesystem,
        directory,
        threads: THREADS,
        block_bytes: BLOCK_BYTES,
        page_tables,
    });
    clean_up(kind, &filesystem, directory, THREADS).expect("files removed");
    assert!(
        filesystem
            .read_directory("/")
            .expect("a directory")
            .is_empty()
    );
    filesystem.unmount().expect("nothing is open");
}

fn run_and_verify(opening: &Opening<'_>, workload: &dyn Workload) -> Coherence {
    let cpus = Cpus::of_this_process();
    let tally = run_slice(opening.threads, TIME, &cpus, workload).expect("a slice");
    assert!(tally.ops > 0);
    workload.verify().expect("a verdict")
}

#[test]
fn every_workload_is_coherent_under_the_default_design() {
    for kind in WorkloadKind::ALL {
        with_workload(kind, |opening| {
            let workload = open(kind, opening).expect("open files");
            let coherence = run_and_verify(opening, workload.as_ref());
            assert_eq!(coherence, Coherence::Coherent, "{kind}");
        });
    }
}

#[test]
fn one_thread_alone_can_run_every_workload() {
    for kind in WorkloadKind::ALL {
        with_workload(kind, |opening| {
            let alone = Opening {
                threads: 1,
                ..*opening
            };
            let workload = open(kind, &alone).expect("open files");
            let coherence = run_and_verify(&alone, workload.as_ref());
            assert_eq!(coherence, Coherence::Coherent, "{kind}");
        });
    }
}

#[test]
fn reads_of_other_bytes_than_those_of_the_file_are_noticed() {
    with_workload(WorkloadKind::Drbm, |opening| {
        let workload = open(WorkloadKind::Drbm, opening).expect("open files");
        let file = opening.open(SHARED_FILE).expect("the file");
        file.write_all_at(&[1], io::REGION_BYTES + 100)
            .expect("a byte changed");
        let coherence = run_and_verify(opening, workload.as_ref());
        assert_eq!(
            coherence,
            Coherence::Incoherent("a block is not what was written last")
        );
    });
}

#[test]
fn faults_on_other_bytes_than_those_of_the_page_are_noticed() {
    with_workload(WorkloadKind::Dmfm, |opening| {
        let workload = open(WorkloadKind::Dmfm, opening).expect("open files");
        let file = opening.open(SHARED_FILE).expect("the file");
        file.write_all_at(&[0xff; 8], 0).expect("a stamp changed");
        let coherence = run_and_verify(opening, workload.as_ref());
        assert!(matches!(coherence, Coherence::Incoherent(_)));
    });
}

/// Makes the windows of the races as long as another thread's whole operation.
struct Dawdle;

impl Schedule for Dawdle {
    fn reached(&self, _point: Point, _page: u64) {
        for _ in 0..3 {
            std::thread::yield_now();
        }
    }
}

/// Runs slices until one is found incoherent.
fn assert_found_out(kind: WorkloadKind, options: MountOptions, expected: &[&str]) {
    const SLICES_MAX: u32 = 2_000;
    with_workload_under(options, kind, |opening| {
        for _ in 0..SLICES_MAX {
            let workload = open(kind, opening).expect("open files");
            if let Coherence::Incoherent(how) = run_and_verify(opening, workload.as_ref()) {
                assert!(expected.contains(&how), "{kind}: {how}");
                return;
            }
        }
        panic!("{kind}: no check failed in {SLICES_MAX} slices");
    });
}

#[test]
fn the_racy_design_is_found_out_by_each_of_the_races() {
    let cases: [(WorkloadKind, &[&str]); 3] = [
        (WorkloadKind::Dwfm, &["stale zero page"]),
        (WorkloadKind::Dwpm, &["stale page"]),
        (WorkloadKind::Dtrf, &["stale page"]),
    ];
    for (kind, expected) in cases {
        let mut options = MountOptions::default();
        options.mapping_lock = MappingLock::None;
        options.schedule = Some(Arc::new(Dawdle));
        assert_found_out(kind, options, expected);
    }
}

#[test]
fn reads_without_a_lock_are_found_to_be_torn() {
    let kind = WorkloadKind::Dwrm { read_percent: 50 };
    let options = MountOptions::default().without_io_lock_for_benchmark();
    let expected = ["a read saw half of a write", "the file holds a torn write"];
    assert_found_out(kind, options, &expected);
}
