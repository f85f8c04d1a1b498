//! Files, directories and what else has a number, in memory, and the table that finds them.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`attributes`] | owners, permission bits, times |
//! | [`block_map`] | which device block holds which block of a file |
//! | [`extended`] | extended attributes |
//! | [`stored`] | an inode as items of the tree, and back |
//! | [`table`] | inode numbers, and which inodes the next checkpoint must write |
//! | this file | the inode itself |
//!
//! An inode is read from the medium when somebody asks for it, its content (block map, names,
//! extended attributes) when somebody asks for that: see [`Volume`](crate::volume::Volume). Touches
//! no device. Knows directories' content, not paths, and nothing of mappings.
//!
//! # Locking
//! `attributes` and `extended` are latches (innermost). Length and links are atomics. Whatever
//! changes an inode does so inside a transaction, so that a checkpoint sees each change whole or
//! not at all.

pub(crate) mod attributes;
pub(crate) mod block_map;
pub(crate) mod extended;
mod stored;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::directory::Directory;
use crate::format::{FileType, Timestamp};
pub(crate) use attributes::Attributes;
use attributes::from_timestamp;
use block_map::BlockMap;
use extended::Extended;
pub(crate) use stored::Changes;
pub(crate) use table::{ChangedInodes, InodeTable};

/// A file, a directory, a symbolic link or a special file.
pub(crate) struct Inode {
    number: u64,
    body: Body,
    len_bytes: AtomicU64,
    links: AtomicU32,
    attributes: Mutex<Attributes>,
    extended: Mutex<Extended>,
    /// Data has been written since `attributes.modified` was last brought up to date. Writers set
    /// it with a plain load and, rarely, a store, so that overwriting a block moves no cache line
    /// that every other writer needs.
    written: AtomicBool,
    /// Data has been read since `attributes.accessed` was last brought up to date.
    read: AtomicBool,
    /// Times were brought up to date that no record of the log has.
    times_changed: AtomicBool,
    /// The log has bytes of it that a mount after a crash would write again.
    redo: AtomicBool,
    /// It never had a name, and may get one.
    linkable: AtomicBool,
    /// The inode item differs from the last checkpoint's.
    item_changed: AtomicBool,
    /// The next checkpoint must write something of it.
    is_changed: AtomicBool,
    /// Extents or names added since the last checkpoint, for the metadata reserve.
    growth: AtomicU32,
}

/// What an inode is, and its content as far as it is in memory.
pub(crate) enum Body {
    File(FileBody),
    Directory(Directory),
    /// A symbolic link and its target.
    SymbolicLink(Box<[u8]>),
    Fifo,
    Socket,
    /// A character device and its number.
    CharacterDevice(u64),
    /// A block device and its number.
    BlockDevice(u64),
}

/// The content of a file.
pub(crate) struct FileBody {
    blocks: OnceLock<Arc<BlockMap>>,
    /// How many blocks the file has, while the map is not in memory.
    stored_blocks: u64,
    /// Open files of it that may have something to flush: one, and those that are being closed.
    unflushed: AtomicU32,
}

impl FileBody {
    /// An empty file's.
    pub(crate) fn empty() -> Self {
        Self {
            blocks: OnceLock::from(Arc::default()),
            stored_blocks: 0,
            unflushed: AtomicU32::new(0),
        }
    }

    fn stored(stored_blocks: u64) -> Self {
        Self {
            blocks: OnceLock::new(),
            stored_blocks,
            unflushed: AtomicU32::new(0),
        }
    }

