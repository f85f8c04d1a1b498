//! `daxfs bench`: measures the locking designs side by side, on this machine.
//!
//! | Module | What it does |
//! |---|---|
//! | [`kind`] | which workloads there are |
//! | [`args`] | the options and what their words mean |
//! | [`design`] | the pairs of locks that are compared |
//! | [`plan`] | which cells to measure, for how long, in which order |
//! | [`stage`] | the images that the designs run on |
//! | [`harness`] | runs threads for one slice of time and counts what they did |
//! | [`workload`] | what the threads do |
//! | [`cell`] | what was found in one cell, and how cells compare |
//! | [`machine`] | what the numbers were measured on |
//! | [`report`] | the table and the JSON |
//! | [`memory`] | what locking takes in memory |
//! | [`trial`] | the races, forced |
//! | [`full_log`] | two orders of locks with a full log |
//! | [`evidence`] | what was found, by name |
//! | [`claims`] | the claims of the thread, and how a run answers them |
//! | [`page`] | the page with all of it |
//!
//! # Method
//! A *cell* is one workload, one design and one number of threads. The time of a cell is cut into
//! slices, and the cells that are compared with each other take turns slice by slice, in a
//! rotating order: what a noisy machine does to one design it does to all, so that their ratios
//! hold even where their absolute numbers do not. In memory each pair of locks has an image, and
//! after some slices gets that of another: what one image's memory costs falls on all of them.
//!
//! Every slice ends with a check, outside the measured time, that `read_at` and a load through a
//! mapping return the same bytes, and those that must be there.
//!
//! Touches images through the library. Workers synchronise with the harness only; see there.

mod args;
mod cell;
mod claims;
mod design;
mod evidence;
mod full_log;
mod harness;
mod kind;
mod machine;
mod memory;
mod page;
mod plan;
mod report;
mod stage;
mod trial;
mod workload;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use crate::exit::{self, Outcome};
use crate::progress;
use cell::Cell;
use harness::{Coherence, Cpus, SliceTime, Tally};
use page::{Content, Findings};
use plan::{Group, Plan};
use report::Report;
use stage::Stage;

pub(crate) use args::BenchArgs;

/// Runs `daxfs bench`.
pub(crate) fn run(args: &BenchArgs) -> Result<Outcome> {
    if let Some(path) = &args.json {
        report::check_json_path(path)?;
    }
    if let Some(directory) = &args.report {
        page::prepare(directory)?;
    }
    let machine = machine::Machine::describe();
    let cpus = Cpus::of_this_process();
    let plan = Plan::make(args, machine.cores)?;
    let bar = progress::of_steps(plan.slices_total());
    let stage = Stage::set_up(args.image.as_deref(), &plan)?;
    let (cells, backend) = measure(&plan, stage, args, &cpus, &bar)?;
    bar.finish_and_clear();
    let report = Report::new(machine, backend, cells);
    match &args.report {
        None => report.print()?,
        Some(directory) => write_page(&report, directory, args)?,
    }
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    let bad: Vec<_> = report.incoherent_by_mistake().collect();
    for cell in &bad {
        exit::complain(format_args!(
            "{cell}: not coherent, and this design must be"
        ));
    }
    Ok(if bad.is_empty() {
        Outcome::Done
    } else {
        Outcome::Incoherent
    })
}

/// Writes the page, and its answers to standard output.
fn write_page(report: &Report, directory: &Path, args: &BenchArgs) -> Result<()> {
    let page_tables: Vec<_> = args.page_tables().into_iter().map(Into::into).collect();
    let findings = Findings {
        trials: trial::perform_all(&page_tables)?,
        full_log: full_log::perform_all()?,
        footprints: memory::measure_all()?,
        io_footprints: memory::measure_io_locks()?,
    };
    let content = Content::new(report, findings);
    page::write(directory, &content)?;
    let mut out = io::stdout().lock();
    for (id, verdict, sentence) in content.answers() {
        writeln!(out, "{id:<4} {verdict}: {sentence}")?;
    }
    let page = directory.join("index.html");
    Ok(writeln!(out, "\nAll of it is in {}", page.display())?)
}

/// Measures every group of the plan and takes the stage down again, whatever came of it.
fn measure(
    plan: &Plan,
    mut stage: Stage,
    args: &BenchArgs,
    cpus: &Cpus,
    bar: &ProgressBar,
) -> Result<(Vec<Cell>, report::Backend)> {
    let backend = report::Backend::new(stage.device()?, &args.page_tables());
    let measured = measure_groups(plan, &mut stage, cpus, bar);
    let taken_down = stage.take_down();
    let cells = measured?;
    taken_down?;
    Ok((cells, backend))
}

fn measure_groups(
    plan: &Plan,
    stage: &mut Stage,
    cpus: &Cpus,
    bar: &ProgressBar,
) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for kind in plan.workloads() {
        stage.for_each_store(|filesystem, directory| {
            workload::set_up(kind, filesystem, directory, plan.threads_max())
        })?;
        for group in plan.groups.iter().filter(|group| group.workload == kind) {
            cells.extend(measure_group(plan, group, stage, cpus, bar)?);
        }
        stage.for_each_store(|filesystem, directory| {
            workload::clean_up(kind, filesystem, directory, plan.threads_max())
        })?;
    }
    Ok(cells)
}

/// Measures the cells of one group, which are compared with each other, slice by slice in turn.
fn measure_group(
    plan: &Plan,
    group: &Group,
    stage: &mut Stage,
    cpus: &Cpus,
    bar: &ProgressBar,
) -> Result<Vec<Cell>> {
    let new_cell = |&design| Cell::new(group, design);
    let mut cells: Vec<Cell> = group.designs.iter().map(new_cell).collect();
    // Each design gets each image for as many slices, if there are enough.
    let slices_per_image = (plan.slices / stage.images()).max(1);
    for slice in 0..plan.slices {
        if slice > 0 && slice.is_multiple_of(slices_per_image) {
            stage.rotate();
        }
        for turn in 0..cells.len() {
            // Each design is as often first, second and so on as every other.
            let index = (turn + slice) % cells.len();
            let cell = &mut cells[index];
            bar.set_message(cell.to_string());
            let (tally, coherence) = stage
                .with_design(cell.design, |filesystem, directory| {
                    run_slice(group, plan.slice_time, cpus, filesystem, directory)
                })
                .with_context(|| cell.to_string())?;
            cell.add(tally, coherence);
            bar.inc(1);
        }
    }
    Ok(cells)
}

fn run_slice(
    group: &Group,
    time: SliceTime,
    cpus: &Cpus,
    filesystem: &daxfs::Filesystem,
    directory: &Path,
) -> Result<(Tally, Coherence)> {
    let opening = workload::Opening {
        filesystem,
        directory,
        threads: group.threads,
        block_bytes: group.block_bytes,
        page_tables: group.page_tables.into(),
    };
    let workload = workload::open(group.workload, &opening)?;
    let tally = harness::run_slice(group.threads, time, cpus, workload.as_ref())?;
    let coherence = workload.verify()?;
    Ok((tally, coherence))
}
