//! The `daxfs` program: make, fill, check and measure daxfs images.
//!
//! This file only reads the command line, calls one subcommand and turns its outcome into an exit
//! code ([`exit`]). It takes no locks; every subcommand that opens an image holds the image
//! file's own advisory lock while it runs, so that two programs never change one image at once.
//!
//! | Module | Subcommand |
//! |---|---|
//! | [`mkfs`] | `mkfs IMAGE SIZE` |
//! | [`list`] | `ls IMAGE:/path` |
//! | [`directory`] | `mkdir IMAGE:/path` |
//! | [`copy`] | `cp SRC... DST` and `cat IMAGE:/path` |
//! | [`remove`] | `rm IMAGE:/path` |
//! | [`space`] | `df IMAGE` |
//! | [`fsck`] | `fsck IMAGE` |
//! | [`mod@bench`] | `bench` |
#![forbid(unsafe_code)]

mod args;
mod bench;
mod copy;
mod directory;
mod exit;
mod fsck;
mod image;
mod image_path;
mod list;
mod mkfs;
mod progress;
mod remove;
mod space;

use std::process::ExitCode;

use args::Command;
use exit::Outcome;

fn main() -> ExitCode {
    let command = match args::parse() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let result = match command {
        Command::Mkfs(args) => mkfs::run(&args),
        Command::Ls(args) => list::run(&args),
        Command::Mkdir(args) => directory::run(&args),
        Command::Cp(args) => copy::run(&args),
        Command::Cat(args) => copy::cat::run(&args),
        Command::Rm(args) => remove::run(&args),
        Command::Df(args) => space::run(&args),
        Command::Fsck(args) => return fsck::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => Outcome::of_error(&error).into(),
    }
}
