//! The options of `daxfs bench`, and what the words and numbers mean.
//!
//! Pure data for clap: touches nothing, takes no locks.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use daxfs::{Device, EntrySizes, IoLock, MappingLock, MappingMechanism, PageTables};

use super::kind::WorkloadKind;

/// What stands before and after the list of workloads.
const HELP_NUMBERS: &str = "\
The first twelve vary the I/O lock and keep the mapping lock `range`; the others vary the mapping
lock and keep the I/O lock `range`. Only this benchmark may use two of the I/O locks: `none` is a
control, copies with no lock at all, and `segment`, one lock for 2 MiB, is what entry locks held
across the copy would be. Mapping locks `none` and `recheck` are racy, kept to show the race.

Numbers
  ops       operations inside the measured time
  seconds   DRBL to DWOH: that time; the others: the time inside operations, the mean over the
            threads, so that what is done between operations is not counted
  ns/op     seconds * threads / ops * 1e9: what one operation costs one thread
  p50...    latencies, of every 16th operation for DRBL to DWOH, of all operations for the others
  sleeps    how often a thread went to sleep, an operation; each sleep is ended by a wake-up
  coherent  whether read and load returned the same bytes, and the right ones, at every check
  ratio     operations per second over those of the design `inode`, same workload and threads:
            the median of what it was slice by slice

Designs that are compared take turns in short slices, so that noise falls on all of them alike.
Without --image each design gets an image of its own in memory. Exit code 3: a design that must be
coherent was not.";

fn after_help() -> String {
    let mut help = "Workloads (block and page: 4 KiB)\n".to_owned();
    let mut last = "";
    for kind in WorkloadKind::ALL {
        let description = kind.description();
        if description != last {
            let name = match kind {
                WorkloadKind::Dwrm { .. } => "DWRM-k".to_owned(),
                kind => kind.to_string(),
            };
            wrap(&mut help, &name, description);
            last = description;
        }
    }
    help.push_str(HELP_NUMBERS);
    help
}

/// Appends `name` and then `text` beside it, in lines of at most 100 characters.
fn wrap(help: &mut String, name: &str, text: &str) {
    const INDENT: usize = 10;
    const WIDTH: usize = 100;
    let mut line = format!("  {name:<8}");
    for word in text.split_whitespace() {
        if line.len() + word.len() + 1 > WIDTH {
            help.push_str(line.trim_end());
            help.push('\n');
            line = " ".repeat(INDENT);
        }
        line.push_str(word);
        line.push(' ');
    }
    help.push_str(line.trim_end());
    help.push('\n');
}

/// Arguments of `daxfs bench`.
#[derive(Debug, Args)]
#[command(after_long_help = after_help(), after_help = "--help explains workloads and numbers.")]
pub(crate) struct BenchArgs {
    /// Measure on this image file: what it holds is left as it is, and a missing file is made and
    /// removed afterwards [default: images in memory]
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// Workloads, separated by commas [default: the nine usual ones; in a report all]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) workload: Vec<WorkloadKind>,
    /// I/O locks for DRBL to DWRM: inode, range, segment, none [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) io_lock: Vec<IoLock>,
    /// Mapping locks for DMFL to DTRF: none, recheck, entry, inode, range, entry-rw [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) mapping_lock: Vec<MappingLock>,
    /// Numbers of threads [default: 1, 2, 4 ... up to twice the cores]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Sizes of the block of DRBL to DWOH, as 64 or 2MiB, from 64 to 2MiB [default: 4096]
    #[arg(long, value_delimiter = ',', value_name = "SIZE", value_parser = block_size)]
    pub(crate) block_size: Vec<ByteSize>,
    /// Measured seconds of each cell [default: shared out so that all takes under two minutes]
    #[arg(long, value_parser = positive_seconds)]
    pub(crate) seconds: Option<f64>,
    /// Take less than 15 seconds, or one minute for a report, at the price of more noise
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) quick: bool,
    /// Page tables behind the mappings, separated by commas [default: process; in a report
    /// process,software]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) page_tables: Vec<PageTableChoice>,
    /// Sizes of mapping entries: small for 4 KiB, both for 2 MiB too, in DWOH, DMFM, DMFH, DMWM,
    /// DMWH [default: small; in a report each of the two]
    #[arg(long, value_delimiter = ',', value_name = "SIZES")]
    pub(crate) entry_sizes: Vec<EntrySizes>,
    /// Compare reads and writes under every mapping lock too; a report always does
    #[arg(long)]
    pub(crate) every_lock: bool,
    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure everything, in less than fifteen minutes, and write the page index.html with all
    /// numbers, plots and answers into this directory, and the same as results.json and results.md
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}

