//! The options of `daxfs bench`, and what the words and numbers mean.
//!
//! Pure data for clap: touches nothing, takes no locks.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use daxfs::{IoLock, MappingLock, PageTables};

use super::kind::WorkloadKind;

const AFTER_HELP: &str = "\
Workloads (block and page: 4 KiB)
  DWOM  each thread writes one block, again and again, in its own 8 MiB of one shared file
  DWOL  the same, each thread in a file of its own
  DRBM  reads instead of writes, in one shared file
  DRBL  reads, each thread in a file of its own
  DMFM  read faults: each thread loads from the 512 pages of its own 2 MiB of one shared file,
        through one mapping; then it releases the 2 MiB, which is not counted, and begins again
  DMWM  write faults on holes: each thread stores to the 512 pages of its own 2 MiB; then it
        punches them out again, which is not counted
  DWFM  writes against faults on one page: half the threads write the page while it is a hole,
        the others fault it; after each round read and load must return the same bytes
The first four vary the I/O lock (`none` is a control: copies with no I/O lock at all, which only
this benchmark may use) and keep the mapping lock `range`; the others vary the mapping lock and
keep the I/O lock `range`. Mapping lock `none` is the racy design, kept to show the race.

Numbers
  ops       operations inside the measured time
  seconds   DWOM to DRBL: that time; DMFM to DWFM: the time inside operations, the mean over the
            threads, so that what is done between operations is not counted
  ns/op     seconds * threads / ops * 1e9: what one operation costs one thread
  p50...    latencies, of every 16th operation for DWOM to DRBL, of all operations for the others
  coherent  whether read and load returned the same bytes, and the right ones, at every check
  ratio     operations per second over those of the design `inode`, same workload and threads

Designs that are compared take turns in short slices, so that noise falls on all of them alike.
Without --image each design gets an image of its own in memory. Exit code 3: a design other than
`none` was not coherent.";

/// Arguments of `daxfs bench`.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, after_help = "--help explains workloads and numbers.")]
pub(crate) struct BenchArgs {
    /// Measure on this image file: what it holds is left as it is, and a missing file is made and
    /// removed afterwards [default: images in memory]
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// Workloads, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    pub(crate) workload: Vec<WorkloadKind>,
    /// I/O locks for DWOM, DWOL, DRBM, DRBL: inode, range, none [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) io_lock: Vec<IoLock>,
    /// Mapping locks for DMFM, DMWM, DWFM: none, recheck, entry, inode, range,
    /// entry-rw [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) mapping_lock: Vec<MappingLock>,
    /// Numbers of threads [default: 1, 2, 4 ... up to twice the cores]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Measured seconds of each cell [default: shared out so that all takes under two minutes]
    #[arg(long, value_parser = positive_seconds)]
    pub(crate) seconds: Option<f64>,
    /// Take less than 15 seconds, at the price of more noise
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) quick: bool,
    /// Page tables behind the mappings
    #[arg(long, value_enum, default_value_t = PageTableChoice::Process)]
    pub(crate) page_tables: PageTableChoice,
    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Which page tables mappings get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageTableChoice {
    /// Real mappings of this process
    Process,
    /// Page tables in software
    Software,
}

impl PageTableChoice {
    /// The word on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Software => "software",
        }
    }
}

impl From<PageTableChoice> for PageTables {
    fn from(choice: PageTableChoice) -> Self {
        match choice {
            PageTableChoice::Process => Self::Process,
            PageTableChoice::Software => Self::Software,
        }
    }
}

fn positive_seconds(argument: &str) -> Result<f64, String> {
    match argument.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number above 0, at most 3600, is needed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(positive_seconds("0.25"), Ok(0.25));
        for argument in ["0", "-1", "nan", "inf", "3601", "x", ""] {
            assert!(positive_seconds(argument).is_err(), "{argument}");
        }
    }
}
