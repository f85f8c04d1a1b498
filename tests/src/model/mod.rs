//! A filesystem in memory that is too simple to be wrong: what a real one is compared with.
//!
//! | Module | What it is for |
//! |---|---|
//! | `node` | what a name stands for |
//! | `content` | what a file holds |
//! | `failure` | what a failed operation is called |
//! | this file | names |
//!
//! A file is a vector of bytes, the namespace is a map from whole paths. Mappings need no state of
//! their own, since they show the file: the model says where an access through one ends.
//!
//! Touches nothing outside itself; takes no locks.

use std::collections::{BTreeMap, VecDeque};

use daxfs::{FileKind, RenameMode};

mod content;
mod failure;
mod node;

pub use failure::Failure;
pub use node::{Body, Node};

/// Which inode, also after its names are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// The model. Paths are absolute, without repeated slashes and dots; the root is `/`.
#[derive(Clone, Debug)]
pub struct Model {
    /// By canonical paths: no step is a symbolic link.
    names: BTreeMap<String, FileId>,
    nodes: Vec<Node>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            names: BTreeMap::from([("/".to_owned(), FileId(0))]),
            nodes: vec![Node::new(Body::Directory)],
        }
    }
}

impl Model {
    // ---- Making -------------------------------------------------------------------------------

