//! What this filesystem promises, and whether a state keeps it.
//!
//! Names, lengths and where bytes are: all or nothing, as of the last sync that returned, or as of
//! one that was under way. Bytes that were written onto blocks that sync already knew: each as it
//! was then or as it became at any time since; they are written in place.

use std::collections::HashMap;
use std::sync::Arc;

use daxfs::fsck::{self, NoProgress, Severity};
use daxfs::{Device, Filesystem, MountOptions};
use daxfs_pmem::{Event, Mark, Moment};
use daxfs_tests::crash::{Counts, CrashState, ImageHash, Limits, for_each_crash_state};

use crate::driver::Run;
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
        let mark = state.progress.values().next().copied();
        let verdict = match shown {
            Ok(shown) => judge(run, mark, shown),
            Err(broken) => Err(broken.clone()),
        };
        self.broken = verdict.err().map(|broken| format!("{broken}\n{state}"));
    }
}

/// Checks an image, mounts it, and uses it. Gives what it showed at first.
pub(crate) fn recover(device: &Arc<Device>) -> Result<Snapshot, String> {
    check_consistent(device)?;
    let failed = |what: &'static str| move |error: daxfs::Error| format!("{what}: {error}");
    let options = MountOptions::default;
    let fs = Filesystem::mount(Arc::clone(device), options()).map_err(failed("mount"))?;
    let shown = Snapshot::of(&fs).map_err(failed("reading what was mounted"))?;
    use_up(&fs, &shown).map_err(failed("using what was mounted"))?;
    fs.unmount().map_err(failed("unmount"))?;
    check_consistent(device)?;
    let fs = Filesystem::mount(Arc::clone(device), options()).map_err(failed("second mount"))?;
    let left = Snapshot::of(&fs).map_err(failed("reading after the second mount"))?;
    if left.0.len() != 2 {
        return Err(format!("everything was removed, and yet there is {left:?}"));
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
    for (path, content) in shown.0.iter().rev().filter(|(path, _)| *path != "/") {
        match content {
            Some(_) => fs.remove_file(path)?,
            None => fs.remove_directory(path)?,
        }
    }
    Ok(())
}

/// Whether an image may show this when the program had come to `mark`.
pub(crate) fn judge(run: &Run, mark: Option<Mark>, shown: &Snapshot) -> Result<(), String> {
    let (begun, returned) = progress(mark);
    let last = run.syncs.iter().rev().find(|sync| **sync < returned);
    // What a sync makes durable is there when it begins. Without any it is the empty filesystem.
    let synced = last.map_or(0, |sync| *sync);
    let under_way = run
        .syncs
        .iter()
        .copied()
        .find(|sync| (returned..begun).contains(sync));
    let candidates = [Some(synced), under_way];
    let versions = &run.versions[..=begun.min(run.versions.len() - 1)];
    let may_be = |version: usize| is_first_of(&versions[version..], shown);
    if candidates.into_iter().flatten().any(may_be) {
        return Ok(());
    }
    let names = |snapshot: &Snapshot| {
        let lens = snapshot.0.iter().map(|(path, content)| {
            let len = content.as_ref().map(Vec::len);
            format!("{path} {len:?}")
        });
        lens.collect::<Vec<_>>().join(", ")
    };
    Err(format!(
        "{begun} operations begun, {returned} returned, synced as of {synced} (or {under_way:?}): \
         should be\n  {}\nand is\n  {}",
        names(&run.versions[synced]),
        names(shown)
    ))
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

/// Whether `shown` is what the first of `versions` was, some bytes overwritten as in a later one.
pub(crate) fn is_first_of(versions: &[Snapshot], shown: &Snapshot) -> bool {
    let synced = &versions[0].0;
    let is_same = |(path, content): (&String, &Option<Vec<u8>>)| match (content, synced.get(path)) {
        (Some(shown), Some(Some(synced))) => {
            shown.len() == synced.len() && is_mix(path, shown, versions)
        }
        (None, Some(None)) => true,
        _ => false,
    };
    synced.len() == shown.0.len() && shown.0.iter().all(is_same)
}

/// Whether each byte is one that the file had there.
fn is_mix(path: &str, shown: &[u8], versions: &[Snapshot]) -> bool {
    let contents: Vec<&Vec<u8>> = versions
        .iter()
        .filter_map(|version| version.0.get(path)?.as_ref())
        .collect();
    // Past the end of a file that was cut short its last block holds zeroes.
    let had = |at: usize, byte: u8| {
        contents
            .iter()
            .any(|content| content.get(at).copied().unwrap_or(0) == byte)
    };
    shown.iter().enumerate().all(|(at, byte)| had(at, *byte))
}
