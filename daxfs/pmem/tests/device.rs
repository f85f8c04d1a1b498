//! Devices of every backing: bounds, tokens, persistence back ends, and who may open an image.

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use daxfs_pmem::{
    Backing, Device, DeviceAccess, DeviceError, HUGE_PAGE_BYTES, PAGE_BYTES, Persistence,
    PersistenceChoice,
};

const BACK_ENDS: [Persistence; 3] = [
    Persistence::Hardware,
    Persistence::Msync,
    Persistence::Volatile,
];

/// Runs a test over every backing with every back end, and says which it was when it panics.
fn for_each_device(pages: u64, test: impl Fn(&Device)) {
    let folder = tempfile::tempdir().unwrap();
    for persistence in BACK_ENDS {
        let choice = PersistenceChoice::Use(persistence);
        let path = folder.path().join(format!("image-{persistence}"));
        let mut devices = vec![
            Device::create_file(&path, pages * PAGE_BYTES, choice).unwrap(),
            Device::create_memfd(pages * PAGE_BYTES, choice).unwrap(),
        ];
        let pool = common::HugePages::reserve(1);
        match Device::create_huge_memfd(HUGE_PAGE_BYTES, choice) {
            Ok(device) => devices.push(device),
            Err(DeviceError::NoHugePages { .. }) => eprintln!("skipped: no huge pages"),
            Err(error) => panic!("{error}"),
        }
        for device in devices {
            assert_eq!(device.persistence(), persistence);
            println!("{}", device.describe());
            test(&device);
        }
        drop(pool);
    }
}

#[test]
fn what_is_stored_copied_or_zeroed_is_read_back() {
    for_each_device(16, |device| {
        for (offset_bytes, len_bytes) in [
            (0, 8),
            (63, 2),
            (100, 64),
            (129, 4000),
            (4095, 8194),
            (64, 40000),
            (5, 0),
        ] {
            let bytes: Vec<u8> = (0..len_bytes)
                .map(|index| (index % 253) as u8 + 1)
                .collect();
            let mut back = vec![0; len_bytes];
            let dirty = device.store(offset_bytes, &bytes).unwrap();
            assert_eq!(
                (dirty.offset_bytes(), dirty.len_bytes()),
                (offset_bytes, len_bytes as u64)
            );
            let durable = device.fence(device.flush(dirty)).unwrap();
            assert_eq!(durable.offset_bytes(), offset_bytes);
            assert_eq!(durable.len_bytes(), len_bytes as u64);
            device.read(offset_bytes, &mut back).unwrap();
            assert_eq!(back, bytes);

            let zeroed = device.zero(offset_bytes, len_bytes as u64).unwrap();
            device.fence(zeroed).unwrap();
            device.read(offset_bytes, &mut back).unwrap();
            assert!(back.iter().all(|&byte| byte == 0));

            let copied = device.copy(offset_bytes, &bytes).unwrap();
            device.fence(copied).unwrap();
            device.read(offset_bytes, &mut back).unwrap();
            assert_eq!(back, bytes);
        }
    });
}

#[test]
fn zeroing_leaves_the_bytes_around_it_alone() {
    for_each_device(4, |device| {
        device
            .copy(0, &[0xff; 3 * PAGE_BYTES as usize])
            .unwrap()
            .defer();
        device.zero(1000, 5000).unwrap().defer();
        let mut all = vec![0; 3 * PAGE_BYTES as usize];
        device.read(0, &mut all).unwrap();
        for (index, byte) in all.into_iter().enumerate() {
            let wanted = if (1000..6000).contains(&index) {
                0
            } else {
                0xff
            };
            assert_eq!(byte, wanted, "byte {index}");
        }
    });
}

