//! Truncating a file and punching holes into it.
//!
//! # Order
//! A truncation first publishes the new length, so that a fault past it fails, then unmaps, then
//! frees: a fault that looked before is waited for by the mapping lock. Freed blocks that a
//! checkpoint has wait for the next one before anybody else can have them.
//!
//! # Locking
//! The I/O lock exclusive over what goes (a growing file: over what comes), and inside it the
//! mapping lock exclusive over the whole units that go.

use std::ops::Range;

use super::io::{range_end, some_range_end};
use super::mapping_lock::Cut;
use super::open_file::OpenFile;
use super::{MAX_FILE_BYTES, checksums, zero};
use crate::error::Result;
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::record::Record;
use crate::inode::attributes::now;
use crate::inode::block_map::Found;

/// Makes the file `len_bytes` long: what is past it is gone, what is new is a hole.
pub(crate) fn truncate(file: &OpenFile, len_bytes: u64) -> Result<()> {
    range_end("truncate", 0, len_bytes)?;
    loop {
        let before = file.inode().len_bytes();
        let bytes = if len_bytes < before {
            len_bytes..u64::MAX
        } else {
            before..len_bytes
        };
        let start = bytes.start;
        let done = file.io_lock.exclusive(bytes, || {
            let now = file.inode().len_bytes();
            let still_shrinks = len_bytes < now;
            if now < start || still_shrinks != (len_bytes < before) {
                // Somebody resized it while we waited: what is locked is not what is needed.
                return None;
            }
            Some(if still_shrinks {
                shrink(file, len_bytes)
            } else {
                grow(file, now, len_bytes)
            })
        });
        if let Some(result) = done {
            return result;
        }
    }
}

fn grow(file: &OpenFile, from_bytes: u64, to_bytes: u64) -> Result<()> {
    zero::zero_gap(file, from_bytes, to_bytes)?;
    // An append from `to_bytes` on does not meet our range and may have come first.
    extend(file, to_bytes)
}

/// Makes the file at least `len_bytes` long, in a transaction of its own.
pub(super) fn extend(file: &OpenFile, len_bytes: u64) -> Result<()> {
    let record = Record::Extend {
        inode: file.inode().number(),
        len_bytes,
        time: now(),
    };
    file.volume().begin(record.encoded_len())?.commit(&record)
}

fn shrink(file: &OpenFile, len_bytes: u64) -> Result<()> {
    let before = file.inode().len_bytes();
    if !len_bytes.is_multiple_of(BLOCK_BYTES) {
        // Part of it stays, and is zeroed when the rest is gone.
        let block = len_bytes / BLOCK_BYTES;
        checksums::check(&file.mapped, block..block + 1)?;
    }
    // Seen by faults from now on, durable with the record of the removal.
    file.inode().set_len_bytes(len_bytes);
    let unit = file.mapped.unit_pages();
    let first = blocks_for_bytes(len_bytes).next_multiple_of(unit);
    let last = blocks_for_bytes(MAX_FILE_BYTES);
    let cut = Cut::Truncate { len_bytes };
    file.mapping_lock
        .remove(&file.mapped, first..last, cut)
        .inspect_err(|_| file.inode().set_len_bytes(before))?;
    zero::zero_range(file, len_bytes, first * BLOCK_BYTES)
}

/// Makes `len_bytes` bytes at `offset_bytes` a hole; the length stays. Blocks that lie in it whole
/// are freed, the edges zeroed.
pub(crate) fn punch_hole(file: &OpenFile, offset_bytes: u64, len_bytes: u64) -> Result<()> {
    let end = some_range_end("punch_hole", offset_bytes, len_bytes)?;
    let unit_bytes = file.mapped.unit_pages() * BLOCK_BYTES;
    // To the end of the unit: it may go whole, and whoever extends the file must wait.
    let locked = offset_bytes..end.next_multiple_of(unit_bytes);
    file.io_lock.exclusive(locked, || {
        let first = offset_bytes.div_ceil(unit_bytes);
        // The unit that holds the end of file goes whole: past the end there is nothing to keep.
        let last = if end >= file.inode().len_bytes() {
            end.div_ceil(unit_bytes)
        } else {
            end / unit_bytes
        };
        if first >= last {
            zero::zero_range(file, offset_bytes, end)?;
        } else {
            let pages = file.mapped.unit_pages();
            let hole = first * pages..last * pages;
            if splits_an_extent(file, &hole) {
                file.volume().reserve_growth(file.inode())?;
            }
            file.mapping_lock.remove(&file.mapped, hole, Cut::Punch)?;
            zero::zero_range(file, offset_bytes, first * unit_bytes)?;
            zero::zero_range(file, last * unit_bytes, end)?;
        }
        file.inode().note_written();
        Ok(())
    })
}

/// Whether a hole leaves blocks on both sides, and so may need one more extent. (Otherwise it must
/// not ask for room: on a full device, punching is how room is made.)
fn splits_an_extent(file: &OpenFile, hole: &Range<u64>) -> bool {
    let is_mapped = |block| matches!(file.mapped.blocks.look_up(block, 1), Found::Mapped(_));
    hole.start > 0 && is_mapped(hole.start - 1) && is_mapped(hole.end)
}
