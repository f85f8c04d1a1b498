//! Finds the files of the workspace. Reads files, writes nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the workspace that is text.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// From the top of the workspace, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is compiled for tests only, as its place says.
    pub(crate) fn is_test(&self) -> bool {
        let in_folder = self.path.split('/').any(|part| part == "tests");
        in_folder || self.path.ends_with("/tests.rs")
    }
}

/// All text files, in order of their paths; build output and hidden folders of tools left out.
pub(crate) fn files() -> Vec<TextFile> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is in a folder");
    let mut files = Vec::new();
    collect(top, top, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        files.len() > 100,
        "only {} files found below {}",
        files.len(),
        top.display()
    );
    files
}

/// The files written in Rust.
pub(crate) fn rust_files() -> Vec<TextFile> {
    files().into_iter().filter(TextFile::is_rust).collect()
}

fn collect(top: &Path, folder: &Path, files: &mut Vec<TextFile>) {
    let entries = fs::read_dir(folder).expect("the workspace can be read");
    for path in entries.map(|entry| entry.expect("and so can its entries").path()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !["target", ".git"].contains(&name.as_str()) {
                collect(top, &path, files);
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push(TextFile {
                path: from(top, &path),
                text,
            });
        }
    }
}

fn from(top: &Path, path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(top).unwrap_or(path).to_path_buf();
    path.to_string_lossy().replace('\\', "/")
}
