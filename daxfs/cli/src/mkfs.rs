//! `daxfs mkfs IMAGE SIZE`: makes a new, empty image.
//!
//! Touches the image file, and with `--force` a temporary file beside it. Holds the advisory
//! lock of the image that it replaces, so that a mounted image is never pulled away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use daxfs::{DataChecksums, Device, Filesystem, FormatOptions, PersistenceChoice};

use crate::args::MkfsArgs;
use crate::exit::Outcome;
use crate::image::{self, Purpose};

/// Runs `daxfs mkfs`.
pub(crate) fn run(args: &MkfsArgs) -> Result<Outcome> {
    match fs::symlink_metadata(&args.image) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&args.image, args)?,
        Err(error) => return Err(error).with_context(|| args.image.display().to_string()),
        Ok(_) if args.force => replace(args)?,
        Ok(_) => bail!(
            "{}: exists already; choose another name, or give --force to replace it and all that \
             it holds",
            args.image.display()
        ),
    }
    println!("{}: {}", args.image.display(), args.size);
    Ok(Outcome::Done)
}

/// Makes a formatted image at `path`, where nothing is yet; on failure nothing is there again.
fn make(path: &Path, args: &MkfsArgs) -> Result<()> {
    let name = || args.image.display().to_string();
    let device = Device::create_file(path, args.size.as_u64(), PersistenceChoice::Detect)
        .with_context(name)?;
    let options = FormatOptions {
        label: args.label.clone(),
        data_checksums: match args.data_checksums {
            true => DataChecksums::On,
            false => DataChecksums::Off,
        },
        ..FormatOptions::default()
    };
    let formatted = Filesystem::format(&device, &options);
    drop(device);
    if formatted.is_err() {
        fs::remove_file(path).with_context(name)?;
    }
    formatted.with_context(name)
}

/// Makes the image beside the file that is there and then puts it in its place, so that a
/// failure leaves the old file as it was.
fn replace(args: &MkfsArgs) -> Result<()> {
    let name = || args.image.display().to_string();
    let target = fs::canonicalize(&args.image).with_context(name)?;
    if !fs::metadata(&target).with_context(name)?.is_file() {
        bail!(
            "{}: not a regular file, and only a regular file can be replaced",
            name()
        );
    }
    // An empty file cannot be opened as a device, and nobody can have mounted it.
    let _lock = match fs::metadata(&target).with_context(name)?.len() {
        0 => None,
        _ => Some(image::open_device(&target, Purpose::Change)?),
    };
    let temporary = temporary_beside(&target);
    make(&temporary, args)?;
    fs::rename(&temporary, &target)
        .inspect_err(|_| {
            // Best effort: the failure to rename is the one to report.
            let _ = fs::remove_file(&temporary);
        })
        .with_context(name)
}

fn temporary_beside(target: &Path) -> PathBuf {
    target.with_file_name(format!(".daxfs-mkfs-{}", process::id()))
}
