//! What stands on the page, whatever it is written as: answers, comparisons, figures, tables.
//!
//! HTML, Markdown and JSON are written from this one value, so that they cannot disagree. Touches
//! nothing, takes no locks.

use daxfs::{IoLock, MappingLock};
use serde::Serialize;

use super::text;
use crate::bench::cell::{Cell, CellResult};
use crate::bench::claims::bar::{self, Comparison};
use crate::bench::claims::{self, Answered};
use crate::bench::design::Design;
use crate::bench::evidence::{Evidence, Subject};
use crate::bench::kind::{Varied, WorkloadKind};
use crate::bench::report::Report;
use crate::bench::trial::Trial;
use crate::bench::workload::BLOCK_BYTES;

/// Medians of fewer slices are not worth much.
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
    pub(super) trials: Vec<Trial>,
    pub(super) results: Vec<CellResult>,
}

/// A workload and what it measures.
#[derive(Serialize)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) measures: &'static str,
}

/// A plot with the table behind it.
#[derive(Serialize)]
pub(super) struct Figure {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) about: String,
    pub(super) command: String,
    /// What the length of a bar is.
    pub(super) unit: &'static str,
    /// The names of the groups of bars, left to right.
    pub(super) groups: Vec<String>,
    pub(super) series: Vec<Series>,
    #[serde(skip)]
    pub(super) table: Table,
}

/// The bars of one design, one in each group.
#[derive(Serialize)]
pub(super) struct Series {
    pub(super) name: String,
    /// The lock's own name, which has a colour.
    pub(super) lock: String,
    pub(super) bars: Vec<Option<Bar>>,
}

/// One bar.
#[derive(Clone, Serialize)]
pub(super) struct Bar {
    pub(super) value: f64,
    /// The quartiles over the slices.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The value in words.
    pub(super) words: String,
}

