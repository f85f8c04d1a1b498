//! `daxfs fsck IMAGE`: checks an image, and says in fsck(8)'s exit codes what it found.
//!
//! Touches the image through the library, read-only; holds the image file's shared lock, so that
//! nobody changes it meanwhile.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use daxfs::fsck::{self, Progress, Report, Severity, Shutdown, Stage};
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
    let device = image::open_device(&args.image, Purpose::Read)?;
    let bar = Bar(progress::of_steps(0));
    let report = fsck::check(&device, &bar);
    bar.0.finish_and_clear();
    let report = report.map_err(|error| image::about(&args.image, error))?;
    print(args, &report)?;
    // A warning leaves nothing to correct: the image is sound, and mounts.
    Ok(match report.worst() {
        None | Some(Severity::Warning) => fsck_code::CLEAN,
        Some(Severity::Error | Severity::Fatal) => fsck_code::ERRORS_LEFT,
    })
}

fn print(args: &FsckArgs, report: &Report) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for issue in &report.issues {
        writeln!(out, "{}: {issue}", issue.severity())?;
    }
    let shutdown = match report.shutdown {
        Shutdown::Clean => "",
        Shutdown::Unclean => " (it was not unmounted; this is its last checkpoint)",
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
        "checkpoint {}: {} files, {} directories, {} extents, {} data, {} metadata, {} free",
        report.generation,
        report.files,
        report.directories,
        report.extents,
        size(report.data_blocks),
        size(report.metadata_blocks),
        size(report.free_blocks),
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
            Stage::Inodes => "inodes and their contents",
            Stage::SharedBlocks => "blocks used twice",
            Stage::Namespace => "links and paths",
            _ => "checking",
        });
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}
