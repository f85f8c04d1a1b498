//! All that a filesystem shows: names, kinds, bytes.

use std::collections::BTreeMap;

use daxfs::{FileKind, Filesystem};
use daxfs_tests::model::Model;

/// A file's bytes, or nothing for a directory, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<String, Option<Vec<u8>>>);

impl Snapshot {
    /// What is mounted.
    pub(crate) fn of(fs: &Filesystem) -> daxfs::Result<Self> {
        let mut nodes = BTreeMap::from([("/".to_owned(), None)]);
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs.read_directory(format!("{directory}/"))? {
                let path = format!("{directory}/{}", entry.name.to_string_lossy());
                let content = match entry.kind {
                    FileKind::Directory => {
                        directories.push(path.clone());
                        None
                    }
                    _ => Some(content(fs, &path)?),
                };
                nodes.insert(path, content);
            }
        }
        Ok(Self(nodes))
    }

    /// What should be.
    pub(crate) fn of_model(model: &Model) -> Self {
        let directories = model.directories().map(|path| (path.to_owned(), None));
        let files = model
            .files()
            .map(|(path, bytes)| (path.to_owned(), Some(bytes.to_vec())));
        Self(directories.chain(files).collect())
    }
}

fn content(fs: &Filesystem, path: &str) -> daxfs::Result<Vec<u8>> {
    let file = fs.open(path)?;
    let mut bytes = vec![0; file.len_bytes() as usize];
    let mut done = 0;
    while done < bytes.len() {
        let read = file.read_at(&mut bytes[done..], done as u64)?;
        assert_ne!(read, 0, "{path} ends before its length");
        done += read;
    }
    Ok(bytes)
}
