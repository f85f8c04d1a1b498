//! Images of the filesystem itself: it and its judge agree on what is right.
//!
//! Only here does the check meet the writer.

use std::sync::Arc;

use daxfs_pmem::{Device, PersistenceChoice};

use super::builder::{Builder, ROOT, TIME};
use super::device::{bytes_of, device_of};
use crate::format::record::Record;
use crate::fs::{Filesystem, FormatOptions, MountOptions, SetAttributes, SetMode};
use crate::fsck::{NoProgress, Outcome, check, repair};

const IMAGE_BYTES: u64 = 16 << 20;

/// An access control list: all for the owner, `mask` for the group and the user 5, 4 for others.
fn acl(mask: u8) -> Vec<u8> {
    let nobody = [255; 4];
    let entry = |tag, permissions, id: [u8; 4]| [&[tag, 0, permissions, 0], &id[..]].concat();
    let entries = [
        entry(1, 7, nobody),
        entry(2, 6, [5, 0, 0, 0]),
        entry(4, 7, nobody),
        entry(16, mask, nobody),
        entry(32, 4, nobody),
    ];
    [vec![2, 0, 0, 0], entries.concat()].concat()
}

const ACCESS: &str = "system.posix_acl_access";

fn work(fs: &Filesystem) {
    fs.create_directory("/directory").unwrap();
    let set = |name: &str, mask| {
        let (path, mode) = ("/directory", SetMode::default());
        fs.set_extended_attribute(path, name, &acl(mask), mode)
            .unwrap();
    };
    set("system.posix_acl_default", 7);
    set(ACCESS, 5);
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
    let change = SetAttributes {
        mode: Some(0o750),
        ..SetAttributes::default()
    };
    fs.set_attributes("/directory/file 2", &change).unwrap();
    let path = "/directory/file 4";
    fs.remove_extended_attribute(path, ACCESS).unwrap();
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
        let access = |fs: &Filesystem| {
            let mode = fs.metadata(&path).unwrap().mode;
            (mode, fs.extended_attribute(&path, ACCESS).ok())
        };
        assert_eq!(access(&expected), access(&found), "{path}");
        files += 1;
    }
    assert_eq!(files, 26);
}

/// A device of huge pages hands out 512 blocks at once, and keeps as many: its log means the same
/// where blocks are single.
#[test]
fn a_truncation_keeps_the_blocks_that_its_record_says() {
    let mut builder = Builder::new(4096);
    let file = builder.file(ROOT, "file", &[(0, 512), (512, 512)]);
    builder.record(&Record::SetLength {
        inode: file,
        len_bytes: 5000,
        kept_blocks: 512,
        time: TIME,
    });
    let image = builder.build();
    let report = image.report();
    assert_eq!((report.issues, report.log_records), (vec![], 1));
    let device = Arc::new(image.device());
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).unwrap();
    let file = fs.open("/file").unwrap();
    let extents = file.extents().into_iter();
    assert_eq!(
        extents.map(|extent| extent.len_bytes).sum::<u64>(),
        512 * 4096
    );
    assert_eq!(file.len_bytes(), 5000);
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
    assert_eq!(check(&device, &NoProgress).unwrap().data_blocks, 512);
}
