//! `daxfs df`: shows how much space images have left.
//!
//! Touches images through the library, read-only; takes no locks of its own.

use std::io::{self, Write};

use anyhow::Result;
use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};

use crate::args::DfArgs;
use crate::exit::Outcome;
use crate::image::{Purpose, with_images};

/// Runs `daxfs df`.
pub(crate) fn run(args: &DfArgs) -> Result<Outcome> {
    let wanted = args
        .images
        .iter()
        .map(|image| (image.as_path(), Purpose::Read));
    let show = |len_bytes: u64| match args.bytes {
        true => len_bytes.to_string(),
        false => ByteSize::b(len_bytes).to_string(),
    };
    with_images(wanted, |images| {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "Image",
            "Size",
            "Used",
            "Available",
            "Metadata",
            "Use%",
            "Inodes",
        ]);
        for image in &args.images {
            let space = images.get(image)?.space();
            let used_bytes = space.total_bytes - space.free_bytes;
            let percent = (used_bytes * 100).div_ceil(space.total_bytes.max(1));
            table.add_row([
                image.display().to_string(),
                show(space.total_bytes),
                show(used_bytes),
                show(space.available_bytes),
                show(space.metadata_bytes),
                format!("{percent}%"),
                space.inodes.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(io::stdout(), "{}", table.trim_fmt())?;
        Ok(Outcome::Done)
    })
}
