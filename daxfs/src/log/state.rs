//! What the log's latch protects: the positions, the record in the making, the first error.
//!
//! Touches memory only. Takes no locks: whoever has a `State` holds the latch.

use std::sync::Arc;

use daxfs_pmem::{DeviceError, Settled};

use super::buffered::Buffered;
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::format::record::header::{ALIGNMENT_BYTES, encode_skip};
use crate::format::record::{Lsn, Record, Stamp};

/// Most records are shorter; a longer one makes its buffer grow once.
const USUAL_RECORD_BYTES: usize = 1024;

pub(super) struct State {
    /// Where a replay would begin.
    pub(super) first: Lsn,
    /// Where the next record, or the skip before it, begins.
    pub(super) tail: Lsn,
    /// Everything before this is durable: in the log, or by a checkpoint.
    pub(super) durable: Lsn,
    pub(super) buffered: Buffered,
    /// The record that is being appended, and the skip before it; kept for their memory.
    pub(super) record: Vec<u8>,
    pub(super) skip: Vec<u8>,
    failed: Option<Arc<DeviceError>>,
}

/// Where a record goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The tail before: where the skip begins, if there is one.
    pub(super) start: Lsn,
    pub(super) lsn: Lsn,
    pub(super) end: Lsn,
}

impl Place {
    pub(super) fn skip_bytes(self) -> u64 {
        self.lsn.since(self.start)
    }
}

impl State {
    pub(super) fn new(first: Lsn, tail: Lsn) -> Self {
        Self {
            first,
            tail,
            durable: tail,
            buffered: Buffered::new(tail),
            record: Vec::with_capacity(USUAL_RECORD_BYTES),
            skip: Vec::with_capacity(ALIGNMENT_BYTES as usize),
            failed: None,
        }
    }

    /// The first error, if there was one.
    pub(super) fn check_working(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(Error::LogFailed {
                source: Arc::clone(first),
            }),
        }
    }

    /// Keeps the first error, and gives it to whoever asks from now on.
    pub(super) fn fail(&mut self, error: DeviceError) -> Error {
        let first = self.failed.get_or_insert_with(|| Arc::new(error));
        Error::LogFailed {
            source: Arc::clone(first),
        }
    }

    /// Where a record of `len_bytes` goes.
    pub(super) fn place(&self, ring: Ring, len_bytes: u64) -> Place {
        let start = self.tail;
        let lsn = start.plus(ring.skip_bytes(start, len_bytes));
        Place {
            start,
            lsn,
            end: lsn.plus(len_bytes),
        }
    }

    /// Makes the bytes of `record` and of the skip before it, if there is one.
    pub(super) fn encode(&mut self, record: &Record, place: Place, epoch: u64) {
        let stamp = |lsn| Stamp {
            lsn,
            epoch,
            durable_lsn: self.durable,
        };
        self.record.clear();
        self.skip.clear();
        if place.skip_bytes() > 0 {
            encode_skip(stamp(place.start), &mut self.skip);
        }
        record.encode(stamp(place.lsn), &mut self.record);
    }

    /// What was encoded is durable, which `_written` proves, and counts from now on.
    pub(super) fn acknowledge(&mut self, place: Place, _written: &Settled) {
        self.tail = place.end;
        self.durable = place.end;
    }

    /// What was encoded waits for a sync.
    pub(super) fn buffer(&mut self, place: Place) {
        self.buffered
            .push(&self.skip, place.skip_bytes(), &self.record);
        self.tail = place.end;
    }

    /// A sync has made everything before `lsn` durable.
    pub(super) fn synced(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn);
        self.buffered.drop_before(lsn);
    }

    /// A checkpoint has everything before `lsn`. Gives the number of bytes that are free now.
    pub(super) fn release_before(&mut self, lsn: Lsn) -> u64 {
        debug_assert!(lsn <= self.tail, "nobody has a checkpoint of the future");
        let lsn = lsn.min(self.tail);
        let freed_bytes = lsn.since(self.first);
        self.first = self.first.max(lsn);
        // What is buffered and in the checkpoint need not be written any more.
        self.synced(lsn);
        freed_bytes
    }
}
