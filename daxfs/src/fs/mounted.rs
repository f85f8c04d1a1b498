//! A mounted filesystem, as its handles share it: the volume, the checkpointer, the open files.
//!
//! # Locking
//! `open_files`: a mutex, taken inside directory operations and before the gate, never while
//! another thread's data is waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::checkpoint::{Checkpointer, Stored};
use super::options::{MountAccess, MountOptions};
use crate::dax::OpenFile;
use crate::error::{Error, Result};
use crate::format::SuperblockState;
use crate::format::geometry::blocks_for_bytes;
use crate::inode::Inode;
use crate::volume::{Reclaim, Volume};

/// What all handles of one mounted filesystem share. Dropping the last makes a checkpoint.
pub(super) struct Mounted {
    pub(super) volume: Arc<Volume>,
    pub(super) options: MountOptions,
    checkpointer: Checkpointer,
    /// Unmounted in good order: there is nothing left to do when the last handle goes.
    is_finished: AtomicBool,
    /// By inode number; an entry whose file is gone is about to be removed.
    open_files: Mutex<HashMap<u64, Weak<OpenHandle>>>,
}

/// An open file that knows its filesystem: when the last handle goes, so does a file without names.
pub(super) struct OpenHandle {
    pub(super) file: Arc<OpenFile>,
    pub(super) mounted: Arc<Mounted>,
}

impl Mounted {
    /// Takes over what was loaded, and marks the image in use.
    pub(super) fn new(
        volume: Arc<Volume>,
        options: MountOptions,
        stored: Stored,
    ) -> Result<Arc<Self>> {
        let checkpointer = Checkpointer::new(&volume, stored);
        let mounted = Arc::new(Self {
            volume,
            options,
            checkpointer,
            is_finished: AtomicBool::new(false),
            open_files: Mutex::new(HashMap::new()),
        });
        let reclaim: Weak<dyn Reclaim> =
            Arc::downgrade(&(Arc::clone(&mounted) as Arc<dyn Reclaim>));
        mounted.volume.set_reclaim(reclaim);
        if mounted.options.access == MountAccess::ReadWrite {
            mounted.remove_orphans();
            mounted.remove_past_end();
            mounted
                .checkpointer
                .run(&mounted.volume, SuperblockState::InUse)?;
        }
        Ok(mounted)
    }

    /// # Errors
    /// [`Error::ReadOnly`] when the filesystem may not be changed.
    pub(super) fn check_writable(&self, operation: &'static str) -> Result<()> {
        match self.options.access {
            MountAccess::ReadWrite => Ok(()),
            MountAccess::ReadOnly => Err(Error::ReadOnly { operation }),
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.store(SuperblockState::InUse)
    }

    /// Makes everything durable and marks the image clean.
    pub(super) fn finish(&self) -> Result<()> {
        self.store(SuperblockState::Clean)?;
        self.is_finished.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn store(&self, mark: SuperblockState) -> Result<()> {
        if self.options.access == MountAccess::ReadOnly {
            return Ok(());
        }
        let open: Vec<_> = self
            .open_files
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for handle in &open {
            handle.file.flush_mapped(0..u64::MAX)?;
            handle.file.settle_times();
        }
        self.checkpointer.run(&self.volume, mark)
    }

    /// Blocks of metadata, as of the last checkpoint.
    pub(super) fn metadata_blocks(&self) -> u64 {
        self.checkpointer.metadata_blocks()
    }

    /// How many checkpoints the image has had.
    pub(super) fn generation(&self) -> u64 {
        self.checkpointer.generation()
    }

    /// How many files are open.
    pub(super) fn open_count(&self) -> usize {
        self.open_files
            .lock()
            .values()
            .filter(|file| file.strong_count() > 0)
            .count()
    }

    /// Opens a file; `None` when `inode` is a directory, or has lost its last name meanwhile.
    pub(super) fn open(self: &Arc<Self>, inode: &Arc<Inode>) -> Option<Arc<OpenHandle>> {
        let mut open_files = self.open_files.lock();
        let handle = open_files.get(&inode.number()).and_then(Weak::upgrade);
        if let Some(handle) = handle.filter(|handle| Arc::ptr_eq(handle.file.inode(), inode)) {
            return Some(handle);
        }
        if inode.links() == 0 {
            return None;
        }
        let (volume, inode) = (Arc::clone(&self.volume), Arc::clone(inode));
        let number = inode.number();
        let file = Arc::new(OpenFile::new(volume, inode, &self.options.settings())?);
        let handle = Arc::new(OpenHandle {
            file,
            mounted: Arc::clone(self),
        });
        open_files.insert(number, Arc::downgrade(&handle));
        Some(handle)
    }

    /// Removes a file that has lost its last name, unless it is open: then its last handle will.
    pub(super) fn remove_unless_open(&self, inode: &Inode) {
        let open_files = self.open_files.lock();
        let is_open = open_files
            .get(&inode.number())
            .is_some_and(|file| file.strong_count() > 0);
        if !is_open {
            self.remove_inode(inode);
        }
    }

    /// Removes an inode that nothing refers to, and gives its blocks back.
    pub(super) fn remove_inode(&self, inode: &Inode) {
        let transaction = self.volume.gate.begin();
        if let Some(blocks) = inode.blocks() {
            self.volume
                .allocator
                .free_after_checkpoint(blocks.remove(0..u64::MAX));
        }
        self.volume.inodes.remove(&transaction, inode);
    }

    /// Removes files that lost their last name while open, and whose filesystem then stopped.
    fn remove_orphans(&self) {
        for inode in self.volume.inodes.all() {
            if inode.links() == 0 {
                self.remove_inode(&inode);
            }
        }
    }

    /// Frees blocks past the end of files: a write publishes its blocks before its length, and a
    /// checkpoint may have come between.
    fn remove_past_end(&self) {
        let unit = self.volume.allocator.unit_blocks();
        for inode in self.volume.inodes.all() {
            let Some(blocks) = inode.blocks() else {
                continue;
            };
            let end = blocks_for_bytes(inode.len_bytes()).next_multiple_of(unit);
            let transaction = self.volume.gate.begin();
            let removed = blocks.remove(end..u64::MAX);
            if !removed.is_empty() {
                self.volume.mark_changed(&transaction, &inode);
                self.volume.allocator.free_after_checkpoint(removed);
            }
        }
    }

    /// The last handle of a file is going.
    fn close(&self, file: &OpenFile) {
        let number = file.inode().number();
        let mut open_files = self.open_files.lock();
        if open_files
            .get(&number)
            .is_some_and(|other| other.strong_count() > 0)
        {
            // Opened anew since the count fell to zero.
            return;
        }
        open_files.remove(&number);
        self.volume.allocator.release_claims(number);
        if file.inode().links() == 0 {
            self.remove_inode(file.inode());
        }
    }
}

impl Reclaim for Mounted {
    fn reclaim(&self) -> Result<()> {
        self.checkpointer.reclaim(&self.volume)
    }

    fn checkpoint(&self) -> Result<()> {
        self.sync()
    }
}

impl Drop for OpenHandle {
    fn drop(&mut self) {
        if self.mounted.options.access == MountAccess::ReadWrite {
            // What cannot be flushed now is still in memory; a later sync reports the failure.
            let _ = self.file.flush_mapped(0..u64::MAX);
            self.file.settle_times();
            self.mounted.close(&self.file);
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.is_finished.load(Ordering::Relaxed) {
            // Whoever wants to know whether this worked calls `unmount`.
            let _ = self.finish();
        }
    }
}
