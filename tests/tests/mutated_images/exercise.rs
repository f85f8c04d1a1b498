//! What any image whatever has to bear: a check, a mount, a walk, some use, and a repair. None may
//! panic, hang, or contradict another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daxfs::fsck::{self, Issue, NoProgress, Outcome, Report, Severity};
use daxfs::{
    Checkpoints, Device, Error, FileKind, Filesystem, MountAccess, MountOptions, PersistenceChoice,
};

/// Directories that a walk looks into at most: a damaged image may hold any number.
const MOST_DIRECTORIES: usize = 1000;
/// Bytes that a walk reads of a file at most: a hole may be of any size.
const MOST_BYTES: usize = 1 << 20;
const BLOCK: usize = 4096;
const ZEROES: [u8; BLOCK] = [0; BLOCK];

/// An image, most of which is zeroes: those cost time to copy, and to compare.
pub(crate) struct Image<'i> {
    bytes: &'i [u8],
    /// Where the blocks are that are not all zero.
    blocks: Vec<usize>,
}

impl<'i> Image<'i> {
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        let blocks = bytes.chunks(BLOCK).enumerate();
        let blocks = blocks.filter(|(_, block)| **block != ZEROES[..block.len()]);
        Self {
            bytes,
            blocks: blocks.map(|(number, _)| number * BLOCK).collect(),
        }
    }

    /// Where the blocks are that are not all zero, in bytes.
    pub(crate) fn into_blocks(self) -> Vec<usize> {
        self.blocks
    }

    fn block(&self, at: usize) -> &'i [u8] {
        &self.bytes[at..self.bytes.len().min(at + BLOCK)]
    }

    /// The image on a device of its own.
    fn device(&self) -> Arc<Device> {
        let device = Device::create_memfd(self.bytes.len() as u64, PersistenceChoice::Detect);
        let device = device.expect("memory for an image");
        for &at in &self.blocks {
            let copied = device.copy(at as u64, self.block(at));
            copied.expect("within the device").defer();
        }
        Arc::new(device)
    }

    /// Fails unless `device` holds the image, and nothing was made durable there since `before`.
    /// (What was zero is not read: the kernel would have to find memory for it.)
    #[track_caller]
    fn assert_untouched(&self, device: &Device, before: u64) {
        assert_eq!(writes(device), before, "the image was written");
        let mut found = [0; BLOCK];
        for &at in &self.blocks {
            let (found, expected) = (&mut found[..self.block(at).len()], self.block(at));
            device.read(at as u64, found).expect("within the device");
            assert!(found == expected, "block {} was changed", at / BLOCK);
        }
    }
}

/// What was stored, flushed and fenced until now.
fn writes(device: &Device) -> u64 {
    let counts = device.counts();
    counts.stores + counts.flushes + counts.fences
}

/// What became of an image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// A mount for reading took it.
    pub(crate) is_readable: bool,
    /// A mount for writing took it.
    pub(crate) is_writable: bool,
    /// The check found nothing wrong.
    pub(crate) is_clean: bool,
    /// The repair changed it, and made it clean.
    pub(crate) is_repaired: bool,
}

fn mount(device: &Arc<Device>, access: MountAccess) -> daxfs::Result<Filesystem> {
    let mut options = MountOptions::default();
    options.access = access;
    // A thread for each of a million mounts would take most of the time.
    options.checkpoints = Checkpoints::WhenNeeded;
    Filesystem::mount(Arc::clone(device), options)
}

/// Lists every directory and reads every file; says how many could not be.
fn walk(fs: &Filesystem) -> usize {
    let mut failures = 0;
    let mut directories = vec![PathBuf::from("/")];
    let mut looked_into = 0;
    let mut buffer = vec![0; MOST_BYTES];
    while let Some(directory) = directories.pop() {
        looked_into += 1;
        if looked_into > MOST_DIRECTORIES {
            break;
        }
        let Ok(entries) = fs.read_directory(&directory) else {
            failures += 1;
            continue;
        };
        for entry in entries {
            if entry.name == "." || entry.name == ".." {
                continue;
            }
            let path = directory.join(&entry.name);
            match entry.kind {
                FileKind::Directory => directories.push(path),
                FileKind::File => failures += usize::from(!reads(fs, &path, &mut buffer)),
                FileKind::SymbolicLink => failures += usize::from(fs.read_link(&path).is_err()),
                _ => failures += usize::from(fs.symlink_metadata(&path).is_err()),
            }
        }
    }
    failures
}

