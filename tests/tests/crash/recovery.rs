//! Crashes of what happens after a crash: mounting again, and what is done then.

use daxfs::Filesystem;
use daxfs_tests::crash::workload::{Core, Means, Operation, Place, Workload};
use daxfs_tests::crash::{Counts, Limits, for_each_crash_state};
use daxfs_tests::fixture::bytes_of;

use crate::driver::{options, run};
use crate::oracle::recover;
use crate::snapshot::Snapshot;

/// A mount that is cut short, wherever that is, leaves what it found: a log that is not replayed to
/// the end, a file without names that is not removed yet, a copy of the superblock that is torn.
///
/// **Symptom** (of the last). No copy of the superblock is left. **Cause.** A crash tore the second
/// copy; mounting rewrote the first one first, and a second crash tore that. **Fix.** The copy that
/// is not whole, or is older, is written first.
#[test]
fn a_crash_while_mounting_changes_nothing() {
    let workload = Workload::of(&[
        Core::Write("/A/foo", Place::End, Means::Write),
        Core::Plain(Operation::Checkpoint),
        Core::Write("/A/foo", Place::Start, Means::Mapping),
        Core::Plain(Operation::Unlink("/A/foo")),
        Core::Plain(Operation::Publish("/bar")),
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
        let base = bytes_of(state.device());
        let fs = Filesystem::mount(state.device().clone(), options()).unwrap();
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
