//! What a benchmark found: a table for people, JSON for programs.
//!
//! Touches standard output and the JSON file; takes no locks.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use daxfs::{Device, IoLock, MappingLock, Persistence};
use serde::Serialize;

use super::args::PageTableChoice;
use super::harness::{Coherence, Tally};
use super::kind::{Varied, WorkloadKind};
use super::machine::Machine;
use super::plan::Design;
use super::workload::BLOCK_BYTES;

/// One cell of the benchmark, while it is measured and after.
pub(crate) struct Cell {
    pub(crate) design: Design,
    workload: WorkloadKind,
    threads: usize,
    tally: Tally,
    coherence: Coherence,
}

impl Cell {
    /// A cell with nothing measured yet.
    pub(crate) fn new(workload: WorkloadKind, design: Design, threads: usize) -> Self {
        let (tally, coherence) = (Tally::new(), Coherence::Coherent);
        Self {
            design,
            workload,
            threads,
            tally,
            coherence,
        }
    }

    /// Adds what a slice found.
    pub(crate) fn add(&mut self, tally: Tally, coherence: Coherence) {
        self.tally.add(&tally);
        self.coherence = self.coherence.and(coherence);
    }

    fn result(&self) -> CellResult {
        let seconds = match self.workload.varies() {
            Varied::IoLock => self.tally.wall.as_secs_f64(),
            Varied::MappingLock => self.tally.inside_ns as f64 / 1e9 / self.threads as f64,
        };
        let percentile = |percent| self.tally.latency.value_at_percentile(percent);
        CellResult {
            workload: self.workload.name(),
            io_lock: self.design.io_lock.to_string(),
            mapping_lock: self.design.mapping_lock.to_string(),
            threads: self.threads,
            block_bytes: BLOCK_BYTES,
            ops: self.tally.ops,
            seconds,
            ns_per_op: seconds * self.threads as f64 * 1e9 / self.tally.ops as f64,
            p50_ns: percentile(50.0),
            p99_ns: percentile(99.0),
            p999_ns: percentile(99.9),
            coherent: self.coherence == Coherence::Coherent,
        }
    }

    /// Whether the design is one that shows the race on purpose.
    fn is_racy_by_design(&self) -> bool {
        !self.design.mapping_lock.is_coherent()
    }

    /// The design that others are compared with: `inode` in the lock that this workload varies.
    fn is_baseline(&self) -> bool {
        match self.workload.varies() {
            Varied::IoLock => self.design.io_lock == IoLock::Inode,
            Varied::MappingLock => self.design.mapping_lock == MappingLock::Inode,
        }
    }

    fn design_name(&self) -> String {
        match self.workload.varies() {
            Varied::IoLock if self.design.io_lock == IoLock::None => {
                format!("io {} (control)", self.design.io_lock)
            }
            Varied::IoLock => format!("io {}", self.design.io_lock),
            Varied::MappingLock if self.is_racy_by_design() => {
                format!("mapping {} (racy)", self.design.mapping_lock)
            }
            Varied::MappingLock => format!("mapping {}", self.design.mapping_lock),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, design) = (self.workload.name(), self.design_name());
        write!(formatter, "{name}, {design}, threads {}", self.threads)
    }
}

/// One element of `results`. Fields are added, never changed.
#[derive(Debug, Serialize)]
struct CellResult {
    workload: &'static str,
    io_lock: String,
    mapping_lock: String,
    threads: usize,
    block_bytes: u64,
    ops: u64,
    seconds: f64,
    ns_per_op: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    coherent: bool,
}

impl CellResult {
    fn ops_per_second(&self) -> f64 {
        self.ops as f64 / self.seconds
    }
}

/// What the images lay on.
#[derive(Debug, Serialize)]
pub(crate) struct Backend {
    device: String,
    persistence: String,
    page_tables: &'static str,
    /// What the numbers cannot say.
    remark: Option<&'static str>,
}

impl Backend {
    /// Describes the device of a benchmark.
    pub(crate) fn new(device: &Device, page_tables: PageTableChoice) -> Self {
        let persistence = device.persistence();
        let remark = match persistence {
            Persistence::Hardware => None,
            _ => Some("measured on DRAM or a page cache, which is not persistent memory"),
        };
        Self {
            device: device.describe(),
            persistence: persistence.to_string(),
            page_tables: page_tables.name(),
            remark,
        }
    }
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    machine: &'a Machine,
    backend: &'a Backend,
    command: &'a str,
    version: &'static str,
    results: Vec<CellResult>,
}

/// A finished benchmark.
pub(crate) struct Report {
    machine: Machine,
    backend: Backend,
    command: String,
    cells: Vec<Cell>,
}

