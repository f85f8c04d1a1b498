//! `daxfs cat`: writes files of images to standard output.
//!
//! Touches images through the library, read-only, and standard output; takes no locks of its own.

use anyhow::Result;

use super::copy_to_pipe;
use super::tree::{Place, Tree};
use crate::args::CatArgs;
use crate::exit::Outcome;
use crate::image::{Purpose, with_images};

/// Runs `daxfs cat`.
pub(crate) fn run(args: &CatArgs) -> Result<Outcome> {
    let wanted = args
        .paths
        .iter()
        .map(|path| (path.image.as_path(), Purpose::Read));
    with_images(wanted, |images| {
        let mut places = Vec::new();
        for path in &args.paths {
            let filesystem = images.get(&path.image)?;
            let tree = Tree::Image {
                filesystem,
                image: &path.image,
            };
            places.push(Place {
                tree,
                path: path.path.clone(),
            });
        }
        copy_to_pipe(&places)
    })
}