/// A table of words and numbers.
pub(super) struct Table {
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Content {
    /// Makes the page of `report`.
    pub(crate) fn new(report: &Report, trials: Vec<Trial>) -> Self {
        let evidence = Evidence {
            cells: &report.cells,
            trials: &trials,
            cores: report.machine.cores,
        };
        let remark = report
            .backend
            .remark
            .unwrap_or("measured on the device named above");
        let slices = report.cells.iter().map(|cell| cell.slices().len()).min();
        let mut heading = report.heading();
        heading.push(("slices", slices_in_words(slices.unwrap_or(0))));
        let mut figures: Vec<Figure> = sizes(&evidence);
        figures.extend(threads(&evidence));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            heading,
            remark: remark.to_owned(),
            claims: claims::answer_all(&evidence),
            bar: bar::RULE,
            comparisons: bar::comparisons(&evidence),
            workloads: workloads(&evidence),
            figures,
            results: report.cells.iter().map(Cell::result).collect(),
            trials,
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
                match row.met {
                    true => "yes".to_owned(),
                    false => "NO".to_owned(),
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

    /// The forced races as a table.
    pub(super) fn trial_table(&self) -> Table {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let row = |trial: &Trial| {
            vec![
                format!("{:?}", trial.race),
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
            rows: self.trials.iter().map(row).collect(),
        }
    }
}

/// How far to trust medians over `slices` slices.
fn slices_in_words(slices: usize) -> String {
    match slices < SLICES_MIN {
        true => format!(
            "{slices} for each cell: too few to trust any ratio; a run without --quick has more"
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

// ---- Figures ----------------------------------------------------------------------------------

/// One figure for each subject and each lock it was measured under: by numbers of threads.
fn threads(evidence: &Evidence<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for subject in evidence.subjects() {
        if subject.block_bytes != BLOCK_BYTES {
            continue;
        }
        for varied in [Varied::IoLock, Varied::MappingLock] {
            let cells: Vec<&Cell> = evidence
                .cells_of(subject)
                .filter(|cell| is_of_family(cell.design, varied))
                .collect();
            if family(&cells, varied).len() > 1 {
                figures.push(by_threads(subject, varied, &cells));
            }
        }
    }
    figures
}

/// Whether `design` is one of those that differ in `varied` only.
fn is_of_family(design: Design, varied: Varied) -> bool {
    match varied {
        Varied::IoLock => design == Design::of_io(design.io_lock),
        Varied::MappingLock => design == Design::of_mapping(design.mapping_lock),
    }
}

/// The designs of `cells`, in their usual order.
fn family(cells: &[&Cell], varied: Varied) -> Vec<Design> {
    let mut designs: Vec<Design> = match varied {
        Varied::IoLock => IoLock::ALL.map(Design::of_io).into(),
        Varied::MappingLock => MappingLock::ALL.map(Design::of_mapping).into(),
    };
    designs.retain(|design| cells.iter().any(|cell| cell.design == *design));
    designs
}

fn lock_name(design: Design, varied: Varied) -> String {
    match varied {
        Varied::IoLock => design.io_lock.to_string(),
        Varied::MappingLock => design.mapping_lock.to_string(),
    }
}

/// What the designs of a figure are.
fn locks(varied: Varied) -> &'static str {
    match varied {
        Varied::IoLock => "I/O locks",
        Varied::MappingLock => "mapping locks",
    }
}

fn by_threads(subject: Subject, varied: Varied, cells: &[&Cell]) -> Figure {
    let mut counts: Vec<usize> = cells.iter().map(|cell| cell.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let series = family(cells, varied).into_iter().map(|design| {
        let bar = |&threads: &usize| {
            let cell = cells
                .iter()
                .find(|cell| cell.design == design && cell.threads == threads)?;
            Some(rate_bar(&cell.result()))
        };
        Series {
            name: design.name(varied),
            lock: lock_name(design, varied),
            bars: counts.iter().map(bar).collect(),
        }
    });
    let title = format!("{subject}: {}", locks(varied));
    let threads: Vec<String> = counts.iter().map(usize::to_string).collect();
    Figure {
        id: text::anchor(&title),
        about: subject.workload.description().to_owned(),
        command: format!(
            "daxfs bench {} --threads {}{}",
            subject.options(),
            threads.join(","),
            beside_the_usual(subject.workload, varied)
        ),
        unit: "operations per second",
        groups: counts
            .iter()
            .map(|threads| match threads {
                1 => "1 thread".to_owned(),
                threads => format!("{threads} threads"),
            })
            .collect(),
        series: series.collect(),
        table: table(cells, varied),
        title,
    }
}

/// What the command needs to measure reads and writes under mapping locks.
fn beside_the_usual(kind: WorkloadKind, varied: Varied) -> &'static str {
    match (kind.varies(), varied) {
        (Varied::IoLock, Varied::MappingLock) => " --every-lock",
        _ => "",
    }
}

/// Rates by the size of a block, beside the control's: one figure for each swept workload.
fn sizes(evidence: &Evidence<'_>) -> Vec<Figure> {
    let mut kinds: Vec<(WorkloadKind, usize)> = evidence
        .cells
        .iter()
        .filter(|cell| cell.block_bytes != BLOCK_BYTES)
        .map(|cell| (cell.workload, cell.threads))
        .collect();
    kinds.dedup();
    let families = [Varied::IoLock, Varied::MappingLock];
    let figure = |(kind, threads)| families.map(|varied| by_size(evidence, kind, threads, varied));
    let mut figures: Vec<Figure> = kinds.into_iter().flat_map(figure).collect();
    figures.retain(|figure| figure.series.len() > 1);
    figures
}

fn by_size(evidence: &Evidence<'_>, kind: WorkloadKind, threads: usize, varied: Varied) -> Figure {
    let mut subjects = evidence.subjects();
    subjects.retain(|subject| subject.workload == kind);
    subjects.sort_by_key(|subject| subject.block_bytes);
    let cells: Vec<&Cell> = subjects
        .iter()
        .flat_map(|&subject| evidence.cells_of(subject))
        .filter(|cell| cell.threads == threads && is_of_family(cell.design, varied))
        .collect();
    let series = family(&cells, varied).into_iter().map(|design| {
        let bar = |&subject: &Subject| {
            let ratio = evidence.ratio(subject, threads, design, subject.control())?;
            Some(Bar {
                value: ratio.median,
                low: ratio.low,
                high: ratio.high,
                words: text::ratio(ratio),
            })
        };
        Series {
            name: design.name(varied),
            lock: lock_name(design, varied),
            bars: subjects.iter().map(bar).collect(),
        }
    });
    let sizes: Vec<String> = subjects
        .iter()
        .map(|subject| subject.block_bytes.to_string())
        .collect();
    let title = format!(
        "{kind} by size of block, {threads} threads: {}",
        locks(varied)
    );
    Figure {
        id: text::anchor(&title),
        about: format!("{}; speed beside that of no I/O lock", kind.description()),
        command: format!(
            "daxfs bench --workload {kind} --threads {threads} --block-size {}{}",
            sizes.join(","),
            beside_the_usual(kind, varied)
        ),
        unit: "times the control's speed",
        groups: subjects
            .iter()
            .map(|subject| bytesize::ByteSize::b(subject.block_bytes).to_string())
            .collect(),
        series: series.collect(),
        table: table(&cells, varied),
        title,
    }
}

/// A bar of operations per second.
fn rate_bar(result: &CellResult) -> Bar {
    let quartiles = result.rate_quartiles();
    let value = result.ops_per_second();
    Bar {
        value,
        low: quartiles.low,
        high: quartiles.high,
        words: text::rate(value),
    }
}

/// All that was found in `cells`.
fn table(cells: &[&Cell], varied: Varied) -> Table {
    let row = |cell: &&Cell| {
        let result = cell.result();
        vec![
            cell.design.name(varied),
            result.threads.to_string(),
            bytesize::ByteSize::b(result.block_bytes).to_string(),
            text::rate(result.ops_per_second()),
            text::cost(result.ns_per_op),
            result.p50_ns.to_string(),
            result.p99_ns.to_string(),
            result.p999_ns.to_string(),
            text::count(result.sleeps_per_op),
            result
                .page_table_operations_per_op
                .map_or("-".to_owned(), text::count),
            match result.incoherence {
                None => "yes".to_owned(),
                Some(how) => format!("no ({how})"),
            },
        ]
    };
    Table {
        header: vec![
            "design",
            "threads",
            "block",
            "ops",
            "ns/op",
            "p50 ns",
            "p99 ns",
            "p99.9 ns",
            "wake-ups/op",
            "page-table ops/op",
            "coherent",
        ],
        rows: cells.iter().map(row).collect(),
    }
}
