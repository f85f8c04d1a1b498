//! Records that wait in memory for a sync: the log of the `msync` back end.
//!
//! They lie as they will on the device, one after the other with skips and padding, so that writing
//! them is one copy, or two where the ring ends. Touches the device only in [`Buffered::write`].
//! Takes no locks: the log's latch is held.

use daxfs_pmem::{Device, DeviceError, Durable, InFlight};

use super::ring::Ring;
use crate::format::record::Lsn;

/// The bytes of the log from some position up to its tail.
pub(super) struct Buffered {
    start: Lsn,
    bytes: Vec<u8>,
}

impl Buffered {
    pub(super) fn new(tail: Lsn) -> Self {
        Self {
            start: tail,
            bytes: Vec::new(),
        }
    }

    /// Adds a skip over `skip_bytes`, which are the last ones of the ring, and what comes after it.
    pub(super) fn push(&mut self, skip: &[u8], skip_bytes: u64, record: &[u8]) {
        let record_at = self.bytes.len() + skip_bytes as usize;
        self.bytes.extend_from_slice(skip);
        self.bytes.resize(record_at, 0);
        self.bytes.extend_from_slice(record);
    }

    /// Copies everything before `until` to its place in the ring. What these records refer to is
    /// durable, since the whole device is, which `data` proves: the kernel may write back what is
    /// copied here at once.
    pub(super) fn write(
        &self,
        until: Lsn,
        ring: Ring,
        device: &Device,
        data: &Durable,
    ) -> Result<Vec<InFlight>, DeviceError> {
        debug_assert_eq!(data.len_bytes(), device.usable_bytes());
        let len = (until.since(self.start) as usize).min(self.bytes.len());
        let mut rest = &self.bytes[..len];
        let mut at = self.start;
        let mut pieces = Vec::with_capacity(2);
        while !rest.is_empty() {
            let len = rest.len().min(ring.bytes_to_end(at) as usize);
            let (piece, after) = rest.split_at(len);
            pieces.push(device.copy(ring.offset_bytes(at), piece)?);
            at = at.plus(len as u64);
            rest = after;
        }
        Ok(pieces)
    }

    /// Forgets everything before `lsn`.
    pub(super) fn drop_before(&mut self, lsn: Lsn) {
        let len = (lsn.since(self.start) as usize).min(self.bytes.len());
        self.bytes.drain(..len);
        self.start = self.start.plus(len as u64);
    }
}
