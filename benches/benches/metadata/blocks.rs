//! Blocks that are taken and given back, by one thread and by two at once, each with a file of its
//! own: what the allocator is asked, together with all that a filesystem does about it.
//!
//! | Row | One operation |
//! |---|---|
//! | take and give back | a write of 4 KiB to a hole, and punching it out: a block, two records |
//! | overwrite | a write of 4 KiB over a block that is there: no block, no record |
//!
//! Rounds of one thread and of two take turns, so that noise falls on both alike. Two threads that
//! do not meet do twice as much as one; what the log costs them is in the first row, since all
//! records go through one tail.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use daxfs::{File, Result};

use super::{formatted, lower_quartile, mount};

const IMAGE_BYTES: u64 = 256 << 20;
const BLOCK_BYTES: u64 = 4096;
const FILE_BLOCKS: u64 = 64;
const THREADS: usize = 2;

pub(super) fn print(rounds: u64) -> Result<()> {
    let device = formatted(IMAGE_BYTES)?;
    let fs = mount(&device)?;
    let files = ["/a", "/b"].map(|path| fs.create(path));
    let files = files.into_iter().collect::<Result<Vec<File>>>()?;
    println!(
        "{:<20} {:>11} {:>11} {:>8}   blocks of 4 KiB, a file for each thread",
        "", "1 thread ns", "2 threads", "ratio"
    );
    print_row("take and give back", rounds, &files, take_and_give_back)?;
    print_row("overwrite", rounds, &files, overwrite)?;
    drop(files);
    fs.unmount()
}

type Round = fn(&File) -> Result<()>;

fn take_and_give_back(file: &File) -> Result<()> {
    overwrite(file)?;
    for block in 0..FILE_BLOCKS {
        file.punch_hole(block * BLOCK_BYTES, BLOCK_BYTES)?;
    }
    Ok(())
}

fn overwrite(file: &File) -> Result<()> {
    for block in 0..FILE_BLOCKS {
        file.write_all_at(&[7; BLOCK_BYTES as usize], block * BLOCK_BYTES)?;
    }
    Ok(())
}

fn print_row(label: &str, rounds: u64, files: &[File], round: Round) -> Result<()> {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(time_of(&files[..1], round)?);
        together.push(time_of(&files[..THREADS], round)?);
    }
    let each_ns = |times| lower_quartile(times).as_nanos() as f64 / FILE_BLOCKS as f64;
    let (alone_ns, together_ns) = (each_ns(alone), each_ns(together) / THREADS as f64);
    println!(
        "{label:<20} {alone_ns:>11.0} {together_ns:>8.0} ns {:>7.2}x",
        alone_ns / together_ns
    );
    Ok(())
}

/// How long the slowest of the threads takes, one for each file.
fn time_of(files: &[File], round: Round) -> Result<Duration> {
    const ROUNDS_EACH: u32 = 4;
    let start = Barrier::new(files.len());
    let work = |file: &File| {
        // Once unmeasured: a thread begins with cold caches.
        let warmed = round(file);
        start.wait();
        warmed?;
        let begin = Instant::now();
        for _ in 0..ROUNDS_EACH {
            round(file)?;
        }
        Ok(begin.elapsed() / ROUNDS_EACH)
    };
    let times = std::thread::scope(|scope| {
        let workers: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(move || work(file)))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(times.into_iter().max().unwrap_or_default())
}
