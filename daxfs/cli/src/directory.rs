//! `daxfs mkdir`: makes directories inside images.
//!
//! Touches images through the library only; takes no locks of its own.

use std::path::PathBuf;

use anyhow::Result;
use daxfs::{Error, FileKind, Filesystem};

use crate::args::MkdirArgs;
use crate::exit::Outcome;
use crate::image::{self, Purpose, with_images};
use crate::image_path::ImagePath;

/// Runs `daxfs mkdir`.
pub(crate) fn run(args: &MkdirArgs) -> Result<Outcome> {
    let wanted = args
        .paths
        .iter()
        .map(|path| (path.image.as_path(), Purpose::Change));
    with_images(wanted, |images| {
        let mut outcome = Outcome::Done;
        for path in &args.paths {
            let filesystem = images.get(&path.image)?;
            let made = if args.parents {
                make_with_parents(filesystem, path)
            } else {
                filesystem
                    .create_directory(&path.path)
                    .map_err(image::at(path))
            };
            if let Err(error) = made {
                outcome = Outcome::of_error(&error);
            }
        }
        Ok(outcome)
    })
}

/// Makes every directory on `path` that does not exist.
fn make_with_parents(filesystem: &Filesystem, path: &ImagePath) -> Result<()> {
    let mut prefix = PathBuf::new();
    for part in path.path.components() {
        prefix.push(part);
        let ancestor = path.with_path(prefix.clone());
        ensure_directory(filesystem, &ancestor).map_err(image::at(&ancestor))?;
    }
    Ok(())
}

/// Makes the directory unless it is there.
fn ensure_directory(filesystem: &Filesystem, path: &ImagePath) -> daxfs::Result<()> {
    match filesystem.metadata(&path.path) {
        Ok(metadata) if metadata.kind == FileKind::Directory => Ok(()),
        Ok(_) => Err(Error::NotADirectory {
            path: path.path.clone(),
        }),
        Err(Error::NotFound { .. }) => filesystem.create_directory(&path.path),
        Err(error) => Err(error),
    }
}
