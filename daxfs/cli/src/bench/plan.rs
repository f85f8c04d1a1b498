//! What a benchmark run measures: which cells, for how long, in how many slices.
//!
//! Pure arithmetic: touches nothing, takes no locks.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, bail};
use daxfs::{EntrySizes, IoLock, MappingLock, Unmapping};

use super::args::{BenchArgs, PageTableChoice};
use super::design::Design;
use super::harness::SliceTime;
use super::kind::{Varied, WorkloadKind};
use super::workload::BLOCK_BYTES;

/// A slice long enough that starting threads costs little of it, short enough that the designs
/// take turns often.
const SLICE_SECONDS: f64 = 0.015;
const WARM_UP_MAX: Duration = Duration::from_millis(2);
/// The sizes of block that a report compares, in some workloads: from a record to a huge page.
const SWEEP_BLOCK_BYTES: [u64; 4] = [64, 4096, 64 << 10, 2 << 20];
const SWEPT: [WorkloadKind; 3] = [WorkloadKind::Drbm, WorkloadKind::Dwom, WorkloadKind::Dwum];
/// How many threads that comparison has, or fewer where there are fewer cores.
const SWEEP_THREADS: usize = 2;

/// How long a run may take: measured seconds, the rest is set-up, warm-up and checks.
struct Budget {
    total_seconds: f64,
    /// More than this for one cell adds nothing but waiting.
    cell_seconds_max: f64,
    slices: std::ops::RangeInclusive<usize>,
}

impl Budget {
    fn of(args: &BenchArgs) -> Self {
        let (total_seconds, cell_seconds_max, slices) = match (&args.report, args.quick) {
            // Two minutes, fifteen seconds, fifteen minutes, one minute.
            (None, false) => (60.0, 1.5, 4..=24),
            (None, true) => (4.0, 1.5, 4..=24),
            (Some(_), false) if args.seconds.is_none() => (480.0, 3.0, 8..=24),
            (Some(_), _) => (6.0, 1.5, 2..=24),
        };
        Self {
            total_seconds,
            cell_seconds_max,
            slices,
        }
    }
}

/// Cells that are compared with each other: all designs at one workload, one number of threads, one
/// size of block.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) workload: WorkloadKind,
    pub(crate) threads: usize,
    pub(crate) block_bytes: u64,
    pub(crate) page_tables: PageTableChoice,
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
        let groups = groups(args, cores);
        let cells: usize = groups.iter().map(|group| group.designs.len()).sum();
        if cells == 0 {
            bail!("nothing to measure");
        }
        let budget = Budget::of(args);
        let fair_share = (budget.total_seconds / cells as f64).min(budget.cell_seconds_max);
        let cell_seconds = args.seconds.unwrap_or(fair_share);
        let slices = ((cell_seconds / SLICE_SECONDS) as usize)
            .clamp(*budget.slices.start(), *budget.slices.end());
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
        let all: Vec<Design> = self
            .groups
            .iter()
            .flat_map(|group| &group.designs)
            .copied()
            .collect();
        chosen(&all, &[])
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

/// The groups, those of a workload beside each other.
fn groups(args: &BenchArgs, cores: usize) -> Vec<Group> {
    let all: &[WorkloadKind] = match args.report {
        Some(_) => &WorkloadKind::ALL,
        None => &WorkloadKind::USUAL,
    };
    let mut groups = Vec::new();
    for workload in chosen(&args.workload, all) {
        let thread_counts = thread_counts(&args.threads, cores);
        let sweep_threads = SWEEP_THREADS.min(thread_counts.iter().copied().max().unwrap_or(1));
        for threads in thread_counts {
            let swept = SWEPT.contains(&workload) && threads == sweep_threads;
            let all: &[u64] = match args.report {
                Some(_) if swept => &SWEEP_BLOCK_BYTES,
                _ => &[BLOCK_BYTES],
            };
            let sizes = block_sizes(workload, &chosen(&args.block_sizes(), all));
            for page_tables in page_tables(workload, args) {
                for entry_sizes in entry_sizes(workload, args) {
                    groups.extend(sizes.iter().map(|&block_bytes| Group {
                        workload,
                        threads,
                        block_bytes,
                        page_tables,
                        designs: designs(workload, entry_sizes, args),
                    }));
                }
            }
        }
    }
    groups
}

/// The page tables that `workload` is measured with. For faults those in software too, if asked
/// for: there no lock of the kernel's hides what the designs cost.
fn page_tables(workload: WorkloadKind, args: &BenchArgs) -> Vec<PageTableChoice> {
    let mut choices = chosen(&args.page_tables(), &[]);
    if workload.varies() == Varied::IoLock {
        choices.truncate(1);
    }
    choices
}

