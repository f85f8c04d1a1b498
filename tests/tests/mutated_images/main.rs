//! A golden image, changed at random thousands of times: no change makes fsck, a mount, a walk or a
//! repair panic or hang, or contradict each other.
//!
//! The fuzz target in `daxfs/fuzz` has the same modules, and steers its changes by what they reach.
//! `DAXFS_MUTATED_IMAGES` says how many images, `DAXFS_FIRST_MUTATED_IMAGE` which is the first; the
//! slow tier makes a million. A failure names the bytes that made the image; they belong into
//! [`FOUND`] then.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`golden`] | the image that is changed |
//! | [`mutate`] | changes that bytes choose |
//! | [`exercise`] | what any image has to bear |
//! | [`watch`] | which image is whose turn, and what happens when one hangs |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use daxfs::fsck::{self, NoProgress};
use daxfs::{
    DataChecksums, Device, Error, Filesystem, FormatOptions, MountOptions, PersistenceChoice,
    SetMode,
};

mod exercise;
mod golden;
mod mutate;
mod watch;

use exercise::{Fate, Image};
use watch::{Task, Watch};

const IMAGES: u64 = 4000;
/// Bytes that choose the changes of one image, at most: some twenty changes. A change takes six.
const MOST_BYTES: [u64; 4] = [8, 14, 26, 120];
const BLOCK: usize = 4096;
/// Images between two lines that say how far it has come.
const IMAGES_PER_LINE: u64 = 20_000;

fn images() -> u64 {
    let images = std::env::var("DAXFS_MUTATED_IMAGES").ok();
    images.and_then(|text| text.parse().ok()).unwrap_or(IMAGES)
}

/// The first of them: another one makes other images.
fn first_image() -> u64 {
    let first = std::env::var("DAXFS_FIRST_MUTATED_IMAGE").ok();
    first.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Bytes for the image of this number: the same in every run. Most images have few changes, and
/// right checksums in both copies of the superblock: others do not get far.
fn bytes_of(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    next();
    let len = 8 + next() % MOST_BYTES[(next() >> 32) as usize % MOST_BYTES.len()];
    let [seals, copies] = [(); 2].map(|()| !(next() >> 32).is_multiple_of(8));
    let mut bytes: Vec<u8> = (0..len).map(|_| (next() >> 32) as u8).collect();
    // What `mutate` makes of its first two bytes.
    bytes[0] = u8::from(!seals);
    bytes[1] = u8::from(copies);
    bytes
}

/// What became of many images.
#[derive(Clone, Copy, Debug, Default)]
struct Fates {
    images: u64,
    refused: u64,
    mounted_for_reading: u64,
    mounted_for_writing: u64,
    clean: u64,
    repaired: u64,
}

impl Fates {
    fn add(&mut self, fate: Fate) {
        let one_if = u64::from;
        self.images += 1;
        self.refused += one_if(!fate.is_readable);
        self.mounted_for_reading += one_if(fate.is_readable);
        self.mounted_for_writing += one_if(fate.is_writable);
        self.clean += one_if(fate.is_clean);
        self.repaired += one_if(fate.is_repaired);
    }
}

#[test]
fn no_change_of_an_image_does_harm() {
    let golden = [golden::golden(), golden::golden_with_checksums()];
    let watch = Watch::new(first_image(), images());
    let all = Mutex::new(Fates::default());
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..threads).map(|_| scope.spawn(|| work(&golden, &watch, &all)));
        for worker in workers.collect::<Vec<_>>() {
            worker.join().expect("a worker that catches panics");
        }
        watch.end();
    });
    let all = all.into_inner().expect("no worker panics");
    eprintln!("{all:?}");
    assert_eq!(watch.failures(), 0, "see above");
    assert!(all.images == images() && all.refused < all.images && all.repaired > 0);
}

/// Takes one image after the other, with threads of its own for what is done in parallel.
fn work(golden: &[Vec<u8>; 2], watch: &Watch, all: &Mutex<Fates>) {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let threads = threads.expect("a thread");
    let golden_blocks = golden
        .each_ref()
        .map(|image| Image::new(image).into_blocks());
    let mut images = golden.clone();
    threads.install(|| {
        while let Some(task) = watch.next() {
            // One without checksums, then one with them.
            let which = (task.number() % 2) as usize;
            let (golden, image) = (&golden[which], &mut images[which]);
            let Some((fate, blocks)) = try_one(image, &task) else {
                watch.fail();
                image.copy_from_slice(golden);
                continue;
            };
            for &at in golden_blocks[which].iter().chain(&blocks) {
                image[at..at + BLOCK].copy_from_slice(&golden[at..at + BLOCK]);
            }
            let mut all = all.lock().expect("no worker panics");
            all.add(fate);
            if all.images.is_multiple_of(IMAGES_PER_LINE) {
                eprintln!("{all:?}");
            }
        }
    });
}

