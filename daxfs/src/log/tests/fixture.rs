//! Logs in memory, records of a wanted length, and what a replay finds.

use std::path::Path;
use std::sync::Arc;

use daxfs_pmem::{Device, Persistence, PersistenceChoice};

use crate::error::Result;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::{Lsn, Record};
use crate::log::{Log, LogRegion, replay};

/// The epoch of logs whose epoch does not matter.
pub(super) const EPOCH: u64 = 7;

/// A device and the region of the log on it, with two blocks before and one behind.
#[derive(Clone)]
pub(super) struct Medium {
    pub(super) device: Arc<Device>,
    pub(super) region: LogRegion,
}

impl Medium {
    /// A log of `blocks` on memory that is treated as persistent memory.
    pub(super) fn new(blocks: u64) -> Self {
        Self::with(blocks, Persistence::Hardware)
    }

    pub(super) fn with(blocks: u64, persistence: Persistence) -> Self {
        let choice = PersistenceChoice::Use(persistence);
        let device = Device::create_memfd((blocks + 3) * BLOCK_BYTES, choice);
        Self::on(device.unwrap(), blocks)
    }

    /// A log of `blocks` in a file, which is synced with `msync`.
    pub(super) fn of_file(path: &Path, blocks: u64) -> Self {
        let choice = PersistenceChoice::Use(Persistence::Msync);
        let device = Device::create_file(path, (blocks + 3) * BLOCK_BYTES, choice);
        Self::on(device.unwrap(), blocks)
    }

    fn on(device: Device, blocks: u64) -> Self {
        Self {
            device: Arc::new(device),
            region: LogRegion {
                start_block: 2,
                blocks,
            },
        }
    }

    /// An empty log that begins at `first` bytes.
    pub(super) fn log_from(&self, first: u64) -> Log {
        self.log_of(first, EPOCH)
    }

    pub(super) fn log_of(&self, first: u64, epoch: u64) -> Log {
        let first = Lsn::new(first);
        Log::new(Arc::clone(&self.device), self.region, first, first, epoch)
    }

    /// What a replay from `first` bytes finds, and where it ends.
    pub(super) fn replay_from(&self, first: u64) -> Result<Replayed> {
        self.replay_of(first, EPOCH)
    }

    pub(super) fn replay_of(&self, first: u64, epoch: u64) -> Result<Replayed> {
        let mut records = Vec::new();
        let mut keep = |lsn, record| {
            records.push((lsn, record));
            Ok(())
        };
        let first = Lsn::new(first);
        let tail = replay(&self.device, self.region, first, epoch, &mut keep)?;
        Ok(Replayed { records, tail })
    }

    /// All bytes of the region.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; (self.region.blocks * BLOCK_BYTES) as usize];
        let start = self.region.start_block * BLOCK_BYTES;
        self.device.read(start, &mut bytes).unwrap();
        bytes
    }

    /// Writes bytes of the region, from its start on.
    pub(super) fn set_bytes(&self, bytes: &[u8]) {
        self.set_bytes_at(0, bytes);
    }

    pub(super) fn set_bytes_at(&self, at: usize, bytes: &[u8]) {
        let offset = self.region.start_block * BLOCK_BYTES + at as u64;
        self.device.copy(offset, bytes).unwrap().defer();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) records: Vec<(Lsn, Record)>,
    pub(super) tail: Lsn,
}

/// A record that takes `lines` lines of 64 bytes, or is the smallest one; `seed` makes it differ
/// from others.
pub(super) fn record_of(lines: u64, seed: u64) -> Record {
    // Header, two numbers and a length: the rest of the lines is bytes.
    let rest = (lines * 64).saturating_sub(40 + 20).max(1);
    let record = Record::Redo {
        inode: seed + 1,
        offset_bytes: seed,
        bytes: vec![seed as u8 | 1; rest as usize],
    };
    assert_eq!(record.encoded_len(), lines.max(1) * 64);
    record
}

/// Appends with a reservation of its own.
pub(super) fn append(log: &Log, record: &Record) -> Lsn {
    let mut reservation = log.try_reserve(record.encoded_len()).expect("room");
    log.append(&mut reservation, record).unwrap()
}
