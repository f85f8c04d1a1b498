//! Where in the device a position of the log lies.
//!
//! Pure arithmetic: touches nothing, takes no locks.

use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::Lsn;
use crate::format::record::header::ALIGNMENT_BYTES;

/// The blocks of the device that hold the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRegion {
    pub(crate) start_block: u64,
    pub(crate) blocks: u64,
}

/// The region as a ring of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    start_bytes: u64,
    len_bytes: u64,
}

impl Ring {
    /// A region without blocks, which no superblock names, counts as one block.
    pub(super) fn new(region: LogRegion) -> Self {
        Self {
            start_bytes: region.start_block.saturating_mul(BLOCK_BYTES),
            len_bytes: region.blocks.max(1).saturating_mul(BLOCK_BYTES),
        }
    }

    /// How many bytes it holds.
    pub(super) fn len_bytes(self) -> u64 {
        self.len_bytes
    }

    /// Where it ends, in bytes from the start of the device.
    pub(super) fn end_bytes(self) -> u64 {
        self.start_bytes.saturating_add(self.len_bytes)
    }

    /// The longest record it takes, padding included: a quarter, so that whatever a reservation
    /// keeps for a skip, several of the longest fit at once.
    pub(super) fn max_record_bytes(self) -> u64 {
        self.len_bytes / 4
    }

    /// Where `lsn` lies, in bytes from the start of the device.
    pub(super) fn offset_bytes(self, lsn: Lsn) -> u64 {
        self.start_bytes.saturating_add(lsn.get() % self.len_bytes)
    }

    /// The block of the device that holds `lsn`.
    pub(super) fn block(self, lsn: Lsn) -> u64 {
        self.offset_bytes(lsn) / BLOCK_BYTES
    }

    /// How many bytes there are from `lsn` to the end of the ring: never 0.
    pub(super) fn bytes_to_end(self, lsn: Lsn) -> u64 {
        self.len_bytes - lsn.get() % self.len_bytes
    }

    /// How many bytes a record of `record_bytes` at `lsn` has to leave out so as not to be cut by
    /// the end of the ring: 0, or all that are left there, which are fewer than the record by at
    /// least 64, and at least 64.
    pub(super) fn skip_bytes(self, lsn: Lsn, record_bytes: u64) -> u64 {
        debug_assert!(lsn.get().is_multiple_of(ALIGNMENT_BYTES));
        let left = self.bytes_to_end(lsn);
        if record_bytes > left { left } else { 0 }
    }
}