/// What became of the image of a task, and where it was not zero; `None`, and how to make it, when
/// it did harm.
fn try_one(image: &mut [u8], task: &Task<'_>) -> Option<(Fate, Vec<usize>)> {
    let bytes = bytes_of(task.number());
    let done = catch_unwind(AssertUnwindSafe(|| {
        mutate::mutate(image, &bytes);
        let image = Image::new(image);
        (exercise::exercise(&image), image.into_blocks())
    }));
    if done.is_err() {
        eprintln!("image {}, from the bytes {bytes:?}", task.number());
    }
    done.ok()
}

/// Bytes that found something once, in the golden image of their time.
const FOUND: &[&[u8]] = &[
    // Read-only compatible features that nobody knows: not to be repaired.
    &[
        112, 247, 162, 205, 133, 113, 0, 30, 145, 148, 248, 83, 198, 45, 99, 140, 73, 86, 223, 223,
    ],
    // A run outside the data area, in a file that a mount removes.
    &[
        226, 57, 191, 19, 240, 253, 193, 50, 16, 118, 129, 30, 45, 54, 104, 192, 36, 128, 213, 143,
        182, 45, 8, 216, 245,
    ],
    // A record that calls itself durable before it was written.
    &[
        140, 45, 141, 182, 198, 215, 27, 170, 179, 255, 108, 120, 50, 153, 246, 189, 228, 239, 69,
        107, 169, 198, 156, 194, 41, 86, 55,
    ],
    // Records of a mount that the superblock does not know of.
    &[
        46, 106, 239, 150, 49, 4, 54, 132, 91, 220, 209, 254, 155, 246, 168,
    ],
    // Blocks of a file that the space map calls free: a checkpoint frees them once more.
    &[
        0, 1, 206, 251, 137, 80, 247, 119, 238, 172, 73, 234, 105, 189, 231,
    ],
    // The same of blocks that a record takes from a file.
    &[0, 1, 121, 16, 29, 197, 22, 189],
    // A name at the last position of all.
    &[0, 1, 119, 169, 123, 14, 165, 198, 227, 148, 73],
    // A record of a later mount, before records that prove damage: the check saw the first alone.
    &[
        0, 1, 79, 223, 212, 115, 105, 146, 137, 236, 62, 247, 239, 23, 174, 8, 168,
    ],
];

#[test]
fn what_was_found_once_stays_found() {
    for bytes in FOUND {
        for mut image in [golden::golden(), golden::golden_with_checksums()] {
            mutate::mutate(&mut image, bytes);
            let _fate = exercise::exercise(&Image::new(&image));
        }
    }
}

fn device(image: &[u8]) -> Arc<Device> {
    let device = Device::create_memfd(image.len() as u64, PersistenceChoice::Detect);
    let device = device.expect("memory for an image");
    device.copy(0, image).expect("within the device").defer();
    Arc::new(device)
}

#[test]
fn the_golden_images_are_clean_and_mount() {
    check_golden(golden::golden());
    check_golden(golden::golden_with_checksums());
}

fn check_golden(golden: Vec<u8>) {
    let device = device(&golden);
    let report = fsck::check(&device, &NoProgress).expect("an image");
    assert!(report.is_clean(), "{:?}", report.issues);
    assert!(report.log_records > 10);
    let fs = Filesystem::mount(device, MountOptions::default()).expect("mounts");
    let file = fs.open("/directory/file 3").expect("a file");
    let mut bytes = [0; 3];
    file.read_at(&mut bytes, 5000).expect("a read");
    assert_eq!(bytes, [3; 3]);
    let clone = fs.open("/another clone").expect("a file");
    assert!(clone.extents().iter().any(|extent| extent.is_shared));
    clone.read_at(&mut bytes, 30_000).expect("a read");
    assert_eq!(bytes, [3; 3]);
    drop(clone);
    // The very same when nothing is changed: the changes are what is tested.
    let mut same = golden.clone();
    mutate::seal(&mut same);
    assert!(same == golden);
    let fate = exercise::exercise(&Image::new(&golden));
    assert!(fate.is_clean && fate.is_readable && fate.is_writable && !fate.is_repaired);
}

