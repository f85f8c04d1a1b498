//! What all files of one mounted filesystem share: device, free space, inodes, the log.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`store`] | reading inodes and their content from the last checkpoint's tree |
//! | [`times`] | times that are noted in passing, into the log |
//! | [`transaction`] | one operation's changes: log first, then memory |
//! | [`apply`] | what each record of the log means in memory |
//! | [`redo`] | bytes that a replay is to write again |
//! | this file | the parts, and what to do when space runs out |
//!
//! Knows blocks and inodes, not mappings or paths.
//!
//! # Locking
//! None of its own. Each part says which latch it takes.

mod apply;
mod redo;
mod store;
mod times;
mod transaction;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use daxfs_pmem::{Device, InFlight, Persistence, Settled};

use crate::allocation::{Allocator, Owners};
use crate::error::{Error, Result};
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::{Sharing, data_checksum};
use crate::format::record::Record;
use crate::format::{DirectoryHash, Features};
use crate::gate::Gate;
use crate::inode::block_map::MappedRun;
use crate::inode::{Inode, InodeTable};
use crate::log::Log;
use crate::run::Run;
use crate::schedule::{Mistake, Point, Schedule};
use redo::Redo;
pub(crate) use store::Store;
pub(crate) use transaction::Transaction;

/// How often an operation that finds no space is tried.
const RECLAIM_ATTEMPTS: u32 = 4;

/// Makes a checkpoint, so that freed blocks and the log can be used again. The mounted filesystem
/// is one.
pub(crate) trait Reclaim: Send + Sync {
    /// Makes what is freed available, and waits for a checkpoint under way that does. The caller is
    /// inside no transaction and holds no entry and no latch.
    fn reclaim(&self) -> Result<()>;

    /// Makes room in the log. The same holds for the caller.
    fn make_log_space(&self) -> Result<()>;

    /// The log is half full: this is the time to begin a checkpoint that nobody waits for.
    fn log_is_filling(&self);
}

/// What an image was made with, and keeps.
pub(crate) struct MadeWith {
    pub(crate) hash: DirectoryHash,
    /// What it uses beyond its version.
    pub(crate) features: Features,
}

/// The parts that files share.
pub(crate) struct Volume {
    pub(crate) device: Arc<Device>,
    pub(crate) allocator: Allocator,
    /// Known once a block map with marks is in memory.
    pub(crate) owners: Owners,
    /// Empty but for a replay.
    pub(crate) redo: Redo,
    pub(crate) gate: Gate,
    pub(crate) log: Log,
    pub(crate) inodes: InodeTable,
    pub(crate) store: Store,
    pub(crate) hash: DirectoryHash,
    /// What the image uses beyond its version.
    pub(crate) features: Features,
    /// Held from looking at attributes until a record that changes them is in the log and true in
    /// memory, so that both have the changes in one order. A latch inside a transaction.
    attribute_order: Mutex<()>,
    schedule: Option<Arc<dyn Schedule>>,
    reclaim: OnceLock<Weak<dyn Reclaim>>,
}

impl Volume {
    pub(crate) fn new(
        device: Arc<Device>,
        allocator: Allocator,
        log: Log,
        inodes: InodeTable,
        store: Store,
        made_with: MadeWith,
        schedule: Option<Arc<dyn Schedule>>,
    ) -> Self {
        Self {
            device,
            allocator,
            owners: Owners::default(),
            redo: Redo::default(),
            gate: Gate::default(),
            log,
            inodes,
            store,
            hash: made_with.hash,
            features: made_with.features,
            attribute_order: Mutex::new(()),
            schedule,
            reclaim: OnceLock::new(),
        }
    }

    /// Says who makes checkpoints when space runs out. Once.
    pub(crate) fn set_reclaim(&self, reclaim: Weak<dyn Reclaim>) {
        let first = self.reclaim.set(reclaim);
        debug_assert!(first.is_ok(), "a volume is mounted once");
    }

    /// Tells the schedule, if there is one.
    pub(crate) fn reached(&self, point: Point, page: u64) {
        if let Some(schedule) = &self.schedule {
            schedule.reached(point, page);
        }
    }

