//! One cell of the benchmark: a workload, a design, a number of threads and a size of block; what
//! was found in it, and how it compares with another cell.
//!
//! # Ratios
//! Cells that are compared took turns slice by slice. So their ratio is taken slice by slice too,
//! and the median of those is the ratio: a slice that the machine disturbed moves it by one place.
//! The quartiles say how far to trust it.
//!
//! Pure data: touches nothing, takes no locks.

use std::fmt;

use serde::Serialize;

use super::args::PageTableChoice;
use super::design::Design;
use super::harness::{Coherence, Tally};
use super::kind::{Timing, WorkloadKind};
use super::plan::Group;

/// One cell of the benchmark, while it is measured and after.
pub(crate) struct Cell {
    pub(crate) workload: WorkloadKind,
    pub(crate) design: Design,
    pub(crate) threads: usize,
    pub(crate) block_bytes: u64,
    pub(crate) page_tables: PageTableChoice,
    pub(crate) coherence: Coherence,
    tally: Tally,
    /// Nanoseconds an operation in each slice.
    slices: Vec<f64>,
}

/// One element of `results`. Fields are added, never changed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CellResult {
    pub(crate) workload: String,
    pub(crate) io_lock: String,
    pub(crate) mapping_lock: String,
    pub(crate) unmapping: String,
    pub(crate) entry_sizes: String,
    pub(crate) threads: usize,
    pub(crate) block_bytes: u64,
    pub(crate) page_tables: &'static str,
    pub(crate) ops: u64,
    pub(crate) seconds: f64,
    pub(crate) ns_per_op: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) sleeps_per_op: f64,
    pub(crate) page_table_operations_per_op: Option<f64>,
    pub(crate) coherent: bool,
    pub(crate) incoherence: Option<&'static str>,
    pub(crate) slice_ns_per_op: Vec<f64>,
}

impl CellResult {
    pub(crate) fn ops_per_second(&self) -> f64 {
        self.ops as f64 / self.seconds
    }

    /// The quartiles of the rates of its slices.
    pub(crate) fn rate_quartiles(&self) -> Ratio {
        let rate = |ns: &f64| self.threads as f64 * 1e9 / ns;
        Ratio::of(self.slice_ns_per_op.iter().map(rate).collect())
    }
}

impl Cell {
    /// The cell of `design` in `group`, with nothing measured yet.
    pub(crate) fn new(group: &Group, design: Design) -> Self {
        Self {
            workload: group.workload,
            design,
            threads: group.threads,
            block_bytes: group.block_bytes,
            page_tables: group.page_tables,
            coherence: Coherence::Coherent,
            tally: Tally::new(),
            slices: Vec::new(),
        }
    }

    /// Adds what a slice found.
    pub(crate) fn add(&mut self, tally: Tally, coherence: Coherence) {
        self.slices.push(self.ns_per_op(&tally));
        self.tally.add(&tally);
        self.coherence = self.coherence.and(coherence);
    }

    fn seconds(&self, tally: &Tally) -> f64 {
        match self.workload.timing() {
            Timing::Sampled => tally.wall.as_secs_f64(),
            Timing::Each => tally.inside_ns as f64 / 1e9 / self.threads as f64,
        }
    }

    fn ns_per_op(&self, tally: &Tally) -> f64 {
        self.seconds(tally) * self.threads as f64 * 1e9 / tally.ops as f64
    }

    /// What was found.
    pub(crate) fn result(&self) -> CellResult {
        let tally = &self.tally;
        let percentile = |percent| tally.latency.value_at_percentile(percent);
        let per_op = |count: u64| count as f64 / tally.all_ops as f64;
        CellResult {
            workload: self.workload.to_string(),
            io_lock: self.design.io_lock.to_string(),
            mapping_lock: self.design.mapping_lock.to_string(),
            unmapping: self.design.unmapping.to_string(),
            entry_sizes: self.design.entry_sizes.to_string(),
            threads: self.threads,
            block_bytes: self.block_bytes,
            page_tables: self.page_tables.name(),
            ops: tally.ops,
            seconds: self.seconds(tally),
            ns_per_op: self.ns_per_op(tally),
            p50_ns: percentile(50.0),
            p99_ns: percentile(99.0),
            p999_ns: percentile(99.9),
            sleeps_per_op: per_op(tally.sleeps),
            page_table_operations_per_op: tally.page_table_operations.map(per_op),
            coherent: self.coherence == Coherence::Coherent,
            incoherence: match self.coherence {
                Coherence::Coherent => None,
                Coherence::Incoherent(how) => Some(how),
            },
            slice_ns_per_op: self.slices.clone(),
        }
    }

    /// Nanoseconds an operation in each slice.
    pub(crate) fn slices(&self) -> &[f64] {
        &self.slices
    }

    /// Whether it found what its design must not show.
    pub(crate) fn is_incoherent_by_mistake(&self) -> bool {
        self.coherence != Coherence::Coherent && self.design.must_be_coherent(self.workload)
    }

    /// How many operations this cell does in the time that `other` does one.
    pub(crate) fn speed_over(&self, other: &Self) -> Ratio {
        let pairs = self.slices.iter().zip(&other.slices);
        let per_thread = self.threads as f64 / other.threads as f64;
        Ratio::of(
            pairs
                .map(|(own, others)| others / own * per_thread)
                .collect(),
        )
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let design = self.design.name(self.workload.varies());
        let (workload, threads) = (self.workload, self.threads);
        write!(formatter, "{workload}, {design}, threads {threads}")
    }
}

