//! Images of the filesystem itself: it and its judge agree on what is right.
//!
//! Only here does the check meet the writer.

use std::sync::Arc;

use daxfs_pmem::{Device, PersistenceChoice};

use super::device::{bytes_of, device_of};
use crate::fs::{Filesystem, FormatOptions, MountOptions};
use crate::fsck::{NoProgress, Outcome, check, repair};

const IMAGE_BYTES: u64 = 16 << 20;

fn work(fs: &Filesystem) {
    fs.create_directory("/directory").unwrap();
    for number in 0..40 {
        let file = fs.create(format!("/directory/file {number}")).unwrap();
        file.write_at(&[number; 9000], u64::from(number) * 5000)
            .unwrap();
    }
    for number in (0..40).step_by(3) {
        fs.remove_file(format!("/directory/file {number}")).unwrap();
    }
    let file = fs.open("/directory/file 1").unwrap();
    file.truncate(100).unwrap();
    file.truncate(1 << 20).unwrap();
    fs.create_directory("/directory/below").unwrap();
}

fn formatted() -> Device {
    let device = Device::create_memfd(IMAGE_BYTES, PersistenceChoice::Detect).unwrap();
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    device
}

fn assert_clean(device: &Device) -> u64 {
    let report = check(device, &NoProgress).unwrap();
    assert_eq!(report.issues, []);
    report.log_records
}

#[test]
fn what_the_filesystem_writes_is_clean() {
    let device = Arc::new(formatted());
    assert_clean(&device);
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).unwrap();
    work(&fs);
    // A picture of a running filesystem: everything since its first checkpoint is in the log.
    let crashed = device_of(&bytes_of(&device));
    assert!(assert_clean(&crashed) > 100);
    fs.sync().unwrap();
    assert_clean(&device_of(&bytes_of(&device)));
    fs.unmount().unwrap();
    assert_eq!(assert_clean(&device), 0);
}

#[test]
fn a_repair_folds_the_log_in_as_a_mount_does() {
    let device = Arc::new(formatted());
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).unwrap();
    work(&fs);
    let mut crashed = bytes_of(&device);
    drop(fs);
    // Whatever needs a repair; a mount overwrites it.
    let space_map = crate::format::ImageGeometry::for_blocks(IMAGE_BYTES / 4096).space_map_block;
    for slot in space_map..space_map + 2 {
        crashed[slot as usize * 4096 + 50] ^= 1;
    }
    let repaired = Arc::new(device_of(&crashed));
    let repair = repair(&repaired, &NoProgress).unwrap();
    assert_eq!(repair.outcome, Outcome::Repaired);
    assert_eq!(repair.after.unwrap().issues, []);
    let expected = Filesystem::mount(device, MountOptions::default()).unwrap();
    let found = Filesystem::mount(repaired, MountOptions::default()).unwrap();
    let mut files = 0;
    for entry in expected.read_directory("/directory").unwrap() {
        let path = format!("/directory/{}", entry.name.to_string_lossy());
        if !path.contains("file") {
            continue;
        }
        let read = |fs: &Filesystem| {
            let file = fs.open(&path).unwrap();
            let mut bytes = vec![0; file.len_bytes() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert!(read(&expected) == read(&found), "{path}");
        files += 1;
    }
    assert_eq!(files, 26);
}