    /// Whether the schedule, if there is one, wants a mistake.
    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        let schedule = self.schedule.as_ref();
        schedule.is_some_and(|schedule| schedule.makes(mistake))
    }

    /// Whether anybody wants to know of waits before they happen.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.schedule.is_some()
    }

    /// Keeps others from changing attributes until what the caller changes is committed.
    pub(crate) fn attribute_order(&self) -> MutexGuard<'_, ()> {
        self.attribute_order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes true in memory what the log says happened. At mount, before anybody else can reach the
    /// volume.
    pub(crate) fn replay(&self, record: &Record) -> Result<()> {
        apply::apply(self, record)
    }

    /// Runs `operation`, and again after a checkpoint when it failed for want of space that one
    /// frees, or has freed meanwhile.
    pub(crate) fn with_reclaim<T>(&self, operation: impl FnMut() -> Result<T>) -> Result<T> {
        self.retry_when_full(|error| matches!(error, Error::NoSpace { .. }), operation)
    }

    /// The same for errors of any kind. Tries a few times at most: others want that space too.
    pub(crate) fn retry_when_full<T, E>(
        &self,
        is_no_space: impl Fn(&E) -> bool,
        mut operation: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempts = 1..RECLAIM_ATTEMPTS;
        loop {
            let frees = self.allocator.frees();
            match operation() {
                Err(error) if is_no_space(&error) && attempts.next().is_some() => {
                    let reclaim = self.reclaim.get().and_then(Weak::upgrade);
                    let reclaimed = reclaim.is_some_and(|reclaim| reclaim.reclaim().is_ok());
                    if !reclaimed || self.allocator.frees() == frees {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    fn note_log_use(&self) {
        if self.log.is_half_full()
            && let Some(mounted) = self.reclaim.get().and_then(Weak::upgrade)
        {
            mounted.log_is_filling();
        }
    }

    fn make_log_space(&self) -> Result<()> {
        match self.reclaim.get().and_then(Weak::upgrade) {
            Some(mounted) => mounted.make_log_space(),
            None => Err(Error::NoSpace {
                needed_blocks: 1,
                available_blocks: 0,
            }),
        }
    }

    /// Keeps room for one more extent or name of `inode` in the metadata.
    ///
    /// # Errors
    /// [`Error::NoSpace`]: the change must not be made.
    pub(crate) fn reserve_growth(&self, inode: &Inode) -> Result<()> {
        if !inode.note_growth() {
            return Ok(());
        }
        // A block to write it to, and one more to be able to write it anew at the next change.
        self.allocator
            .grow_reserve(2)
            .inspect_err(|_| inode.forget_growth())
    }

    /// Makes the next checkpoint write `inode`. Inside a transaction.
    pub(crate) fn mark_changed(&self, _transaction: &Transaction<'_>, inode: &Arc<Inode>) {
        self.inodes.mark_changed(inode);
    }

    /// Notes that a file has given blocks up, and returns those that no other place has: they are
    /// to be freed once no mapping reaches them. Inside the transaction that makes it so, once its
    /// record is in the log: the other who has one of them may take it for his own, and write it.
    pub(crate) fn withdraw(&self, given_up: &[MappedRun]) -> Vec<Run> {
        let mut withdrawn = Vec::with_capacity(given_up.len());
        for mapped in given_up {
            match mapped.sharing {
                Sharing::Exclusive => withdrawn.push(mapped.run),
                Sharing::Shared => withdrawn.extend(self.owners.drop_one(mapped.run)),
            }
        }
        self.allocator.note_withdrawn(&withdrawn);
        withdrawn
    }

    /// Makes sure that bulk data is ordered before what the caller does next: durable where a
    /// fence can make it so, otherwise (files: `msync`) left to the next sync, which makes all data
    /// durable before the records that refer to it.
    pub(crate) fn settle(&self, in_flight: InFlight) -> Result<Settled> {
        Ok(self.device.settle(in_flight)?)
    }

    /// Makes data durable that was left to a sync: on files, where only `msync` can.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn sync_data(&self) -> Result<()> {
        let device = &self.device;
        if device.persistence() == Persistence::Msync {
            let _durable = device.fence(device.flush_range(0, device.usable_bytes())?)?;
        }
        Ok(())
    }

    /// Copies from one place of the device to another, apart from it.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn device_copy(&self, from: u64, to: u64, len_bytes: u64) -> Result<InFlight> {
        let mut buffer = [0; BLOCK_BYTES as usize];
        let mut copied = self.device.zero(to, 0)?;
        let mut done = 0;
        while done < len_bytes {
            let len = (len_bytes - done).min(BLOCK_BYTES) as usize;
            self.device.read(from + done, &mut buffer[..len])?;
            copied = copied.and(self.device.copy(to + done, &buffer[..len])?);
            done += len as u64;
        }
        Ok(copied)
    }

    /// The checksum of what a block of a file holds.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn checksum_of(&self, block: u64) -> Result<u32> {
        let mut bytes = [0; BLOCK_BYTES as usize];
        self.device.read(block * BLOCK_BYTES, &mut bytes)?;
        Ok(data_checksum(&bytes))
    }

    /// Makes durable what was stored into blocks through mappings, where flush instructions do
    /// that. (On files the next sync does.)
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn flush_stored(&self, runs: &[Run]) -> Result<()> {
        let device = &self.device;
        if device.persistence() != Persistence::Hardware {
            return Ok(());
        }
        for run in runs {
            let (start, len) = (run.block * BLOCK_BYTES, run.len_blocks * BLOCK_BYTES);
            let _durable = device.fence(device.flush_range(start, len)?)?;
        }
        Ok(())
    }

    /// Zeroes blocks that nobody else can reach yet.
    pub(crate) fn zero_blocks(&self, run: Run) -> Result<Settled> {
        let in_flight = self
            .device
            .zero(run.block * BLOCK_BYTES, run.len_blocks * BLOCK_BYTES)?;
        self.settle(in_flight)
    }
}
