//! What stands on the page, whatever it is written as: answers, comparisons, figures, tables.
//!
//! HTML, Markdown and JSON are written from this one value, so that they cannot disagree. Touches
//! nothing, takes no locks.

use serde::Serialize;

use super::figure::{self, Figure, Table};
use super::text;
use crate::bench::cell::{Cell, CellResult};
use crate::bench::claims::bar::{self, Comparison};
use crate::bench::claims::{self, Answered};
use crate::bench::evidence::Evidence;
use crate::bench::full_log::FullLogTrial;
use crate::bench::kind::WorkloadKind;
use crate::bench::memory::{Footprint, IoFootprint};
use crate::bench::report::Report;
use crate::bench::trial::Trial;

/// Fewer slices than these, and the page says so.
const SLICES_MIN: usize = 8;

/// Everything on the page.
#[derive(Serialize)]
pub(crate) struct Content {
    pub(super) version: &'static str,
    /// Machine, back end, command: a name and its value.
    pub(super) heading: Vec<(&'static str, String)>,
    /// What the numbers cannot say; under every figure.
    pub(super) remark: String,
    pub(super) claims: Vec<Answered>,
    pub(super) bar: &'static str,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) workloads: Vec<Workload>,
    pub(super) figures: Vec<Figure>,
    #[serde(flatten)]
    pub(super) findings: Findings,
    pub(super) results: Vec<CellResult>,
}

/// What was found beside the measurements.
#[derive(Serialize)]
pub(crate) struct Findings {
    pub(crate) trials: Vec<Trial>,
    pub(crate) full_log: Vec<FullLogTrial>,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) io_footprints: Vec<IoFootprint>,
}

/// A workload and what it measures.
#[derive(Serialize)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) measures: &'static str,
}

impl Content {
    /// Makes the page of `report`.
    pub(crate) fn new(report: &Report, findings: Findings) -> Self {
        let evidence = Evidence {
            cells: &report.cells,
            trials: &findings.trials,
            full_log: &findings.full_log,
            footprints: &findings.footprints,
            cores: report.machine.cores,
        };
        let remark = report
            .backend
            .remark
            .unwrap_or("measured on the device named above");
        let slices = report.cells.iter().map(|cell| cell.slices().len()).min();
        let mut heading = report.heading();
        heading.push(("slices", slices_in_words(slices.unwrap_or(0))));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            heading,
            remark: remark.to_owned(),
            claims: claims::answer_all(&evidence),
            bar: bar::RULE,
            comparisons: bar::comparisons(&evidence),
            workloads: workloads(&evidence),
            figures: figure::all(&evidence),
            results: report.cells.iter().map(Cell::result).collect(),
            findings,
        }
    }

    /// Each claim's name, the verdict on it and what that means.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        self.claims.iter().map(|Answered { claim, answer }| {
            (claim.id, answer.verdict.words(), answer.sentence.as_str())
        })
    }

    /// The comparisons as a table.
    pub(super) fn comparison_table(&self, which: impl Fn(&Comparison) -> bool) -> Table {
        let rows = self.comparisons.iter().filter(|row| which(row));
        let row = |row: &Comparison| {
            vec![
                row.subject.clone(),
                row.threads.to_string(),
                row.design.clone(),
                row.against.clone(),
                text::ratio(row.ratio),
                row.outcome.to_owned(),
                row.control_gain
                    .map_or("-".to_owned(), |gain| format!("x{gain:.2}")),
                row.wanted.clone(),
                match (row.met, row.why_not) {
                    (Some(true), _) => "yes".to_owned(),
                    (Some(false), Some(why)) => format!("NO: {why}"),
                    (Some(false), None) => "NO".to_owned(),
                    (None, _) => "-".to_owned(),
                },
            ]
        };
        Table {
            header: vec![
                "workload",
                "threads",
                "design",
                "against",
                "times as fast (quartiles)",
                "outcome",
                "control gains",
                "wanted",
                "met",
            ],
            rows: rows.map(row).collect(),
        }
    }

    /// What designs take in memory, as a table.
    pub(super) fn memory_table(&self) -> Table {
        let row = |footprint: &Footprint| {
            vec![
                footprint.mapping_lock.clone(),
                footprint.entry_sizes.clone(),
                footprint.idle_bytes.to_string(),
                footprint.mapped_gib_bytes.to_string(),
                text::count(footprint.page_bytes),
                footprint.gib_entries.to_string(),
                footprint.read_gib_bytes.to_string(),
            ]
        };
        Table {
            header: vec![
                "mapping lock",
                "entries",
                "bytes, idle file",
                "bytes, mapped GiB",
                "bytes, mapped page",
                "entries, mapped GiB",
                "bytes, GiB read and not mapped",
            ],
            rows: self.findings.footprints.iter().map(row).collect(),
        }
    }

    /// What I/O locks take in memory, as a table.
    pub(super) fn io_memory_table(&self) -> Table {
        let row = |footprint: &IoFootprint| {
            vec![
                footprint.io_lock.clone(),
                footprint.idle_bytes.to_string(),
                footprint.used_bytes.to_string(),
            ]
        };
        Table {
            header: vec![
                "I/O lock",
                "bytes, idle file",
                "bytes, after two threads wrote beside each other",
            ],
            rows: self.findings.io_footprints.iter().map(row).collect(),
        }
    }

    /// The forced races as a table.
    pub(super) fn trial_table(&self) -> Table {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let row = |trial: &Trial| {
            vec![
                trial.race.words().to_owned(),
                trial.mapping_lock.clone(),
                trial.page_tables.to_owned(),
                yes_no(trial.forced),
                yes_no(trial.waited),
                yes_no(trial.stale),
            ]
        };
        Table {
            header: vec![
                "filled by",
                "mapping lock",
                "page tables",
                "forced",
                "waited",
                "stale zeroes",
            ],
            rows: self.findings.trials.iter().map(row).collect(),
        }
    }
}

/// How far to trust medians over `slices` slices.
fn slices_in_words(slices: usize) -> String {
    match slices < SLICES_MIN {
        true => format!(
            "{slices} for each cell: too few to decide anything about speed; a run without --quick \
             has more"
        ),
        false => format!("{slices} for each cell"),
    }
}

fn workloads(evidence: &Evidence<'_>) -> Vec<Workload> {
    let mut kinds: Vec<WorkloadKind> = evidence.cells.iter().map(|cell| cell.workload).collect();
    kinds.dedup();
    let workload = |kind: WorkloadKind| Workload {
        name: kind.to_string(),
        measures: kind.description(),
    };
    kinds.into_iter().map(workload).collect()
}
