//! Names in one directory, and mounting an image with so many files.
//!
//! | Column | What it is |
//! |---|---|
//! | create | for each file made, among the last half: of slices of fifty, and of all |
//! | look up | the metadata of one of the names, in random order: of slices of fifty |
//! | checkpoint | folding a thousand changes into the tree |
//! | mount, clean | mounting an image that was unmounted |
//! | mount, log | mounting what a crash leaves: a thousand files were made since a checkpoint |
//! | of it CPU | what of that the mounting thread worked: the rest it waited for others |
//! | first look | the first name of the directory that somebody asks for after a clean mount |
//!
//! All images are equally large, and so are their logs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daxfs::{Device, Filesystem, Result};

use super::{device, formatted, lower_quartile, milliseconds, mount, timed};

/// Directory sizes to look at.
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
/// With room for a million files in a tree that is half full.
const IMAGE_BYTES: u64 = 1_280 << 20;
/// Of an image for no more than a thousand files.
const SMALL_IMAGE_BYTES: u64 = 64 << 20;
/// Operations that a mount finds in the log.
const LOGGED: u64 = 1_000;
const SLICE: u64 = 50;
const LOOKS: u64 = 10_000;

pub(super) fn print(most: u64) -> Result<()> {
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "names",
        "create ns",
        "of all ns",
        "look up ns",
        "checkpoint",
        "mount clean",
        "mount log",
        "of it CPU",
        "first look"
    );
    let image_bytes = if most > SIZES[0] {
        IMAGE_BYTES
    } else {
        SMALL_IMAGE_BYTES
    };
    for names in SIZES.into_iter().filter(|names| *names <= most) {
        print_row(names, image_bytes)?;
    }
    Ok(())
}

fn print_row(names: u64, image_bytes: u64) -> Result<()> {
    let device = formatted(image_bytes)?;
    let fs = mount(&device)?;
    let creates = create(&fs, names)?;
    let looks = look_up(&fs, names)?;
    fs.checkpoint()?;
    for number in 0..LOGGED {
        fs.remove_file(name(number * (names / LOGGED)))?;
    }
    let ((), checkpoint) = timed(|| fs.checkpoint())?;
    fs.unmount()?;

    let (fs, mount_clean) = timed(|| mount(&device))?;
    let (_, first_look) = timed(|| Ok(fs.metadata("/nothing").is_ok()))?;
    for number in 0..LOGGED {
        fs.create(name(number * (names / LOGGED)))?;
    }
    let (mount_log, mount_log_cpu) = mount_of_a_copy(&device)?;
    fs.unmount()?;
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        names,
        creates.usual_ns,
        creates.all_ns,
        looks,
        milliseconds(checkpoint),
        milliseconds(mount_clean),
        milliseconds(mount_log),
        milliseconds(mount_log_cpu),
        milliseconds(first_look),
    );
    Ok(())
}

fn name(number: u64) -> String {
    format!("/{number:08}")
}

struct Creates {
    usual_ns: u64,
    all_ns: u64,
}

fn create(fs: &Filesystem, names: u64) -> Result<Creates> {
    let counted = names / 2;
    for number in 0..names - counted {
        fs.create(name(number))?;
    }
    let mut slices = Vec::new();
    let start = Instant::now();
    for first in (names - counted..names).step_by(SLICE as usize) {
        let start = Instant::now();
        for number in first..first + SLICE {
            fs.create(name(number))?;
        }
        slices.push(start.elapsed());
    }
    let all = start.elapsed();
    Ok(Creates {
        usual_ns: each_ns(lower_quartile(slices), SLICE),
        all_ns: each_ns(all, counted),
    })
}

fn look_up(fs: &Filesystem, names: u64) -> Result<u64> {
    let mut number = 1;
    let mut slices = Vec::new();
    for _ in 0..LOOKS / SLICE {
        let start = Instant::now();
        for _ in 0..SLICE {
            number = (number * 6_364_136_223_846_793_005_u64).wrapping_add(1) % names;
            fs.metadata(name(number))?;
        }
        slices.push(start.elapsed());
    }
    Ok(each_ns(lower_quartile(slices), SLICE))
}

fn each_ns(time: Duration, count: u64) -> u64 {
    time.as_nanos() as u64 / count
}

/// Mounts the bytes that a crash would leave now: how long that takes, and what of it is work.
fn mount_of_a_copy(original: &Device) -> Result<(Duration, Duration)> {
    const CHUNK_BYTES: u64 = 2 << 20;
    let copy = device(original.usable_bytes())?;
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    for start in (0..original.usable_bytes()).step_by(CHUNK_BYTES as usize) {
        let len = CHUNK_BYTES.min(original.usable_bytes() - start) as usize;
        original.read(start, &mut chunk[..len])?;
        let _durable = copy.fence(copy.copy(start, &chunk[..len])?)?;
    }
    let copy = Arc::new(copy);
    let before = processor_time();
    let (fs, time) = timed(|| mount(&copy))?;
    let worked = processor_time().saturating_sub(before);
    fs.unmount()?;
    Ok((time, worked))
}

/// How long this thread has had a processor; always 0 where the kernel does not say.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}
