//! Real input: thousands of source files are copied into an image and read back byte for byte,
//! through reads and through mappings of the process, while other threads write and punch.
//!
//! The others work on files of their own and, which is harder, on other ranges of files that hold
//! sources too. Those were mapped, and read as holes, before anything was written to them. Then all
//! is compared once more after a remount.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use daxfs::{
    Device, DeviceAccess, File, Filesystem, FormatOptions, MapOptions, Mapping, MountOptions,
    PersistenceChoice, Protection,
};
use daxfs_tests::fixture::{Numbers, assert_clean};
use daxfs_tests::tree::{SourceFile, SourceTree, sources};
use rayon::prelude::*;

const LEAST_FILES: usize = 3000;
const MOST_FILES: usize = 4000;
const MOST_BYTES: usize = 48 << 20;
/// Files that hold sources in their even slots and are churned in their odd ones.
const SHARED_FILES: usize = 8;
const SLOTS: usize = 16;
/// Slots begin in the middle of a page: the edges of both sides meet inside one.
const SLOT_BYTES: usize = 32 * 1024 + 1000;

fn tree() -> &'static SourceTree {
    static TREE: OnceLock<SourceTree> = OnceLock::new();
    TREE.get_or_init(|| sources(LEAST_FILES, MOST_FILES, MOST_BYTES))
}

/// What the even slot of a shared file holds: the start of some source file, padded.
fn slot_content(shared: usize, slot: usize) -> Vec<u8> {
    let files = &tree().files;
    let mut bytes = files[(shared * SLOTS + slot) * 7 % files.len()]
        .bytes
        .clone();
    bytes.resize(SLOT_BYTES, b'.');
    bytes
}

fn shared_path(shared: usize) -> String {
    format!("/shared {shared}")
}

fn copy_in(fs: &Filesystem) {
    for directory in tree().directories() {
        fs.create_directory(directory).unwrap();
    }
    tree().files.par_iter().for_each(|source| {
        let file = fs.create(&source.path).unwrap();
        file.write_all_at(&source.bytes, 0).unwrap();
    });
}

/// Makes the shared files. Each is mapped, and its holes loaded, before anything is written to it:
/// all that is written later must show through these old mappings.
fn copy_shared(fs: &Filesystem) -> Vec<Mapping> {
    let copy = |shared| {
        let file = fs.create(shared_path(shared)).unwrap();
        let len = SLOTS * SLOT_BYTES;
        file.truncate(len as u64).unwrap();
        let mapping = file.map(MapOptions::new(len as u64)).unwrap();
        let mut holes = vec![0xee; len];
        mapping.load(0, &mut holes).unwrap();
        assert!(holes.iter().all(|byte| *byte == 0));
        for slot in (0..SLOTS).step_by(2) {
            let content = slot_content(shared, slot);
            file.write_all_at(&content, (slot * SLOT_BYTES) as u64)
                .unwrap();
        }
        mapping
    };
    (0..SHARED_FILES).map(copy).collect()
}

