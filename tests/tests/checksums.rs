//! Checksums of data: what decays is found, by whoever reads it and by the check; what is written
//! is not taken for damage, whichever way it is written.
//!
//! A byte of the device under the filesystem is changed to stand for a medium that forgets. Touches
//! anonymous memory, and image files in the folder for temporary files. Takes no locks.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use daxfs::fsck::{self, Issue, NoProgress, Outcome, Refusal};
use daxfs::schedule::{Point, Schedule};
use daxfs::{
    DataChecksums, DataMode, Device, Error, File, Filesystem, FormatOptions, Length, MapOptions,
    Mapping, MountOptions, PageTables, Persistence, PersistenceChoice, Protection,
};
use daxfs_tests::fixture::{
    Numbers, assert_clean, bytes_of, formatted_with, memory_device, mount, mount_read_only,
    overwrite,
};

const PAGE: u64 = 4096;
const LARGE: u64 = 2 << 20;
const DEVICE_BYTES: u64 = 32 << 20;

fn formatted() -> Arc<Device> {
    formatted_with(DEVICE_BYTES, DataChecksums::On)
}

/// A file of so many bytes that are summed up and stored.
fn put(fs: &Filesystem, path: &str, bytes: &[u8]) {
    fs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    fs.checkpoint().unwrap();
}

/// An image with a file of 10 pages that are summed up and stored; it is open.
fn with_file() -> (Arc<Device>, Filesystem, File) {
    let device = formatted();
    let fs = mount(&device);
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let file = fs.open("/file").unwrap();
    (device, fs, file)
}

/// Where a byte of a file is on the device.
fn place_of(file: &File, at: u64) -> u64 {
    let extents = file.extents();
    let mut holding = extents.iter().filter(|extent| {
        (extent.file_offset_bytes..extent.file_offset_bytes + extent.len_bytes).contains(&at)
    });
    let extent = holding.next().expect("it has a block");
    extent.device_offset_bytes + (at - extent.file_offset_bytes)
}

/// Changes one byte of the device.
fn decay(device: &Device, at: u64) {
    let mut byte = [0];
    device.read(at, &mut byte).unwrap();
    overwrite(device, at, &[!byte[0]]);
}

/// What a crash at this moment leaves, mounted.
fn crashed(device: &Device) -> Filesystem {
    let left = memory_device(device.usable_bytes());
    overwrite(&left, 0, &bytes_of(device));
    mount(&left)
}

