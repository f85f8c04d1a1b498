//! What a benchmark run measures: which cells, for how long, in how many slices.
//!
//! Pure arithmetic: touches nothing, takes no locks.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum as _;
use daxfs::{IoLock, MappingLock};

use super::args::BenchArgs;
use super::harness::SliceTime;
use super::kind::{Varied, WorkloadKind};

/// Measured time of a whole run, in seconds: the rest of its two minutes, or of the 15 seconds of
/// `--quick`, is set-up, warm-up and checks.
const FULL_SECONDS: f64 = 75.0;
const QUICK_SECONDS: f64 = 6.0;
/// More than this for one cell adds nothing but waiting.
const CELL_SECONDS_MAX: f64 = 1.5;
/// A slice long enough that starting threads costs little of it, short enough that the designs
/// take turns often.
const SLICE_SECONDS: f64 = 0.015;
const SLICES: std::ops::RangeInclusive<usize> = 4..=32;
const WARM_UP_MAX: Duration = Duration::from_millis(2);

/// A pair of locks that a filesystem is mounted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) io_lock: IoLock,
    pub(crate) mapping_lock: MappingLock,
}

impl fmt::Display for Design {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "io {}, mapping {}",
            self.io_lock, self.mapping_lock
        )
    }
}

/// Cells that are compared with each other: one workload, one number of threads, all designs.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) workload: WorkloadKind,
    pub(crate) threads: usize,
    pub(crate) designs: Vec<Design>,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) groups: Vec<Group>,
    /// Into how many slices the time of each cell is cut.
    pub(crate) slices: usize,
    pub(crate) slice_time: SliceTime,
}

impl Plan {
    /// What `args` ask for, on a machine of `cores` cores.
    ///
    /// # Errors
    /// If nothing is left to measure.
    pub(crate) fn make(args: &BenchArgs, cores: usize) -> Result<Self> {
        let workloads = chosen(&args.workload, WorkloadKind::value_variants());
        let io_locks = chosen(&args.io_lock, &IoLock::ALL);
        let mapping_locks = chosen(&args.mapping_lock, &MappingLock::ALL);
        let threads = thread_counts(&args.threads, cores);
        let mut groups = Vec::new();
        for &workload in &workloads {
            let designs: Vec<Design> = match workload.varies() {
                Varied::IoLock => io_locks
                    .iter()
                    .map(|&io_lock| Design {
                        io_lock,
                        mapping_lock: MappingLock::Range,
                    })
                    .collect(),
                Varied::MappingLock => mapping_locks
                    .iter()
                    .map(|&mapping_lock| Design {
                        io_lock: IoLock::Range,
                        mapping_lock,
                    })
                    .collect(),
            };
            groups.extend(threads.iter().map(|&threads| Group {
                workload,
                threads,
                designs: designs.clone(),
            }));
        }
        let cells: usize = groups.iter().map(|group| group.designs.len()).sum();
        if cells == 0 {
            bail!("nothing to measure");
        }
        let total_seconds = if args.quick {
            QUICK_SECONDS
        } else {
            FULL_SECONDS
        };
        let fair_share = (total_seconds / cells as f64).min(CELL_SECONDS_MAX);
        let cell_seconds = args.seconds.unwrap_or(fair_share);
        let slices =
            ((cell_seconds / SLICE_SECONDS) as usize).clamp(*SLICES.start(), *SLICES.end());
        let measured = Duration::from_secs_f64(cell_seconds / slices as f64);
        let slice_time = SliceTime {
            warm_up: WARM_UP_MAX.min(measured / 4),
            measured,
        };
        Ok(Self {
            groups,
            slices,
            slice_time,
        })
    }

    /// The workloads, each once.
    pub(crate) fn workloads(&self) -> Vec<WorkloadKind> {
        let mut workloads: Vec<_> = self.groups.iter().map(|group| group.workload).collect();
        workloads.dedup();
        workloads
    }

    /// The designs of all groups, each once.
    pub(crate) fn designs(&self) -> Vec<Design> {
        let mut designs = Vec::new();
        for &design in self.groups.iter().flat_map(|group| &group.designs) {
            if !designs.contains(&design) {
                designs.push(design);
            }
        }
        designs
    }

    /// The largest number of threads.
    pub(crate) fn threads_max(&self) -> usize {
        self.groups
            .iter()
            .map(|group| group.threads)
            .max()
            .unwrap_or(1)
    }

    /// How many slices will be run in all.
    pub(crate) fn slices_total(&self) -> u64 {
        let cells: usize = self.groups.iter().map(|group| group.designs.len()).sum();
        (cells * self.slices) as u64
    }
}

/// What was asked for, each once and in order of asking; everything where nothing was.
fn chosen<T: Copy + PartialEq>(asked: &[T], all: &[T]) -> Vec<T> {
    let asked = if asked.is_empty() { all } else { asked };
    let mut chosen = Vec::new();
    for &item in asked {
        if !chosen.contains(&item) {
            chosen.push(item);
        }
    }
    chosen
}

/// The numbers of threads asked for, or the powers of two up to twice the cores.
fn thread_counts(asked: &[NonZeroUsize], cores: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|exponent| 1_usize << exponent);
    let default: Vec<usize> = powers
        .take_while(|&threads| threads <= 2 * cores.max(1))
        .collect();
    let asked: Vec<usize> = asked.iter().map(|threads| threads.get()).collect();
    chosen(&asked, &default)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn plan(line: &str, cores: usize) -> Plan {
        let words = ["bench"].into_iter().chain(line.split_whitespace());
        let line = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        Plan::make(&line.bench, cores).expect("a plan")
    }

    fn seconds(plan: &Plan) -> f64 {
        let slice = plan.slice_time.warm_up + plan.slice_time.measured;
        slice.as_secs_f64() * plan.slices_total() as f64
    }

    #[test]
    fn by_default_everything_is_measured_up_to_twice_the_cores() {
        let plan = plan("", 2);
        assert_eq!(plan.groups.len(), 7 * 3);
        assert_eq!(plan.threads_max(), 4);
        assert_eq!(
            plan.designs().len(),
            3 + 6 - 1,
            "range with range is in both families"
        );
        for group in &plan.groups {
            let designs = match group.workload.varies() {
                Varied::IoLock => 3,
                Varied::MappingLock => 6,
            };
            assert_eq!(group.designs.len(), designs);
        }
    }

    #[test]
    fn a_run_fits_its_time_whatever_the_machine() {
        for cores in [1, 2, 3, 8, 64] {
            assert!(seconds(&plan("", cores)) < 100.0, "{cores} cores");
            assert!(seconds(&plan("--quick", cores)) < 13.0, "{cores} cores");
        }
    }

    #[test]
    fn every_cell_is_cut_into_at_least_four_slices() {
        for line in ["", "--quick", "--seconds 0.001", "--seconds 60"] {
            assert!(plan(line, 2).slices >= 4, "{line}");
        }
        let plan = plan("--seconds 0.5 --workload dwom", 2);
        let measured = plan.slice_time.measured.as_secs_f64() * plan.slices as f64;
        assert!((measured - 0.5).abs() < 1e-6);
    }

    #[test]
    fn what_is_asked_for_twice_is_measured_once() {
        let plan = plan(
            "--workload dwom,dwom --threads 2,2,1 --io-lock range,inode,range",
            2,
        );
        assert_eq!(plan.groups.len(), 2);
        assert_eq!(plan.groups[0].threads, 2);
        assert_eq!(plan.groups[0].designs.len(), 2);
        assert_eq!(plan.groups[0].designs[0].io_lock, IoLock::Range);
    }
}