#[test]
fn every_access_outside_the_device_is_refused() {
    for_each_device(4, |device| {
        let end = device.usable_bytes();
        for (offset_bytes, len_bytes) in [
            (end, 1),
            (end - 1, 2),
            (u64::MAX, 1),
            (u64::MAX - 3, 8),
            (0, end as usize + 1),
        ] {
            let mut buffer = vec![0; len_bytes];
            let refused = [
                device.read(offset_bytes, &mut buffer).unwrap_err(),
                device.store(offset_bytes, &buffer).map(drop).unwrap_err(),
                device.copy(offset_bytes, &buffer).map(drop).unwrap_err(),
                device
                    .zero(offset_bytes, len_bytes as u64)
                    .map(drop)
                    .unwrap_err(),
                device
                    .flush_range(offset_bytes, len_bytes as u64)
                    .map(drop)
                    .unwrap_err(),
                device.populate(offset_bytes, len_bytes as u64).unwrap_err(),
            ];
            for error in refused {
                let expected = |error: &_| {
                    matches!(error, DeviceError::OutOfBounds { usable_bytes, .. }
                        if *usable_bytes == end)
                };
                assert!(expected(&error), "{error}");
            }
        }
        assert!(device.zero(0, u64::MAX).is_err());
        device.read(end, &mut []).unwrap();
        device.fence(device.copy(end, &[]).unwrap()).unwrap();
    });
}

#[test]
fn joined_tokens_are_fenced_as_one() {
    for_each_device(4, |device| {
        let first = device.copy(4096, b"data").unwrap();
        let second = device.flush(device.store(64, b"metadata").unwrap());
        let durable = device.fence(first.and(second)).unwrap();
        assert_eq!(
            (durable.offset_bytes(), durable.len_bytes()),
            (64, 4096 + 4 - 64)
        );
    });
}

#[test]
fn the_token_of_another_device_is_refused() {
    let device = Device::create_memfd(PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    let other = Device::create_memfd(PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    let foreign = |error| matches!(error, DeviceError::ForeignToken);
    assert!(foreign(
        device.fence(other.copy(0, b"x").unwrap()).unwrap_err()
    ));
    assert!(foreign(
        device
            .fence(device.flush(other.store(0, b"x").unwrap()))
            .unwrap_err()
    ));
    let mixed = device
        .copy(0, b"x")
        .unwrap()
        .and(other.copy(0, b"x").unwrap());
    assert!(foreign(device.fence(mixed).unwrap_err()));
    device.fence(device.copy(0, b"x").unwrap()).unwrap();
}

#[test]
fn stores_flushes_and_fences_are_counted() {
    for_each_device(1, |device| {
        for _ in 0..3 {
            let dirty = device.store(0, b"x").unwrap();
            device.flush(dirty).defer();
        }
        device.fence(device.flush_range(0, 64).unwrap()).unwrap();
        let counts = device.counts();
        assert_eq!((counts.stores, counts.flushes, counts.fences), (3, 4, 1));
    });
}

#[test]
fn counts_of_many_threads_add_up() {
    let device = Device::create_memfd(PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    device.flush(device.store(0, b"x").unwrap()).defer();
                }
            });
        }
    });
    assert_eq!(device.counts().stores, 8000);
    assert_eq!(device.counts().flushes, 8000);
}

#[test]
fn an_aligned_word_is_never_seen_torn() {
    let device = Device::create_memfd(PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    let (start, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for round in 0..2_000_000u32 {
                let dirty = device.store(8, &[round as u8; 8]).unwrap();
                device.flush(dirty).defer();
            }
            done.store(true, Ordering::Relaxed);
        });
        start.wait();
        while !done.load(Ordering::Relaxed) {
            let mut word = [0; 8];
            device.read(8, &mut word).unwrap();
            assert!(word.iter().all(|&byte| byte == word[0]), "{word:?}");
        }
    });
}

