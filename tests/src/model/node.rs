//! What a name of the model stands for. Plain values.

use std::collections::{BTreeMap, BTreeSet};

use daxfs::{FileKind, PAGE_BYTES};

/// What an inode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Its names are in the namespace.
    Directory,
    /// Its bytes.
    File(Vec<u8>),
    /// Where it leads.
    SymbolicLink(String),
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it holds.
    pub body: Body,
    /// Permission bits.
    pub mode: u16,
    /// The owning user and group.
    pub owners: (u32, u32),
    /// Its extended attributes.
    pub attributes: BTreeMap<String, Vec<u8>>,
    /// The blocks of a file that are allocated, where a mapping maps single blocks.
    pub(super) blocks: BTreeSet<usize>,
}

impl Node {
    pub(super) fn new(body: Body) -> Self {
        let mode = match &body {
            Body::Directory => 0o755,
            Body::File(_) => 0o644,
            Body::SymbolicLink(_) => 0o777,
        };
        Self {
            body,
            mode,
            owners: (0, 0),
            attributes: BTreeMap::new(),
            blocks: BTreeSet::new(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match self.body {
            Body::Directory => FileKind::Directory,
            Body::File(_) => FileKind::File,
            Body::SymbolicLink(_) => FileKind::SymbolicLink,
        }
    }

    /// Bytes of its blocks.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.blocks.len() as u64 * PAGE_BYTES
    }

    pub(super) fn content(&self) -> &[u8] {
        match &self.body {
            Body::File(bytes) => bytes,
            _ => panic!("no file"),
        }
    }

    pub(super) fn content_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.body {
            Body::File(bytes) => bytes,
            _ => panic!("no file"),
        }
    }
}
