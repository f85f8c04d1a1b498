//! What is no image, and images of another size, version or feature.

use std::sync::Arc;

use daxfs::{
    Device, DeviceAccess, DeviceError, Error, Filesystem, MountOptions, PersistenceChoice,
};
use daxfs_tests::fixture::{Numbers, bytes_of, memory_device, mount, mount_read_only, overwrite};

use crate::image::{BLOCK_LEN, IMAGE_BYTES, assert_holds, reseal_superblocks, rich_image};

const VERSION: usize = 8;
const FEATURE_COMPATIBLE: usize = 16;
const FEATURE_READ_ONLY_COMPATIBLE: usize = 24;
const FEATURE_INCOMPATIBLE: usize = 32;

fn mount_error(device: &Arc<Device>) -> Error {
    let before = bytes_of(device);
    let error = Filesystem::mount(Arc::clone(device), MountOptions::default())
        .expect_err("this must not mount");
    assert!(
        bytes_of(device) == before,
        "a failed mount wrote to the device ({error})"
    );
    error
}

/// A device with the bytes of the rich image, after `change` and with superblocks whose checksums
/// are right.
fn forged(change: impl FnOnce(&mut [u8])) -> Arc<Device> {
    let (device, _) = rich_image();
    let mut bytes = bytes_of(&device);
    change(&mut bytes);
    reseal_superblocks(&mut bytes);
    overwrite(&device, 0, &bytes);
    device
}

fn set(bytes: &mut [u8], copies: &[usize], field: usize, value: u64) {
    for copy in copies {
        let at = copy * BLOCK_LEN + field;
        bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
}

#[test]
fn zeroes_and_noise_and_text_are_no_image() {
    let mut numbers = Numbers::new(1);
    let noise = numbers.bytes(64 << 10);
    let text = b"To be, or not to be, that is the question.\n".repeat(2000);
    for content in [&[][..], &noise[..], &text[..]] {
        let device = memory_device(IMAGE_BYTES);
        overwrite(&device, 0, content);
        let error = mount_error(&device);
        assert!(matches!(error, Error::NotAnImage { .. }), "{error}");
    }
}

#[test]
fn a_device_of_a_single_block_is_no_image() {
    let error = mount_error(&memory_device(BLOCK_LEN as u64));
    assert!(matches!(error, Error::NotAnImage { .. }), "{error}");
}

#[test]
fn files_that_cannot_be_devices_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| {
        Device::open_file(path, DeviceAccess::ReadWrite, PersistenceChoice::Detect)
    };
    let missing = folder.path().join("missing");
    let error = open(&missing).unwrap_err();
    assert!(matches!(&error, DeviceError::Io { object, .. } if object.ends_with("missing")));

    let error = open(folder.path()).unwrap_err();
    assert!(
        matches!(error, DeviceError::NotRegularFile { .. }),
        "{error}"
    );

    for len in [0, 1, 4095] {
        let short = folder.path().join(format!("{len} bytes"));
        std::fs::write(&short, vec![b'x'; len]).unwrap();
        let error = open(&short).unwrap_err();
        assert!(matches!(error, DeviceError::BadLength { .. }), "{error}");
        assert_eq!(std::fs::read(&short).unwrap(), vec![b'x'; len]);
    }
}

#[test]
fn an_image_that_was_cut_short_says_by_how_much() {
    let (device, _) = rich_image();
    let bytes = bytes_of(&device);
    for found_bytes in [8192, 12 << 10, 2 << 20, 4 << 20, IMAGE_BYTES - 4096] {
        let short = memory_device(found_bytes);
        overwrite(&short, 0, &bytes[..found_bytes as usize]);
        match mount_error(&short) {
            Error::Truncated {
                expected_bytes,
                found_bytes: found,
            } => {
                assert_eq!((expected_bytes, found), (IMAGE_BYTES, found_bytes));
            }
            error => panic!("{found_bytes} bytes: {error}"),
        }
    }
}

#[test]
fn an_image_on_a_longer_device_mounts() {
    let (device, content) = rich_image();
    let longer = memory_device(IMAGE_BYTES + (1 << 20));
    overwrite(&longer, 0, &bytes_of(&device));
    assert_holds(&mount(&longer), &content);
}

#[test]
fn another_version_is_named_even_when_only_one_copy_has_it() {
    for copies in [&[0, 1][..], &[0], &[1]] {
        let device = forged(|bytes| set(bytes, copies, VERSION, 7));
        let error = mount_error(&device);
        let named = matches!(
            error,
            Error::UnsupportedVersion {
                found: 7,
                supported: 2
            }
        );
        assert!(named, "{copies:?}: {error}");
        let error = mount_read_only(&device).unwrap_err();
        assert!(
            matches!(error, Error::UnsupportedVersion { found: 7, .. }),
            "{error}"
        );
    }
}

#[test]
fn unknown_incompatible_features_are_named() {
    let device = forged(|bytes| set(bytes, &[0, 1], FEATURE_INCOMPATIBLE, 0x50));
    for error in [mount_error(&device), mount_read_only(&device).unwrap_err()] {
        let named = matches!(
            error,
            Error::UnsupportedFeatures {
                class: "incompatible",
                bits: 0x50
            }
        );
        assert!(named, "{error}");
    }
}

#[test]
fn unknown_read_only_compatible_features_mount_read_only() {
    let device = forged(|bytes| set(bytes, &[0, 1], FEATURE_READ_ONLY_COMPATIBLE, 2));
    let error = mount_error(&device);
    let named = matches!(
        error,
        Error::UnsupportedFeatures {
            class: "read-only compatible",
            bits: 2
        }
    );
    assert!(named, "{error}");
    let (_, content) = rich_image();
    assert_holds(&mount_read_only(&device).unwrap(), &content);
}

#[test]
fn unknown_compatible_features_mount_and_are_kept() {
    let device = forged(|bytes| set(bytes, &[0, 1], FEATURE_COMPATIBLE, 4));
    mount(&device).unmount().unwrap();
    let bytes = bytes_of(&device);
    assert_eq!(
        [
            bytes[FEATURE_COMPATIBLE],
            bytes[BLOCK_LEN + FEATURE_COMPATIBLE]
        ],
        [4, 4]
    );
}
