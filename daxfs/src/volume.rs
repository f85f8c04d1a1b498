//! What all files of one mounted filesystem share: device, free space, inodes, the gate.
//!
//! Knows blocks and inodes, not mappings or paths.
//!
//! # Locking
//! None of its own. Each part says which latch it takes.

use std::sync::{Arc, OnceLock, Weak};

use daxfs_pmem::{Device, InFlight, Persistence};

use crate::allocation::Allocator;
use crate::error::{Error, Result};
use crate::format::geometry::BLOCK_BYTES;
use crate::gate::{Gate, Transaction};
use crate::inode::{Inode, InodeTable};
use crate::run::Run;
use crate::schedule::{Mistake, Point, Schedule};

/// How often an operation that finds no space is tried.
const RECLAIM_ATTEMPTS: u32 = 4;

/// Makes a checkpoint, so that freed blocks can be used again. The mounted filesystem is one.
pub(crate) trait Reclaim: Send + Sync {
    /// Makes what is freed available, and waits for a checkpoint under way that does. The caller
    /// holds no lock that ranks before the gate, other than I/O range locks.
    fn reclaim(&self) -> Result<()>;

    /// Makes everything durable. The same holds for the caller.
    fn checkpoint(&self) -> Result<()>;
}

/// The parts that files share.
pub(crate) struct Volume {
    pub(crate) device: Arc<Device>,
    pub(crate) allocator: Allocator,
    pub(crate) gate: Gate,
    pub(crate) inodes: InodeTable,
    schedule: Option<Arc<dyn Schedule>>,
    reclaim: OnceLock<Weak<dyn Reclaim>>,
}

impl Volume {
    pub(crate) fn new(
        device: Arc<Device>,
        allocator: Allocator,
        schedule: Option<Arc<dyn Schedule>>,
    ) -> Self {
        Self {
            device,
            allocator,
            gate: Gate::default(),
            inodes: InodeTable::default(),
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

    /// Makes everything durable, by a checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        match self.reclaim.get().and_then(Weak::upgrade) {
            Some(mounted) => mounted.checkpoint(),
            None => Ok(()),
        }
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

    /// Makes the next checkpoint write `inode`.
    pub(crate) fn mark_changed(&self, transaction: &Transaction<'_>, inode: &Inode) {
        self.inodes.mark_changed(transaction, inode);
    }

    /// Makes sure that bulk data is ordered before what the caller does next: durable where a
    /// fence can make it so, otherwise (files: `msync`) left to the next checkpoint, which makes
    /// all data durable before the metadata that refers to it.
    pub(crate) fn settle(&self, in_flight: InFlight) -> Result<()> {
        match self.device.persistence() {
            Persistence::Msync => in_flight.defer(),
            Persistence::Hardware | Persistence::Volatile => {
                let _durable = self.device.fence(in_flight)?;
            }
        }
        Ok(())
    }

    /// Zeroes blocks that nobody else can reach yet.
    pub(crate) fn zero_blocks(&self, run: Run) -> Result<()> {
        let in_flight = self
            .device
            .zero(run.block * BLOCK_BYTES, run.len_blocks * BLOCK_BYTES)?;
        self.settle(in_flight)
    }
}