/// Those of `sizes` that blocks of `workload` may have, or the usual one.
fn block_sizes(workload: WorkloadKind, sizes: &[u64]) -> Vec<u64> {
    let mut sizes = sizes.to_vec();
    sizes.retain(|&bytes| {
        let min = workload.block_bytes_min();
        min.is_some_and(|min| min <= bytes)
    });
    chosen(&sizes, &[BLOCK_BYTES])
}

/// The sizes of entries that `workload` is measured with.
fn entry_sizes(workload: WorkloadKind, args: &BenchArgs) -> Vec<EntrySizes> {
    let all: &[EntrySizes] = match args.report {
        Some(_) => &EntrySizes::ALL,
        None => &[EntrySizes::Small],
    };
    match workload.can_have_large_entries() {
        true => chosen(&args.entry_sizes, all),
        false => vec![EntrySizes::Small],
    }
}

/// The designs that are compared in `workload`. Reads and writes under the mapping locks too, if
/// asked for: some of those are taken by them.
fn designs(workload: WorkloadKind, entry_sizes: EntrySizes, args: &BenchArgs) -> Vec<Design> {
    let of_io = chosen(&args.io_lock, &IoLock::ALL)
        .into_iter()
        .map(Design::of_io);
    let of_mapping = chosen(&args.mapping_lock, &MappingLock::ALL)
        .into_iter()
        .map(Design::of_mapping);
    let designs: Vec<Design> = match (workload.varies(), args.compares_every_lock()) {
        (Varied::IoLock, false) => of_io.collect(),
        (Varied::IoLock, true) => of_io.chain(of_mapping).collect(),
        (Varied::MappingLock, _) => of_mapping.collect(),
    };
    let unmappings: &[Unmapping] = match workload.varies_unmapping() {
        true => &Unmapping::ALL,
        false => &[Unmapping::Once],
    };
    let designs: Vec<Design> = designs
        .iter()
        .flat_map(|design| unmappings.iter().map(|&way| design.unmapping(way)))
        .map(|design| design.entry_sizes(entry_sizes))
        .collect();
    chosen(&designs, &[])
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

    const IO_LOCKS: usize = IoLock::ALL.len();
    const MAPPING_LOCKS: usize = MappingLock::ALL.len();

    #[test]
    fn by_default_the_usual_is_measured_up_to_twice_the_cores() {
        let plan = plan("", 2);
        assert_eq!(plan.groups.len(), WorkloadKind::USUAL.len() * 3);
        assert_eq!(plan.threads_max(), 4);
        assert_eq!(
            plan.designs().len(),
            IO_LOCKS + MAPPING_LOCKS - 1,
            "range with range is in both families"
        );
        for group in &plan.groups {
            let designs = match group.workload.varies() {
                Varied::IoLock => IO_LOCKS,
                Varied::MappingLock => MAPPING_LOCKS,
            };
            assert_eq!(group.designs.len(), designs);
            assert_eq!(group.block_bytes, BLOCK_BYTES);
        }
    }

    #[test]
    fn a_report_has_every_workload_and_reads_and_writes_under_every_lock() {
        let plan = plan("--report out", 2);
        assert_eq!(plan.workloads(), WorkloadKind::ALL);
        let dwom: Vec<_> = plan
            .groups
            .iter()
            .filter(|group| group.workload == WorkloadKind::Dwom)
            .collect();
        assert_eq!(dwom[0].designs.len(), IO_LOCKS + MAPPING_LOCKS - 1);
        let sizes: Vec<_> = dwom
            .iter()
            .map(|group| (group.threads, group.block_bytes))
            .collect();
        let two = SWEEP_BLOCK_BYTES.map(|bytes| (2, bytes));
        assert_eq!(sizes, [&[(1, 4096)], &two[..], &[(4, 4096)]].concat());
    }

    #[test]
    fn a_run_fits_its_time_whatever_the_machine() {
        for cores in [1, 2, 3, 8, 64] {
            assert!(seconds(&plan("", cores)) < 100.0, "{cores} cores");
            assert!(seconds(&plan("--quick", cores)) < 13.0, "{cores} cores");
            assert!(seconds(&plan("--report out", cores)) < 780.0, "{cores}");
        }
        assert!(seconds(&plan("--report out --quick", 2)) < 30.0);
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

    #[test]
    fn block_sizes_are_those_asked_for_where_they_can_be_chosen() {
        let plan = plan(
            "--workload dwom,dmfm,dwum --threads 1 --block-size 64,2MiB",
            2,
        );
        let sizes: Vec<_> = plan.groups.iter().map(|group| group.block_bytes).collect();
        assert_eq!(sizes, [64, 2 << 20, 4096, 2 << 20]);
    }
}
