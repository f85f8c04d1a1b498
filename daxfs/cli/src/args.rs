//! The command line: every subcommand, its options and their help texts.
//!
//! Touches the process arguments only and takes no locks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::exit::fsck_code;
use crate::image_path::ImagePath;

pub(crate) use crate::bench::BenchArgs;

/// Make, fill, check and measure daxfs images.
///
/// A path inside an image is written IMAGE:/path, for example disk.img:/notes/today.txt.
#[derive(Debug, Parser)]
#[command(
    name = "daxfs",
    version,
    after_help = "Exit codes: 0 done, 1 something failed or was skipped, 2 usage, 3 a benchmark \
                  found a design incoherent. fsck: 0 clean, 1 errors corrected, 4 errors left \
                  uncorrected, 8 operational error, 16 usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new, empty image
    Mkfs(MkfsArgs),
    /// List directories and files
    Ls(LsArgs),
    /// Make directories
    Mkdir(MkdirArgs),
    /// Copy files into, out of and inside images
    Cp(CpArgs),
    /// Write files to standard output
    Cat(CatArgs),
    /// Remove files and directories
    Rm(RmArgs),
    /// Show how much space images have left
    Df(DfArgs),
    /// Check an image; changes nothing
    Fsck(FsckArgs),
    /// Measure the locking designs side by side
    Bench(BenchArgs),
}

/// Arguments of `daxfs mkfs`.
#[derive(Debug, Args)]
pub(crate) struct MkfsArgs {
    /// The image file to make
    pub(crate) image: PathBuf,
    /// Its size, for example 64MiB or 1GiB (MB is 10^6 bytes, MiB is 2^20); at least 4MiB
    pub(crate) size: ByteSize,
    /// A name to store in the image, at most 64 bytes
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Keep checksums of what files hold, so that reading what decayed is an error
    #[arg(long)]
    pub(crate) data_checksums: bool,
    /// Replace the file, and whatever it holds, if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `daxfs ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Also show kind and permissions, links, size in bytes and time of the last change (UTC)
    #[arg(short = 'l')]
    pub(crate) long: bool,
    /// What to list, as IMAGE:/path
    #[arg(required = true)]
    pub(crate) paths: Vec<ImagePath>,
}

/// Arguments of `daxfs mkdir`.
#[derive(Debug, Args)]
pub(crate) struct MkdirArgs {
    /// Make missing parents too, and accept directories that exist
    #[arg(short, long)]
    pub(crate) parents: bool,
    /// What to make, as IMAGE:/path
    #[arg(required = true)]
    pub(crate) paths: Vec<ImagePath>,
}

/// Arguments of `daxfs cp`.
#[derive(Debug, Args)]
#[command(after_help = "\
At least one of SRC and DST is in an image (IMAGE:/path). `-` is a pipe: standard input as the
only SRC, standard output as DST. Files that exist are overwritten, as by cp(1). A copy out of an
image replaces its target only when the whole file has been written. Only data is copied: no
times, permissions or owners. Symbolic links and special files in a tree are skipped with a
warning, and the exit code is then 1.")]
pub(crate) struct CpArgs {
    /// Copy directories and what they hold
    #[arg(short, long, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// What to copy, and last where to
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "DST"])]
    pub(crate) paths: Vec<OsString>,
}

/// Arguments of `daxfs cat`.
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// What to write out, as IMAGE:/path
    #[arg(required = true)]
    pub(crate) paths: Vec<ImagePath>,
}

/// Arguments of `daxfs rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Remove directories and what they hold
    #[arg(short, long, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// What to remove, as IMAGE:/path
    #[arg(required = true)]
    pub(crate) paths: Vec<ImagePath>,
}

/// Arguments of `daxfs df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Print exact numbers of bytes
    #[arg(long)]
    pub(crate) bytes: bool,
    /// The image files
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
}

/// Arguments of `daxfs fsck`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 clean, 1 errors corrected, 4 errors left uncorrected, \
                  8 operational \
                  error, 16 usage."
)]
pub(crate) struct FsckArgs {
    /// Make the image consistent, and say what was done
    #[arg(long)]
    pub(crate) repair: bool,
    /// The image file
    pub(crate) image: PathBuf,
}

/// Reads the command line; on a request for help or a mistake, says so and gives the exit code.
pub(crate) fn parse() -> Result<Command, ExitCode> {
    Cli::try_parse().map(|cli| cli.command).map_err(|error| {
        // A message that cannot be written has nobody to read it.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ if std::env::args_os()
                .nth(1)
                .is_some_and(|name| name == "fsck") =>
            {
                ExitCode::from(fsck_code::USAGE)
            }
            _ => ExitCode::from(2),
        }
    })
}
