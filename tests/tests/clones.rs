//! Clones beside whatever else is done to the files: what a clone shows stays what it was.
//!
//! Directed tests first; then threads. *Owners* each have some pages of a file, change them by
//! writes and by stores through a mapping, and find them as they left them, however often they are
//! cloned meanwhile. A *cloner* clones them, and finds in the clone, now and later, stamps that
//! were written between a moment before and a moment after. Every coherent design, either kind of
//! page tables, both modes of writing.
//!
//! Bounded by steps; no clock. Touches anonymous memory. Takes no locks.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use daxfs::{
    DataMode, Device, Error, File, Filesystem, Length, MapOptions, Mapping, MappingLock,
    MountOptions, PageTables, PersistenceChoice,
};
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, mount, stress_factor};

const PAGE: u64 = 4096;
const DEVICE_BYTES: u64 = 16 << 20;

fn file_with(fs: &Filesystem, path: &str, bytes: &[u8]) -> File {
    let file = fs.create(path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0xee; file.len_bytes() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn mapped(file: &File, page_tables: PageTables) -> Mapping {
    let options = MapOptions::new(file.len_bytes());
    file.map(MapOptions {
        page_tables,
        ..options
    })
    .unwrap()
}

fn loaded(mapping: &Mapping, at: u64) -> u8 {
    let mut byte = [0xee];
    mapping.load(at, &mut byte).unwrap();
    byte[0]
}

#[test]
fn a_clone_takes_no_blocks_and_the_last_to_go_gives_them_back() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    fs.checkpoint().unwrap();
    let empty = fs.space().free_bytes;
    let one = file_with(&fs, "/one", &[1; 100 * PAGE as usize]);
    let two = fs.create("/two").unwrap();
    fs.checkpoint().unwrap();
    let before = fs.space().free_bytes;
    one.clone_range(0, 0, &two, 0).unwrap();
    fs.checkpoint().unwrap();
    // Nodes of the tree, but none of the hundred.
    assert!(before - fs.space().free_bytes < 20 * PAGE);
    assert!(two.extents().iter().all(|extent| extent.is_shared));
    assert_eq!(content(&two), content(&one));

    drop(one);
    fs.remove_file("/one").unwrap();
    fs.checkpoint().unwrap();
    assert!(
        before - fs.space().free_bytes < 20 * PAGE,
        "the other has them"
    );
    two.write_all_at(&[2; 100 * PAGE as usize], 0).unwrap();
    assert!(
        two.extents().iter().all(|extent| !extent.is_shared),
        "who is left takes its blocks back, and copies nothing"
    );
    assert!(before - fs.space().free_bytes < 20 * PAGE);
    drop(two);
    fs.remove_file("/two").unwrap();
    fs.checkpoint().unwrap();
    assert!(empty - fs.space().free_bytes < 20 * PAGE);
    fs.unmount().unwrap();
    assert_clean(&device);
}

/// One mapping shows the shared block when another, or a write, makes the file get its own.
#[test]
fn every_window_shows_what_was_stored_after_a_clone() {
    for design in MappingLock::COHERENT {
        for page_tables in [PageTables::Software, PageTables::Process] {
            let device = formatted(DEVICE_BYTES);
            let mut options = MountOptions::default();
            options.mapping_lock = design;
            let fs = Filesystem::mount(Arc::clone(&device), options).unwrap();
            let one = file_with(&fs, "/one", &[1; 4 * PAGE as usize]);
            let two = fs.create("/two").unwrap();
            let (left, right) = (mapped(&one, page_tables), mapped(&one, page_tables));
            left.store(0, &[2]).unwrap();
            one.clone_range(0, 0, &two, 0).unwrap();
            let other = mapped(&two, page_tables);
            for window in [&left, &right, &other] {
                assert_eq!(
                    (loaded(window, 0), loaded(window, PAGE)),
                    (2, 1),
                    "{design}"
                );
            }
            left.store(0, &[3]).unwrap();
            one.write_all_at(&[4], PAGE).unwrap();
            for window in [&left, &right] {
                assert_eq!(
                    (loaded(window, 0), loaded(window, PAGE)),
                    (3, 4),
                    "{design}"
                );
            }
            assert_eq!(
                (loaded(&other, 0), loaded(&other, PAGE)),
                (2, 1),
                "{design}"
            );
            other.store(2 * PAGE, &[5]).unwrap();
            assert_eq!(content(&two)[2 * PAGE as usize], 5);
            assert_eq!(content(&one)[2 * PAGE as usize], 1);
        }
    }
}

#[test]
fn what_cannot_be_cloned_is_refused_and_changes_nothing() {
    let device = formatted(DEVICE_BYTES);
    let fs = mount(&device);
    let one = file_with(&fs, "/one", &[1; 10_000]);
    let two = file_with(&fs, "/two", &[2; 20_000]);
    let invalid = |result| assert!(matches!(result, Err(Error::InvalidOption { .. })));
    invalid(one.clone_range(1, PAGE, &two, 0));
    invalid(one.clone_range(0, PAGE, &two, 1));
    invalid(one.clone_range(0, 100, &two, 0));
    invalid(one.clone_range(0, 10_001, &two, 0));
    // The tail of one would take the place of a whole block of two.
    invalid(one.clone_range(0, 0, &two, 0));
    invalid(one.clone_range(0, 2 * PAGE, &one, PAGE));
    invalid(one.clone_range(3 * PAGE, 0, &two, 0));
    let far = one.clone_range(0, PAGE, &two, 16 << 40);
    assert!(matches!(far, Err(Error::InvalidRange { .. })));
    assert_eq!(content(&two), [2; 20_000]);

    let elsewhere = mount(&formatted(DEVICE_BYTES));
    let three = elsewhere.create("/three").unwrap();
    let other = one.clone_range(0, PAGE, &three, 0);
    assert!(matches!(other, Err(Error::OtherFilesystem { .. })));
    assert_eq!(one.copy_range(0, &three, 0, 10_000).unwrap(), 10_000);
    assert_eq!(content(&three), content(&one));
}

/// On a device that maps 2 MiB at a time.
#[test]
fn huge_units_are_shared_and_copied_whole() {
    let unit = 2 << 20;
    let Ok(device) = Device::create_huge_memfd(16 * unit, PersistenceChoice::Detect) else {
        println!("skipped: no huge pages are free");
        return;
    };
    Filesystem::format(&device, &daxfs::FormatOptions::default()).unwrap();
    let device = Arc::new(device);
    let fs = mount(&device);
    let one = fs.create("/one").unwrap();
    one.allocate(0, 2 * unit, Length::Grow).unwrap();
    one.write_all_at(&[1; 100], unit + 5).unwrap();
    let two = fs.create("/two").unwrap();
    assert!(one.clone_range(PAGE, unit, &two, 0).is_err());
    one.clone_range(0, 0, &two, 0).unwrap();
    let mapping = mapped(&two, PageTables::Process);
    mapping.store(unit + 6, &[2]).unwrap();
    assert_eq!(content(&two)[unit as usize + 5..][..3], [1, 2, 1]);
    assert_eq!(content(&one)[unit as usize + 5..][..3], [1, 1, 1]);
    drop((mapping, one, two));
    fs.unmount().unwrap();
    assert_clean(&device);
}

// ---- Threads ------------------------------------------------------------------------------------

const OWNERS: u64 = 2;
const PAGES_EACH: u64 = 3;
const FILE_PAGES: u64 = OWNERS * PAGES_EACH;
const STEPS: u64 = 4_000;

/// The first word of a page, which says whose page it is.
fn stamp(page: u64, sequence: u64) -> [u8; 8] {
    (page << 48 | sequence).to_le_bytes()
}

fn sequence_of(bytes: &[u8], page: u64) -> u64 {
    let word = u64::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!(word >> 48, page, "a stamp of another page");
    word & ((1 << 48) - 1)
}

/// What the owners have begun and ended, for each page.
struct Progress {
    begun: Vec<AtomicU64>,
    ended: Vec<AtomicU64>,
    /// Owners that have not come to their end.
    running: AtomicU64,
}

fn own(file: &File, windows: &[Mapping; 2], progress: &Progress, owner: u64, seed: u64) {
    let mut numbers = Numbers::new(seed);
    for sequence in 1..=STEPS * u64::from(stress_factor()) {
        let page = owner * PAGES_EACH + numbers.below(PAGES_EACH);
        // Release, and acquire in the cloner: it sees a count no later than what it counts.
        progress.begun[page as usize].store(sequence, Ordering::Release);
        let bytes = stamp(page, sequence);
        match numbers.below(3) {
            0 => file.write_all_at(&bytes, page * PAGE).unwrap(),
            window => windows[window as usize - 1]
                .store(page * PAGE, &bytes)
                .unwrap(),
        }
        progress.ended[page as usize].store(sequence, Ordering::Release);
        let mut seen = [[0xee; 8]; 3];
        file.read_at(&mut seen[0], page * PAGE).unwrap();
        windows[0].load(page * PAGE, &mut seen[1]).unwrap();
        windows[1].load(page * PAGE, &mut seen[2]).unwrap();
        assert_eq!(seen, [bytes; 3], "an owner finds what it left");
    }
    progress.running.fetch_sub(1, Ordering::Relaxed);
}

fn clone_again_and_again(
    fs: &Filesystem,
    file: &File,
    progress: &Progress,
    page_tables: PageTables,
) {
    let mut numbers = Numbers::new(3);
    for step in 0.. {
        if step > 20 && progress.running.load(Ordering::Relaxed) == 0 {
            return;
        }
        let clone = fs.create("/clone").unwrap();
        let counts = |counts: &[AtomicU64]| -> Vec<u64> {
            counts
                .iter()
                .map(|count| count.load(Ordering::Acquire))
                .collect()
        };
        let earliest = counts(&progress.ended);
        match numbers.below(2) {
            0 => file.clone_range(0, 0, &clone, 0).unwrap(),
            _ => assert_eq!(
                file.copy_range(0, &clone, 0, FILE_PAGES * PAGE).unwrap(),
                FILE_PAGES * PAGE
            ),
        }
        let latest = counts(&progress.begun);
        let first = content(&clone);
        for page in 0..FILE_PAGES {
            let at = (page * PAGE) as usize;
            let sequence = sequence_of(&first[at..at + 8], page);
            let possible = earliest[page as usize]..=latest[page as usize];
            assert!(
                possible.contains(&sequence),
                "{sequence} not in {possible:?}"
            );
        }
        let window = mapped(&clone, page_tables);
        for _ in 0..numbers.below(50) {
            std::thread::yield_now();
        }
        assert!(content(&clone) == first, "step {step}: a clone changed");
        let page = numbers.below(FILE_PAGES);
        window.store(page * PAGE + 8, b"of the clone").unwrap();
        clone.write_all_at(b"too", page * PAGE + 100).unwrap();
        drop((window, clone));
        fs.remove_file("/clone").unwrap();
    }
}

fn stress(design: MappingLock, data: DataMode, page_tables: PageTables) {
    let device = formatted(DEVICE_BYTES);
    let mut options = MountOptions::default();
    options.mapping_lock = design;
    options.data = data;
    let fs = Filesystem::mount(Arc::clone(&device), options).unwrap();
    let file = fs.create("/file").unwrap();
    for page in 0..FILE_PAGES {
        file.write_all_at(&stamp(page, 0), page * PAGE).unwrap();
    }
    file.truncate(FILE_PAGES * PAGE).unwrap();
    let zeroes = || (0..FILE_PAGES).map(|_| AtomicU64::new(0)).collect();
    let progress = Progress {
        begun: zeroes(),
        ended: zeroes(),
        running: AtomicU64::new(OWNERS),
    };
    std::thread::scope(|scope| {
        let (file, progress) = (&file, &progress);
        for owner in 0..OWNERS {
            scope.spawn(move || {
                let windows = [mapped(file, page_tables), mapped(file, page_tables)];
                own(file, &windows, progress, owner, owner + 1);
            });
        }
        clone_again_and_again(&fs, file, progress, page_tables);
    });
    drop(file);
    fs.unmount().unwrap();
    assert_clean(&device);
}

#[test]
fn clones_stay_what_they_were_while_others_change_the_file() {
    for design in MappingLock::COHERENT {
        for data in [DataMode::InPlace, DataMode::Atomic] {
            stress(design, data, PageTables::Software);
            stress(design, data, PageTables::Process);
        }
    }
}

/// Two threads change the same page of a file right after it was cloned: the copy that one makes
/// must have what the other has changed.
fn two_at_one_page(design: MappingLock, data: DataMode, page_tables: PageTables) {
    let device = formatted(DEVICE_BYTES);
    let mut options = MountOptions::default();
    options.mapping_lock = design;
    options.data = data;
    let fs = Filesystem::mount(device, options).unwrap();
    let file = file_with(&fs, "/file", &[0; PAGE as usize]);
    let clone = fs.create("/clone").unwrap();
    let windows = [mapped(&file, page_tables), mapped(&file, page_tables)];
    let start = Barrier::new(2);
    for round in 1..=1_000 * u64::from(stress_factor()) {
        file.clone_range(0, 0, &clone, 0).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                windows[0].store(0, &round.to_le_bytes()).unwrap();
            });
            scope.spawn(|| {
                start.wait();
                match round % 2 {
                    0 => windows[1].store(64, &round.to_le_bytes()).unwrap(),
                    _ => file.write_all_at(&round.to_le_bytes(), 64).unwrap(),
                }
            });
        });
        let now = content(&file);
        let words = [&now[..8], &now[64..72]];
        assert_eq!(
            words,
            [&round.to_le_bytes()[..]; 2],
            "{design}, round {round}"
        );
        let before = content(&clone);
        assert_eq!(
            before[..8],
            (round - 1).to_le_bytes(),
            "{design}, round {round}"
        );
    }
}

#[test]
fn nothing_is_lost_when_two_copy_one_page() {
    for design in MappingLock::COHERENT {
        for data in [DataMode::InPlace, DataMode::Atomic] {
            two_at_one_page(design, data, PageTables::Software);
            two_at_one_page(design, data, PageTables::Process);
        }
    }
}
