//! `daxfs fsck [--repair] IMAGE`: checks an image, makes it consistent if it is to, and says in
//! fsck(8)'s exit codes what it found and did.
//!
//! Touches the image through the library; holds the image file's lock (shared to check, exclusive
//! to repair), so that nobody changes it meanwhile.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use daxfs::fsck::{
    self, Outcome as RepairOutcome, Progress, Repair, Report, Severity, Shutdown, Stage,
};
use indicatif::ProgressBar;

use crate::args::FsckArgs;
use crate::exit::{Outcome, fsck_code};
use crate::image::{self, Purpose};
use crate::progress;

/// Runs `daxfs fsck`.
pub(crate) fn run(args: &FsckArgs) -> ExitCode {
    match check(args) {
        Ok(code) => code.into(),
        Err(error) => match Outcome::of_error(&error) {
            Outcome::BrokenPipe => Outcome::BrokenPipe.into(),
            _ => fsck_code::OPERATIONAL_ERROR.into(),
        },
    }
}

fn check(args: &FsckArgs) -> Result<u8> {
    if args.repair {
        return repair(args);
    }
    let device = image::open_device(&args.image, Purpose::Read)?;
    let bar = Bar(progress::of_steps(0));
    let report = fsck::check(&device, &bar);
    bar.0.finish_and_clear();
    let report = report.map_err(|error| image::about(&args.image, error))?;
    print(args, &report)?;
    Ok(code(&report))
}

/// A warning leaves nothing to correct: the image is sound, and mounts.
fn code(report: &Report) -> u8 {
    match report.worst() {
        None | Some(Severity::Warning) => fsck_code::CLEAN,
        Some(Severity::Error | Severity::Fatal) => fsck_code::ERRORS_LEFT,
    }
}

fn repair(args: &FsckArgs) -> Result<u8> {
    let device = image::open_device(&args.image, Purpose::Change)?;
    let bar = Bar(progress::of_steps(0));
    let repair = fsck::repair(&device, &bar);
    bar.0.finish_and_clear();
    let repair = repair.map_err(|error| image::about(&args.image, error))?;
    print(args, &repair.before)?;
    print_repair(args, &repair)?;
    Ok(match (&repair.outcome, &repair.after) {
        (RepairOutcome::Repaired, Some(after)) if after.is_clean() => fsck_code::CORRECTED,
        (RepairOutcome::Repaired, Some(after)) => code(after).max(fsck_code::CORRECTED),
        _ => code(&repair.before),
    })
}

fn print_repair(args: &FsckArgs, repair: &Repair) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for action in &repair.actions {
        writeln!(out, "repair: {action}")?;
    }
    let image = args.image.display();
    match (&repair.outcome, &repair.after) {
        (RepairOutcome::Refused(refusal), _) => {
            writeln!(out, "{image}: left as it was: {refusal}")?;
        }
        (_, Some(after)) => {
            for issue in &after.issues {
                writeln!(out, "left: {}: {issue}", issue.severity())?;
            }
            writeln!(out, "{image}: repaired")?;
        }
        _ => {}
    }
    out.flush()
}

fn print(args: &FsckArgs, report: &Report) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for issue in &report.issues {
        writeln!(out, "{}: {issue}", issue.severity())?;
    }
    let shutdown = match report.shutdown {
        Shutdown::Clean => "",
        Shutdown::Unclean => " (it was not unmounted; the next mount replays its log)",
        Shutdown::Unknown => " (no superblock)",
    };
    let verdict = match report.worst() {
        None => "clean",
        Some(Severity::Warning) => "clean, with warnings",
        Some(Severity::Error) => "damaged",
        Some(Severity::Fatal) => "cannot be mounted",
    };
    writeln!(out, "{}: {verdict}{shutdown}", args.image.display())?;
    let size = |blocks: u64| ByteSize::b(blocks.saturating_mul(daxfs::PAGE_BYTES));
    writeln!(
        out,
        "checkpoint {}: {} files, {} directories, {} extents, {} data, {} metadata, {} free, \
         {} records in the log",
        report.generation,
        report.files,
        report.directories,
        report.extents,
        size(report.data_blocks),
        size(report.metadata_blocks),
        size(report.free_blocks),
        report.log_records,
    )?;
    out.flush()
}

/// Shows the progress of the library's check, stage by stage.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&self, stage: Stage, total: u64) {
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.set_message(match stage {
            Stage::Tree => "metadata tree",
            Stage::Items => "inodes and their contents",
            Stage::SharedBlocks => "blocks with several owners",
            Stage::Data => "checksums of data",
            Stage::Namespace => "links and paths",
            Stage::Salvage => "lost metadata",
            Stage::Write => "writing metadata",
            _ => "checking",
        });
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}
