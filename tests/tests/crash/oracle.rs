//! Whether a crash state is a filesystem, can be used, and shows what [`History`] allows.
//!
//! [`History`]: crate::history::History

use std::collections::HashMap;
use std::sync::Arc;

use daxfs::fsck::{self, NoProgress, Severity};
use daxfs::{Device, FileKind, Filesystem};
use daxfs_pmem::{Event, Mark, Moment};
use daxfs_tests::crash::{Counts, CrashState, ImageHash, Limits, for_each_crash_state};

use crate::driver::{Run, options};
use crate::snapshot::Snapshot;

/// Looks at every crash of a run. Returns what was built, and the first broken promise.
pub(crate) fn check(run: &Run, trace: &[Event], limits: &Limits) -> (Counts, Option<String>) {
    let mut judge = Judge::default();
    let counts = for_each_crash_state(&run.base, trace, limits, |state| judge.see(run, state));
    (counts, judge.broken)
}

/// What images show: many states are one image.
#[derive(Default)]
struct Judge {
    shown: HashMap<ImageHash, Result<Snapshot, String>>,
    broken: Option<String>,
}

impl Judge {
    fn see(&mut self, run: &Run, state: &CrashState<'_>) {
        if self.broken.is_some() {
            return;
        }
        let shown = self
            .shown
            .entry(state.image)
            .or_insert_with(|| recover(state.device()));
        let (begun, returned) = progress(state.progress.values().next().copied());
        let verdict = match shown {
            Ok(shown) => run.history.judge(begun, returned, shown),
            Err(broken) => Err(broken.clone()),
        };
        self.broken = verdict.err().map(|broken| format!("{broken}\n{state}"));
    }
}

/// Checks an image, mounts it, and uses it. Gives what it showed at first.
pub(crate) fn recover(device: &Arc<Device>) -> Result<Snapshot, String> {
    check_consistent(device)?;
    let failed = |what: &'static str| move |error: daxfs::Error| format!("{what}: {error}");
    let fs = Filesystem::mount(Arc::clone(device), options()).map_err(failed("mount"))?;
    let shown = Snapshot::of(&fs).map_err(failed("reading what was mounted"))?;
    use_up(&fs, &shown).map_err(failed("using what was mounted"))?;
    fs.unmount().map_err(failed("unmount"))?;
    check_consistent(device)?;
    let fs = Filesystem::mount(Arc::clone(device), options()).map_err(failed("second mount"))?;
    let left = Snapshot::of(&fs).map_err(failed("reading after the second mount"))?;
    let inodes = fs.space().inodes;
    if left.0.len() != 2 || inodes != 2 {
        return Err(format!(
            "all was removed but the root and a file, and yet there are {inodes} inodes: {left:?}"
        ));
    }
    Ok(shown)
}

fn check_consistent(device: &Device) -> Result<(), String> {
    let report = fsck::check(device, &NoProgress).map_err(|error| format!("fsck: {error}"))?;
    // A torn superblock copy is a warning: there is the other one.
    if report.worst() >= Some(Severity::Error) {
        return Err(format!("fsck: {:#?}", report.issues));
    }
    Ok(())
}

/// Writes, reads back, and removes all that was there.
fn use_up(fs: &Filesystem, shown: &Snapshot) -> daxfs::Result<()> {
    const NEW: &str = "/made after the crash";
    let file = fs.create(NEW)?;
    file.write_all_at(&[0x5a; 5000], 100)?;
    let mut back = [0; 5000];
    file.read_at(&mut back, 100)?;
    assert!(back.iter().all(|byte| *byte == 0x5a), "bytes just written");
    // Deepest first: a name sorts behind its prefixes.
    for (path, node) in shown.0.iter().rev().filter(|(path, _)| *path != "/") {
        match node.kind {
            FileKind::Directory => fs.remove_directory(path)?,
            _ => fs.remove_file(path)?,
        }
    }
    Ok(())
}

/// How many operations had begun, and how many had returned.
fn progress(mark: Option<Mark>) -> (usize, usize) {
    match mark {
        None => (0, 0),
        Some(Mark { operation, moment }) => {
            let begun = operation as usize + 1;
            match moment {
                Moment::Begins => (begun, begun - 1),
                Moment::Returned => (begun, begun),
            }
        }
    }
}
