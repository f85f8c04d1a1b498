//! What metadata costs as there is more of it: names in one directory, mounting, appending, blocks
//! that two threads take at once; and what checksums of data cost.
//!
//! ```text
//! cargo bench -p daxfs-benches --bench metadata                   all, in under three minutes
//! cargo bench -p daxfs-benches --bench metadata -- --most 100000  at most so many names
//! ```
//!
//! | Module | What is measured |
//! |---|---|
//! | [`names`] | making and looking up names, checkpoints, mounts, with so many in one place |
//! | [`appends`] | 4 KiB at a time to one file, as it grows |
//! | [`blocks`] | blocks taken and given back by one thread, and by two |
//! | [`checksums`] | reads, writes and closing, with checksums of data and without |
//!
//! There are no bars here. Images are in memory with the back end of persistent memory: it is DRAM,
//! and the fences and write-backs cost what they cost there. Others use the machine too, so what
//! can be is measured in short slices, and the lower quartile of them counts. Takes the
//! filesystem's locks.

mod appends;
mod blocks;
mod checksums;
mod names;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use daxfs::{
    Device, Filesystem, FormatOptions, MountOptions, Persistence, PersistenceChoice, Result,
};

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

/// How much is done.
#[derive(Clone, Copy)]
struct Extent {
    most_names: u64,
    most_appended_bytes: u64,
    block_rounds: u64,
}

impl Arguments {
    fn extent(&self) -> Extent {
        match self.bench {
            true => Extent {
                most_names: self.most,
                most_appended_bytes: 1 << 30,
                block_rounds: 400,
            },
            false => Extent {
                most_names: 1_000,
                most_appended_bytes: 1 << 20,
                block_rounds: 4,
            },
        }
    }
}

fn main() -> Result<()> {
    let extent = Arguments::parse().extent();
    println!("DRAM, not persistent memory; back end: memfd, hardware flushes");
    names::print(extent.most_names)?;
    println!();
    appends::print(extent.most_appended_bytes)?;
    println!();
    blocks::print(extent.block_rounds)?;
    println!();
    checksums::print(extent.block_rounds)
}

/// A device of memory, all of which is there, with an empty filesystem.
fn formatted(len_bytes: u64) -> Result<Arc<Device>> {
    let device = device(len_bytes)?;
    device.populate(0, len_bytes)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    Ok(Arc::new(device))
}

fn device(len_bytes: u64) -> Result<Device> {
    let choice = PersistenceChoice::Use(Persistence::Hardware);
    Ok(Device::create_memfd(len_bytes, choice)?)
}

fn mount(device: &Arc<Device>) -> Result<Filesystem> {
    Filesystem::mount(Arc::clone(device), MountOptions::default())
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let done = run()?;
    Ok((done, start.elapsed()))
}

/// What a quarter of the slices were faster than: noise only ever makes one slower.
fn lower_quartile(mut slices: Vec<Duration>) -> Duration {
    slices.sort_unstable();
    slices.get(slices.len() / 4).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