fn read(file: &File, at: u64, len: usize) -> daxfs::Result<Vec<u8>> {
    let mut bytes = vec![0xee; len];
    let read = file.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[track_caller]
fn assert_damaged<T: std::fmt::Debug>(result: daxfs::Result<T>, block: u64) {
    match result {
        Err(error @ Error::DataCorrupt { file_block, .. }) => {
            assert_eq!((file_block, error.errno()), (block, 5), "EIO");
        }
        other => panic!("block {block} is damaged: {other:?}"),
    }
}

fn map(file: &File, protection: Protection) -> Mapping {
    let options = MapOptions {
        page_tables: PageTables::Software,
        protection,
        ..MapOptions::new(file.len_bytes())
    };
    file.map(options).unwrap()
}

fn issues(device: &Device) -> Vec<Issue> {
    fsck::check(device, &NoProgress).unwrap().issues
}

#[test]
fn what_decays_is_found_by_reads_maps_copies_and_the_check() {
    let (device, fs, file) = with_file();
    decay(&device, place_of(&file, 3 * PAGE + 100));

    assert_damaged(read(&file, 3 * PAGE, 1), 3);
    assert_damaged(read(&file, 0, 10 * PAGE as usize), 3);
    assert_eq!(
        read(&file, 0, 3 * PAGE as usize).unwrap(),
        [7; 3 * PAGE as usize]
    );
    assert_damaged(file.write_at(b"!", 3 * PAGE), 3);
    let reader = map(&file, Protection::ReadOnly);
    let mut byte = [0];
    assert!(matches!(
        reader.load(3 * PAGE, &mut byte),
        Err(Error::Access(_))
    ));
    reader.load(4 * PAGE, &mut byte).unwrap();
    drop(reader);
    let copy = fs.create("/copy").unwrap();
    assert_damaged(file.copy_range(3 * PAGE + 1, &copy, 0, 10), 3);
    drop((file, copy));
    fs.unmount().unwrap();

    let found = issues(&device);
    assert!(
        matches!(found[..], [Issue::DataDamaged { file_block: 3, .. }]),
        "{found:?}"
    );
    let repair = fsck::repair(&device, &NoProgress).unwrap();
    assert_eq!(repair.outcome, Outcome::Refused(Refusal::DamagedData));

    // It stays damaged until it is written as a whole.
    let fs = mount(&device);
    let file = fs.open("/file").unwrap();
    assert_damaged(read(&file, 3 * PAGE, 1), 3);
    file.write_all_at(&[8; PAGE as usize], 3 * PAGE).unwrap();
    assert_eq!(read(&file, 3 * PAGE, 1).unwrap(), [8]);
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}

#[test]
fn a_mount_that_may_not_write_finds_it_too() {
    let device = formatted();
    let fs = mount(&device);
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let at = place_of(&fs.open("/file").unwrap(), 0);
    fs.unmount().unwrap();
    decay(&device, at);
    let fs = mount_read_only(&device).unwrap();
    assert_damaged(read(&fs.open("/file").unwrap(), 0, 1), 0);
}

#[test]
fn an_image_without_them_has_none() {
    let device = formatted_with(DEVICE_BYTES, DataChecksums::Off);
    let fs = mount(&device);
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let file = fs.open("/file").unwrap();
    decay(&device, place_of(&file, 0));
    assert_eq!(read(&file, 0, 1).unwrap(), [!7]);
}

/// Each way to change a file of which all is summed up; after each it is as it should be, in
/// memory, for the check after a crash, and for the check after an unmount.
#[test]
fn no_change_is_taken_for_damage() {
    type Change = fn(&Filesystem, &File);
    let changes: [(&str, Change); 14] = [
        ("a write", |_, file| {
            file.write_all_at(&[1; 5000], 6000).unwrap();
        }),
        ("a small write", |_, file| {
            file.write_all_at(&[1; 50], 6000).unwrap();
        }),
        ("a write past the end", |_, file| {
            file.write_all_at(&[1; 50], 40 * PAGE + 10).unwrap();
        }),
        ("an append", |_, file| {
            let _at = file.append(&[1; 50]).unwrap();
        }),
        ("a store", |_, file| {
            map(file, Protection::ReadWrite)
                .store(6000, &[1; 5000])
                .unwrap();
        }),
        ("a store while it is mapped", |fs, file| {
            let mapping = map(file, Protection::ReadWrite);
            mapping.store(6000, &[1; 50]).unwrap();
            fs.checkpoint().unwrap();
            mapping.store(6100, &[2; 50]).unwrap();
            mapping.sync(0, 4 * PAGE).unwrap();
        }),
        ("a truncation", |_, file| file.truncate(6000).unwrap()),
        ("a truncation and growth", |_, file| {
            file.truncate(6000).unwrap();
            file.truncate(30_000).unwrap();
        }),
        ("a hole", |_, file| file.punch_hole(5000, 10_000).unwrap()),
        ("zeroes", |_, file| {
            file.zero_range(5000, 10_000, Length::Keep).unwrap();
        }),
        ("a range taken out", |_, file| {
            file.collapse_range(PAGE, 2 * PAGE).unwrap();
        }),
        ("a range put in", |_, file| {
            file.insert_range(PAGE, 2 * PAGE).unwrap();
        }),
        ("a clone and writes to both", |fs, file| {
            let clone = fs.create("/clone").unwrap();
            file.clone_range(0, 0, &clone, 0).unwrap();
            clone.write_all_at(&[1; 50], 6000).unwrap();
            file.write_all_at(&[2; 50], 9000).unwrap();
        }),
        ("a clone that is stored to", |fs, file| {
            let clone = fs.create("/clone").unwrap();
            file.clone_range(0, 0, &clone, 0).unwrap();
            map(file, Protection::ReadWrite)
                .store(6000, &[1; 50])
                .unwrap();
        }),
    ];
    for data in [DataMode::InPlace, DataMode::Atomic] {
        for (name, change) in changes {
            change_and_check(&format!("{name}, {data:?}"), data, change);
        }
    }
}

fn change_and_check(name: &str, data: DataMode, change: fn(&Filesystem, &File)) {
    let device = formatted();
    let mut options = MountOptions::default();
    options.data = data;
    let fs = Filesystem::mount(Arc::clone(&device), options).unwrap();
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let file = fs.open("/file").unwrap();
    change(&fs, &file);
    let expected = read(&file, 0, 1 << 20).expect(name);
    // A checker of the device as it is now sees what a crash would leave.
    assert_eq!(issues(&device), [], "{name}: in use");
    let left = crashed(&device).open("/file").unwrap();
    assert_eq!(
        read(&left, 0, 1 << 20).unwrap(),
        expected,
        "{name}: crashed"
    );
    drop(file);
    fs.checkpoint().unwrap();
    assert_eq!(issues(&device), [], "{name}: after a checkpoint");
    fs.unmount().unwrap();
    assert_clean(&device);

    let fs = mount(&device);
    let file = fs.open("/file").unwrap();
    assert_eq!(read(&file, 0, 1 << 20).unwrap(), expected, "{name}");
    // All of it is summed up again: decay is found anywhere.
    let len = file.len_bytes();
    for at in [0, len / 2, len - 1] {
        if file.seek_data(at) == Some(at) {
            decay(&device, place_of(&file, at));
            assert_damaged(read(&file, at, 1), at / PAGE);
            decay(&device, place_of(&file, at));
        }
    }
    assert_eq!(read(&file, 0, 1 << 20).unwrap(), expected, "{name}");
}

/// One block is changed, another decays meanwhile: closing the file must not make that right.
#[test]
fn what_decays_while_another_block_changes_is_not_summed_up() {
    let (device, fs, file) = with_file();
    file.write_all_at(&[8; 100], 2 * PAGE).unwrap();
    decay(&device, place_of(&file, 5 * PAGE));
    drop(file);
    let file = fs.open("/file").unwrap();
    assert_damaged(read(&file, 5 * PAGE, 1), 5);
    assert_eq!(read(&file, 2 * PAGE, 1).unwrap(), [8]);
    // Nor does a mapping that brings its neighbours in.
    let mapping = map(&file, Protection::ReadWrite);
    mapping.store(6 * PAGE, &[9; 10]).unwrap();
    assert!(mapping.store(5 * PAGE, &[9; 10]).is_err());
    drop((mapping, file));
    fs.unmount().unwrap();
    let fs = mount(&device);
    let file = fs.open("/file").unwrap();
    assert_damaged(read(&file, 5 * PAGE, 1), 5);
    assert_eq!(read(&file, 6 * PAGE, 1).unwrap(), [9]);
}

/// What stays of a block that gets another in its place is compared, as it is where it stays.
#[test]
fn what_decays_is_not_copied() {
    for data in [DataMode::InPlace, DataMode::Atomic] {
        let device = formatted();
        let mut options = MountOptions::default();
        options.data = data;
        let fs = Filesystem::mount(Arc::clone(&device), options).unwrap();
        put(&fs, "/file", &[7; 10 * PAGE as usize]);
        let file = fs.open("/file").unwrap();
        let clone = fs.create("/clone").unwrap();
        if data == DataMode::InPlace {
            file.clone_range(0, 0, &clone, 0).unwrap();
        }
        decay(&device, place_of(&file, 3 * PAGE));
        assert_damaged(file.write_at(&[8; 3000], 3 * PAGE + 500), 3);
        assert_damaged(file.write_all_at(&[8; 3000], 2 * PAGE + 2000), 3);
        assert_damaged(file.punch_hole(3 * PAGE + 500, PAGE), 3);
        assert_damaged(file.truncate(3 * PAGE + 500), 3);
        assert_eq!(file.len_bytes(), 10 * PAGE);
        let mapping = map(&file, Protection::ReadWrite);
        assert!(mapping.store(3 * PAGE + 500, &[8; 100]).is_err());
        drop(mapping);
        file.write_all_at(&[8; PAGE as usize], 3 * PAGE).unwrap();
        assert_eq!(read(&file, 3 * PAGE, 1).unwrap(), [8]);
    }
}

/// Blocks that move, or get a second place, take their checksums along: damage stays damage.
#[test]
fn what_decays_is_found_wherever_it_goes() {
    type Move = fn(&Filesystem, &File) -> u64;
    let moves: [(&str, &str, Move); 4] = [
        ("/file", "taken out before", |_, file| {
            file.collapse_range(PAGE, PAGE).unwrap();
            2
        }),
        ("/file", "put in before", |_, file| {
            file.insert_range(PAGE, 200 * PAGE).unwrap();
            203
        }),
        ("/clone", "cloned", |fs, file| {
            let clone = fs.create("/clone").unwrap();
            file.clone_range(2 * PAGE, 4 * PAGE, &clone, 126 * PAGE)
                .unwrap();
            127
        }),
        ("/file", "cloned within the file", |_, file| {
            file.clone_range(2 * PAGE, 4 * PAGE, file, 20 * PAGE)
                .unwrap();
            21
        }),
    ];
    for (path, name, act) in moves {
        for moment in ["before", "after"] {
            let (device, fs, file) = with_file();
            let at = place_of(&file, 3 * PAGE);
            if moment == "before" {
                decay(&device, at);
            }
            let block = act(&fs, &file);
            if moment == "after" {
                decay(&device, at);
            }
            drop(file);
            let found = issues(&device);
            let block_of = |issue: &Issue| match issue {
                Issue::DataDamaged { file_block, .. } => Some(*file_block),
                _ => None,
            };
            let has = |issue: &Issue| block_of(issue) == Some(block);
            assert!(found.iter().any(has), "{name}, {moment}: {found:?}");
            for fs in [fs, crashed(&device)] {
                let file = fs.open(path).unwrap();
                assert_damaged(read(&file, block * PAGE, 1), block);
                read(&file, (block + 1) * PAGE, 1).unwrap();
                drop(file);
                fs.unmount().unwrap();
            }
            assert!(issues(&device).iter().any(has), "{name}, {moment}");
        }
    }
}

/// 2 MiB of which one page is damaged: that page cannot be had, and all others can, one by one.
#[test]
fn a_page_that_decays_is_not_mapped_with_its_neighbours() {
    for protection in [Protection::ReadOnly, Protection::ReadWrite] {
        let device = formatted();
        let fs = mount(&device);
        put(&fs, "/file", &vec![7; 2 * LARGE as usize]);
        let file = fs.open("/file").unwrap();
        decay(&device, place_of(&file, 5 * PAGE));
        let mapping = map(&file, protection);
        let mut byte = [0];
        mapping.load(4 * PAGE, &mut byte).unwrap();
        assert!(mapping.load(5 * PAGE, &mut byte).is_err());
        mapping.load(6 * PAGE, &mut byte).unwrap();
        mapping.load(LARGE, &mut byte).unwrap();
        if protection == Protection::ReadWrite {
            mapping.store(6 * PAGE, &[8; 10]).unwrap();
            assert!(mapping.store(5 * PAGE, &[8; 10]).is_err());
        }
        drop(mapping);
        assert_damaged(read(&file, 5 * PAGE, 1), 5);
        file.write_all_at(&[9; PAGE as usize], 5 * PAGE).unwrap();
        drop(file);
        fs.unmount().unwrap();
        assert_clean(&device);
    }
}

/// More than one part of 16 MiB, of a device of huge pages or of small ones.
#[test]
fn long_files_are_summed_up_part_by_part() {
    const PART: u64 = 16 << 20;
    let device = formatted_with(128 << 20, DataChecksums::On);
    let fs = mount(&device);
    let file = fs.create("/file").unwrap();
    let places = [0, PART - PAGE, PART, 2 * PART + LARGE, 3 * PART - 1];
    for at in places {
        file.write_all_at(&[7; PAGE as usize], at).unwrap();
    }
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
    let fs = mount(&device);
    let file = fs.open("/file").unwrap();
    file.write_all_at(&[8; 10], PART).unwrap();
    for at in places {
        let device_at = place_of(&file, at);
        decay(&device, device_at);
        match at {
            // It is being changed.
            PART => assert_eq!(read(&file, at, 1).unwrap(), [!8]),
            _ => assert_damaged(read(&file, at, 1), at / PAGE),
        }
        decay(&device, device_at);
    }
    assert_eq!(issues(&device), []);
}

/// On files, where the system may bring data to the medium before the log.
#[test]
fn image_files_have_them_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let choice = PersistenceChoice::Use(Persistence::Msync);
    let device = Device::create_file(&path, DEVICE_BYTES, choice).unwrap();
    let options = FormatOptions {
        data_checksums: DataChecksums::On,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &options).unwrap();
    let fs = Filesystem::mount(Arc::new(device), MountOptions::default()).unwrap();
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let file = fs.open("/file").unwrap();
    file.write_all_at(&[8; 5000], 6000).unwrap();
    map(&file, Protection::ReadWrite)
        .store(20_000, &[9; 100])
        .unwrap();
    // Nothing is synced; the copy is what a crash leaves if the system has written all it had.
    let left = folder.path().join("left");
    std::fs::copy(&path, &left).unwrap();
    let device = Device::open_file(
        &left,
        daxfs::DeviceAccess::ReadOnly,
        PersistenceChoice::Detect,
    );
    assert_eq!(issues(&device.unwrap()), []);
    drop(file);
    fs.unmount().unwrap();
}

