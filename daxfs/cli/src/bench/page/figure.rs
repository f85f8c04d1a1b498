//! Figures: which cells stand together in one, as bars and as a table.
//!
//! Touches nothing, takes no locks.

use bytesize::ByteSize;
use daxfs::{IoLock, MappingLock, Unmapping};
use serde::Serialize;

use super::text;
use crate::bench::cell::{Cell, CellResult};
use crate::bench::design::Design;
use crate::bench::evidence::{Evidence, Subject};
use crate::bench::kind::{Varied, WorkloadKind};
use crate::bench::workload::BLOCK_BYTES;

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
    /// Whether it is the other variant of a design with that lock: drawn paler.
    pub(super) is_variant: bool,
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

/// Every figure of a run.
pub(super) fn all(evidence: &Evidence<'_>) -> Vec<Figure> {
    let mut figures = sizes(evidence);
    figures.extend(threads(evidence));
    figures
}

/// One figure for each subject and each lock it was measured under: by numbers of threads.
fn threads(evidence: &Evidence<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for subject in evidence.subjects() {
        if subject.block_bytes != BLOCK_BYTES {
            continue;
        }
        for &varied in families(subject.workload) {
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

/// The locks whose designs `workload` may have been measured under.
fn families(workload: WorkloadKind) -> &'static [Varied] {
    match workload.varies() {
        Varied::IoLock => &[Varied::IoLock, Varied::MappingLock],
        Varied::MappingLock => &[Varied::MappingLock],
    }
}

/// Whether `design` is one of those that differ in `varied` only.
fn is_of_family(design: Design, varied: Varied) -> bool {
    design.has_the_locks_of(match varied {
        Varied::IoLock => Design::of_io(design.io_lock),
        Varied::MappingLock => Design::of_mapping(design.mapping_lock),
    })
}

/// The designs of `cells`, in their usual order.
fn family(cells: &[&Cell], varied: Varied) -> Vec<Design> {
    let locks: Vec<Design> = match varied {
        Varied::IoLock => IoLock::ALL.map(Design::of_io).into(),
        Varied::MappingLock => MappingLock::ALL.map(Design::of_mapping).into(),
    };
    let place = |design: Design| {
        let lock = locks.iter().position(|lock| lock.has_the_locks_of(design));
        (lock, design.unmapping == Unmapping::EachEntry)
    };
    let mut designs: Vec<Design> = Vec::new();
    for cell in cells {
        if !designs.contains(&cell.design) {
            designs.push(cell.design);
        }
    }
    designs.sort_by_key(|&design| place(design));
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
    let bars = |design: Design| {
        let bar = |&threads: &usize| {
            let cell = cells
                .iter()
                .find(|cell| cell.design == design && cell.threads == threads)?;
            Some(rate_bar(&cell.result()))
        };
        counts.iter().map(bar).collect()
    };
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
        series: series(cells, varied, bars),
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
    let mut swept: Vec<(Subject, usize)> = Vec::new();
    for cell in evidence.cells {
        let subject = Subject {
            block_bytes: BLOCK_BYTES,
            ..Subject::of(cell)
        };
        if cell.block_bytes != BLOCK_BYTES && !swept.contains(&(subject, cell.threads)) {
            swept.push((subject, cell.threads));
        }
    }
    let figures = swept.into_iter().flat_map(|(subject, threads)| {
        let families = families(subject.workload).iter();
        families.map(move |&varied| by_size(evidence, subject, threads, varied))
    });
    let mut figures: Vec<Figure> = figures.collect();
    figures.retain(|figure| figure.series.len() > 1);
    figures
}

/// The figure of `usual` and of the same with other sizes of blocks.
fn by_size(evidence: &Evidence<'_>, usual: Subject, threads: usize, varied: Varied) -> Figure {
    let mut subjects = evidence.subjects();
    subjects.retain(|&subject| {
        let block_bytes = usual.block_bytes;
        usual
            == Subject {
                block_bytes,
                ..subject
            }
    });
    subjects.sort_by_key(|subject| subject.block_bytes);
    let cells: Vec<&Cell> = subjects
        .iter()
        .flat_map(|&subject| evidence.cells_of(subject))
        .filter(|cell| cell.threads == threads && is_of_family(cell.design, varied))
        .collect();
    let control = usual.control();
    let bars = |design: Design| {
        let bar = |&subject: &Subject| {
            let ratio = evidence.ratio(subject, threads, design, control)?;
            Some(Bar {
                value: ratio.median,
                low: ratio.low,
                high: ratio.high,
                words: text::ratio(ratio),
            })
        };
        subjects.iter().map(bar).collect()
    };
    let sizes: Vec<String> = subjects
        .iter()
        .map(|subject| subject.block_bytes.to_string())
        .collect();
    let locks = locks(varied);
    let title = format!("{usual} by size of block, threads {threads}: {locks}");
    Figure {
        id: text::anchor(&title),
        about: format!(
            "{}; speed beside that of {}",
            usual.workload.description(),
            control.name(usual.workload.varies())
        ),
        command: format!(
            "daxfs bench {} --threads {threads} --block-size {}{}",
            usual.options(),
            sizes.join(","),
            beside_the_usual(usual.workload, varied)
        ),
        unit: "times the control's speed",
        groups: subjects
            .iter()
            .map(|subject| ByteSize::b(subject.block_bytes).to_string())
            .collect(),
        series: series(&cells, varied, bars),
        table: table(&cells, varied),
        title,
    }
}

/// A series for each design of `cells`.
fn series(
    cells: &[&Cell],
    varied: Varied,
    bars: impl Fn(Design) -> Vec<Option<Bar>>,
) -> Vec<Series> {
    let one = |design: Design| Series {
        name: design.name(varied),
        lock: lock_name(design, varied),
        is_variant: design.unmapping == Unmapping::EachEntry,
        bars: bars(design),
    };
    family(cells, varied).into_iter().map(one).collect()
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
            ByteSize::b(result.block_bytes).to_string(),
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
