//! The same blocks for two places: clones of ranges of files (`FICLONERANGE`).
//!
//! ```text
//!   I/O locks: the source's bytes shared, the target's exclusive
//!     for each part of 2 MiB at most:
//!       sharing lock of the source, alone
//!         mark the source's blocks; take them from mappings that may write them
//!         for each run of blocks and holes of the source:
//!           under the target's mapping lock: count, put into the target's block map, log
//!           invalidate what the target had; give it up
//!   the target's new length
//! ```
//! Each part is one record of the log, so a crash leaves parts of a clone whole or not at all.
//!
//! # Locking
//! I/O locks of two files, that of the smaller inode number first; of one file once, over both
//! ranges and what lies between. The sharing lock of the source, alone, and inside it the mapping
//! lock of the source, and then that of the target. The order latches of both, the smaller inode
//! number first.

use std::ops::Range;

use super::io::range_end;
use super::mapping_lock::Cut;
use super::open_file::OpenFile;
use super::sharing::Marker;
use super::{resize, zero};
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::item::Sharing;
use crate::format::record::Record;
use crate::inode::attributes::now;
use crate::inode::block_map::{Found, SEGMENT_BLOCKS};
use crate::run::Run;

/// What the record of shared blocks takes of the log, in bytes.
const SHARE_LOG_BYTES: u64 = 128;

/// Blocks of metadata for the checksums of 2 MiB, and to write them anew to.
const CHECKSUMS_RESERVE_BLOCKS: u64 = 4;

/// Bytes of one file that are to be another's, too.
#[derive(Clone, Copy)]
pub(crate) struct CloneRange<'file> {
    pub(crate) from: &'file OpenFile,
    pub(crate) from_bytes: u64,
    pub(crate) to: &'file OpenFile,
    pub(crate) to_bytes: u64,
    pub(crate) len_bytes: u64,
}

/// Gives a range of one file the blocks of a range of another, or of the same. All three numbers
/// are multiples of the unit of the device, except that the range may end with the source.
///
/// # Errors
/// [`Error::InvalidOption`] when the range is not such a one, is not in the source, overlaps itself
/// or would end within a block of the target; [`Error::InvalidRange`], [`Error::NoSpace`] for
/// metadata, and what the device reports. Some of the range may be cloned then.
pub(crate) fn clone_range(range: CloneRange<'_>) -> Result<()> {
    range.check()?;
    loop {
        let before = range.to.inode().len_bytes();
        let start = range.to_bytes.min(before);
        let done = range.with_both(start, || {
            let now = range.to.inode().len_bytes();
            if now < start {
                // Truncated while we waited: the gap that is to be zeroed is not all ours.
                return None;
            }
            Some(range.clone_locked(now))
        });
        if let Some(result) = done {
            return result;
        }
    }
}