/// Tells another thread when a point is reached for the first time, and waits until it has done
/// what it wants to.
struct Meeting {
    at: Point,
    is_over: AtomicBool,
    reached: Barrier,
    done: Barrier,
}

impl Meeting {
    fn at(at: Point) -> Arc<Self> {
        Arc::new(Self {
            at,
            is_over: AtomicBool::new(false),
            reached: Barrier::new(2),
            done: Barrier::new(2),
        })
    }

    /// For the other thread: does something while the first is held.
    fn meanwhile<T>(&self, act: impl FnOnce() -> T) -> T {
        self.reached.wait();
        let result = act();
        self.done.wait();
        result
    }
}

impl Schedule for Meeting {
    fn reached(&self, point: Point, _: u64) {
        if point == self.at && !self.is_over.swap(true, Ordering::Relaxed) {
            self.reached.wait();
            self.done.wait();
        }
    }
}

fn scheduled(device: &Arc<Device>, meeting: &Arc<Meeting>) -> Filesystem {
    let mut options = MountOptions::default();
    options.schedule = Some(Arc::clone(meeting) as _);
    Filesystem::mount(Arc::clone(device), options).unwrap()
}

/// A store between the look at a checksum and the look at its block.
#[test]
fn a_store_in_the_midst_of_a_read_is_no_damage() {
    let (device, meeting) = (formatted(), Meeting::at(Point::ChecksumSeen));
    let fs = scheduled(&device, &meeting);
    put(&fs, "/file", &[7; 10 * PAGE as usize]);
    let file = fs.open("/file").unwrap();
    let mapping = map(&file, Protection::ReadWrite);
    std::thread::scope(|scope| {
        // The store comes to the point as well, and passes.
        scope.spawn(|| meeting.meanwhile(|| mapping.store(100, &[8; 10]).unwrap()));
        assert_eq!(read(&file, 0, 101).unwrap()[99..], [7, 8]);
    });
}