/// Writes and punches in odd slots of shared files and in a file of its own, until told to stop.
fn churn(fs: &Filesystem, seed: u64, stop: &AtomicBool, rounds: &AtomicU64) {
    let mut numbers = Numbers::new(seed);
    let own = fs.create(format!("/churn {seed}")).unwrap();
    let shared: Vec<File> = (0..SHARED_FILES)
        .map(|shared| fs.open(shared_path(shared)).unwrap())
        .collect();
    while !stop.load(Ordering::Relaxed) {
        let file = &shared[numbers.below(SHARED_FILES as u64) as usize];
        let slot = numbers.below(SLOTS as u64 / 2) * 2 + 1;
        let len = numbers.below(SLOT_BYTES as u64 / 2) + 1;
        let at = numbers.below(SLOT_BYTES as u64 - len);
        let bytes = numbers.bytes(len as usize);
        for (file, at) in [(file, slot * SLOT_BYTES as u64 + at), (&own, at)] {
            match numbers.below(3) {
                0 => file.punch_hole(at, len).unwrap(),
                _ => file.write_all_at(&bytes, at).unwrap(),
            }
        }
        if numbers.below(20) == 0 {
            own.truncate(numbers.below(SLOT_BYTES as u64)).unwrap();
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Compares a range of a file as it is read and as it is mapped.
fn compare(file: &File, at: usize, expected: &[u8], what: &str) {
    let mut bytes = vec![0xee; expected.len()];
    assert_eq!(
        file.read_at(&mut bytes, at as u64).unwrap(),
        expected.len(),
        "{what}"
    );
    assert!(bytes == expected, "{what}, as it is read");
    if expected.is_empty() {
        return;
    }
    let offset = at / 4096 * 4096;
    let mapping = file
        .map(MapOptions {
            protection: Protection::ReadOnly,
            offset_bytes: offset as u64,
            ..MapOptions::new((at + expected.len() - offset) as u64)
        })
        .unwrap();
    bytes.fill(0xee);
    mapping.load((at - offset) as u64, &mut bytes).unwrap();
    assert!(bytes == expected, "{what}, as it is mapped");
}

fn compare_everything(fs: &Filesystem) {
    tree()
        .files
        .par_iter()
        .for_each(|SourceFile { path, bytes }| {
            let file = fs.open(path).unwrap();
            assert_eq!(file.len_bytes(), bytes.len() as u64, "{path}");
            compare(&file, 0, bytes, path);
        });
    for shared in 0..SHARED_FILES {
        let path = shared_path(shared);
        let file = fs.open(&path).unwrap();
        for slot in (0..SLOTS).step_by(2) {
            let what = format!("slot {slot} of {path}");
            compare(&file, slot * SLOT_BYTES, &slot_content(shared, slot), &what);
        }
    }
}

/// Compares the even slots of the shared files through the mappings that were there first.
fn compare_mapped(mappings: &[Mapping]) {
    let mut bytes = vec![0; SLOT_BYTES];
    for (shared, mapping) in mappings.iter().enumerate() {
        for slot in (0..SLOTS).step_by(2) {
            mapping
                .load((slot * SLOT_BYTES) as u64, &mut bytes)
                .unwrap();
            let good = bytes == slot_content(shared, slot);
            assert!(
                good,
                "slot {slot} of shared file {shared} in an old mapping"
            );
        }
    }
}

/// Compares whole shared files, churned slots too, as they are read and as the old mappings show
/// them; while nobody writes.
fn compare_quiet(fs: &Filesystem, mappings: &[Mapping]) {
    let len = SLOTS * SLOT_BYTES;
    let (mut read, mut loaded) = (vec![0; len], vec![0; len]);
    for (shared, mapping) in mappings.iter().enumerate() {
        let file = fs.open(shared_path(shared)).unwrap();
        assert_eq!(file.read_at(&mut read, 0).unwrap(), len);
        mapping.load(0, &mut loaded).unwrap();
        assert!(
            read == loaded,
            "shared file {shared}: read and mapped differ"
        );
    }
}

fn compare_under_churn(fs: &Filesystem, mappings: &[Mapping]) -> u64 {
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..2 {
            let (stop, rounds) = (&stop, &rounds);
            scope.spawn(move || churn(fs, seed, stop, rounds));
        }
        // Also when a comparison fails: otherwise the scope would wait for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare_everything(fs);
            compare_mapped(mappings);
            while rounds.load(Ordering::Relaxed) < 200 {
                compare_mapped(mappings);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    rounds.into_inner()
}

fn image_bytes() -> u64 {
    // Each file ends in a block that it does not fill.
    let blocks = tree().len_bytes() + 4096 * tree().files.len() as u64;
    (blocks + (64 << 20)).next_multiple_of(2 << 20)
}

fn mount(device: &Arc<Device>) -> Filesystem {
    Filesystem::mount(Arc::clone(device), MountOptions::default()).unwrap()
}

/// The whole story; `reopen` gives the device as a later process would find it.
fn copy_and_compare(name: &str, device: Device, reopen: impl FnOnce(Device) -> Device) {
    Filesystem::format(&device, &FormatOptions::default()).unwrap();
    let device = Arc::new(device);
    let fs = mount(&device);
    copy_in(&fs);
    let mappings = copy_shared(&fs);
    let rounds = compare_under_churn(&fs, &mappings);
    compare_quiet(&fs, &mappings);
    drop(mappings);
    let space = fs.space();
    fs.unmount().unwrap();
    assert_clean(&device);
    let device = Arc::new(reopen(Arc::into_inner(device).expect("unmounted")));
    let fs = mount(&device);
    compare_everything(&fs);
    fs.unmount().unwrap();
    assert_clean(&device);
    println!(
        "{name}: {} files ({} of them real), {} directories, {:.1} MiB in an image of {} MiB \
         ({} KiB of metadata); {rounds} rounds of churn beside",
        tree().files.len(),
        tree().found,
        tree().directories().len(),
        tree().len_bytes() as f64 / f64::from(1 << 20),
        space.total_bytes >> 20,
        space.metadata_bytes >> 10,
    );
    assert!(tree().files.len() >= LEAST_FILES);
}

#[test]
fn a_source_tree_survives_in_an_image_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let device = Device::create_file(&path, image_bytes(), PersistenceChoice::Detect).unwrap();
    copy_and_compare("image file", device, |device| reopen(device, &path));
}

fn reopen(device: Device, path: &Path) -> Device {
    drop(device);
    Device::open_file(path, DeviceAccess::ReadWrite, PersistenceChoice::Detect).unwrap()
}

#[test]
fn a_source_tree_survives_in_memory() {
    let device = Device::create_memfd(image_bytes(), PersistenceChoice::Detect).unwrap();
    copy_and_compare("memory", device, |device| device);
}