impl BenchArgs {
    /// Whether reads and writes are compared under every lock.
    pub(crate) fn compares_every_lock(&self) -> bool {
        self.every_lock || self.report.is_some()
    }

    /// The page tables that faults are measured with; the first of them are those of all else.
    pub(crate) fn page_tables(&self) -> Vec<PageTableChoice> {
        match (self.page_tables.as_slice(), &self.report) {
            ([], None) => vec![PageTableChoice::Process],
            ([], Some(_)) => vec![PageTableChoice::Process, PageTableChoice::Software],
            (asked, _) => asked.to_vec(),
        }
    }

    /// The sizes of block asked for, in bytes.
    pub(crate) fn block_sizes(&self) -> Vec<u64> {
        self.block_size.iter().map(ByteSize::as_u64).collect()
    }
}

/// Which page tables mappings get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageTableChoice {
    /// Real mappings of this process, by the faster mechanism of the next two that there is
    Process,
    /// Real mappings under a veil, whose pages `userfaultfd` shows one by one
    Userfault,
    /// Real mappings, each page placed by a call of `mmap`
    Remap,
    /// Page tables in software
    Software,
}

impl PageTableChoice {
    /// The word on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Userfault => MappingMechanism::Userfault.name(),
            Self::Remap => MappingMechanism::Remap.name(),
            Self::Software => "software",
        }
    }

    /// What it comes to on `device`, for people.
    pub(crate) fn describe(self, device: &Device) -> String {
        match PageTables::from(self).mechanism_on(device) {
            Some(mechanism) => format!("process ({})", mechanism.name()),
            None => self.name().to_owned(),
        }
    }
}

impl From<PageTableChoice> for PageTables {
    fn from(choice: PageTableChoice) -> Self {
        match choice {
            PageTableChoice::Process => Self::Process,
            PageTableChoice::Userfault => Self::ProcessBy(MappingMechanism::Userfault),
            PageTableChoice::Remap => Self::ProcessBy(MappingMechanism::Remap),
            PageTableChoice::Software => Self::Software,
        }
    }
}

fn block_size(argument: &str) -> Result<ByteSize, String> {
    let size: ByteSize = argument.parse()?;
    match size.as_u64() {
        64..=0x20_0000 if size.as_u64().is_multiple_of(8) => Ok(size),
        _ => Err("a multiple of 8 from 64 to 2MiB is needed".into()),
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
    fn block_sizes_are_whole_words_up_to_a_huge_page() {
        assert_eq!(block_size("2MiB").map(|size| size.as_u64()), Ok(2 << 20));
        for argument in ["63", "68", "0", "3MiB", "x", ""] {
            assert!(block_size(argument).is_err(), "{argument}");
        }
    }

    #[test]
    fn the_help_names_every_workload_in_lines_that_fit() {
        let help = after_help();
        for kind in WorkloadKind::ALL {
            let name = kind.to_string();
            assert!(
                help.contains(name.split('-').next().expect("a name")),
                "{name}"
            );
        }
        assert!(help.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(positive_seconds("0.25"), Ok(0.25));
        for argument in ["0", "-1", "nan", "inf", "3601", "x", ""] {
            assert!(positive_seconds(argument).is_err(), "{argument}");
        }
    }
}
