//! Exit codes, and the one place where an error becomes a line on standard error.
//!
//! Touches standard error only and takes no locks.
//!
//! | Code | Meaning |
//! |---|---|
//! | 0 | everything that was asked for was done |
//! | 1 | something failed, or part of it was skipped; standard error says what |
//! | 2 | the command line could not be understood |
//! | 3 | `bench`: a design that must be coherent was not |
//! | 141 | the reader of our output went away (as a shell reports SIGPIPE) |
//!
//! `fsck` has codes of its own ([`fsck_code`]), those of fsck(8).

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// What a subcommand came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Something failed or was skipped, and standard error has been told.
    Incomplete,
    /// A benchmark found a design incoherent that must not be.
    Incoherent,
    /// Nobody reads our output any more.
    BrokenPipe,
}

impl Outcome {
    /// Reports `error` on standard error, unless it only says that our reader went away.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        let broken_pipe = error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        });
        if broken_pipe {
            return Self::BrokenPipe;
        }
        complain(format_args!("{error:#}"));
        Self::Incomplete
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Incomplete => 1,
            Outcome::Incoherent => 3,
            Outcome::BrokenPipe => 141,
        })
    }
}

/// The exit codes of `daxfs fsck`: those of fsck(8) that a checker of images can have. Nothing it
/// does needs a reboot (2).
pub(crate) mod fsck_code {
    /// The image is sound.
    pub(crate) const CLEAN: u8 = 0;
    /// The image had errors, and they were corrected.
    pub(crate) const CORRECTED: u8 = 1;
    /// The image has errors, and they are still there.
    pub(crate) const ERRORS_LEFT: u8 = 4;
    /// The image could not be checked at all.
    pub(crate) const OPERATIONAL_ERROR: u8 = 8;
    /// The command line could not be understood.
    pub(crate) const USAGE: u8 = 16;
}

/// Writes one line for the user to standard error.
pub(crate) fn complain(message: impl Display) {
    eprintln!("daxfs: {message}");
}