    /// Counts an open file of it, until all that was stored through its mappings is flushed.
    pub(crate) fn note_opened(&self) {
        self.unflushed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less: it is flushed.
    pub(crate) fn note_flushed(&self) {
        // Release: pairs with the acquire below. Whoever sees one less sees what was flushed.
        self.unflushed.fetch_sub(1, Ordering::Release);
    }

    /// How many open files may have something to flush.
    pub(crate) fn unflushed(&self) -> u32 {
        // Acquire: pairs with the release above.
        self.unflushed.load(Ordering::Acquire)
    }

    /// The block map, if it is in memory.
    pub(crate) fn blocks(&self) -> Option<&Arc<BlockMap>> {
        self.blocks.get()
    }

    /// Puts in the block map read from the medium; the first to do so wins, and all read the same.
    pub(crate) fn load(&self, blocks: BlockMap) -> &Arc<BlockMap> {
        self.blocks.get_or_init(|| Arc::new(blocks))
    }

    /// How many blocks the file has.
    pub(crate) fn allocated_blocks(&self) -> u64 {
        self.blocks
            .get()
            .map_or(self.stored_blocks, |blocks| blocks.allocated_blocks())
    }
}

impl Body {
    /// What the format calls it.
    pub(crate) fn kind(&self) -> FileType {
        match self {
            Body::File(_) => FileType::File,
            Body::Directory(_) => FileType::Directory,
            Body::SymbolicLink(_) => FileType::Symlink,
            Body::Fifo => FileType::Fifo,
            Body::Socket => FileType::Socket,
            Body::CharacterDevice(_) => FileType::CharacterDevice,
            Body::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

impl Inode {
    /// A new inode.
    pub(crate) fn new(number: u64, body: Body, links: u32, attributes: Attributes) -> Self {
        let len_bytes = match &body {
            Body::SymbolicLink(target) => target.len() as u64,
            _ => 0,
        };
        Self::with(
            number,
            body,
            len_bytes,
            links,
            attributes,
            Extended::empty(),
        )
    }

    fn with(
        number: u64,
        body: Body,
        len_bytes: u64,
        links: u32,
        attributes: Attributes,
        extended: Extended,
    ) -> Self {
        Self {
            number,
            body,
            len_bytes: AtomicU64::new(len_bytes),
            links: AtomicU32::new(links),
            attributes: Mutex::new(attributes),
            extended: Mutex::new(extended),
            written: AtomicBool::new(false),
            read: AtomicBool::new(false),
            times_changed: AtomicBool::new(false),
            redo: AtomicBool::new(false),
            linkable: AtomicBool::new(false),
            item_changed: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
            growth: AtomicU32::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn kind(&self) -> FileType {
        self.body.kind()
    }

    /// The content of a file.
    pub(crate) fn file(&self) -> Option<&FileBody> {
        match &self.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    /// The directory that it is.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        match &self.body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// How many blocks of data it has.
    pub(crate) fn allocated_blocks(&self) -> u64 {
        self.file().map_or(0, FileBody::allocated_blocks)
    }

    /// The number of the device that a special file stands for.
    pub(crate) fn device_number(&self) -> u64 {
        match self.body {
            Body::CharacterDevice(number) | Body::BlockDevice(number) => number,
            _ => 0,
        }
    }

    /// The length of a file, or of a symbolic link's target.
    pub(crate) fn len_bytes(&self) -> u64 {
        // Acquire: pairs with the release store in `set_len_bytes`, so that whoever sees the new
        // length sees the data that was written before it.
        self.len_bytes.load(Ordering::Acquire)
    }

    /// Sets the length of a file, whose new data is in place.
    pub(crate) fn set_len_bytes(&self, len_bytes: u64) {
        // Release: pairs with the acquire load in `len_bytes`.
        self.len_bytes.store(len_bytes, Ordering::Release);
    }

    /// Makes a file at least `len_bytes` long, whose new data is in place.
    pub(crate) fn extend_len_bytes(&self, len_bytes: u64) {
        // Release: pairs with the acquire load in `len_bytes`.
        self.len_bytes.fetch_max(len_bytes, Ordering::Release);
    }

    pub(crate) fn links(&self) -> u32 {
        self.links.load(Ordering::Relaxed)
    }

    pub(crate) fn set_links(&self, links: u32) {
        self.links.store(links, Ordering::Relaxed);
    }

    /// Whether it never had a name, and may get one.
    pub(crate) fn is_linkable(&self) -> bool {
        self.linkable.load(Ordering::Relaxed)
    }

    /// Notes that bytes of it are logged for redo. Under its sharing lock, as is the next.
    pub(crate) fn set_redo(&self) {
        self.redo.store(true, Ordering::Relaxed);
    }

    /// Whether bytes of it were logged for redo since this was last asked.
    pub(crate) fn take_redo(&self) -> bool {
        self.redo.swap(false, Ordering::Relaxed)
    }

    /// Notes that it never had a name, and may get one.
    pub(crate) fn set_linkable(&self) {
        self.linkable.store(true, Ordering::Relaxed);
    }

    /// Notes that it has got a name: once it loses that, it gets no other.
    pub(crate) fn forget_linkable(&self) {
        self.linkable.store(false, Ordering::Relaxed);
    }

    /// The attributes, with the times of the last read and write brought up to date.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = self.lock_attributes();
        self.settle(&mut attributes);
        *attributes
    }

    /// Changes attributes.
    pub(crate) fn change_attributes(&self, change: impl FnOnce(&mut Attributes)) {
        let mut attributes = self.lock_attributes();
        self.settle(&mut attributes);
        change(&mut attributes);
    }

    /// Notes that the content or the names changed at `time`.
    pub(crate) fn touch(&self, time: Timestamp) {
        let time = from_timestamp(time);
        self.change_attributes(|attributes| {
            attributes.modified = time;
            attributes.changed = time;
        });
    }

    /// Notes that something besides the content changed at `time`.
    pub(crate) fn touch_changed(&self, time: Timestamp) {
        let time = from_timestamp(time);
        self.change_attributes(|attributes| attributes.changed = time);
    }

    /// Notes that data was written; the time is filled in when somebody asks for it.
    pub(crate) fn note_written(&self) {
        if !self.written.load(Ordering::Relaxed) {
            self.written.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that data was read; the time is filled in when somebody asks for it. Returns whether
    /// that was not noted already.
    pub(crate) fn note_read(&self) -> bool {
        let is_new = !self.read.load(Ordering::Relaxed);
        if is_new {
            self.read.store(true, Ordering::Relaxed);
        }
        is_new
    }

    /// Whether there are times that neither a checkpoint nor a record of the log has.
    pub(crate) fn has_unlogged_times(&self) -> bool {
        self.written.load(Ordering::Relaxed)
            || self.read.load(Ordering::Relaxed)
            || self.times_changed.load(Ordering::Relaxed)
    }

    /// Notes that the times are in the log, or in a checkpoint.
    pub(crate) fn note_times_logged(&self) {
        self.times_changed.store(false, Ordering::Relaxed);
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

    /// Runs `look` on the extended attributes. Takes their latch.
    pub(crate) fn extended<T>(&self, look: impl FnOnce(&mut Extended) -> T) -> T {
        let mut extended = self.extended.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut extended)
    }

    fn settle(&self, attributes: &mut Attributes) {
        let written = self.written.swap(false, Ordering::Relaxed);
        let read = self.read.swap(false, Ordering::Relaxed);
        if !written && !read {
            return;
        }
        let now = SystemTime::now();
        if read && is_outdated(attributes, now) {
            attributes.accessed = now;
            self.times_changed.store(true, Ordering::Relaxed);
        }
        if written {
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

/// Linux's `relatime`: the time of the last access is only kept if it would be the first since a
/// change, or since a day ago.
fn is_outdated(attributes: &Attributes, now: SystemTime) -> bool {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    attributes.accessed <= attributes.modified
        || attributes.accessed <= attributes.changed
        || now
            .duration_since(attributes.accessed)
            .is_ok_and(|age| age >= DAY)
}