/// Somebody opens and maps a file that is about to be summed up, and stores when that is over:
/// nobody sees the second store.
#[test]
fn a_file_that_is_mapped_again_is_not_summed_up() {
    let (device, meeting) = (formatted(), Meeting::at(Point::SummingUp));
    let fs = scheduled(&device, &meeting);
    let file = fs.create("/file").unwrap();
    file.write_all_at(&[7; 10 * PAGE as usize], 0).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            meeting.meanwhile(|| {
                let file = fs.open("/file").unwrap();
                let mapping = map(&file, Protection::ReadWrite);
                mapping.store(100, &[8; 10]).unwrap();
                (file, mapping)
            })
        });
        drop(file);
        let (file, mapping) = other.join().unwrap();
        mapping.store(200, &[9; 10]).unwrap();
        fs.checkpoint().unwrap();
        assert_eq!(read(&file, 200, 1).unwrap(), [9]);
        assert_eq!(issues(&device), []);
    });
    fs.unmount().unwrap();
    assert_clean(&device);
}

/// Whoever reads compares, while others write, store through mappings, punch, open and close, and
/// so sum up: nobody finds damage where there is none.
#[test]
fn threads_find_no_damage_where_there_is_none() {
    const PAGES: u64 = 8;
    let device = formatted();
    let fs = mount(&device);
    put(&fs, "/file", &[1; (PAGES * PAGE) as usize]);
    let rounds = 4000 * daxfs_tests::fixture::stress_factor();
    let change = &|seed| {
        let mut numbers = Numbers::new(seed);
        for round in 0..rounds {
            let file = fs.open("/file").unwrap();
            let at = numbers.below(PAGES * PAGE - 5000);
            match numbers.below(6) {
                0 => file.punch_hole(at, 5000).unwrap(),
                1 => file.write_all_at(&[3; 5000], at).unwrap(),
                2 => fs.checkpoint().unwrap(),
                3 => map(&file, Protection::ReadWrite)
                    .store(at, &[2; 5000])
                    .unwrap(),
                _ => drop(read(&file, at, 5000).expect("nothing is damaged")),
            }
            let everything = read(&file, 0, (PAGES * PAGE) as usize);
            everything.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn(move || change(seed));
        }
    });
    fs.unmount().unwrap();
    assert_clean(&device);
}
