//! A tree of real files: the sources of what this workspace is built from.
//!
//! Cargo keeps the sources of all dependencies in its home, some thousands of files of all sizes.
//! Where there are too few of them (vendored dependencies, another build system), files are made
//! up, the same ones each time.
//!
//! Reads files of Cargo's home; writes nothing; takes no locks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::Numbers;

/// A file to be copied.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Where it goes, as an absolute path inside the image.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A tree of files, and how many of them are real.
#[derive(Clone, Debug, Default)]
pub struct SourceTree {
    /// The files, in order of their paths.
    pub files: Vec<SourceFile>,
    /// How many of them were found; the rest is made up.
    pub found: usize,
}

/// At least `least` and at most `most` files of together at most `most_bytes` (made-up ones not
/// counted).
#[must_use]
pub fn sources(least: usize, most: usize, most_bytes: usize) -> SourceTree {
    let mut tree = SourceTree::default();
    let mut left_bytes = most_bytes;
    if let Some(registry) = registry() {
        collect(
            &registry,
            "/sources",
            most,
            &mut left_bytes,
            &mut tree.files,
        );
    }
    tree.found = tree.files.len();
    let mut numbers = Numbers::new(11);
    for number in tree.found..least {
        tree.files.push(made_up(number, &mut numbers));
    }
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    tree
}

impl SourceTree {
    /// The bytes of all files.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes.len() as u64).sum()
    }

    /// The directories that the files need, parents first.
    #[must_use]
    pub fn directories(&self) -> Vec<String> {
        let mut directories = Vec::new();
        for file in &self.files {
            let ends = file.path.match_indices('/').map(|(end, _)| end).skip(1);
            directories.extend(ends.map(|end| file.path[..end].to_owned()));
        }
        directories.sort();
        directories.dedup();
        directories
    }
}

fn registry() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    })?;
    Some(home.join("registry").join("src"))
}

/// Adds the files below `folder`, in order of their names. What cannot be read is left out.
fn collect(
    folder: &Path,
    to: &str,
    most: usize,
    left_bytes: &mut usize,
    files: &mut Vec<SourceFile>,
) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
            continue;
        };
        let path = format!("{to}/{name}");
        if kind.is_dir() {
            collect(&entry.path(), &path, most, left_bytes, files);
        } else if kind.is_file()
            && files.len() < most
            && let Ok(bytes) = fs::read(entry.path())
            && bytes.len() <= *left_bytes
        {
            *left_bytes -= bytes.len();
            files.push(SourceFile { path, bytes });
        }
    }
}

/// A file of a size that sources have: mostly some kilobytes, at times empty or large.
fn made_up(number: usize, numbers: &mut Numbers) -> SourceFile {
    let len = match numbers.below(20) {
        0 => 0,
        1 => numbers.below(300_000),
        _ => numbers.below(12_000),
    };
    SourceFile {
        path: format!("/sources/made up/{}/{number}.rs", number % 40),
        bytes: numbers.bytes(len as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_files_fill_up_what_is_missing_and_are_the_same_each_time() {
        let (first, second) = (sources(50, 0, 0), sources(50, 0, 0));
        assert_eq!((first.found, first.files.len()), (0, 50));
        for (a, b) in first.files.iter().zip(&second.files) {
            assert_eq!((&a.path, &a.bytes), (&b.path, &b.bytes));
        }
        let directories = first.directories();
        assert_eq!(directories[..2], ["/sources", "/sources/made up"]);
    }

    #[test]
    fn limits_are_kept() {
        let tree = sources(0, 20, 10_000);
        assert!(tree.files.len() <= 20 && tree.len_bytes() <= 10_000);
    }
}
