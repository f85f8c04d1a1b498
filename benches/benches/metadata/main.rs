//! What metadata costs as there is more of it: names in one directory, mounting, appending.
//!
//! ```text
//! cargo bench -p daxfs-benches --bench metadata                    1 k, 100 k and a million names
//! cargo bench -p daxfs-benches --bench metadata -- --most 100000   no more than so many
//! ```
//!
//! | Row | What is measured |
//! |---|---|
//! | create | nanoseconds for each file made, among the last tenth of so many in one directory |
//! | checkpoint | folding what has changed since the last one into the tree, with so many names there |
//! | mount, clean | mounting an image with so many files that was unmounted |
//! | mount, log | the same with a thousand operations in the log |
//! | look up | nanoseconds for the metadata of one of the names, in random order |
//! | append | 4 KiB at a time to one file, in percentiles |
//!
//! There are no bars here. The image is in memory with the back end of persistent memory: it is
//! DRAM, and the fences and write-backs cost what they cost there. Takes the filesystem's locks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use daxfs::{
    Device, Filesystem, FormatOptions, MountOptions, Persistence, PersistenceChoice, Result,
};
use hdrhistogram::Histogram;

/// Measures metadata as there is more of it.
#[derive(Parser)]
struct Arguments {
    /// The most names in one directory.
    #[arg(long, default_value_t = 1_000_000)]
    most: u64,
    /// Passed by `cargo bench`; without it, as under `cargo test`, this is a quick look.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Directory sizes to look at.
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const QUICK_NAMES: u64 = 1_000;
/// Operations that a mount finds in the log.
const LOGGED: u64 = 1_000;
const APPENDS: u64 = 20_000;
/// Bytes of image for each file, with room for a tree that is half full.
const BYTES_PER_FILE: u64 = 1_200;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let most = if arguments.bench {
        arguments.most
    } else {
        QUICK_NAMES
    };
    println!("DRAM, not persistent memory; back end: memfd, hardware flushes");
    println!(
        "{:>10} {:>10} {:>12} {:>12} {:>12} {:>10}",
        "names", "create ns", "checkpoint", "mount clean", "mount log", "look up ns"
    );
    for names in SIZES.into_iter().filter(|names| *names <= most) {
        println!("{}", measure(names)?);
    }
    appends(if arguments.bench {
        APPENDS
    } else {
        APPENDS / 100
    })
}

struct Row {
    names: u64,
    create_ns: u64,
    checkpoint: Duration,
    mount_clean: Duration,
    mount_log: Duration,
    look_up_ns: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        write!(
            formatter,
            "{:>10} {:>10} {:>12} {:>12} {:>12} {:>10}",
            self.names,
            self.create_ns,
            ms(self.checkpoint),
            ms(self.mount_clean),
            ms(self.mount_log),
            self.look_up_ns,
        )
    }
}

fn formatted(len_bytes: u64) -> Result<Arc<Device>> {
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let device = Device::create_memfd(len_bytes, choice)?;
    device.populate(0, len_bytes)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    Ok(Arc::new(device))
}

fn mount(device: &Arc<Device>) -> Result<Filesystem> {
    Filesystem::mount(Arc::clone(device), MountOptions::default())
}

fn measure(names: u64) -> Result<Row> {
    let device = formatted((64 << 20) + (names * BYTES_PER_FILE).next_multiple_of(2 << 20))?;
    let fs = mount(&device)?;
    let name = |number: u64| format!("/{number:08}");
    let counted = names / 10;
    for number in 0..names - counted {
        fs.create(name(number))?;
    }
    let start = Instant::now();
    for number in names - counted..names {
        fs.create(name(number))?;
    }
    let create_ns = start.elapsed().as_nanos() as u64 / counted;

    fs.checkpoint()?;
    for number in 0..LOGGED {
        fs.remove_file(name(number * (names / LOGGED)))?;
    }
    let start = Instant::now();
    fs.checkpoint()?;
    let checkpoint = start.elapsed();
    fs.unmount()?;

    let (fs, mount_clean) = timed(|| mount(&device))?;
    let look_up_ns = look_up(&fs, names)?;
    for number in 0..LOGGED {
        fs.create(name(number * (names / LOGGED)))?;
    }
    let mount_log = mount_of_a_copy(&device)?;
    fs.unmount()?;
    Ok(Row {
        names,
        create_ns,
        checkpoint,
        mount_clean,
        mount_log,
        look_up_ns,
    })
}

fn look_up(fs: &Filesystem, names: u64) -> Result<u64> {
    const LOOKS: u64 = 10_000;
    // The names of the directory are read with the first look.
    let _ = fs.metadata("/nothing");
    let mut number = 1;
    let start = Instant::now();
    for _ in 0..LOOKS {
        number = (number * 6_364_136_223_846_793_005_u64).wrapping_add(1) % names;
        let _ = fs.metadata(format!("/{number:08}"));
    }
    Ok(start.elapsed().as_nanos() as u64 / LOOKS)
}

/// Mounts the bytes that a crash would leave now.
fn mount_of_a_copy(device: &Device) -> Result<Duration> {
    let mut bytes = vec![0; device.usable_bytes() as usize];
    device.read(0, &mut bytes)?;
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    let copy = Device::create_memfd(device.usable_bytes(), choice)?;
    let _copied = copy.fence(copy.copy(0, &bytes)?)?;
    drop(bytes);
    let copy = Arc::new(copy);
    let (fs, time) = timed(|| mount(&copy))?;
    fs.unmount()?;
    Ok(time)
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let done = run()?;
    Ok((done, start.elapsed()))
}

fn appends(count: u64) -> Result<()> {
    let device = formatted((64 << 20) + count * 4096)?;
    let fs = mount(&device)?;
    let file = fs.create("/log")?;
    let page = [7; 4096];
    // Longer ones count as a second.
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)
        .unwrap_or_else(|error| panic!("bounds that are right: {error}"));
    for _ in 0..count {
        let start = Instant::now();
        file.append(&page)?;
        histogram.saturating_record(start.elapsed().as_nanos() as u64);
    }
    println!(
        "append of 4 KiB: p50 {} ns, p99 {} ns, p99.9 {} ns, longest {} ns",
        histogram.value_at_quantile(0.5),
        histogram.value_at_quantile(0.99),
        histogram.value_at_quantile(0.999),
        histogram.max(),
    );
    Ok(())
}
