//! A filesystem in memory that is too simple to be wrong: what a real one is compared with.
//!
//! A file is a vector of bytes, the namespace is a map from whole paths. Mappings need no state of
//! their own, since they show the file: the model says where an access through one ends.
//!
//! Touches nothing outside itself; takes no locks.

use std::collections::BTreeMap;

use daxfs::{Error, FileKind, PAGE_BYTES};

/// What a failed operation is called, whatever else its error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such path.
    NotFound,
    /// The path is taken.
    AlreadyExists,
    /// A file where a directory is needed.
    NotADirectory,
    /// A directory where a file is needed.
    IsADirectory,
    /// A directory that has names.
    DirectoryNotEmpty,
    /// The root, where a name is needed.
    InvalidPath,
    /// An access through a mapping ended at this byte of the mapping.
    Access {
        /// Counted from the start of the mapping.
        offset_bytes: u64,
    },
}

impl Failure {
    /// The failure that a real error is.
    ///
    /// # Panics
    /// When it is one that no operation of the model has.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::NotFound,
            Error::AlreadyExists { .. } => Self::AlreadyExists,
            Error::NotADirectory { .. } => Self::NotADirectory,
            Error::IsADirectory { .. } => Self::IsADirectory,
            Error::DirectoryNotEmpty { .. } => Self::DirectoryNotEmpty,
            Error::InvalidPath { .. } => Self::InvalidPath,
            Error::Access(access) => Self::Access {
                offset_bytes: access.offset_bytes,
            },
            other => panic!("unexpected error: {other}"),
        }
    }
}

/// Which file, also after its name is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(FileId),
}

/// The model. Paths are absolute, without repeated slashes; the root is `/`.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: BTreeMap<String, Node>,
    files: Vec<Vec<u8>>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::from([("/".to_owned(), Node::Directory)]),
            files: Vec::new(),
        }
    }
}

impl Model {
    // ---- Names --------------------------------------------------------------------------------

    /// Makes an empty file.
    ///
    /// # Errors
    /// As the real one.
    pub fn create(&mut self, path: &str) -> Result<FileId, Failure> {
        self.check_vacant(path)?;
        self.files.push(Vec::new());
        let id = FileId(self.files.len() - 1);
        self.nodes.insert(path.to_owned(), Node::File(id));
        Ok(id)
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As the real one.
    pub fn create_directory(&mut self, path: &str) -> Result<(), Failure> {
        self.check_vacant(path)?;
        self.nodes.insert(path.to_owned(), Node::Directory);
        Ok(())
    }

    /// Finds a file.
    ///
    /// # Errors
    /// As the real one.
    pub fn open(&self, path: &str) -> Result<FileId, Failure> {
        match self.find(path)? {
            Node::File(id) => Ok(id),
            Node::Directory => Err(Failure::IsADirectory),
        }
    }

    /// Removes a file's name; whoever has its id can still use it.
    ///
    /// # Errors
    /// As the real one.
    pub fn remove_file(&mut self, path: &str) -> Result<(), Failure> {
        check_named(path)?;
        self.open(path)?;
        self.nodes.remove(path);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As the real one.
    pub fn remove_directory(&mut self, path: &str) -> Result<(), Failure> {
        check_named(path)?;
        if !self.read_directory(path)?.is_empty() {
            return Err(Failure::DirectoryNotEmpty);
        }
        self.nodes.remove(path);
        Ok(())
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// As the real one.
    pub fn read_directory(&self, path: &str) -> Result<Vec<(String, FileKind)>, Failure> {
        if self.find(path)? != Node::Directory {
            return Err(Failure::NotADirectory);
        }
        let prefix = if path == "/" {
            path.to_owned()
        } else {
            format!("{path}/")
        };
        let name = |(path, node): (&String, &Node)| {
            let name = path.strip_prefix(&prefix)?;
            let kind = match node {
                Node::Directory => FileKind::Directory,
                Node::File(_) => FileKind::File,
            };
            (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), kind))
        };
        Ok(self.nodes.iter().filter_map(name).collect())
    }

    /// All directories.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        let is_directory = |(path, node): (_, &Node)| (*node == Node::Directory).then_some(path);
        self.nodes
            .iter()
            .filter_map(is_directory)
            .map(String::as_str)
    }