/// In the one with checksums, a block of a file that a checkpoint has summed up.
#[test]
fn a_golden_image_has_checksums_of_data() {
    let device = device(&golden::golden_with_checksums());
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).expect("mounts");
    let file = fs.open("/directory/file 3").expect("a file");
    let at = file.extents()[0].device_offset_bytes;
    device.copy(at, &[1]).expect("within the device").defer();
    let error = file.read_at(&mut [0; 1], 4096).expect_err("it is damaged");
    assert!(matches!(error, Error::DataCorrupt { .. }), "{error}");
}

/// Not a test of anything: writes golden images into the folder that `DAXFS_WRITE_GOLDEN` names.
#[test]
fn new_golden_images_can_be_made() {
    make_golden(DataChecksums::Off, "golden.lines");
    make_golden(DataChecksums::On, "golden_with_checksums.lines");
}

fn make_golden(data_checksums: DataChecksums, name: &str) {
    let device = device(&vec![0; golden::IMAGE_BYTES]);
    let options = FormatOptions {
        data_checksums,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &options).expect("formats");
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).expect("mounts");
    let fill = |from: u8, to: u8| {
        for number in from..to {
            let file = fs.create(format!("/directory/file {number}"));
            let file = file.expect("a file");
            file.write_at(&[number; 100], 5000).expect("a write");
        }
    };
    fs.create_directory("/directory").expect("a directory");
    set_acl(&fs, "/directory", "system.posix_acl_default");
    fill(0, 60);
    fs.create_symbolic_link("a target", "/symlink")
        .expect("a link");
    fs.hard_link("/directory/file 1", "/link").expect("a link");
    let large = fs.create("/large").expect("a file");
    for part in 0..20 {
        large.write_at(&[1; 10], part * 9000).expect("a write");
    }
    let clone = |path| {
        let clone = fs.create(path).expect("a file");
        large.clone_range(0, 0, &clone, 0).expect("a clone");
        clone
    };
    let older = clone("/a clone");
    older.write_at(&[2; 10], 20_000).expect("a write");
    fs.checkpoint().expect("a checkpoint");
    let younger = clone("/another clone");
    younger.write_at(&[3; 10], 30_000).expect("a write");
    fill(60, 70);
    set_acl(&fs, "/link", "system.posix_acl_access");
    fs.rename("/directory/file 2", "/moved").expect("a rename");
    fs.remove_file("/directory/file 4").expect("a removal");
    large.truncate(50_000).expect("a shorter file");
    older.punch_hole(0, 40_000).expect("a hole");
    let written = fs.open("/directory/file 5").expect("a file");
    written.write_at(&[6; 10], 5000).expect("a write");
    // As a crash leaves it: with a log.
    let mut image = vec![0; golden::IMAGE_BYTES];
    device.read(0, &mut image).expect("within the device");
    let lines = lines_of(&image);
    assert!(lines.len() < 100_000, "{} bytes", lines.len());
    if let Some(folder) = std::env::var_os("DAXFS_WRITE_GOLDEN") {
        let path = std::path::Path::new(&folder).join(name);
        std::fs::write(path, lines).expect("a file for the image");
    }
}

/// Gives the user 5 what the owner may do.
fn set_acl(fs: &Filesystem, path: &str, name: &str) {
    let nobody = [255; 4];
    let entry = |tag, permissions, id: [u8; 4]| [&[tag, 0, permissions, 0], &id[..]].concat();
    let entries = [
        entry(1, 7, nobody),
        entry(2, 7, [5, 0, 0, 0]),
        entry(4, 5, nobody),
        entry(16, 7, nobody),
        entry(32, 0, nobody),
    ];
    let acl = [vec![2, 0, 0, 0], entries.concat()].concat();
    fs.set_extended_attribute(path, name, &acl, SetMode::default())
        .expect("a list");
}

/// An image as `golden.lines` keeps it.
fn lines_of(image: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (number, line) in (0_u32..).zip(image.chunks_exact(64)) {
        if line.iter().any(|byte| *byte != 0) {
            lines.extend_from_slice(&number.to_le_bytes());
            lines.extend_from_slice(line);
        }
    }
    lines
}
