//! What checksums of data cost: two images, one without and one with them, in turns.
//!
//! | Row | One operation |
//! |---|---|
//! | read | 4 KiB of a file that is summed up: compared |
//! | overwrite | 4 KiB of a file that is open and was written before: no checksum is left |
//! | open, overwrite, close | the first write forgets, closing computes all anew |
//!
//! One thread; the blocks of the file are in the cache.

use std::time::Duration;

use daxfs::{DataChecksums, File, Filesystem, FormatOptions, Result};

use super::{device, lower_quartile, mount, timed};

const IMAGE_BYTES: u64 = 64 << 20;
const BLOCK_BYTES: u64 = 4096;
const FILE_BLOCKS: u64 = 64;
const PATH: &str = "/file";

pub(super) fn print(rounds: u64) -> Result<()> {
    let images = [image(DataChecksums::Off)?, image(DataChecksums::On)?];
    println!(
        "{:<24} {:>10} {:>10} {:>8}   checksums of data, 4 KiB, one thread",
        "", "without ns", "with ns", "ratio"
    );
    print_row("read", rounds, &images, |fs, times| {
        let file = fs.open(PATH)?;
        read(&file)?;
        times.push(timed(|| read(&file))?.1);
        Ok(())
    })?;
    print_row("overwrite", rounds, &images, |fs, times| {
        let file = fs.open(PATH)?;
        overwrite(&file)?;
        times.push(timed(|| overwrite(&file))?.1);
        Ok(())
    })?;
    print_row("open, overwrite, close", rounds, &images, |fs, times| {
        times.push(timed(|| overwrite(&fs.open(PATH)?))?.1);
        Ok(())
    })?;
    images.into_iter().try_for_each(Filesystem::unmount)
}

/// A filesystem with a file that is closed, and so summed up where it can be.
fn image(data_checksums: DataChecksums) -> Result<Filesystem> {
    let device = device(IMAGE_BYTES)?;
    device.populate(0, IMAGE_BYTES)?;
    let options = FormatOptions {
        data_checksums,
        ..FormatOptions::default()
    };
    Filesystem::format(&device, &options)?;
    let fs = mount(&device.into())?;
    overwrite(&fs.create(PATH)?)?;
    Ok(fs)
}

fn read(file: &File) -> Result<()> {
    let mut buffer = [0; BLOCK_BYTES as usize];
    for block in 0..FILE_BLOCKS {
        file.read_at(&mut buffer, block * BLOCK_BYTES)?;
    }
    Ok(())
}

fn overwrite(file: &File) -> Result<()> {
    for block in 0..FILE_BLOCKS {
        file.write_all_at(&[7; BLOCK_BYTES as usize], block * BLOCK_BYTES)?;
    }
    Ok(())
}

/// Runs one round after the other on each image by turns; `round` adds what it measured.
fn print_row(
    label: &str,
    rounds: u64,
    images: &[Filesystem; 2],
    round: fn(&Filesystem, &mut Vec<Duration>) -> Result<()>,
) -> Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (fs, times) in images.iter().zip(&mut times) {
            round(fs, times)?;
        }
    }
    let [without, with] =
        times.map(|times| lower_quartile(times).as_nanos() as f64 / FILE_BLOCKS as f64);
    println!(
        "{label:<24} {without:>10.0} {with:>10.0} {:>7.2}x",
        with / without
    );
    Ok(())
}
