//! Crashes of what happens after a crash: mounting again, and what is done then.

use daxfs::fsck::{self, NoProgress};
use daxfs::{Filesystem, MountOptions};
use daxfs_tests::crash::workload::{Core, Means, Operation, Place, Workload};
use daxfs_tests::crash::{Counts, Limits, for_each_crash_state};
use daxfs_tests::fixture::bytes_of;

use crate::driver::run;
use crate::oracle::recover;
use crate::snapshot::Snapshot;

/// A mount that is cut short, wherever that is, leaves what it found.
#[test]
fn a_crash_while_mounting_changes_nothing() {
    crash_while_mounting(Outer::WholeSuperblocks);
}

/// The same when the first crash tore a copy of the superblock.
///
/// **Symptom.** No copy of the superblock is left. **Cause.** A crash tore the second copy;
/// mounting rewrites the first one first, and a second crash tears that. **Fix.** The copy that is
/// not whole, or is older, has to be written first.
#[test]
#[ignore = "known to fail: mounting rewrites the only whole superblock first"]
fn a_crash_while_mounting_after_a_torn_superblock_changes_nothing() {
    crash_while_mounting(Outer::All);
}

/// Which crashes the mount comes after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    All,
    WholeSuperblocks,
}

fn crash_while_mounting(outer: Outer) {
    let workload = Workload::of(&[
        Core::Write("/A/foo", Place::End, Means::Write),
        Core::Plain(Operation::SyncAll),
        Core::Plain(Operation::Unlink("/A/foo")),
        Core::Plain(Operation::Create("/bar")),
        Core::Plain(Operation::SyncAll),
    ]);
    let run = run(&workload);
    let limits = Limits {
        all_up_to_states: 16,
        pairs_up_to_units: 4,
        most_sets: 16,
        random_states: 4,
        ..Limits::default()
    };
    let (mut mounts, mut inner) = (0, Counts::default());
    let crashes = for_each_crash_state(&run.base, &run.trace, &limits, |state| {
        let report = fsck::check(state.device(), &NoProgress).unwrap();
        if outer == Outer::WholeSuperblocks && !report.is_clean() {
            return;
        }
        let base = bytes_of(state.device());
        let fs = Filesystem::mount(state.device().clone(), MountOptions::default()).unwrap();
        let found = Snapshot::of(&fs).unwrap();
        let trace = state.take_trace();
        drop(fs);
        mounts += 1;
        inner += for_each_crash_state(&base, &trace, &limits, |again| {
            let shown = recover(again.device());
            let shown = shown.unwrap_or_else(|broken| panic!("{broken}\n{again}after\n{state}"));
            assert_eq!(shown, found, "{again}after\n{state}");
        });
    });
    println!("{crashes}; {mounts} mounts, and while mounting: {inner}");
    assert!(
        mounts > 20 && inner.images > mounts,
        "{mounts} mounts, {inner}"
    );
}
