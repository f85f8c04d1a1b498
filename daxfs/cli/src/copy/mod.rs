//! `daxfs cp`: copies files into, out of and inside images.
//!
//! | Module | What it does |
//! |---|---|
//! | [`tree`] | one set of operations over the host's files and an image's |
//! | [`plan`] | walks the sources and decides which file goes where |
//! | [`stream`] | moves one file's bytes, 1 MiB at a time |
//! | [`cat`] | `daxfs cat` |
//!
//! Touches images through the library, and host files. Files are copied in parallel on rayon's
//! threads; no locks of its own.

pub(crate) mod cat;
mod plan;
mod stream;
mod tree;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::args::CpArgs;
use crate::exit::Outcome;
use crate::image::{Images, Purpose, with_images};
use crate::image_path::{self, Location};
use crate::progress;
use plan::{Depth, Job, Plan};
use stream::{Buffer, Sink, Source};
use tree::{Place, Tree};

/// Runs `daxfs cp`.
pub(crate) fn run(args: &CpArgs) -> Result<Outcome> {
    let mut locations: Vec<Location> = args.paths.iter().cloned().map(Location::from).collect();
    let Some(target) = locations.pop() else {
        bail!("nothing to copy");
    };
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::FilesOnly
    };
    check(&locations, &target)?;
    let wanted = wanted_images(&locations, &target);
    with_images(wanted, |images| match (locations.as_slice(), &target) {
        ([Location::Pipe], target) => copy_from_pipe(&place(images, target)?),
        (sources, Location::Pipe) => {
            let sources = places(images, sources)?;
            copy_to_pipe(&sources)
        }
        (sources, target) => {
            let sources = places(images, sources)?;
            copy_files(images, &sources, &place(images, target)?, depth)
        }
    })
}

/// Refuses what makes no sense before any image is opened.
fn check(sources: &[Location], target: &Location) -> Result<()> {
    let all = || sources.iter().chain([target]);
    if !all().any(|location| matches!(location, Location::Image(_))) {
        for location in all() {
            if let Location::Host(path) = location
                && !path.exists()
                && path.as_os_str().to_string_lossy().contains(':')
            {
                bail!("{location}: {}", image_path::hint(path.as_os_str()));
            }
        }
        bail!("neither side is in an image; a path in an image is written IMAGE:/path");
    }
    if sources.contains(&Location::Pipe) && sources.len() > 1 {
        bail!("-: standard input can only be the only source");
    }
    Ok(())
}

fn wanted_images<'a>(
    sources: &'a [Location],
    target: &'a Location,
) -> impl Iterator<Item = (&'a Path, Purpose)> {
    let sources = sources.iter().map(|source| (source, Purpose::Read));
    sources
        .chain([(target, Purpose::Change)])
        .filter_map(|(location, purpose)| match location {
            Location::Image(path) => Some((path.image.as_path(), purpose)),
            Location::Host(_) | Location::Pipe => None,
        })
}

fn places<'a>(images: &'a Images, locations: &'a [Location]) -> Result<Vec<Place<'a>>> {
    locations
        .iter()
        .map(|location| place(images, location))
        .collect()
}

fn place<'a>(images: &'a Images, location: &'a Location) -> Result<Place<'a>> {
    match location {
        Location::Pipe => bail!("-: only the first or the last of two arguments can be a pipe"),
        Location::Host(path) => Ok(Place {
            tree: Tree::Host,
            path: path.clone(),
        }),
        Location::Image(path) => {
            let filesystem = images.get(&path.image)?;
            let tree = Tree::Image {
                filesystem,
                image: &path.image,
            };
            Ok(Place {
                tree,
                path: path.path.clone(),
            })
        }
    }
}

fn copy_from_pipe(target: &Place<'_>) -> Result<Outcome> {
    let bar = progress::of_bytes(None);
    let mut sink = Sink::create(target)?;
    let copied = Buffer::default().copy(&mut Source::stdin(), &mut sink, &bar);
    sink.finish(copied)?;
    bar.finish_and_clear();
    Ok(Outcome::Done)
}

fn copy_to_pipe(sources: &[Place<'_>]) -> Result<Outcome> {
    // Standard output carries the data, and standard error may be the same terminal.
    let bar = ProgressBar::hidden();
    let mut buffer = Buffer::default();
    let mut sink = Sink::stdout();
    let mut outcome = Outcome::Done;
    for place in sources {
        match Source::open(place) {
            Ok(mut source) => buffer.copy(&mut source, &mut sink, &bar)?,
            Err(error) => outcome = Outcome::of_error(&error),
        }
    }
    sink.finish(Ok(()))?;
    Ok(outcome)
}

fn copy_files(
    images: &Images,
    sources: &[Place<'_>],
    target: &Place<'_>,
    depth: Depth,
) -> Result<Outcome> {
    let plan = Plan::make(images, sources, target, depth)?;
    let bar = progress::of_bytes(Some(plan.len_bytes()));
    let failures = AtomicU64::new(0);
    let complain = |error: &anyhow::Error| {
        progress::complain(&bar, format_args!("{error:#}"));
        failures.fetch_add(1, Ordering::Relaxed);
    };
    for problem in &plan.problems {
        complain(problem);
    }
    // Parents come before their children, and all of them before any file.
    for directory in &plan.directories {
        if let Err(error) = directory.make_directory() {
            complain(&error);
        }
    }
    plan.files
        .par_iter()
        .for_each_init(Buffer::default, |buffer, job| {
            if let Err(error) = copy_file(job, buffer, &bar) {
                complain(&error);
            }
        });
    bar.finish_and_clear();
    Ok(if failures.into_inner() == 0 {
        Outcome::Done
    } else {
        Outcome::Incomplete
    })
}

fn copy_file(job: &Job<'_>, buffer: &mut Buffer, bar: &ProgressBar) -> Result<()> {
    let mut source = Source::open(&job.source)?;
    let mut sink = Sink::create(&job.target)?;
    let copied = buffer.copy(&mut source, &mut sink, bar);
    sink.finish(copied)
}
