//! Appends of 4 KiB to one file, in percentiles, as the file grows: what the slowest of them wait
//! for must not grow with it.

use std::time::Instant;

use daxfs::{File, Result};
use hdrhistogram::Histogram;

use super::{formatted, mount};

const APPEND_BYTES: u64 = 4096;
/// Up to which size of the file one row goes, in bytes.
const SIZES: [u64; 4] = [1 << 20, 16 << 20, 128 << 20, 1 << 30];
/// For the log, the tree and the space map.
const OTHER_BYTES: u64 = 128 << 20;

pub(super) fn print(most_bytes: u64) -> Result<()> {
    let device = formatted(most_bytes + OTHER_BYTES)?;
    let fs = mount(&device)?;
    let file = fs.create("/log")?;
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12}   appends of 4 KiB, file up to so long",
        "file", "p50 ns", "p99 ns", "p99.9 ns", "longest ns"
    );
    for size_bytes in SIZES.into_iter().filter(|size| *size <= most_bytes) {
        let latencies = append_until(&file, size_bytes)?;
        println!(
            "{:>5} MiB {:>10} {:>10} {:>10} {:>12}",
            size_bytes >> 20,
            latencies.value_at_quantile(0.5),
            latencies.value_at_quantile(0.99),
            latencies.value_at_quantile(0.999),
            latencies.max(),
        );
    }
    drop(file);
    fs.unmount()
}

fn append_until(file: &File, size_bytes: u64) -> Result<Histogram<u64>> {
    // Longer ones count as a second.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)
        .unwrap_or_else(|error| panic!("bounds that are right: {error}"));
    let page = [7; APPEND_BYTES as usize];
    while file.len_bytes() < size_bytes {
        let start = Instant::now();
        file.append(&page)?;
        latencies.saturating_record(start.elapsed().as_nanos() as u64);
    }
    Ok(latencies)
}
