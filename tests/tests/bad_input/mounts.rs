//! Devices and mounts that say no: busy, formatted already, read-only, still in use.

use std::path::Path;

use daxfs::{
    Device, DeviceAccess, DeviceError, Error, ExistingImage, Filesystem, FormatOptions, MapOptions,
    MountOptions, PageTables, PersistenceChoice, Protection,
};
use daxfs_tests::fixture::{
    assert_clean, bytes_of, formatted, memory_device, mount, mount_read_only,
};

use crate::image::{IMAGE_BYTES, assert_holds, rich_image};

#[test]
fn a_busy_image_cannot_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let choice = PersistenceChoice::Detect;
    let device = Device::create_file(&path, IMAGE_BYTES, choice).unwrap();
    for access in [DeviceAccess::ReadWrite, DeviceAccess::ReadOnly] {
        let error = Device::open_file(&path, access, choice).unwrap_err();
        assert!(
            matches!(&error, DeviceError::Busy { path: named } if *named == path),
            "{error}"
        );
    }
    let error = Device::create_file(&path, IMAGE_BYTES, choice).unwrap_err();
    assert!(
        matches!(error, DeviceError::AlreadyExists { .. }),
        "{error}"
    );
    drop(device);
    let reader = Device::open_file(&path, DeviceAccess::ReadOnly, choice).unwrap();
    let second = Device::open_file(&path, DeviceAccess::ReadOnly, choice).unwrap();
    let error = Device::open_file(&path, DeviceAccess::ReadWrite, choice).unwrap_err();
    assert!(matches!(error, DeviceError::Busy { .. }), "{error}");
    drop((reader, second));
    Device::open_file(&path, DeviceAccess::ReadWrite, choice).unwrap();
}

#[test]
fn an_image_is_not_formatted_over_unless_asked_for() {
    let (device, content) = rich_image();
    let before = bytes_of(&device);
    let error = Filesystem::format(&device, &FormatOptions::default()).unwrap_err();
    assert!(matches!(error, Error::AlreadyFormatted), "{error}");
    assert!(
        bytes_of(&device) == before,
        "a refused format wrote to the device"
    );
    assert_holds(&mount_read_only(&device).unwrap(), &content);

    let options = FormatOptions {
        existing: ExistingImage::Replace,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &options).unwrap();
    assert_clean(&device);
    assert!(mount(&device).read_directory("/").unwrap().is_empty());
}

#[test]
fn devices_and_labels_that_cannot_be_formatted_are_refused() {
    for len_bytes in [4096, 1 << 20, (4 << 20) - 4096] {
        let device = memory_device(len_bytes);
        let error = Filesystem::format(&device, &FormatOptions::default()).unwrap_err();
        assert!(
            matches!(error, Error::UnusableDevice { .. }),
            "{len_bytes} bytes: {error}"
        );
        assert!(bytes_of(&device).iter().all(|byte| *byte == 0));
    }
    for label in ["x".repeat(65), "a\0b".to_owned()] {
        let device = memory_device(IMAGE_BYTES);
        let options = FormatOptions {
            label,
            ..FormatOptions::default()
        };
        let error = Filesystem::format(&device, &options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}

#[test]
fn the_smallest_device_holds_a_filesystem() {
    let device = formatted(4 << 20);
    let fs = mount(&device);
    fs.create("/file")
        .unwrap()
        .write_all_at(&[1; 1 << 20], 0)
        .unwrap();
    fs.unmount().unwrap();
    assert_clean(&device);
}

#[test]
fn a_read_only_mount_refuses_every_change_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let (source, content) = rich_image();
    std::fs::write(&path, bytes_of(&source)).unwrap();
    let open = |access| Device::open_file(&path, access, PersistenceChoice::Detect).unwrap();

    let error = Filesystem::mount(open(DeviceAccess::ReadOnly).into(), MountOptions::default());
    assert!(
        matches!(error, Err(Error::InvalidOption { .. })),
        "{error:?}"
    );
    for access in [DeviceAccess::ReadOnly, DeviceAccess::ReadWrite] {
        let fs = mount_read_only(&open(access).into()).unwrap();
        assert_holds(&fs, &content);
        refuse_changes(&fs);
        fs.sync().unwrap();
        fs.unmount().unwrap();
        let unchanged = std::fs::read(&path).unwrap() == bytes_of(&source);
        assert!(
            unchanged,
            "a read-only mount of a device that is {access:?} wrote to it"
        );
    }
    let error = Filesystem::format(&open(DeviceAccess::ReadOnly), &FormatOptions::default());
    assert!(
        matches!(error, Err(Error::UnusableDevice { .. })),
        "{error:?}"
    );
}

fn refuse_changes(fs: &Filesystem) {
    let file = fs.open("/few extents").unwrap();
    let results = [
        fs.create("/new").map(drop),
        fs.create_directory("/new"),
        fs.remove_file("/few extents"),
        fs.remove_directory("/names"),
        file.write_at(b"x", 0).map(drop),
        file.write_all_at(b"x", 0),
        file.append(b"x").map(drop),
        file.truncate(0),
        file.punch_hole(0, 4096),
        file.map(MapOptions::new(4096)).map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
    }
    for page_tables in [PageTables::Software, PageTables::Process] {
        let options = MapOptions {
            page_tables,
            protection: Protection::ReadOnly,
            ..MapOptions::new(8192)
        };
        let mapping = file.map(options).unwrap();
        let (mut loaded, mut read) = ([0; 4096], [0; 4096]);
        mapping.load(0, &mut loaded).unwrap();
        file.read_at(&mut read, 0).unwrap();
        assert_eq!(loaded, read);
        assert!(matches!(mapping.store(0, b"x"), Err(Error::Access(_))));
        // A hole.
        assert!(matches!(mapping.store(4096, b"x"), Err(Error::Access(_))));
    }
}

#[test]
fn unmounting_while_files_are_open_loses_nothing() {
    let device = formatted(IMAGE_BYTES);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    let mapping = file.map(MapOptions::new(4096)).unwrap();
    file.truncate(4096).unwrap();
    drop(file);
    match fs.unmount() {
        Err(Error::Busy { open_files }) => assert_eq!(open_files, 1),
        result => panic!("{result:?}"),
    }
    // The mapping alone keeps the filesystem alive, and its last user finishes it.
    mapping.store(10, b"after unmount").unwrap();
    drop(mapping);
    assert_clean(&device);
    let fs = mount(&device);
    let mut bytes = [0; 13];
    fs.open(Path::new("/file"))
        .unwrap()
        .read_at(&mut bytes, 10)
        .unwrap();
    assert_eq!(&bytes, b"after unmount");
}