impl Report {
    /// A report on `cells`, measured by the command line of this process.
    pub(crate) fn new(machine: Machine, backend: Backend, cells: Vec<Cell>) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Self {
            machine,
            backend,
            command: format!("daxfs {}", words.join(" ")),
            cells,
        }
    }

    /// The cells whose design must be coherent, and was not.
    pub(crate) fn incoherent_by_mistake(&self) -> impl Iterator<Item = &Cell> {
        self.cells
            .iter()
            .filter(|cell| cell.coherence != Coherence::Coherent && !cell.is_racy_by_design())
    }

    /// Writes the table to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        let Machine {
            cpu,
            cores,
            kernel,
            architecture,
        } = &self.machine;
        let mut out = BufWriter::new(io::stdout().lock());
        writeln!(
            out,
            "machine:  {cpu}, {cores} cores, {architecture}, Linux {kernel}"
        )?;
        let Backend {
            device,
            persistence,
            page_tables,
            remark,
        } = &self.backend;
        writeln!(
            out,
            "back end: {device}; persistence {persistence}; {page_tables} page tables"
        )?;
        if let Some(remark) = remark {
            writeln!(out, "remark:   {remark}")?;
        }
        writeln!(out, "command:  {}", self.command)?;
        writeln!(out)?;
        writeln!(out, "{}", self.table().trim_fmt())?;
        out.flush()
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "workload",
            "design",
            "threads",
            "ops/s",
            "ns/op",
            "p50 ns",
            "p99 ns",
            "p99.9 ns",
            "coherent",
            "ratio to inode",
        ]);
        for cell in &self.cells {
            let result = cell.result();
            table.add_row([
                cell.workload.name().to_owned(),
                cell.design_name(),
                cell.threads.to_string(),
                rate(result.ops_per_second()),
                format!("{:.0}", result.ns_per_op),
                result.p50_ns.to_string(),
                result.p99_ns.to_string(),
                result.p999_ns.to_string(),
                match cell.coherence {
                    Coherence::Coherent => "yes".to_owned(),
                    Coherence::Incoherent(how) => format!("no ({how})"),
                },
                self.ratio_to_baseline(cell)
                    .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            ]);
        }
        for index in [2, 3, 4, 5, 6, 7, 9] {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Operations per second of `cell` over those of `inode`, same workload and threads.
    fn ratio_to_baseline(&self, cell: &Cell) -> Option<f64> {
        let baseline = self.cells.iter().find(|other| {
            other.is_baseline() && other.workload == cell.workload && other.threads == cell.threads
        })?;
        Some(cell.result().ops_per_second() / baseline.result().ops_per_second())
    }

    /// Writes the JSON to `path`.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let name = || path.display().to_string();
        let document = Document {
            machine: &self.machine,
            backend: &self.backend,
            command: &self.command,
            version: env!("CARGO_PKG_VERSION"),
            results: self.cells.iter().map(Cell::result).collect(),
        };
        let mut file = BufWriter::new(File::create(path).with_context(name)?);
        serde_json::to_writer_pretty(&mut file, &document).with_context(name)?;
        writeln!(file)
            .and_then(|()| file.flush())
            .with_context(name)
    }
}

/// Refuses a path that no file can be written to, before minutes are spent on what goes into it.
pub(crate) fn check_json_path(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    ensure!(
        parent.is_dir(),
        "{}: there is no such directory",
        parent.display()
    );
    ensure!(!path.is_dir(), "{}: is a directory", path.display());
    Ok(())
}

/// A rate in three or four digits.
fn rate(per_second: f64) -> String {
    if per_second >= 1e6 {
        format!("{:.2} M", per_second / 1e6)
    } else {
        format!("{:.1} k", per_second / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cell(workload: WorkloadKind, mapping_lock: MappingLock, ops: u64) -> Cell {
        let design = Design {
            io_lock: IoLock::Range,
            mapping_lock,
        };
        let mut cell = Cell::new(workload, design, 2);
        let mut tally = Tally::new();
        tally.ops = ops;
        tally.wall = Duration::from_secs(1);
        tally.inside_ns = 1_000_000_000;
        cell.add(tally, Coherence::Coherent);
        cell
    }

    fn report(cells: Vec<Cell>) -> Report {
        let backend = Backend {
            device: String::new(),
            persistence: String::new(),
            page_tables: "software",
            remark: None,
        };
        Report::new(Machine::describe(), backend, cells)
    }

    #[test]
    fn the_ratio_is_that_of_the_rates_of_the_same_workload_and_threads() {
        let report = report(vec![
            cell(WorkloadKind::Dmfm, MappingLock::Range, 300),
            cell(WorkloadKind::Dmfm, MappingLock::Inode, 200),
            cell(WorkloadKind::Dmwm, MappingLock::Range, 100),
        ]);
        assert_eq!(report.ratio_to_baseline(&report.cells[0]), Some(1.5));
        assert_eq!(report.ratio_to_baseline(&report.cells[1]), Some(1.0));
        assert_eq!(report.ratio_to_baseline(&report.cells[2]), None);
    }

    #[test]
    fn the_cost_of_an_operation_is_that_of_one_thread() {
        // Two threads were inside operations for one second in all: half a second each.
        let result = cell(WorkloadKind::Dmfm, MappingLock::Range, 1000).result();
        assert_eq!((result.seconds, result.ns_per_op), (0.5, 1e6));
        let result = cell(WorkloadKind::Dwom, MappingLock::Range, 1000).result();
        assert_eq!((result.seconds, result.ns_per_op), (1.0, 2e6));
    }

    #[test]
    fn incoherence_is_a_mistake_in_every_design_but_the_racy_one() {
        let mut cells: Vec<Cell> = MappingLock::ALL
            .iter()
            .map(|&design| cell(WorkloadKind::Dwfm, design, 1))
            .collect();
        for cell in &mut cells {
            cell.add(Tally::new(), Coherence::Incoherent("stale zero page"));
            cell.add(Tally::new(), Coherence::Coherent);
            assert!(!cell.result().coherent, "what was seen once stays seen");
        }
        let report = report(cells);
        let names: Vec<_> = report
            .incoherent_by_mistake()
            .map(|cell| cell.design.mapping_lock)
            .collect();
        assert_eq!(names, MappingLock::COHERENT);
        assert!(report.table().to_string().contains("no (stale zero page)"));
    }
}
