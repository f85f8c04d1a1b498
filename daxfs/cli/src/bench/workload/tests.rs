//! That the checks of the workloads can fail: each is shown a file that is not what it must be.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PageTables, PersistenceChoice};

use super::*;
use crate::bench::harness::{Coherence, Cpus, SliceTime, run_slice};

const TIME: SliceTime = SliceTime {
    warm_up: Duration::from_millis(1),
    measured: Duration::from_millis(5),
};
const THREADS: usize = 2;

fn with_workload(kind: WorkloadKind, test: impl FnOnce(&Opening<'_>)) {
    let device = Device::create_memfd(64 << 20, PersistenceChoice::Detect).expect("a device");
    Filesystem::format(&device, &FormatOptions::default()).expect("an image");
    let filesystem = Filesystem::mount(Arc::new(device), MountOptions::default()).expect("mounted");
    let directory = Path::new("/");
    set_up(kind, &filesystem, directory, THREADS).expect("files");
    let page_tables = PageTables::Software;
    test(&Opening {
        filesystem: &filesystem,
        directory,
        threads: THREADS,
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
    for &kind in <WorkloadKind as clap::ValueEnum>::value_variants() {
        with_workload(kind, |opening| {
            let workload = open(kind, opening).expect("open files");
            let coherence = run_and_verify(opening, workload.as_ref());
            assert_eq!(coherence, Coherence::Coherent, "{}", kind.name());
        });
    }
}

#[test]
fn one_thread_alone_can_run_every_workload() {
    for &kind in <WorkloadKind as clap::ValueEnum>::value_variants() {
        with_workload(kind, |opening| {
            let alone = Opening {
                threads: 1,
                ..*opening
            };
            let workload = open(kind, &alone).expect("open files");
            let coherence = run_and_verify(&alone, workload.as_ref());
            assert_eq!(coherence, Coherence::Coherent, "{}", kind.name());
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