impl CloneRange<'_> {
    fn source_end(&self) -> u64 {
        self.from_bytes + self.len_bytes
    }

    fn target_end(&self) -> u64 {
        self.to_bytes + self.len_bytes
    }

    fn is_within_one_file(&self) -> bool {
        self.from.inode().number() == self.to.inode().number()
    }

    /// What the arguments alone show.
    fn check(&self) -> Result<()> {
        range_end("clone_range", self.from_bytes, self.len_bytes)?;
        range_end("clone_range", self.to_bytes, self.len_bytes)?;
        let unit_bytes = self.to.mapped.unit_pages() * BLOCK_BYTES;
        if !(self.from_bytes | self.to_bytes).is_multiple_of(unit_bytes) {
            return invalid(format!(
                "bytes {} and {} are not both multiples of {unit_bytes}",
                self.from_bytes, self.to_bytes
            ));
        }
        let overlaps = self.from_bytes < self.target_end() && self.to_bytes < self.source_end();
        if self.is_within_one_file() && overlaps {
            return invalid("the ranges overlap in one file".into());
        }
        Ok(())
    }

    /// What the files show, with both locked.
    fn check_ends(&self, target_len_bytes: u64) -> Result<()> {
        let unit_bytes = self.to.mapped.unit_pages() * BLOCK_BYTES;
        let source_len_bytes = self.from.inode().len_bytes();
        let (from_end, to_end) = (self.source_end(), self.target_end());
        if from_end > source_len_bytes {
            return invalid(format!(
                "the range ends at {from_end}, and the source at {source_len_bytes}"
            ));
        }
        if self.len_bytes.is_multiple_of(unit_bytes) {
            return Ok(());
        }
        if from_end != source_len_bytes || to_end < target_len_bytes {
            return invalid(format!(
                "{} bytes are not whole units of {unit_bytes}, and do not end both files",
                self.len_bytes
            ));
        }
        Ok(())
    }

    /// Runs `section` with the source locked shared, and the target from `to_start` on.
    fn with_both<T>(&self, to_start: u64, section: impl FnOnce() -> T) -> T {
        let from = self.from_bytes..self.source_end();
        let to = to_start..self.target_end();
        let (source, target) = (&self.from.io_lock, &self.to.io_lock);
        if self.is_within_one_file() {
            return target.exclusive(from.start.min(to.start)..from.end.max(to.end), section);
        }
        if self.from.inode().number() < self.to.inode().number() {
            source.shared(from, || target.exclusive(to, section))
        } else {
            target.exclusive(to, || source.shared(from, section))
        }
    }

    fn clone_locked(&self, target_len_bytes: u64) -> Result<()> {
        self.check_ends(target_len_bytes)?;
        if self.len_bytes == 0 {
            return Ok(());
        }
        if self.to_bytes > target_len_bytes {
            zero::zero_gap(self.to, target_len_bytes, self.to_bytes)?;
        }
        self.to.volume().load_owners()?;
        let blocks = self.from_bytes / BLOCK_BYTES..blocks_for_bytes(self.source_end());
        let mut at = blocks.start;
        while at < blocks.end {
            let end = blocks.end.min((at / SEGMENT_BLOCKS + 1) * SEGMENT_BLOCKS);
            self.clone_part(at..end)?;
            at = end;
        }
        if self.target_end() > self.to.inode().len_bytes() {
            resize::extend(self.to, self.target_end())?;
        }
        self.to.inode().note_written();
        Ok(())
    }

    /// The block of the target for one of the source.
    fn target_block(&self, source_block: u64) -> u64 {
        source_block - self.from_bytes / BLOCK_BYTES + self.to_bytes / BLOCK_BYTES
    }

    fn clone_part(&self, blocks: Range<u64>) -> Result<()> {
        let (source, target) = (&self.from.mapped, &self.to.mapped);
        let marker = source.sharing.alone();
        // A unit of 2 MiB is shared whole: what it has past the end of the source as well.
        let units = source.units_of(blocks);
        let protect = || source.protect(units.clone(), &marker);
        self.from
            .mapping_lock
            .change(source, units.clone(), protect)?;
        let mut at = units.start;
        while at < units.end {
            let (is_hole, len_blocks) = self.same_from(at, units.end);
            let to = self.target_block(at);
            let to_blocks = to..to + len_blocks;
            if is_hole {
                let hole = target.units_of(to_blocks);
                self.to.mapping_lock.remove(target, hole, Cut::Punch)?;
            } else {
                self.share(at..at + len_blocks, to_blocks, &marker)?;
            }
            at += len_blocks;
        }
        Ok(())
    }

    /// How far the source goes on as at `block`: with marked blocks, or as a hole. What a fault has
    /// put into a hole after the marking came later than the clone.
    fn same_from(&self, block: u64, end: u64) -> (bool, u64) {
        let look = |at: u64| match self.from.mapped.blocks.look_up(at, end - at) {
            Found::Mapped(found) if found.sharing == Sharing::Shared => {
                (false, found.run.len_blocks)
            }
            found => (true, found.len_blocks()),
        };
        let (is_hole, mut len_blocks) = look(block);
        while block + len_blocks < end {
            match look(block + len_blocks) {
                (same, more) if same == is_hole => len_blocks += more,
                _ => break,
            }
        }
        (is_hole, len_blocks)
    }

    /// Gives marked blocks of the source to the target as well.
    fn share(&self, from: Range<u64>, to: Range<u64>, _marker: &Marker<'_>) -> Result<()> {
        let target = &self.to.mapped;
        let runs = self.from.mapped.blocks.extents_within(from.clone()).len();
        for _ in 0..runs {
            // One more extent of the target, perhaps of the source, and a count.
            target.volume.reserve_growth(&target.inode)?;
            target.volume.reserve_growth(&self.from.mapped.inode)?;
        }
        if self.from.mapped.blocks.checksums.has_any() {
            target
                .volume
                .allocator
                .grow_reserve(CHECKSUMS_RESERVE_BLOCKS)?;
        }
        self.to.mapping_lock.change(target, to.clone(), || {
            let withdrawn = self.publish(from, to.clone())?;
            target.give_up(to, withdrawn)
        })
    }

    /// In a transaction of its own. Returns blocks of the target that no place has any more.
    fn publish(&self, from: Range<u64>, to: Range<u64>) -> Result<Vec<Run>> {
        let (source, target) = (&self.from.mapped, &self.to.mapped);
        let volume = &target.volume;
        let mut transaction = volume.begin(SHARE_LOG_BYTES)?;
        let source_is_first = source.inode.number() < target.inode.number();
        let (_first, _second) = match (self.is_within_one_file(), source_is_first) {
            (true, _) => (target.order(), None),
            (false, true) => (source.order(), Some(target.order())),
            (false, false) => (target.order(), Some(source.order())),
        };
        let mut given_up = Vec::new();
        for extent in source.blocks.extents_within(from.clone()) {
            volume.owners.share(extent.run);
            let at = self.target_block(extent.file_block);
            given_up.extend(target.blocks.replace(at, extent.mapped()));
            let blocks = extent.file_blocks();
            target.blocks.bring_checksums(&source.blocks, &blocks, at);
        }
        volume.mark_changed(&transaction, &source.inode);
        volume.mark_changed(&transaction, &target.inode);
        let (len_bytes, time) = (self.target_end().min(to.end * BLOCK_BYTES), now());
        transaction.log(&Record::Share {
            from_inode: source.inode.number(),
            from_block: from.start,
            to_inode: target.inode.number(),
            to_block: to.start,
            len_blocks: from.end - from.start,
            len_bytes,
            time,
        })?;
        target.inode.touch(time);
        target.inode.extend_len_bytes(len_bytes);
        Ok(volume.withdraw(&given_up))
    }
}

fn invalid<T>(problem: String) -> Result<T> {
    Err(Error::InvalidOption {
        reason: format!("clone_range: {problem}"),
    })
}
