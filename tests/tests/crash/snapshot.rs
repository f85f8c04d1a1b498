//! All that a filesystem shows, but times and inode numbers.

use std::collections::BTreeMap;
use std::fmt;

use daxfs::{FileKind, Filesystem};
use daxfs_tests::model::{Body, FileId, Model};

/// What a name shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) kind: FileKind,
    /// A file's bytes, or where a symbolic link leads.
    pub(crate) content: Vec<u8>,
    pub(crate) allocated_bytes: u64,
    pub(crate) links: u32,
    pub(crate) mode: u16,
    pub(crate) owners: (u32, u32),
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// The first of the names that stand for the same.
    pub(crate) first_name: String,
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = self.attributes.iter();
        let attributes: Vec<_> = attributes
            .map(|(name, value)| (name, value.len()))
            .collect();
        write!(
            formatter,
            "{:?} of {} bytes in {}, {} links, {:o} {:?} {attributes:?}, as {}",
            self.kind,
            self.content.len(),
            self.allocated_bytes,
            self.links,
            self.mode,
            self.owners,
            self.first_name
        )
    }
}

impl Shown {
    /// What a model has for it.
    pub(crate) fn body(&self) -> Body {
        let content = self.content.clone();
        match self.kind {
            FileKind::Directory => Body::Directory,
            FileKind::SymbolicLink => {
                Body::SymbolicLink(String::from_utf8_lossy(&content).into_owned())
            }
            _ => Body::File(content),
        }
    }
}

/// All names, the root's among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<String, Shown>);

/// What should be, and which names are one file.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) shown: Snapshot,
    pub(crate) ids: BTreeMap<String, FileId>,
}

impl Snapshot {
    /// What is mounted.
    pub(crate) fn of(fs: &Filesystem) -> daxfs::Result<Self> {
        let mut inodes = BTreeMap::from([("/".to_owned(), fs.metadata("/")?.inode)]);
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs.read_directory(format!("{directory}/"))? {
                let path = format!("{directory}/{}", entry.name.to_string_lossy());
                if entry.kind == FileKind::Directory {
                    directories.push(path.clone());
                }
                inodes.insert(path, entry.inode);
            }
        }
        let mut first_names = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for (path, inode) in &inodes {
            let first_name: &String = first_names.entry(*inode).or_insert_with(|| path.clone());
            nodes.insert(path.clone(), shown(fs, path, *inode, first_name)?);
        }
        Ok(Self(nodes))
    }

    /// What is below one directory.
    pub(crate) fn below(&self, directory: &str) -> Self {
        let inside = format!("{directory}/");
        let nodes = self.0.iter();
        let nodes = nodes.filter(|(path, _)| path.starts_with(&inside));
        Self(
            nodes
                .map(|(path, node)| (path.clone(), node.clone()))
                .collect(),
        )
    }
}

fn shown(fs: &Filesystem, path: &str, inode: u64, first_name: &str) -> daxfs::Result<Shown> {
    let metadata = fs.symlink_metadata(path)?;
    assert_eq!(metadata.inode, inode, "{path} and its directory");
    let content = match metadata.kind {
        FileKind::File => content(fs, path)?,
        FileKind::SymbolicLink => {
            let target = fs.read_link(path)?;
            target.to_string_lossy().into_owned().into_bytes()
        }
        _ => Vec::new(),
    };
    let mut attributes = BTreeMap::new();
    if metadata.kind != FileKind::SymbolicLink {
        for name in fs.extended_attributes(path)? {
            let value = fs.extended_attribute(path, &name)?;
            attributes.insert(name.to_string_lossy().into_owned(), value);
        }
    }
    Ok(Shown {
        kind: metadata.kind,
        content,
        allocated_bytes: metadata.allocated_bytes,
        links: metadata.links,
        mode: metadata.mode,
        owners: (metadata.uid, metadata.gid),
        attributes,
        first_name: first_name.to_owned(),
    })
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

impl Version {
    /// What should be.
    pub(crate) fn of(model: &Model) -> Self {
        let mut first_names: BTreeMap<FileId, &str> = BTreeMap::new();
        let (mut nodes, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (path, id) in model.names() {
            let node = model.node(id);
            let content = match &node.body {
                Body::Directory => Vec::new(),
                Body::File(bytes) => bytes.clone(),
                Body::SymbolicLink(target) => target.clone().into_bytes(),
            };
            let shown = Shown {
                kind: node.kind(),
                content,
                allocated_bytes: node.allocated_bytes(),
                links: model.links(id),
                mode: node.mode,
                owners: node.owners,
                attributes: node.attributes.clone(),
                first_name: (*first_names.entry(id).or_insert(path)).to_owned(),
            };
            nodes.insert(path.to_owned(), shown);
            ids.insert(path.to_owned(), id);
        }
        Self {
            shown: Snapshot(nodes),
            ids,
        }
    }

    /// What should be below one directory.
    pub(crate) fn below(&self, directory: &str) -> Self {
        Self {
            shown: self.shown.below(directory),
            ids: self.ids.clone(),
        }
    }

    /// What a file holds, by any of its names.
    pub(crate) fn file(&self, id: FileId) -> Option<&Shown> {
        let (path, _) = self.ids.iter().find(|(_, named)| **named == id)?;
        self.shown.0.get(path)
    }
}
