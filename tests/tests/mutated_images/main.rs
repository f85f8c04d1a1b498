//! A golden image, changed at random thousands of times: no change makes fsck, a mount, a walk or a
//! repair panic or hang, or contradict each other.
//!
//! The fuzz target in `daxfs/fuzz` has the same modules, and steers its changes by what they reach.
//! `DAXFS_MUTATED_IMAGES` says how many images; the slow tier makes a million. A failure names the
//! bytes that made the image; they belong into [`FOUND`] then.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`golden`] | the image that is changed |
//! | [`mutate`] | changes that bytes choose |
//! | [`exercise`] | what any image has to bear |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use daxfs::fsck::{self, NoProgress};
use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};

mod exercise;
mod golden;
mod mutate;

const IMAGES: u64 = 2000;
/// Bytes that choose the changes of one image, at most.
const MOST_BYTES: u64 = 120;
/// An image takes milliseconds; one that takes this long hangs.
const HANG: Duration = Duration::from_secs(120);

fn images() -> u64 {
    let images = std::env::var("DAXFS_MUTATED_IMAGES").ok();
    images.and_then(|text| text.parse().ok()).unwrap_or(IMAGES)
}

/// Bytes for the image of this number: the same in every run.
fn bytes_of(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    next();
    let len = 8 + next() % MOST_BYTES;
    (0..len).map(|_| (next() >> 32) as u8).collect()
}

#[test]
fn no_change_of_an_image_does_harm() {
    let golden = golden::golden();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= images() {
                return;
            }
            try_one(&golden, number, &failed);
        }
    };
    std::thread::scope(|scope| {
        let threads = (0..2).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        for thread in threads {
            thread.join().expect("a worker that catches panics");
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "see above");
}

fn try_one(golden: &[u8], number: u64, failed: &AtomicBool) {
    let mut image = golden.to_vec();
    let bytes = bytes_of(number);
    let done = catch_unwind(AssertUnwindSafe(|| {
        mutate::mutate(&mut image, &bytes);
        within(HANG, || exercise::exercise(&image));
    }));
    if done.is_err() {
        eprintln!("image {number}, from the bytes {bytes:?}");
        failed.store(true, Ordering::Relaxed);
    }
}

/// Runs `work`, and aborts the process when it hangs: there is no other way to stop it.
fn within(limit: Duration, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            std::thread::park_timeout(limit);
            if !done.load(Ordering::Relaxed) {
                eprintln!("an image hangs");
                std::process::abort();
            }
        });
        let result = catch_unwind(AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Bytes that found something once.
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
];

#[test]
fn what_was_found_once_stays_found() {
    for bytes in FOUND {
        let mut image = golden::golden();
        mutate::mutate(&mut image, bytes);
        exercise::exercise(&image);
    }
}

fn device(image: &[u8]) -> Arc<Device> {
    let device = Device::create_memfd(image.len() as u64, PersistenceChoice::Detect);
    let device = device.expect("memory for an image");
    device.copy(0, image).expect("within the device").defer();
    Arc::new(device)
}

#[test]
fn the_golden_image_is_clean_and_mounts() {
    let golden = golden::golden();
    let device = device(&golden);
    let report = fsck::check(&device, &NoProgress).expect("an image");
    assert!(report.is_clean(), "{:?}", report.issues);
    assert!(report.log_records > 10);
    let fs = Filesystem::mount(device, MountOptions::default()).expect("mounts");
    let file = fs.open("/directory/file 3").expect("a file");
    let mut bytes = [0; 3];
    file.read_at(&mut bytes, 5000).expect("a read");
    assert_eq!(bytes, [3; 3]);
    // The very same when nothing is changed: the changes are what is tested.
    let mut same = golden.clone();
    mutate::seal(&mut same);
    assert!(same == golden);
    exercise::exercise(&golden);
}

/// Not a test of anything: writes a new golden image where `DAXFS_WRITE_GOLDEN` says.
#[test]
fn a_new_golden_image_can_be_made() {
    let device = device(&vec![0; golden::IMAGE_BYTES]);
    Filesystem::format(&device, &FormatOptions::default()).expect("formats");
    let fs = Filesystem::mount(Arc::clone(&device), MountOptions::default()).expect("mounts");
    let fill = |from: u8, to: u8| {
        for number in from..to {
            let file = fs.create(format!("/directory/file {number}"));
            let file = file.expect("a file");
            file.write_at(&[number; 100], 5000).expect("a write");
        }
    };
    fs.create_directory("/directory").expect("a directory");
    fill(0, 60);
    fs.create_symbolic_link("a target", "/symlink")
        .expect("a link");
    fs.hard_link("/directory/file 1", "/link").expect("a link");
    let large = fs.create("/large").expect("a file");
    for part in 0..20 {
        large.write_at(&[1; 10], part * 9000).expect("a write");
    }
    fs.checkpoint().expect("a checkpoint");
    fill(60, 70);
    fs.rename("/directory/file 2", "/moved").expect("a rename");
    fs.remove_file("/directory/file 4").expect("a removal");
    large.truncate(50_000).expect("a shorter file");
    // As a crash leaves it: with a log.
    let mut image = vec![0; golden::IMAGE_BYTES];
    device.read(0, &mut image).expect("within the device");
    let lines = lines_of(&image);
    assert!(lines.len() < 100_000, "{} bytes", lines.len());
    if let Some(path) = std::env::var_os("DAXFS_WRITE_GOLDEN") {
        std::fs::write(path, lines).expect("a file for the image");
    }
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
