//! A run of blocks whose content a record may refer to.
//!
//! The records that hand new blocks to a file hold one of these, and nothing else makes one than
//! the device's word that the content comes first. So a record of blocks that a crash could still
//! take back cannot be built, let alone appended. Pure: no I/O, no locks.

use daxfs_pmem::Settled;

use crate::format::geometry::BLOCK_BYTES;
use crate::run::Run;

/// A run of device blocks whose content is settled: durable, or sure to be before any record that
/// names the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettledRun(Run);

impl SettledRun {
    /// The proof is the settled content; `None` when that is not all of `run`.
    pub(crate) fn new(run: Run, content: &Settled) -> Option<Self> {
        let offset_bytes = run.block.checked_mul(BLOCK_BYTES)?;
        let len_bytes = run.len_blocks.checked_mul(BLOCK_BYTES)?;
        content.covers(offset_bytes, len_bytes).then_some(Self(run))
    }

    /// A run that a record on the medium names: its content was settled before the record was
    /// written.
    pub(super) fn recorded(run: Run) -> Self {
        Self(run)
    }

    /// The blocks.
    pub(crate) fn run(self) -> Run {
        self.0
    }

    /// The first `len_blocks` of it, and the rest.
    pub(crate) fn split_at(self, len_blocks: u64) -> (Self, Self) {
        let (first, rest) = self.0.split_at(len_blocks);
        (Self(first), Self(rest))
    }
}
