//! The page that `daxfs bench --report DIR` writes: `index.html`, `results.json`, `results.md`.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`text`] | how numbers and words are written |
//! | [`figure`] | which cells stand together, as bars and as a table |
//! | [`content`] | what stands on the page, whatever it is written as |
//! | [`plot`] | plots as inline SVG |
//! | [`html`], [`markdown`] | the page in two languages |
//!
//! Each imports only from those above it. Touches the files in the directory; takes no locks.

mod content;
mod figure;
mod html;
mod markdown;
mod plot;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

pub(super) use self::content::{Content, Findings};
use super::report;

/// Makes the directory of a report, before minutes are spent on what goes into it.
///
/// # Errors
/// If it cannot be made, or is a file.
pub(super) fn prepare(directory: &Path) -> Result<()> {
    let name = || directory.display().to_string();
    fs::create_dir_all(directory).with_context(name)?;
    ensure!(directory.is_dir(), "{}: is no directory", name());
    Ok(())
}

/// Writes the three files.
///
/// # Errors
/// What the system says.
pub(super) fn write(directory: &Path, content: &Content) -> Result<()> {
    for (name, text) in [
        ("index.html", html::page(content)),
        ("results.md", markdown::page(content)),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    report::write_json(&directory.join("results.json"), content)
}