/// How one cell's rate compares with another's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// The median over the slices.
    pub(crate) median: f64,
    /// The lower quartile.
    pub(crate) low: f64,
    /// The upper quartile.
    pub(crate) high: f64,
    /// Of how many slices.
    pub(crate) slices: usize,
}

impl Ratio {
    /// Medians of fewer slices than this decide nothing.
    const SLICES_MIN: usize = 5;

    /// Whether there are enough slices to decide anything.
    pub(crate) fn is_decisive(self) -> bool {
        self.slices >= Self::SLICES_MIN
    }

    /// The quartiles of `ratios`, which are not empty.
    fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let quartile = |quarter: usize| match ratios.len() {
            0 => f64::NAN,
            len => {
                let place = (len - 1) as f64 * quarter as f64 / 4.0;
                let (below, above) = (ratios[place as usize], ratios[place.ceil() as usize]);
                below + (above - below) * place.fract()
            }
        };
        Self {
            median: quartile(2),
            low: quartile(1),
            high: quartile(3),
            slices: ratios.len(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use daxfs::MappingLock;

    use super::*;

    fn empty(workload: WorkloadKind, design: Design, threads: usize) -> Cell {
        let group = Group {
            workload,
            threads,
            block_bytes: 4096,
            page_tables: PageTableChoice::Software,
            designs: vec![design],
        };
        Cell::new(&group, design)
    }

    /// A cell of two threads whose slices did these numbers of operations in a second each.
    pub(crate) fn cell(workload: WorkloadKind, design: Design, slices: &[u64]) -> Cell {
        cell_of(workload, design, 2, slices)
    }

    /// The same of any number of threads.
    pub(crate) fn cell_of(
        workload: WorkloadKind,
        design: Design,
        threads: usize,
        slices: &[u64],
    ) -> Cell {
        let mut cell = empty(workload, design, threads);
        for &ops in slices {
            let mut tally = Tally::new();
            tally.ops = ops;
            tally.all_ops = 2 * ops;
            tally.sleeps = ops;
            tally.wall = Duration::from_secs(1);
            tally.inside_ns = threads as u64 * 1_000_000_000;
            cell.add(tally, Coherence::Coherent);
        }
        cell
    }

    #[test]
    fn the_cost_of_an_operation_is_that_of_one_thread() {
        // Two threads were inside operations for two seconds in all: one second each.
        let result = cell(
            WorkloadKind::Dmfm,
            Design::of_io(daxfs::IoLock::Range),
            &[1000],
        )
        .result();
        assert_eq!((result.seconds, result.ns_per_op), (1.0, 2e6));
        let result = cell(
            WorkloadKind::Dwom,
            Design::of_io(daxfs::IoLock::Range),
            &[1000],
        )
        .result();
        assert_eq!((result.seconds, result.ns_per_op), (1.0, 2e6));
        assert_eq!(result.sleeps_per_op, 0.5);
    }

    #[test]
    fn the_ratio_is_the_median_of_the_slices_and_one_disturbed_slice_does_not_move_it() {
        let fast = cell(
            WorkloadKind::Dmfm,
            Design::of_io(daxfs::IoLock::Range),
            &[200, 200, 200, 200, 2],
        );
        let slow = cell(
            WorkloadKind::Dmfm,
            Design::of_io(daxfs::IoLock::Range),
            &[100, 100, 100, 100, 100],
        );
        let ratio = fast.speed_over(&slow);
        assert!((ratio.median - 2.0).abs() < 1e-9, "{ratio:?}");
        assert!(ratio.low <= ratio.median && ratio.median <= ratio.high);
        let back = slow.speed_over(&fast);
        assert!((back.median - 0.5).abs() < 1e-9, "{back:?}");
    }

    #[test]
    fn more_threads_at_the_same_cost_are_faster() {
        let two = cell(
            WorkloadKind::Dwom,
            Design::of_io(daxfs::IoLock::Range),
            &[100],
        );
        let one = cell_of(
            WorkloadKind::Dwom,
            Design::of_io(daxfs::IoLock::Range),
            1,
            &[50],
        );
        assert!((two.speed_over(&one).median - 2.0).abs() < 1e-9);
    }

    #[test]
    fn quartiles_lie_between_the_values_around_them() {
        let ratio = Ratio::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((ratio.low, ratio.median, ratio.high), (1.75, 2.5, 3.25));
    }

    #[test]
    fn incoherence_is_a_mistake_where_a_design_must_not_show_it() {
        for design in MappingLock::ALL {
            let mut cell = cell(WorkloadKind::Dwfm, Design::of_mapping(design), &[1]);
            cell.add(Tally::new(), Coherence::Incoherent("stale zero page"));
            cell.add(Tally::new(), Coherence::Coherent);
            assert!(!cell.result().coherent, "what was seen once stays seen");
            let must = MappingLock::COHERENT.contains(&design);
            assert_eq!(cell.is_incoherent_by_mistake(), must, "{design}");
        }
        let control = Design::of_io(daxfs::IoLock::None);
        let mixed = WorkloadKind::Dwrm { read_percent: 50 };
        for (workload, mistake) in [(mixed, false), (WorkloadKind::Dwom, true)] {
            let mut cell = cell(workload, control, &[1]);
            cell.add(Tally::new(), Coherence::Incoherent("torn"));
            assert_eq!(cell.is_incoherent_by_mistake(), mistake, "{workload}");
        }
    }
}