fn reads(fs: &Filesystem, path: &Path, buffer: &mut [u8]) -> bool {
    let Ok(file) = fs.open(path) else {
        return false;
    };
    file.read_at(buffer, 0).is_ok() && fs.extended_attributes(path).is_ok()
}

/// Uses a filesystem a little; what fails, fails.
fn work(fs: &Filesystem) {
    if let Ok(file) = fs.create("/made by the fuzzer") {
        let _ = file.write_at(&[7; 10_000], 5000);
        let _ = file.truncate(6000);
    }
    let _ = fs.create_directory("/directory made by the fuzzer");
    for name in ["file", "link", "directory", "symlink", "large"] {
        let _ = fs.remove_file(format!("/{name}"));
    }
    let _ = fs.checkpoint();
}

/// Does everything to an image.
///
/// # Panics
/// When anything does, and when a check, a mount and a repair contradict each other.
pub(crate) fn exercise(image: &Image<'_>) -> Fate {
    let device = image.device();
    let before = writes(&device);
    let report = fsck::check(&device, &NoProgress).ok();
    let is_clean = report.as_ref().is_some_and(Report::is_clean);
    let is_readable = read_only(&device, report.as_ref());
    image.assert_untouched(&device, before);
    let is_writable = read_write(&device, is_clean);
    let is_repaired = if writes(&device) == before {
        // Nobody has made anything else of it.
        repair(image, &device)
    } else {
        drop(device);
        repair(image, &image.device())
    };
    Fate {
        is_clean,
        is_readable,
        is_writable,
        is_repaired,
    }
}

fn read_only(checked: &Arc<Device>, report: Option<&Report>) -> bool {
    let is_clean = report.is_some_and(Report::is_clean);
    // What a log needs is read at mount, so damage there keeps an image from mounting.
    let must_mount = report
        .is_some_and(|report| report.log_records == 0 && report.worst() < Some(Severity::Fatal));
    match mount(checked, MountAccess::ReadOnly) {
        Ok(fs) => {
            let failures = walk(&fs);
            assert!(failures == 0 || !is_clean, "clean, and yet cannot be read");
            true
        }
        Err(error) => {
            let may_fail = !is_clean && !must_mount;
            assert!(may_fail, "does not mount: {error}; {report:?}");
            false
        }
    }
}

fn read_write(used: &Arc<Device>, is_clean: bool) -> bool {
    let fs = match mount(used, MountAccess::ReadWrite) {
        Ok(fs) => fs,
        // What a newer program has added may well be right.
        Err(Error::UnsupportedFeatures { .. }) => return false,
        Err(error) => {
            assert!(!is_clean, "clean, and yet cannot be written: {error}");
            return false;
        }
    };
    work(&fs);
    let _ = walk(&fs);
    let unmounted = fs.unmount();
    if is_clean {
        unmounted.expect("a clean image unmounts");
        let after = fsck::check(used, &NoProgress).expect("an image");
        assert!(after.is_clean(), "made wrong: {:?}", after.issues);
    }
    true
}

/// Blocks of files that do not hold what they did: no repair makes them right.
fn damaged_blocks(report: &Report) -> usize {
    let is_damaged = |issue: &&Issue| matches!(issue, Issue::DataDamaged { .. });
    report.issues.iter().filter(is_damaged).count()
}

/// Whether there was something to repair, and it was.
fn repair(image: &Image<'_>, repaired: &Arc<Device>) -> bool {
    let before = writes(repaired);
    let repair = match fsck::repair(repaired, &NoProgress) {
        Ok(repair) if repair.outcome == Outcome::Repaired => repair,
        _ => {
            image.assert_untouched(repaired, before);
            return false;
        }
    };
    let after = repair.after.expect("checked again");
    let damaged = damaged_blocks(&after);
    assert!(
        damaged == after.issues.len(),
        "repaired, and wrong: {:?}",
        after.issues
    );
    let fs = mount(repaired, MountAccess::ReadWrite).expect("a repaired image mounts");
    let failures = walk(&fs);
    assert!(failures == 0 || damaged > 0, "a repaired image can be read");
    work(&fs);
    fs.unmount().expect("a repaired image unmounts");
    let used = fsck::check(repaired, &NoProgress).expect("an image");
    assert!(
        damaged_blocks(&used) == used.issues.len(),
        "repaired, used, and wrong: {:?}",
        used.issues
    );
    true
}
