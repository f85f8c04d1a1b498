//! A mounted filesystem, as its handles share it: the volume, the checkpointer, the open files.
//!
//! # Locking
//! `moves` (rank: before directories) is held by whoever moves names between directories.
//! `open_files` ranks after the gate: it is held while a record that depends on it is committed,
//! and whoever holds it begins no transaction.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::background::Background;
use super::checkpoint::{Checkpointer, Stored};
use super::open_files::OpenFiles;
use super::options::{Checkpoints, MountAccess, MountOptions};
use crate::dax::{self, OpenFile};
use crate::error::{Error, Result};
use crate::file_lock::{FileLocks, WaitGraph};
use crate::format::SuperblockState;
use crate::format::record::Record;
use crate::inode::{FileBody, Inode};
use crate::volume::{Reclaim, Volume};

/// What all handles of one mounted filesystem share. Dropping the last makes a checkpoint.
pub(super) struct Mounted {
    pub(super) volume: Arc<Volume>,
    pub(super) options: MountOptions,
    pub(super) moves: Mutex<()>,
    pub(super) open_files: Mutex<OpenFiles>,
    /// Directories and symbolic links that were read since the last sync, by number. A latch.
    looked_at: Mutex<HashMap<u64, Arc<Inode>>>,
    /// Who waits for file locks of whom.
    lock_waits: Arc<WaitGraph>,
    checkpointer: Arc<Checkpointer>,
    background: Background,
    /// Unmounted in good order: there is nothing left to do when the last handle goes.
    is_finished: AtomicBool,
}

/// An open file that knows its filesystem: when the last handle goes, so does a file without names.
pub(super) struct OpenHandle {
    pub(super) file: Arc<OpenFile>,
    pub(super) locks: FileLocks,
    pub(super) mounted: Arc<Mounted>,
    /// Summing the file up has failed, or is another's to do: not to be tried when this goes.
    gave_up: AtomicBool,
}

