//! Writes that a crash leaves whole or not at all ([`DataMode::Atomic`](super::DataMode)).
//!
//! # Two ways
//! ```text
//!   redo: less than a block, onto blocks that are there, of a file that nobody maps
//!     log the bytes; fence           a crash before this leaves the old bytes
//!     copy them in place; fence      a crash before this: the mount copies them again
//!   replace: everything else
//!     allocate blocks; copy the bytes; copy what is around them in the first and the last block
//!     log all runs in one record     a crash leaves the old blocks or the new ones
//! ```
//! A write of 64 bytes so costs a record of two lines instead of a copy of 4 KiB. What redo may be
//! needed for is over when the bytes are in place; but the record stays in the log until the next
//! checkpoint, and would bring old bytes back if newer ones came there without one. So whoever
//! changes bytes in place otherwise (through a mapping, or by zeroing) first logs that all redo of
//! the file is done ([`settle_redo`]).
//!
//! On files (`msync`) nobody knows when bytes in place reach the medium, so there is no redo.
//!
//! # Invariants
//! 1. While a file has a window, nothing is logged for redo: both are decided under the sharing
//!    lock, shared for redo until the bytes are in place, alone for the first window.
//! 2. Blocks whose old bytes are copied do not change from the copy until they are replaced: they
//!    are marked as shared meanwhile ([`sharing`](super::sharing)).
//!
//! # Locking
//! The caller holds the I/O lock exclusive over the bytes; inside it the sharing lock, and the
//! mapping lock exclusive. User memory is touched before either is taken.

use std::ops::Range;

use daxfs_pmem::{InFlight, Persistence};

use super::buffers::Source;
use super::checksums;
use super::open_file::OpenFile;
use super::prepared::{Content, Filled, Prepared};
use super::sharing::Marker;
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::item::Sharing;
use crate::format::record::Record;
use crate::inode::block_map::Found;

/// Longer writes are copied on write, even onto blocks that are there.
const REDO_MOST_BYTES: usize = 2048;

/// Runs of blocks that one write may need: their record fits the smallest log many times over.
const MOST_RUNS: usize = 256;

/// How much of a write has to go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All, or it is an error.
    All,
    /// A first part is a success, too.
    WhatFits,
}

/// Writes `source` at `offset_bytes`, all of it or, where free space is in too many pieces or runs
/// out, a first part. Returns how many bytes; the file is as long as that makes it.
///
/// # Errors
/// [`Error::NoSpace`] when nothing was written, and what the device or the log reports.
pub(super) fn write(
    file: &OpenFile,
    source: Source<'_>,
    offset_bytes: u64,
    wanted: Wanted,
) -> Result<usize> {
    if source.len() == 0 {
        return Ok(0);
    }
    if source.len() <= REDO_MOST_BYTES && try_redo(file, source, offset_bytes)? {
        return Ok(source.len());
    }
    replace(file, source, offset_bytes, wanted)
}

// ---- Redo -------------------------------------------------------------------------------------

/// Whether it could be done this way.
fn try_redo(file: &OpenFile, source: Source<'_>, offset_bytes: u64) -> Result<bool> {
    let mapped = &file.mapped;
    let end = offset_bytes + source.len() as u64;
    if mapped.volume.device.persistence() == Persistence::Msync || end > mapped.inode.len_bytes() {
        return Ok(false);
    }
    let bytes = source.to_vec();
    let _sharers = mapped.sharing.shared();
    if !mapped.windows.is_empty() {
        return Ok(false);
    }
    let blocks = offset_bytes / BLOCK_BYTES..blocks_for_bytes(end);
    let Found::Mapped(found) = mapped
        .blocks
        .look_up(blocks.start, blocks.end - blocks.start)
    else {
        return Ok(false);
    };
    if found.sharing == Sharing::Shared || found.run.len_blocks < blocks.end - blocks.start {
        return Ok(false);
    }
    checksums::before_change(mapped, offset_bytes..end)?;
    let record = Record::Redo {
        inode: mapped.inode.number(),
        offset_bytes,
        bytes: bytes.clone(),
    };
    // Held until the bytes are in place: a checkpoint lets go of the record.
    let mut transaction = mapped.volume.begin(record.encoded_len())?;
    mapped.inode.set_redo();
    transaction.log(&record)?;
    let at = found.run.block * BLOCK_BYTES + offset_bytes % BLOCK_BYTES;
    let in_flight = mapped.volume.device.copy(at, &bytes)?;
    let _in_place = mapped.volume.settle(in_flight)?;
    Ok(true)
}

/// Logs that all bytes logged for redo of the file are in place, if any were logged. The caller is
/// about to change bytes in place, or to let a mapping do so.
///
/// # Errors
/// What the log reports.
pub(super) fn settle_redo(file: &OpenFile, _alone: &Marker<'_>) -> Result<()> {
    let mapped = &file.mapped;
    if !mapped.inode.take_redo() {
        return Ok(());
    }
    let record = Record::RedoDone {
        inode: mapped.inode.number(),
    };
    mapped.volume.begin(record.encoded_len())?.log(&record)
}

// ---- Replace ----------------------------------------------------------------------------------

/// Blocks that a write fills.
struct Part<'file> {
    file_block: u64,
    prepared: Prepared<'file>,
    filled: InFlight,
}

