//! The life of a file on every kind of device, with every way to make it durable that the device
//! can have: write, map, punch, truncate, sync, remount.
//!
//! A device that cannot be had here (no `/dev/shm`, no huge pages) is left out with a message.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use daxfs::{
    Device, DeviceAccess, DeviceError, Filesystem, FormatOptions, MapOptions, MountOptions,
    PageTables, Persistence, PersistenceChoice,
};
use daxfs_tests::fixture::{Numbers, assert_clean};

const CHOICES: [PersistenceChoice; 4] = [
    PersistenceChoice::Detect,
    PersistenceChoice::Use(Persistence::Hardware),
    PersistenceChoice::Use(Persistence::Msync),
    PersistenceChoice::Use(Persistence::Volatile),
];
const DEVICE_BYTES: u64 = 32 << 20;

/// A file and what it must hold, on a device whose mapping unit is `unit` bytes.
struct Life {
    fs: Filesystem,
    expected: Vec<u8>,
    unit: usize,
    numbers: Numbers,
}

impl Life {
    fn begin(device: &Arc<Device>) -> Self {
        Filesystem::format(device, &FormatOptions::default()).unwrap();
        let unit = device.mapping_granule_bytes() as usize;
        let fs = mount(device);
        fs.create("/file")
            .unwrap()
            .truncate(4 * unit as u64)
            .unwrap();
        Self {
            fs,
            expected: vec![0; 4 * unit],
            unit,
            numbers: Numbers::new(3),
        }
    }