#[test]
fn what_is_detected_suits_the_backing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let file = Device::create_file(&path, PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    assert_eq!(file.backing(), Backing::File);
    // On persistent memory it would be the hardware's; it has to be one that survives.
    assert_ne!(file.persistence(), Persistence::Volatile);
    assert!(file.survives_power_failure());
    let memory = Device::create_memfd(PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    assert_eq!(memory.backing(), Backing::Memfd);
    assert_eq!(memory.persistence(), Persistence::Volatile);
    assert!(!memory.survives_power_failure());
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let emulated = Device::create_memfd(PAGE_BYTES, choice).unwrap();
    assert!(!emulated.survives_power_failure());
    assert!(
        emulated.describe().contains("emulated"),
        "{}",
        emulated.describe()
    );
}

#[test]
fn an_image_keeps_its_bytes_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    for persistence in BACK_ENDS {
        let path = folder.path().join(persistence.to_string());
        let choice = PersistenceChoice::Use(persistence);
        let device = Device::create_file(&path, 3 * PAGE_BYTES, choice).unwrap();
        device.fence(device.copy(5000, b"kept").unwrap()).unwrap();
        drop(device);
        for access in [DeviceAccess::ReadOnly, DeviceAccess::ReadWrite] {
            let device = Device::open_file(&path, access, choice).unwrap();
            assert_eq!(device.len_bytes(), 3 * PAGE_BYTES);
            let mut back = [0; 4];
            device.read(5000, &mut back).unwrap();
            assert_eq!(&back, b"kept");
        }
    }
}

#[test]
fn a_new_image_has_its_space_allocated() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let len_bytes = 1 << 20;
    drop(Device::create_file(&path, len_bytes, PersistenceChoice::Detect).unwrap());
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= len_bytes);
}

#[test]
fn opening_an_image_to_change_it_fills_its_holes() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let len_bytes = 1 << 20;
    File::create(&path).unwrap().set_len(len_bytes).unwrap();
    let allocated = || fs::metadata(&path).unwrap().blocks() * 512;
    drop(Device::open_file(&path, DeviceAccess::ReadOnly, PersistenceChoice::Detect).unwrap());
    assert_eq!(allocated(), 0);
    drop(Device::open_file(&path, DeviceAccess::ReadWrite, PersistenceChoice::Detect).unwrap());
    assert!(allocated() >= len_bytes);
}

