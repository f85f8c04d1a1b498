//! Files and directories in memory, and the table that finds them by number.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`block_map`] | which device block holds which block of a file |
//! | [`table`] | inode numbers, and which inodes the next checkpoint must write |
//! | [`record`] | an inode as the format stores it, and back |
//! | this file | the inode itself |
//!
//! Touches no device. Knows directories' content, not paths, and nothing of mappings.
//!
//! # Locking
//! `attributes` is a latch (innermost). Length and links are atomics. Whatever changes an inode
//! holds a [`Transaction`], so that a checkpoint sees each change whole or not at all.

pub(crate) mod block_map;
mod record;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::directory::Directory;
use crate::format::InodeKind;
use crate::gate::Transaction;
use block_map::BlockMap;
pub(crate) use record::{Snapshot, SnapshotContent};
pub(crate) use table::InodeTable;

/// A file or a directory.
pub(crate) struct Inode {
    number: u64,
    body: Body,
    len_bytes: AtomicU64,
    links: AtomicU32,
    attributes: Mutex<Attributes>,
    /// Data has been written since `attributes.modified` was last brought up to date. Writers set
    /// it with a plain load and, rarely, a store, so that overwriting a block moves no cache line
    /// that every other writer needs.
    written: AtomicBool,
    /// The time of the last write was brought up to date, and no checkpoint has stored it yet.
    times_changed: AtomicBool,
    /// The next checkpoint must write it.
    dirty: AtomicBool,
    /// Extents or names added since the last checkpoint, for the metadata reserve.
    growth: AtomicU32,
}

enum Body {
    File(Arc<BlockMap>),
    Directory(Directory),
}

/// What can be known of an inode besides its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
    pub(crate) created: SystemTime,
}

impl Attributes {
    fn new(mode: u16) -> Self {
        let now = SystemTime::now();
        Self {
            mode,
            uid: 0,
            gid: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: now,
        }
    }
}

impl Inode {
    /// A new, empty file with one name.
    pub(crate) fn new_file(number: u64) -> Self {
        Self::with(
            number,
            Body::File(Arc::default()),
            0,
            1,
            Attributes::new(0o644),
        )
    }

    /// A new, empty directory inside the directory `parent`.
    pub(crate) fn new_directory(number: u64, parent: u64) -> Self {
        let body = Body::Directory(Directory::new(parent));
        Self::with(number, body, 0, 2, Attributes::new(0o755))
    }

    fn with(number: u64, body: Body, len_bytes: u64, links: u32, attributes: Attributes) -> Self {
        Self {
            number,
            body,
            len_bytes: AtomicU64::new(len_bytes),
            links: AtomicU32::new(links),
            attributes: Mutex::new(attributes),
            written: AtomicBool::new(false),
            times_changed: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            growth: AtomicU32::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn kind(&self) -> InodeKind {
        match self.body {
            Body::File(_) => InodeKind::File,
            Body::Directory(_) => InodeKind::Directory,
        }
    }

    /// The block map, of a file.
    pub(crate) fn blocks(&self) -> Option<&Arc<BlockMap>> {
        match &self.body {
            Body::File(blocks) => Some(blocks),
            Body::Directory(_) => None,
        }
    }

    /// The names, of a directory.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        match &self.body {
            Body::File(_) => None,
            Body::Directory(directory) => Some(directory),
        }
    }

    /// The length of a file.
    pub(crate) fn len_bytes(&self) -> u64 {
        // Acquire: pairs with the release store in `set_len_bytes`, so that whoever sees the new
        // length sees the data that was written before it.
        self.len_bytes.load(Ordering::Acquire)
    }

    /// Sets the length of a file, whose new data is in place.
    pub(crate) fn set_len_bytes(&self, _transaction: &Transaction<'_>, len_bytes: u64) {
        // Release: pairs with the acquire load in `len_bytes`.
        self.len_bytes.store(len_bytes, Ordering::Release);
    }

    /// Makes a file at least `len_bytes` long, whose new data is in place.
    pub(crate) fn extend_len_bytes(&self, _transaction: &Transaction<'_>, len_bytes: u64) {
        // Release: pairs with the acquire load in `len_bytes`.
        self.len_bytes.fetch_max(len_bytes, Ordering::Release);
    }

    pub(crate) fn links(&self) -> u32 {
        self.links.load(Ordering::Relaxed)
    }

    pub(crate) fn set_links(&self, _transaction: &Transaction<'_>, links: u32) {
        self.links.store(links, Ordering::Relaxed);
    }

    /// The attributes, with the time of the last write brought up to date.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = self.lock_attributes();
        self.settle_written(&mut attributes);
        *attributes
    }

    /// Notes that the content or the names changed just now.
    pub(crate) fn touch(&self, _transaction: &Transaction<'_>) {
        let now = SystemTime::now();
        let mut attributes = self.lock_attributes();
        attributes.modified = now;
        attributes.changed = now;
    }

    /// Notes that data was written; the time is filled in when somebody asks for it.
    pub(crate) fn note_written(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::Relaxed);
        }
    }

    /// Whether data was written since a checkpoint last stored the attributes.
    pub(crate) fn is_written(&self) -> bool {
        self.written.load(Ordering::Relaxed) || self.times_changed.load(Ordering::Relaxed)
    }

    /// Counts one more extent or name; `true` each time a further block of metadata may be needed.
    pub(crate) fn note_growth(&self) -> bool {
        const RECORDS_PER_BLOCK: u32 = 8;
        self.growth
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(RECORDS_PER_BLOCK)
    }

    /// Takes back a [`Inode::note_growth`] whose extent or name did not come about.
    pub(crate) fn forget_growth(&self) {
        self.growth.fetch_sub(1, Ordering::Relaxed);
    }

    fn settle_written(&self, attributes: &mut Attributes) {
        if self.written.swap(false, Ordering::Relaxed) {
            let now = SystemTime::now();
            attributes.modified = now;
            attributes.changed = now;
            self.times_changed.store(true, Ordering::Relaxed);
        }
    }

    fn lock_attributes(&self) -> MutexGuard<'_, Attributes> {
        self.attributes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