    /// Every kind of change, with all ways to look at the file after each.
    fn change(&mut self) {
        let file = self.fs.open("/file").unwrap();
        let map = |page_tables| {
            let options = MapOptions {
                page_tables,
                ..MapOptions::new(5 * self.unit as u64)
            };
            file.map(options).unwrap()
        };
        let (process, software) = (map(PageTables::Process), map(PageTables::Software));
        let unit = self.unit;
        let compare = |expected: &[u8], when: &str| {
            let mut bytes = vec![0xee; expected.len() + 1];
            assert_eq!(
                file.read_at(&mut bytes, 0).unwrap(),
                expected.len(),
                "{when}"
            );
            assert!(
                bytes[..expected.len()] == *expected,
                "{when}: as it is read"
            );
            for mapping in [&process, &software] {
                bytes.fill(0xee);
                mapping.load(0, &mut bytes[..expected.len()]).unwrap();
                assert!(
                    bytes[..expected.len()] == *expected,
                    "{when}: as it is mapped"
                );
            }
        };
        compare(&self.expected, "before");

        // Over the end of a hole's unit, where the zero page was mapped just now.
        let bytes = self.numbers.bytes(1000);
        file.write_all_at(&bytes, unit as u64 - 500).unwrap();
        self.expected[unit - 500..unit + 500].copy_from_slice(&bytes);
        compare(&self.expected, "after a write");

        for (mapping, at) in [(&process, 3 * unit + 77), (&software, 3 * unit + 2077)] {
            let bytes = self.numbers.bytes(999);
            mapping.store(at as u64, &bytes).unwrap();
            self.expected[at..at + 999].copy_from_slice(&bytes);
        }
        compare(&self.expected, "after stores");

        // One whole unit and parts of both neighbours.
        file.punch_hole(unit as u64 - 100, unit as u64 + 200)
            .unwrap();
        self.expected[unit - 100..2 * unit + 100].fill(0);
        compare(&self.expected, "after a punch");

        let bytes = self.numbers.bytes(300);
        assert_eq!(file.append(&bytes).unwrap(), self.expected.len() as u64);
        self.expected.extend_from_slice(&bytes);
        compare(&self.expected, "after an append");

        file.truncate(3 * unit as u64 + 100).unwrap();
        for mapping in [&process, &software] {
            let mut tail = [0xee; 500];
            mapping.load(3 * unit as u64 + 100, &mut tail).unwrap();
            assert_eq!(tail, [0; 500], "what was cut off still shows");
        }
        // Past the end, but in the unit that is mapped because its start is inside the file: what
        // is stored there must not come to light when the file grows.
        let past_the_end = 3 * unit + (unit - 1000).min(10_000);
        for mapping in [&process, &software] {
            match mapping.store(past_the_end as u64, &[0xee; 500]) {
                Ok(()) | Err(daxfs::Error::Access(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        file.truncate(4 * unit as u64).unwrap();
        self.expected.truncate(3 * unit + 100);
        self.expected.resize(4 * unit, 0);
        compare(&self.expected, "after truncations");
        process.sync(0, process.len_bytes()).unwrap();
        file.sync().unwrap();
    }

    /// Unmounts and says what the file must hold.
    fn end(self) -> Vec<u8> {
        self.fs.unmount().unwrap();
        self.expected
    }
}

fn mount(device: &Arc<Device>) -> Filesystem {
    Filesystem::mount(Arc::clone(device), MountOptions::default()).unwrap()
}

/// The life on one device; `reopen` gives the device as a later process would find it.
fn live(device: Device, reopen: impl Fn(Device) -> Device) {
    let what = device.describe();
    let device = Arc::new(device);
    let mut life = Life::begin(&device);
    life.change();
    life.change();
    let expected = life.end();
    assert_clean(&device);

    let device = Arc::new(reopen(Arc::into_inner(device).expect("unmounted")));
    let unit = device.mapping_granule_bytes() as usize;
    let mut life = Life {
        fs: mount(&device),
        expected,
        unit,
        numbers: Numbers::new(4),
    };
    life.change();
    life.fs.remove_file("/file").unwrap();
    assert!(matches!(
        life.fs.open("/file"),
        Err(daxfs::Error::NotFound { .. })
    ));
    life.end();
    assert_clean(&device);
    println!("good: {what}");
}

fn live_in_folder(folder: &Path) {
    for choice in CHOICES {
        let folder = tempfile::tempdir_in(folder).unwrap();
        let path = folder.path().join("image");
        let created = Device::create_file(&path, DEVICE_BYTES, choice);
        let Some(device) = unless_unsupported(created) else {
            continue;
        };
        live(device, |device| {
            drop(device);
            Device::open_file(&path, DeviceAccess::ReadWrite, choice).unwrap()
        });
    }
}

/// The device; nothing, and a message, where the processor cannot do what was asked for.
fn unless_unsupported(created: Result<Device, DeviceError>) -> Option<Device> {
    match created {
        Err(error @ DeviceError::NoFlushInstruction) => {
            println!("skipped: {error}");
            None
        }
        created => Some(created.unwrap()),
    }
}

#[test]
fn a_file_on_disk() {
    live_in_folder(&std::env::temp_dir());
}

#[test]
fn a_file_in_shared_memory() {
    let folder = Path::new("/dev/shm");
    if folder.is_dir() {
        live_in_folder(folder);
    } else {
        println!("skipped: no {}", folder.display());
    }
}

#[test]
fn memory() {
    for choice in CHOICES {
        let created = Device::create_memfd(DEVICE_BYTES, choice);
        let Some(device) = unless_unsupported(created) else {
            continue;
        };
        live(device, |device| device);
    }
}

#[test]
fn memory_of_huge_pages() {
    let _pages = ReservedPages::reserve(DEVICE_BYTES / daxfs::HUGE_PAGE_BYTES);
    for choice in CHOICES {
        match Device::create_huge_memfd(DEVICE_BYTES, choice) {
            Err(error @ (DeviceError::NoHugePages { .. } | DeviceError::NoFlushInstruction)) => {
                println!("skipped: {error}");
            }
            created => live(created.unwrap(), |device| device),
        }
    }
}

/// Huge pages added to the kernel's pool for the time of a test.
struct ReservedPages {
    before: Option<u64>,
}

impl ReservedPages {
    const POOL: &str = "/proc/sys/vm/nr_hugepages";

    /// Makes the pool larger by `pages`. Leaves it alone where that is not allowed: then there may
    /// be enough of them all the same.
    fn reserve(pages: u64) -> Self {
        let before = fs::read_to_string(Self::POOL)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let larger = |before: &u64| fs::write(Self::POOL, (before + pages).to_string()).is_ok();
        Self {
            before: before.filter(larger),
        }
    }
}

impl Drop for ReservedPages {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // At worst the pool stays larger until the machine restarts.
            let _ = fs::write(Self::POOL, before.to_string());
        }
    }
}
