//! `daxfs rm`: removes files, and with `-r` directories, inside images.
//!
//! Touches images through the library only; takes no locks of its own.

use anyhow::{Result, bail};
use daxfs::{FileKind, Filesystem};

use crate::args::RmArgs;
use crate::exit::Outcome;
use crate::image::{self, Purpose, with_images};
use crate::image_path::ImagePath;

/// Runs `daxfs rm`.
pub(crate) fn run(args: &RmArgs) -> Result<Outcome> {
    let wanted = args
        .paths
        .iter()
        .map(|path| (path.image.as_path(), Purpose::Change));
    with_images(wanted, |images| {
        let mut outcome = Outcome::Done;
        for path in &args.paths {
            if let Err(error) = remove(images.get(&path.image)?, path, args) {
                outcome = Outcome::of_error(&error);
            }
        }
        Ok(outcome)
    })
}

fn remove(filesystem: &Filesystem, path: &ImagePath, args: &RmArgs) -> Result<()> {
    let metadata = filesystem.metadata(&path.path).map_err(image::at(path))?;
    match metadata.kind {
        FileKind::Directory if path.path.parent().is_none() => {
            bail!("{path}: the root directory cannot be removed; `daxfs mkfs --force` starts anew")
        }
        FileKind::Directory if args.recursive => remove_tree(filesystem, path),
        FileKind::Directory => bail!("{path}: is a directory; give -r to remove what it holds too"),
        _ => filesystem.remove_file(&path.path).map_err(image::at(path)),
    }
}

/// Removes a directory and all below it, deepest first, without recursion: a tree may be deep.
fn remove_tree(filesystem: &Filesystem, root: &ImagePath) -> Result<()> {
    let mut directories = vec![root.clone()];
    let mut emptied = 0;
    while let Some(directory) = directories.get(emptied).cloned() {
        emptied += 1;
        for entry in filesystem
            .read_directory(&directory.path)
            .map_err(image::at(&directory))?
        {
            let child = directory.with_path(directory.path.join(&entry.name));
            match entry.kind {
                FileKind::Directory => directories.push(child),
                _ => filesystem
                    .remove_file(&child.path)
                    .map_err(image::at(&child))?,
            }
        }
    }
    // Parents were found before their children.
    for directory in directories.iter().rev() {
        filesystem
            .remove_directory(&directory.path)
            .map_err(image::at(directory))?;
    }
    Ok(())
}