fn replace(
    file: &OpenFile,
    source: Source<'_>,
    offset_bytes: u64,
    wanted: Wanted,
) -> Result<usize> {
    let mapped = &file.mapped;
    let end = offset_bytes + source.len() as u64;
    let blocks = mapped.units_of(offset_bytes / BLOCK_BYTES..blocks_for_bytes(end));
    let mut parts = fill(file, source, offset_bytes, blocks.clone())?;
    let Some(last) = parts.last() else {
        return Ok(0);
    };
    let covered = blocks.start..last.file_block + last.prepared.run().len_blocks;
    if wanted == Wanted::All && covered.end < blocks.end {
        return Err(Error::NoSpace {
            needed_blocks: blocks.end - blocks.start,
            available_blocks: covered.end - covered.start,
        });
    }
    let end = end.min(covered.end * BLOCK_BYTES);

    let marker = mapped.sharing.alone();
    for edge in edges(&covered, offset_bytes..end) {
        keep_edge(file, &mut parts, edge, &marker)?;
    }
    let mut filled = Vec::with_capacity(parts.len());
    for part in parts {
        let settled = mapped.volume.settle(part.filled)?;
        let fresh = part.prepared.filled(&settled, Content::New)?;
        filled.push((part.file_block, fresh));
    }
    publish(file, filled, end)?;
    Ok((end - offset_bytes) as usize)
}

/// Allocates for `blocks`, as far as space and one record allow, and copies the bytes in.
fn fill<'file>(
    file: &'file OpenFile,
    source: Source<'_>,
    offset_bytes: u64,
    blocks: Range<u64>,
) -> Result<Vec<Part<'file>>> {
    let mapped = &file.mapped;
    let device = &mapped.volume.device;
    let source_end = offset_bytes + source.len() as u64;
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut at = blocks.start;
    while at < blocks.end && parts.len() < MOST_RUNS {
        let prepared = match mapped.allocate(at, blocks.end - at, mapped.placement()) {
            Ok(prepared) => prepared,
            Err(Error::NoSpace { .. }) if !parts.is_empty() => break,
            Err(error) => return Err(error),
        };
        let run = prepared.run();
        let (start, end) = (at * BLOCK_BYTES, (at + run.len_blocks) * BLOCK_BYTES);
        let (from, to) = (offset_bytes.max(start), source_end.min(end));
        let bytes = source.after((from - offset_bytes) as usize);
        let bytes = bytes.first((to - from) as usize);
        let filled = bytes.copy_to(device, run.block * BLOCK_BYTES + (from - start))?;
        parts.push(Part {
            file_block: at,
            prepared,
            filled,
        });
        at += run.len_blocks;
    }
    Ok(parts)
}

/// What `covered` has before and after `written`, in bytes.
fn edges(covered: &Range<u64>, written: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let before = covered.start * BLOCK_BYTES..written.start;
    let after = written.end..covered.end * BLOCK_BYTES;
    [before, after]
        .into_iter()
        .filter(|bytes| !bytes.is_empty())
}

/// Copies bytes that are not written from where they are now.
fn keep_edge(
    file: &OpenFile,
    parts: &mut [Part<'_>],
    bytes: Range<u64>,
    marker: &Marker<'_>,
) -> Result<()> {
    let mapped = &file.mapped;
    let blocks = bytes.start / BLOCK_BYTES..blocks_for_bytes(bytes.end);
    if !mapped.windows.is_empty() {
        let pages = mapped.units_of(blocks);
        let protect = || mapped.protect(pages.clone(), marker);
        file.mapping_lock.change(mapped, pages.clone(), protect)?;
    }
    let mut at = bytes.start;
    while at < bytes.end {
        let block = at / BLOCK_BYTES;
        let part = parts.iter_mut().rev().find(|part| part.file_block <= block);
        let Some(part) = part else {
            break;
        };
        let within = part.file_block + part.prepared.run().len_blocks;
        let found = mapped.blocks.look_up(block, within - block);
        let to = bytes.end.min((block + found.len_blocks()) * BLOCK_BYTES);
        let place =
            |first: u64, first_block: u64| first * BLOCK_BYTES + (at - first_block * BLOCK_BYTES);
        let target = place(part.prepared.run().block, part.file_block);
        let copied = match found {
            Found::Hole { .. } => mapped.volume.device.zero(target, to - at)?,
            Found::Mapped(old) => {
                checksums::check(mapped, block..blocks_for_bytes(to))?;
                let from = place(old.run.block, block);
                mapped.volume.device_copy(from, target, to - at)?
            }
        };
        let before = std::mem::replace(&mut part.filled, mapped.volume.device.zero(target, 0)?);
        part.filled = before.and(copied);
        at = to;
    }
    Ok(())
}

/// All runs in one record, which makes the file `end_bytes` long at least; then invalidates what
/// they replace, and gives it up.
fn publish(file: &OpenFile, filled: Vec<(u64, Filled<'_>)>, end_bytes: u64) -> Result<()> {
    let mapped = &file.mapped;
    let first = filled.first().map_or(0, |(at, _)| *at);
    let last = filled.last();
    let end = last.map_or(first, |(at, fresh)| at + fresh.run().len_blocks);
    file.mapping_lock.change(mapped, first..end, || {
        let withdrawn = mapped.replace_all(filled, end_bytes)?;
        mapped.give_up(first..end, withdrawn)
    })
}