impl Mounted {
    /// Takes over what was loaded; for writing, removes what an earlier mount left unfinished, and
    /// marks the image in use.
    pub(super) fn new(
        volume: Arc<Volume>,
        options: MountOptions,
        stored: Stored,
    ) -> Result<Arc<Self>> {
        let checkpointer = Arc::new(Checkpointer::new(&volume, stored));
        let mounted = Arc::new(Self {
            volume,
            options,
            moves: Mutex::new(()),
            open_files: Mutex::default(),
            looked_at: Mutex::default(),
            lock_waits: Arc::default(),
            checkpointer,
            background: Background::default(),
            // Until the first checkpoint there is nothing to finish.
            is_finished: AtomicBool::new(true),
        });
        let reclaim: Weak<dyn Reclaim> =
            Arc::downgrade(&(Arc::clone(&mounted) as Arc<dyn Reclaim>));
        mounted.volume.set_reclaim(reclaim);
        if mounted.options.access == MountAccess::ReadWrite {
            // The first checkpoint begins a new epoch: only then may anything be logged.
            mounted.checkpoint(SuperblockState::InUse)?;
            mounted.is_finished.store(false, Ordering::Relaxed);
            mounted.remove_orphans()?;
            if mounted.options.checkpoints == Checkpoints::Ahead {
                let (volume, checkpointer) = (&mounted.volume, &mounted.checkpointer);
                mounted
                    .background
                    .start(Arc::clone(volume), Arc::clone(checkpointer));
            }
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

    // ---- Durability ---------------------------------------------------------------------------

    /// Makes everything up to now durable.
    pub(super) fn sync(&self) -> Result<()> {
        if self.options.access == MountAccess::ReadOnly {
            return Ok(());
        }
        self.flush_open_files()?;
        self.settle_looked_at()?;
        self.sync_log()
    }

    /// Makes what was written to the device and logged up to now durable, where that has not been
    /// done at once.
    pub(super) fn sync_log(&self) -> Result<()> {
        self.volume.log.sync()
    }

    /// Makes everything durable and marks the image clean.
    pub(super) fn finish(&self) -> Result<()> {
        self.background.stop();
        if self.options.access == MountAccess::ReadWrite {
            self.flush_open_files()?;
            self.settle_looked_at()?;
            self.checkpoint(SuperblockState::Clean)?;
        }
        self.is_finished.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn flush_open_files(&self) -> Result<()> {
        let open = self.open_files.lock().all();
        for handle in &open {
            handle.file.flush_mapped(0..u64::MAX)?;
            handle.file.settle_times()?;
        }
        Ok(())
    }

    /// Notes that a directory or a symbolic link was read. (Files know when they are closed.)
    pub(super) fn note_looked_at(&self, inode: &Arc<Inode>) {
        if self.options.access == MountAccess::ReadWrite && inode.note_read() {
            let mut looked_at = self.looked_at.lock();
            looked_at.insert(inode.number(), Arc::clone(inode));
        }
    }

    /// Brings the times of what was read into the log, except of what is gone meanwhile.
    fn settle_looked_at(&self) -> Result<()> {
        let looked_at = std::mem::take(&mut *self.looked_at.lock());
        for inode in looked_at.values() {
            self.settle_if_named(inode)?;
        }
        Ok(())
    }

    /// Folds what changed into the tree, so that the log before it is free.
    pub(super) fn checkpoint(&self, mark: SuperblockState) -> Result<()> {
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

    // ---- Open files ---------------------------------------------------------------------------

    /// How many files are open.
    pub(super) fn open_count(&self) -> usize {
        self.open_files.lock().count()
    }

    /// Opens a regular file; `None` when it has lost its last name meanwhile.
    pub(super) fn open(self: &Arc<Self>, inode: &Arc<Inode>) -> Result<Option<Arc<OpenHandle>>> {
        // Read before the list is locked.
        self.volume.blocks(inode)?;
        let number = inode.number();
        let mut open_files = self.open_files.lock();
        if let Some(handle) = open_files.get(number) {
            handle.gave_up.store(false, Ordering::Relaxed);
            return Ok(Some(handle));
        }
        if inode.links() == 0 && !inode.is_linkable() {
            return Ok(None);
        }
        let (volume, inode) = (Arc::clone(&self.volume), Arc::clone(inode));
        let file = Arc::new(OpenFile::new(volume, inode, &self.options.settings())?);
        let handle = Arc::new(OpenHandle {
            file,
            locks: FileLocks::new(Arc::clone(&self.lock_waits)),
            mounted: Arc::clone(self),
            gave_up: AtomicBool::new(false),
        });
        if let Some(body) = handle.file.inode().file() {
            body.note_opened();
        }
        open_files.insert(number, &handle);
        Ok(Some(handle))
    }

    /// Removes files that lost their last name while open, and whose filesystem then stopped.
    fn remove_orphans(&self) -> Result<()> {
        for number in self.volume.inodes.orphans() {
            if let Some(inode) = self.volume.find_inode(number)? {
                self.remove_orphan(&inode)?;
            }
        }
        Ok(())
    }

    /// Removes an inode that has no name, unless it is open or has got one.
    fn remove_orphan(&self, inode: &Inode) -> Result<()> {
        self.prepare_removal(inode)?;
        let number = inode.number();
        let record = Record::RemoveInode { inode: number };
        let mut transaction = self.volume.begin(record.encoded_len())?;
        let open_files = self.open_files.lock();
        // Two may be closing it one after the other.
        let found = self.volume.inodes.get(number);
        let is_there = found.is_some_and(|found| std::ptr::eq(&*found, inode));
        if inode.links() > 0 || open_files.is_open(number) || !is_there {
            return Ok(());
        }
        transaction.commit(&record)
    }

    /// Brings the last times of an inode into the log, unless it is gone or about to go: nothing
    /// keeps it any longer.
    fn settle_if_named(&self, inode: &Inode) -> Result<()> {
        if !inode.has_unlogged_times() {
            return Ok(());
        }
        let mut transaction = self.volume.begin_times()?;
        let _decided = self.open_files.lock();
        match inode.links() {
            0 => Ok(()),
            _ => self.volume.commit_times(&mut transaction, inode),
        }
    }

    /// The last handle of a file is going.
    fn close(&self, file: &OpenFile) {
        let number = file.inode().number();
        // If they cannot be logged, the last times are lost: nobody is left to be told.
        let _ = self.settle_if_named(file.inode());
        self.open_files.lock().remove_closed(number);
        self.volume.allocator.release_claims(number);
        if file.inode().links() == 0 {
            // If it cannot be removed now, the next mount does it.
            let _ = self.remove_orphan(file.inode());
        }
    }

    /// Computes the checksums that a file lacks whose last handle has gone, unless it is gone with
    /// it. If they cannot be had, the file is without.
    fn sum_up(self: &Arc<Self>, file: &OpenFile) {
        let is_wanted = self.volume.features.has_data_checksums()
            && file.inode().links() > 0
            && dax::is_behind(file);
        if !is_wanted {
            return;
        }
        let Ok(Some(handle)) = self.open(file.inode()) else {
            return;
        };
        let file = &handle.file;
        // Who is closing it at this moment, and has not flushed all, comes here after that.
        let others = file.inode().file().map_or(0, FileBody::unflushed) > 1;
        if others || dax::sum_up(file).is_err() {
            handle.gave_up.store(true, Ordering::Relaxed);
        }
    }
}

impl Reclaim for Mounted {
    fn reclaim(&self) -> Result<()> {
        self.checkpointer.reclaim(&self.volume)
    }

    fn make_log_space(&self) -> Result<()> {
        self.checkpoint(SuperblockState::InUse)
    }

    fn log_is_filling(&self) {
        self.background.wake();
    }
}

impl Drop for OpenHandle {
    fn drop(&mut self) {
        if self.mounted.options.access == MountAccess::ReadWrite {
            // What cannot be flushed now is still in memory; a later sync reports the failure.
            let flushed = self.file.flush_mapped(0..u64::MAX);
            if let Some(body) = self.file.inode().file() {
                body.note_flushed();
            }
            self.mounted.close(&self.file);
            if flushed.is_ok() && !self.gave_up.load(Ordering::Relaxed) {
                self.mounted.sum_up(&self.file);
            }
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