    /// Makes an empty file.
    ///
    /// # Errors
    /// As the real one.
    pub fn create(&mut self, path: &str) -> Result<FileId, Failure> {
        self.make(path, Body::File(Vec::new()))
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As the real one.
    pub fn create_directory(&mut self, path: &str) -> Result<(), Failure> {
        self.make(path, Body::Directory).map(drop)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As the real one.
    pub fn create_symbolic_link(&mut self, target: &str, path: &str) -> Result<(), Failure> {
        let body = Body::SymbolicLink(target.to_owned());
        self.make(path, body).map(drop)
    }

    /// Makes an empty file without a name.
    ///
    /// # Errors
    /// As the real one.
    pub fn create_anonymous(&mut self, directory: &str) -> Result<FileId, Failure> {
        self.find_directory(directory)?;
        Ok(self.add(Body::File(Vec::new())))
    }

    /// Puts something somewhere, as it is.
    ///
    /// # Panics
    /// When it cannot be made there.
    pub fn put(&mut self, path: &str, body: Body, mode: u16, owners: (u32, u32)) {
        let id = self.make(path, body).expect("a free place");
        let node = self.node_mut(id);
        (node.mode, node.owners) = (mode, owners);
    }

    fn make(&mut self, path: &str, body: Body) -> Result<FileId, Failure> {
        let path = self.vacant(path)?;
        let id = self.add(body);
        self.names.insert(path, id);
        Ok(id)
    }

    fn add(&mut self, body: Body) -> FileId {
        self.nodes.push(Node::new(body));
        FileId(self.nodes.len() - 1)
    }

    // ---- Names --------------------------------------------------------------------------------

    /// Finds a file.
    ///
    /// # Errors
    /// As the real one.
    pub fn open(&self, path: &str) -> Result<FileId, Failure> {
        let id = self.names[&self.find(path)?];
        match self.node(id).body {
            Body::Directory => Err(Failure::IsADirectory),
            _ => Ok(id),
        }
    }

    /// Gives what `existing` names one more name.
    ///
    /// # Errors
    /// As the real one.
    pub fn hard_link(&mut self, existing: &str, new: &str) -> Result<(), Failure> {
        let id = self.names[&self.find_itself(existing)?];
        let new = self.vacant(new)?;
        if self.node(id).body == Body::Directory {
            return Err(Failure::NotPermitted);
        }
        self.names.insert(new, id);
        Ok(())
    }

    /// Gives a file one more name, or its first.
    ///
    /// # Errors
    /// As the real one.
    pub fn link_file(&mut self, id: FileId, new: &str) -> Result<(), Failure> {
        let new = self.vacant(new)?;
        self.names.insert(new, id);
        Ok(())
    }

    /// Removes a file's name; whoever has its id can still use it.
    ///
    /// # Errors
    /// As the real one.
    pub fn remove_file(&mut self, path: &str) -> Result<(), Failure> {
        if path == "/" {
            return Err(Failure::IsADirectory);
        }
        let path = self.taken(path)?;
        if self.kind(&path) == FileKind::Directory {
            return Err(Failure::IsADirectory);
        }
        self.names.remove(&path);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As the real one.
    pub fn remove_directory(&mut self, path: &str) -> Result<(), Failure> {
        let path = self.taken(path)?;
        if self.kind(&path) != FileKind::Directory {
            return Err(Failure::NotADirectory);
        }
        if self.is_full(&path) {
            return Err(Failure::DirectoryNotEmpty);
        }
        self.names.remove(&path);
        Ok(())
    }

    /// Moves a name.
    ///
    /// # Errors
    /// As the real one.
    pub fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> Result<(), Failure> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let moved = *self.names.get(&from).ok_or(Failure::NotFound)?;
        if is_below(&to, &from) {
            return Err(Failure::IntoItself);
        }
        let replaced = self.names.get(&to).copied();
        match (mode, replaced) {
            (RenameMode::NoReplace, Some(_)) => return Err(Failure::AlreadyExists),
            (RenameMode::Exchange, None) => return Err(Failure::NotFound),
            (RenameMode::Exchange, Some(_)) if is_below(&from, &to) => {
                return Err(Failure::IntoItself);
            }
            (RenameMode::Exchange, Some(_)) => {
                let (one, other) = (self.take_tree(&from), self.take_tree(&to));
                self.put_tree(&to, one);
                self.put_tree(&from, other);
                return Ok(());
            }
            (_, None) => {}
            (_, Some(other)) if other == moved => return Ok(()),
            (_, Some(_)) => self.check_replaces(&from, &to)?,
        }
        self.names.remove(&to);
        let tree = self.take_tree(&from);
        self.put_tree(&to, tree);
        Ok(())
    }

    fn check_replaces(&self, from: &str, to: &str) -> Result<(), Failure> {
        let is_directory = |path: &str| self.kind(path) == FileKind::Directory;
        match (is_directory(from), is_directory(to)) {
            (true, false) => Err(Failure::NotADirectory),
            (false, true) => Err(Failure::IsADirectory),
            (true, true) if self.is_full(to) => Err(Failure::DirectoryNotEmpty),
            _ => Ok(()),
        }
    }

    /// A name and all below it, as paths from it on.
    fn take_tree(&mut self, path: &str) -> Vec<(String, FileId)> {
        let is_there = |name: &&String| *name == path || is_below(name, path);
        let names: Vec<String> = self.names.keys().filter(is_there).cloned().collect();
        let take = |name: String| {
            let id = self.names.remove(&name).expect("it was found");
            (name[path.len()..].to_owned(), id)
        };
        names.into_iter().map(take).collect()
    }

    fn put_tree(&mut self, path: &str, tree: Vec<(String, FileId)>) {
        let names = tree
            .into_iter()
            .map(|(below, id)| (format!("{path}{below}"), id));
        self.names.extend(names);
    }

    // ---- Attributes ---------------------------------------------------------------------------

    /// Sets permission bits and owners.
    ///
    /// # Errors
    /// As the real one.
    pub fn set_attributes(
        &mut self,
        path: &str,
        mode: u16,
        owners: (u32, u32),
    ) -> Result<(), Failure> {
        let node = self.find_mut(path)?;
        node.mode = mode;
        node.owners = owners;
        Ok(())
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// As the real one.
    pub fn set_extended(&mut self, path: &str, name: &str, value: &[u8]) -> Result<(), Failure> {
        let node = self.find_mut(path)?;
        node.attributes.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As the real one.
    pub fn remove_extended(&mut self, path: &str, name: &str) -> Result<(), Failure> {
        let removed = self.find_mut(path)?.attributes.remove(name);
        removed.map(drop).ok_or(Failure::NoAttribute)
    }

    // ---- Looking ------------------------------------------------------------------------------

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// As the real one.
    pub fn read_directory(&self, path: &str) -> Result<Vec<(String, FileKind)>, Failure> {
        let directory = self.find_directory(path)?;
        let name = |path: &String| {
            let name = path.rsplit_once('/')?.1;
            (parent(path) == directory && path != "/").then(|| (name.to_owned(), self.kind(path)))
        };
        Ok(self.names.keys().filter_map(name).collect())
    }

    /// All names, the root's among them, and what they stand for.
    pub fn names(&self) -> impl Iterator<Item = (&str, FileId)> {
        self.names.iter().map(|(path, id)| (path.as_str(), *id))
    }

    /// All names of directories.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        let is_directory = |(_, id): &(&str, FileId)| self.node(*id).kind() == FileKind::Directory;
        self.names().filter(is_directory).map(|(path, _)| path)
    }

    /// All names of files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let is_file = |(_, id): &(&str, FileId)| self.node(*id).kind() == FileKind::File;
        self.names()
            .filter(is_file)
            .map(|(path, id)| (path, self.content(id)))
    }

    /// What an inode is.
    #[must_use]
    pub fn node(&self, id: FileId) -> &Node {
        &self.nodes[id.0]
    }

    /// How many names an inode has (a directory: 2 and its subdirectories).
    #[must_use]
    pub fn links(&self, id: FileId) -> u32 {
        let of_it = self.names.iter().filter(|(_, named)| **named == id);
        let subdirectories = |path: &str| {
            let is_one = |name: &&String| {
                parent(name) == path && *name != "/" && self.kind(name) == FileKind::Directory
            };
            self.names.keys().filter(is_one).count()
        };
        let count = match self.node(id).body {
            Body::Directory => of_it.map(|(path, _)| 2 + subdirectories(path)).sum(),
            _ => of_it.count(),
        };
        count as u32
    }

    fn node_mut(&mut self, id: FileId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    fn kind(&self, canonical: &str) -> FileKind {
        self.node(self.names[canonical]).kind()
    }

    fn is_full(&self, canonical: &str) -> bool {
        self.names.keys().any(|name| is_below(name, canonical))
    }

    // ---- Walking ------------------------------------------------------------------------------

    /// The canonical path of what `path` leads to.
    fn find(&self, path: &str) -> Result<String, Failure> {
        const MOST_LINKS: usize = 40;
        let mut at = "/".to_owned();
        let mut links = 0;
        let mut steps: VecDeque<String> = steps(path).collect();
        while let Some(step) = steps.pop_front() {
            let next = self.child(&at, &step)?;
            let Body::SymbolicLink(target) = &self.node(self.names[&next]).body else {
                at = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Failure::TooManyLinks);
            }
            if target.starts_with('/') {
                at = "/".to_owned();
            }
            let through = self::steps(target).chain(steps);
            steps = through.collect();
        }
        Ok(at)
    }

    /// The canonical path of a name that is there, whatever it stands for.
    fn find_itself(&self, path: &str) -> Result<String, Failure> {
        if path == "/" {
            return Ok(path.to_owned());
        }
        let canonical = self.place(path)?;
        match self.names.contains_key(&canonical) {
            true => Ok(canonical),
            false => Err(Failure::NotFound),
        }
    }

    fn find_directory(&self, path: &str) -> Result<String, Failure> {
        let canonical = self.find(path)?;
        match self.kind(&canonical) {
            FileKind::Directory => Ok(canonical),
            _ => Err(Failure::NotADirectory),
        }
    }

    fn find_mut(&mut self, path: &str) -> Result<&mut Node, Failure> {
        let id = self.names[&self.find(path)?];
        Ok(self.node_mut(id))
    }

    fn child(&self, directory: &str, name: &str) -> Result<String, Failure> {
        if self.kind(directory) != FileKind::Directory {
            return Err(Failure::NotADirectory);
        }
        let path = joined(directory, name);
        match self.names.contains_key(&path) {
            true => Ok(path),
            false => Err(Failure::NotFound),
        }
    }

    /// The canonical path that `path` is or would be.
    fn place(&self, path: &str) -> Result<String, Failure> {
        if path == "/" {
            return Err(Failure::InUse);
        }
        let (_, name) = path.rsplit_once('/').unwrap_or_default();
        Ok(joined(&self.find_directory(parent(path))?, name))
    }

    fn vacant(&self, path: &str) -> Result<String, Failure> {
        if path == "/" {
            return Err(Failure::AlreadyExists);
        }
        let canonical = self.place(path)?;
        match self.names.contains_key(&canonical) {
            true => Err(Failure::AlreadyExists),
            false => Ok(canonical),
        }
    }

    fn taken(&self, path: &str) -> Result<String, Failure> {
        let canonical = self.place(path)?;
        match self.names.contains_key(&canonical) {
            true => Ok(canonical),
            false => Err(Failure::NotFound),
        }
    }
}

fn steps(path: &str) -> impl Iterator<Item = String> {
    path.split('/')
        .filter(|step| !step.is_empty())
        .map(str::to_owned)
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn joined(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

fn is_below(path: &str, directory: &str) -> bool {
    let inside = joined(directory, "");
    path.len() > inside.len() && path.starts_with(&inside)
}
