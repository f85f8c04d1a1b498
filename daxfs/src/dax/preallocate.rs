//! Blocks for what is still a hole, ahead of time; zeroes for what is not; and room taken out of
//! the middle of a file, or put there (`fallocate(2)`).
//!
//! New blocks are zeroed when they are allocated, so they read as a hole does and no block is ever
//! "not yet written". Blocks past the end of file are allowed; what lies there is zeroed when the
//! file grows over it ([`zero`]).
//!
//! # Locking
//! The I/O lock exclusive: over the range, and from the old end on where the file grows; over
//! everything from the range on where it is shifted. Inside it what the mapping lock takes to
//! publish or to remove.

use super::io::{range_end, some_range_end};
use super::mapped_file::MappedFile;
use super::mapping_lock::Cut;
use super::open_file::OpenFile;
use super::prepared::Content as Filling;
use super::{MAX_FILE_BYTES, resize, zero};
use crate::allocation::Placement;
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::record::ShiftDirection;
use crate::inode::block_map::Found;

/// What becomes of the length when a range past the end is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Length {
    /// It grows to cover the range.
    #[default]
    Grow,
    /// It stays (`FALLOC_FL_KEEP_SIZE`).
    Keep,
}

/// What becomes of the bytes of a range that is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Stays,
    /// All of it is zero.
    Zero,
}

/// Gives `len_bytes` bytes at `offset_bytes` blocks where they have none.
pub(crate) fn allocate(
    file: &OpenFile,
    offset_bytes: u64,
    len_bytes: u64,
    length: Length,
    content: Content,
) -> Result<()> {
    let end = some_range_end("allocate", offset_bytes, len_bytes)?;
    loop {
        let before = file.inode().len_bytes();
        let grows = length == Length::Grow && end > before;
        let start = if grows {
            offset_bytes.min(before)
        } else {
            offset_bytes
        };
        let done = file.io_lock.exclusive(start..end, || {
            let now = file.inode().len_bytes();
            if length == Length::Grow && end > now && now < start {
                // Truncated while we waited: the gap that is to be zeroed is not all ours.
                return None;
            }
            Some(allocate_locked(file, offset_bytes..end, length, content))
        });
        if let Some(result) = done {
            return result;
        }
    }
}

fn allocate_locked(
    file: &OpenFile,
    bytes: std::ops::Range<u64>,
    length: Length,
    content: Content,
) -> Result<()> {
    let before = file.inode().len_bytes();
    let grows = length == Length::Grow && bytes.end > before;
    if grows {
        zero::zero_gap(file, before, bytes.end)?;
    }
    if content == Content::Zero {
        zero::zero_range(file, bytes.start, bytes.end)?;
    }
    let blocks = bytes.start / BLOCK_BYTES..blocks_for_bytes(bytes.end);
    fill_holes(file, file.mapped.units_of(blocks))?;
    if grows {
        resize::extend(file, bytes.end)?;
    } else {
        file.inode().note_written();
    }
    Ok(())
}

/// Puts zeroed blocks into every hole.
fn fill_holes(file: &OpenFile, blocks: std::ops::Range<u64>) -> Result<()> {
    let mapped = &file.mapped;
    let mut at = blocks.start;
    while at < blocks.end {
        let len_blocks = match mapped.blocks.look_up(at, blocks.end - at) {
            Found::Mapped(found) => found.run.len_blocks,
            Found::Hole { len_blocks } => fill_hole(file, mapped, at, len_blocks)?,
        };
        at += len_blocks;
    }
    Ok(())
}

/// Returns how many blocks of the hole are filled: some at least, or somebody else has filled it.
fn fill_hole(file: &OpenFile, mapped: &MappedFile, at: u64, len_blocks: u64) -> Result<u64> {
    let fresh = mapped.allocate(at, len_blocks, Placement::Aligned)?;
    let zeroes = file.volume().zero_blocks(fresh.run())?;
    let mut fresh = fresh.filled(&zeroes, Filling::New)?;
    file.mapping_lock.publish(mapped, at, &mut fresh, 0)
}

/// Takes `len_bytes` bytes at `offset_bytes` out, or puts a hole of as many there; what comes after
/// moves.
pub(crate) fn shift(
    file: &OpenFile,
    offset_bytes: u64,
    len_bytes: u64,
    direction: ShiftDirection,
) -> Result<()> {
    let operation = match direction {
        ShiftDirection::TowardsStart => "collapse_range",
        ShiftDirection::TowardsEnd => "insert_range",
    };
    let end = some_range_end(operation, offset_bytes, len_bytes)?;
    let unit_bytes = file.mapped.unit_pages() * BLOCK_BYTES;
    let is_aligned = (offset_bytes | len_bytes).is_multiple_of(unit_bytes);
    let invalid = |reason: String| Err(Error::InvalidOption { reason });
    if !is_aligned {
        return invalid(format!(
            "{operation}: {len_bytes} bytes at {offset_bytes} are not whole units of {unit_bytes}"
        ));
    }
    file.io_lock.exclusive(offset_bytes..u64::MAX, || {
        let before = file.inode().len_bytes();
        let after = match direction {
            ShiftDirection::TowardsStart if end >= before => {
                return invalid(format!(
                    "{operation}: the range ends at {end}, and the file at {before}; truncate it"
                ));
            }
            ShiftDirection::TowardsStart => before - len_bytes,
            ShiftDirection::TowardsEnd if offset_bytes >= before => {
                return invalid(format!(
                    "{operation}: the range begins at {offset_bytes}, and the file ends at {before}"
                ));
            }
            ShiftDirection::TowardsEnd => range_end(operation, before, len_bytes)?,
        };
        file.volume().reserve_growth(file.inode())?;
        let pages = offset_bytes / BLOCK_BYTES..blocks_for_bytes(MAX_FILE_BYTES);
        let cut = Cut::Shift {
            len_blocks: len_bytes / BLOCK_BYTES,
            direction,
            len_bytes: after,
        };
        file.mapping_lock.remove(&file.mapped, pages, cut)
    })
}