    /// All files that have a name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Directory => None,
            Node::File(id) => Some((path.as_str(), self.content(*id))),
        })
    }

    fn find(&self, path: &str) -> Result<Node, Failure> {
        let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
        for end in ends {
            match self.nodes.get(&path[..end]) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(Failure::NotADirectory),
                None => return Err(Failure::NotFound),
            }
        }
        self.nodes.get(path).copied().ok_or(Failure::NotFound)
    }

    fn check_vacant(&self, path: &str) -> Result<(), Failure> {
        check_named(path)?;
        let (parent, _) = path.rsplit_once('/').unwrap_or_default();
        match self.find(if parent.is_empty() { "/" } else { parent })? {
            Node::File(_) => Err(Failure::NotADirectory),
            Node::Directory if self.nodes.contains_key(path) => Err(Failure::AlreadyExists),
            Node::Directory => Ok(()),
        }
    }

    // ---- Content ------------------------------------------------------------------------------

    /// All bytes of a file.
    #[must_use]
    pub fn content(&self, id: FileId) -> &[u8] {
        &self.files[id.0]
    }

    /// What a read of `len` bytes gives.
    #[must_use]
    pub fn read_at(&self, id: FileId, offset: usize, len: usize) -> &[u8] {
        let content = self.content(id);
        let start = offset.min(content.len());
        &content[start..offset.saturating_add(len).clamp(start, content.len())]
    }

    /// Writes; an empty write does nothing.
    pub fn write_at(&mut self, id: FileId, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let content = &mut self.files[id.0];
        let end = offset + bytes.len();
        content.resize(content.len().max(end), 0);
        content[offset..end].copy_from_slice(bytes);
    }

    /// Sets the length.
    pub fn truncate(&mut self, id: FileId, len: usize) {
        self.files[id.0].resize(len, 0);
    }

    /// Zeroes a range; the length stays.
    pub fn punch_hole(&mut self, id: FileId, offset: usize, len: usize) {
        let content = &mut self.files[id.0];
        let start = offset.min(content.len());
        let end = (offset + len).min(content.len());
        content[start..end].fill(0);
    }

    // ---- Mappings -----------------------------------------------------------------------------

    /// Stores at `offset` of a mapping that begins at `mapped_from` of the file. What goes past the
    /// end of file, in its last page, is not part of the file.
    ///
    /// # Errors
    /// [`Failure::Access`] at the first page past the end of file; what comes before is stored.
    pub fn store(
        &mut self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let result = self.check_access(id, mapped_from, offset, bytes.len());
        let content = &mut self.files[id.0];
        let start = (mapped_from + offset).min(content.len());
        let end = (mapped_from + offset + bytes.len()).min(content.len());
        content[start..end].copy_from_slice(&bytes[..end - start]);
        result
    }

    /// What loads through a mapping must show: the bytes that are inside the file.
    ///
    /// # Errors
    /// As [`Model::store`].
    pub fn load(
        &self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        len: usize,
    ) -> (&[u8], Result<(), Failure>) {
        let result = self.check_access(id, mapped_from, offset, len);
        (self.read_at(id, mapped_from + offset, len), result)
    }

    fn check_access(
        &self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        len: usize,
    ) -> Result<(), Failure> {
        let pages_end = self.content(id).len().next_multiple_of(PAGE_BYTES as usize);
        let reachable = pages_end.saturating_sub(mapped_from);
        if len == 0 || offset + len <= reachable {
            return Ok(());
        }
        Err(Failure::Access {
            offset_bytes: offset.max(reachable) as u64,
        })
    }
}

fn check_named(path: &str) -> Result<(), Failure> {
    if path == "/" {
        Err(Failure::InvalidPath)
    } else {
        Ok(())
    }
}
