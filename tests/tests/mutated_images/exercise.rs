//! What any image whatever has to bear: a check, a mount, a walk, some use, and a repair. None may
//! panic, hang, or contradict another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daxfs::fsck::{self, NoProgress, Outcome, Report, Severity};
use daxfs::{Device, FileKind, Filesystem, MountAccess, MountOptions, PersistenceChoice};

/// Directories that a walk looks into at most: a damaged image may hold any number.
const MOST_DIRECTORIES: usize = 1000;
/// Bytes that a walk reads of a file at most: a hole may be of any size.
const MOST_BYTES: usize = 1 << 20;

fn device(image: &[u8]) -> Arc<Device> {
    let device = Device::create_memfd(image.len() as u64, PersistenceChoice::Detect);
    let device = device.expect("memory for an image");
    for (block, bytes) in (0..).zip(image.chunks(4096)) {
        if bytes.iter().any(|byte| *byte != 0) {
            let copied = device.copy(block * 4096, bytes);
            copied.expect("within the device").defer();
        }
    }
    Arc::new(device)
}

fn bytes(device: &Device) -> Vec<u8> {
    let mut bytes = vec![0; device.len_bytes() as usize];
    device.read(0, &mut bytes).expect("within the device");
    bytes
}

fn mount(device: &Arc<Device>, access: MountAccess) -> daxfs::Result<Filesystem> {
    let mut options = MountOptions::default();
    options.access = access;
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
pub(crate) fn exercise(image: &[u8]) {
    let checked = device(image);
    let report = fsck::check(&checked, &NoProgress).ok();
    assert!(bytes(&checked) == image, "a check changed the image");
    let is_clean = report.as_ref().is_some_and(Report::is_clean);
    // What a log needs is read at mount, so damage there keeps an image from mounting.
    let must_mount = report
        .as_ref()
        .is_some_and(|report| report.log_records == 0 && report.worst() < Some(Severity::Fatal));
    match mount(&checked, MountAccess::ReadOnly) {
        Ok(fs) => {
            let failures = walk(&fs);
            assert!(failures == 0 || !is_clean, "clean, and yet cannot be read");
        }
        Err(error) => assert!(
            !is_clean && !must_mount,
            "does not mount: {error}; {report:?}"
        ),
    }
    let used = device(image);
    if let Ok(fs) = mount(&used, MountAccess::ReadWrite) {
        work(&fs);
        let _ = walk(&fs);
        let unmounted = fs.unmount();
        if is_clean {
            unmounted.expect("a clean image unmounts");
            let after = fsck::check(&used, &NoProgress).expect("an image");
            assert!(after.is_clean(), "made wrong: {:?}", after.issues);
        }
    }
    repair(image);
}

fn repair(image: &[u8]) {
    let repaired = device(image);
    let Ok(repair) = fsck::repair(&repaired, &NoProgress) else {
        assert!(bytes(&repaired) == image, "an error changed the image");
        return;
    };
    if repair.outcome != Outcome::Repaired {
        assert!(bytes(&repaired) == image, "left as it was, and changed");
        return;
    }
    let after = repair.after.expect("checked again");
    assert!(after.is_clean(), "repaired, and wrong: {:?}", after.issues);
    let fs = mount(&repaired, MountAccess::ReadWrite).expect("a repaired image mounts");
    assert_eq!(walk(&fs), 0, "a repaired image can be read");
    work(&fs);
    fs.unmount().expect("a repaired image unmounts");
    let used = fsck::check(&repaired, &NoProgress).expect("an image");
    assert!(
        used.is_clean(),
        "repaired, used, and wrong: {:?}",
        used.issues
    );
}