#[test]
fn creating_refuses_a_file_that_exists_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, b"precious").unwrap();
    let error = Device::create_file(&path, PAGE_BYTES, PersistenceChoice::Detect).unwrap_err();
    assert!(
        matches!(error, DeviceError::AlreadyExists { .. }),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_file_that_could_not_be_created_whole_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    // More than any host has.
    let error = Device::create_file(&path, 1 << 60, PersistenceChoice::Detect).unwrap_err();
    assert!(matches!(error, DeviceError::NoSpace { .. }), "{error}");
    assert!(!path.exists());
    let missing = folder.path().join("no/such/folder");
    let error = Device::create_file(&missing, PAGE_BYTES, PersistenceChoice::Detect).unwrap_err();
    assert!(
        matches!(
            error,
            DeviceError::Io {
                operation: "create",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_image_is_held_by_one_writer_or_by_many_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let open = |access| Device::open_file(&path, access, PersistenceChoice::Detect);
    let busy = |opened: Result<Device, DeviceError>| {
        matches!(opened.unwrap_err(), DeviceError::Busy { .. })
    };
    let writer = Device::create_file(&path, PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    assert!(busy(open(DeviceAccess::ReadWrite)));
    assert!(busy(open(DeviceAccess::ReadOnly)));
    drop(writer);
    let first = open(DeviceAccess::ReadOnly).unwrap();
    let second = open(DeviceAccess::ReadOnly).unwrap();
    assert!(busy(open(DeviceAccess::ReadWrite)));
    drop((first, second));
    open(DeviceAccess::ReadWrite).unwrap();
}

#[test]
fn a_device_open_for_reading_refuses_to_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    drop(Device::create_file(&path, PAGE_BYTES, PersistenceChoice::Detect).unwrap());
    let device =
        Device::open_file(&path, DeviceAccess::ReadOnly, PersistenceChoice::Detect).unwrap();
    let refused = [
        device.store(0, b"x").map(drop).unwrap_err(),
        device.copy(0, b"x").map(drop).unwrap_err(),
        device.zero(0, 1).map(drop).unwrap_err(),
        device.flush_range(0, 1).map(drop).unwrap_err(),
        device.populate(0, 1).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, DeviceError::ReadOnly), "{error}");
    }
    device.read(0, &mut [0]).unwrap();
}

#[test]
fn only_the_whole_pages_of_an_odd_length_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, vec![7; 10_000]).unwrap();
    let device =
        Device::open_file(&path, DeviceAccess::ReadWrite, PersistenceChoice::Detect).unwrap();
    assert_eq!((device.len_bytes(), device.usable_bytes()), (10_000, 8192));
    device.read(8191, &mut [0]).unwrap();
    assert!(device.read(8192, &mut [0]).is_err());
    device.fence(device.copy(8000, &[1; 192]).unwrap()).unwrap();
    drop(device);
    assert_eq!(fs::metadata(&path).unwrap().len(), 10_000);
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        Device::open_file(path, DeviceAccess::ReadWrite, PersistenceChoice::Detect).unwrap_err()
    };
    assert!(matches!(
        open(folder.path()),
        DeviceError::NotRegularFile { .. }
    ));
    assert!(matches!(
        open(Path::new("/dev/null")),
        DeviceError::NotRegularFile { .. }
    ));
    assert!(matches!(
        open(&folder.path().join("missing")),
        DeviceError::Io { .. }
    ));
    let short = folder.path().join("short");
    fs::write(&short, vec![0; 4095]).unwrap();
    assert!(matches!(
        open(&short),
        DeviceError::BadLength {
            len_bytes: 4095,
            ..
        }
    ));

    let choice = PersistenceChoice::Detect;
    for len_bytes in [0, 4095, u64::MAX] {
        let path = folder.path().join("new");
        let bad = |error| matches!(error, DeviceError::BadLength { .. });
        assert!(bad(
            Device::create_file(&path, len_bytes, choice).unwrap_err()
        ));
        assert!(!path.exists());
        assert!(bad(Device::create_memfd(len_bytes, choice).unwrap_err()));
        assert!(bad(
            Device::create_huge_memfd(len_bytes, choice).unwrap_err()
        ));
    }
    let error = Device::create_huge_memfd(HUGE_PAGE_BYTES + PAGE_BYTES, choice).unwrap_err();
    assert!(matches!(error, DeviceError::BadLength { .. }), "{error}");
}

#[test]
fn more_huge_pages_than_the_pool_has_is_an_error_that_says_what_to_do() {
    // 1 PiB: no pool has them.
    let error = Device::create_huge_memfd(1 << 50, PersistenceChoice::Detect).unwrap_err();
    assert!(matches!(error, DeviceError::NoHugePages { .. }), "{error}");
    assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
}

#[test]
fn a_buffer_that_is_a_window_is_faulted_in_during_the_copy() {
    use daxfs_pmem::{PageTable, ProcessPageTable, Protection};
    let device = common::numbered_device(4);
    let pager = common::Pager::new(2);
    let window =
        ProcessPageTable::new(Arc::clone(&device), 2, pager.clone(), Protection::ReadWrite)
            .unwrap();
    let len_bytes = 2 * PAGE_BYTES as usize;
    // SAFETY: the window lives longer than the slice, and nothing else touches its pages.
    let bytes =
        unsafe { std::slice::from_raw_parts_mut(window.as_ptr().unwrap().as_ptr(), len_bytes) };
    let copied = device.copy(2 * PAGE_BYTES, bytes).unwrap();
    device.fence(copied).unwrap();
    let mut word = [0; 8];
    device.read(3 * PAGE_BYTES, &mut word).unwrap();
    assert_eq!(u64::from_le_bytes(word), 2);
    window.unmap(0, 2).unwrap();
    device.zero(2 * PAGE_BYTES, 2 * PAGE_BYTES).unwrap().defer();
    device.read(2 * PAGE_BYTES, bytes).unwrap();
    device.read(0, &mut word).unwrap();
    assert_eq!(u64::from_le_bytes(word), 0);
    assert_eq!(pager.faults().len(), 4);
}
