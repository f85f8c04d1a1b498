//! What a benchmark found: a table for people, JSON for programs.
//!
//! Touches standard output and the JSON file; takes no locks.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use daxfs::{Device, EntrySizes, IoLock, MappingLock, Persistence};
use serde::Serialize;

use super::args::PageTableChoice;
use super::cell::{Cell, CellResult, Ratio};
use super::design::Design;
use super::kind::Varied;
use super::machine::Machine;
use super::workload::BLOCK_BYTES;

/// What the images lay on.
#[derive(Debug, Serialize)]
pub(crate) struct Backend {
    device: String,
    persistence: String,
    page_tables: String,
    /// What the numbers cannot say.
    pub(crate) remark: Option<&'static str>,
}

impl Backend {
    /// Describes the device of a benchmark.
    pub(crate) fn new(device: &Device, page_tables: &[PageTableChoice]) -> Self {
        let persistence = device.persistence();
        let described = page_tables.iter().map(|choice| choice.describe(device));
        let names: Vec<_> = described.collect();
        let remark = match persistence {
            Persistence::Hardware => None,
            _ => Some("measured on DRAM or a page cache, which is not persistent memory"),
        };
        Self {
            device: device.describe(),
            persistence: persistence.to_string(),
            page_tables: names.join(" and "),
            remark,
        }
    }
}

/// The JSON document.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    machine: &'a Machine,
    backend: &'a Backend,
    command: &'a str,
    version: &'static str,
    results: Vec<CellResult>,
}

/// A finished benchmark.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) backend: Backend,
    pub(crate) command: String,
    pub(crate) cells: Vec<Cell>,
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
            .filter(|cell| cell.is_incoherent_by_mistake())
    }

    /// What the numbers were measured on and how, a line each.
    pub(crate) fn heading(&self) -> Vec<(&'static str, String)> {
        let Machine {
            cpu,
            cores,
            kernel,
            architecture,
        } = &self.machine;
        let Backend {
            device,
            persistence,
            page_tables,
            remark,
        } = &self.backend;
        let machine = format!("{cpu}, {cores} cores, {architecture}, Linux {kernel}");
        let backend = format!("{device}; persistence {persistence}; {page_tables} page tables");
        let mut lines = vec![("machine", machine), ("back end", backend)];
        lines.extend(remark.map(|remark| ("remark", remark.to_owned())));
        lines.push(("command", self.command.clone()));
        lines
    }

    /// Writes the table to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        for (name, value) in self.heading() {
            writeln!(out, "{:<9} {value}", format!("{name}:"))?;
        }
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
            "sleeps",
            "coherent",
            "ratio to inode",
        ]);
        for cell in &self.cells {
            let result = cell.result();
            table.add_row([
                self.workload_name(cell),
                cell.design.name(cell.workload.varies()),
                cell.threads.to_string(),
                rate(result.ops_per_second()),
                format!("{:.0}", result.ns_per_op),
                result.p50_ns.to_string(),
                result.p99_ns.to_string(),
                result.p999_ns.to_string(),
                format!("{:.2}", result.sleeps_per_op),
                match result.incoherence {
                    None => "yes".to_owned(),
                    Some(how) => format!("no ({how})"),
                },
                self.ratio_to_baseline(cell)
                    .map_or("-".to_owned(), |ratio| format!("{:.2}", ratio.median)),
            ]);
        }
        for index in [2, 3, 4, 5, 6, 7, 8, 10] {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// The name, with the size of its block where that is not the usual one, and its page tables
    /// where there are several.
    fn workload_name(&self, cell: &Cell) -> String {
        let mut name = cell.workload.to_string();
        if cell.block_bytes != BLOCK_BYTES {
            name += &format!(" {}", ByteSize::b(cell.block_bytes));
        }
        if self.backend.page_tables.contains(" and ") {
            name += &format!(" {}", cell.page_tables.name());
        }
        if cell.design.entry_sizes == EntrySizes::Both {
            name += " 2 MiB entries";
        }
        name
    }

    /// How fast `cell` is beside `inode`, same workload, threads and block.
    fn ratio_to_baseline(&self, cell: &Cell) -> Option<Ratio> {
        let baseline = match cell.workload.varies() {
            Varied::IoLock => Design::of_io(IoLock::Inode),
            Varied::MappingLock => Design::of_mapping(MappingLock::Inode),
        };
        let baseline = self.cells.iter().find(|other| {
            other.design == baseline.entry_sizes(cell.design.entry_sizes)
                && other.workload == cell.workload
                && other.threads == cell.threads
                && other.page_tables == cell.page_tables
                && other.block_bytes == cell.block_bytes
        })?;
        Some(cell.speed_over(baseline))
    }

    /// Writes the JSON to `path`.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        write_json(path, &self.document())
    }

    /// What is written as JSON.
    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            machine: &self.machine,
            backend: &self.backend,
            command: &self.command,
            version: env!("CARGO_PKG_VERSION"),
            results: self.cells.iter().map(Cell::result).collect(),
        }
    }
}

/// Writes `document` to `path`.
pub(crate) fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    let name = || path.display().to_string();
    let mut file = BufWriter::new(File::create(path).with_context(name)?);
    serde_json::to_writer_pretty(&mut file, document).with_context(name)?;
    writeln!(file)
        .and_then(|()| file.flush())
        .with_context(name)
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
    use super::super::cell::tests::cell;
    use super::super::harness::{Coherence, Tally};
    use super::super::kind::WorkloadKind;
    use super::*;

    fn report(cells: Vec<Cell>) -> Report {
        let backend = Backend {
            device: String::new(),
            persistence: String::new(),
            page_tables: "software".to_owned(),
            remark: None,
        };
        Report::new(Machine::describe(), backend, cells)
    }

    #[test]
    fn the_ratio_is_to_inode_of_the_same_workload_and_threads() {
        let of = |workload, lock, ops| cell(workload, Design::of_mapping(lock), &[ops]);
        let report = report(vec![
            of(WorkloadKind::Dmfm, MappingLock::Range, 300),
            of(WorkloadKind::Dmfm, MappingLock::Inode, 200),
            of(WorkloadKind::Dmwm, MappingLock::Range, 100),
        ]);
        let ratio = |index: usize| {
            let ratio = report.ratio_to_baseline(&report.cells[index]);
            ratio.map(|ratio| ratio.median)
        };
        assert_eq!(ratio(0), Some(1.5));
        assert_eq!(ratio(1), Some(1.0));
        assert_eq!(ratio(2), None);
    }

    #[test]
    fn the_table_says_how_a_design_was_incoherent() {
        let design = Design::of_mapping(MappingLock::Entry);
        let mut wrong = cell(WorkloadKind::Dwfm, design, &[1]);
        wrong.add(Tally::new(), Coherence::Incoherent("stale zero page"));
        let report = report(vec![wrong]);
        assert_eq!(report.incoherent_by_mistake().count(), 1);
        assert!(report.table().to_string().contains("no (stale zero page)"));
    }
}
