//! Reading and writing a file at an offset, straight from and to the device.
//!
//! # One write
//! ```text
//!   I/O lock exclusive over the bytes
//!     for each piece:
//!       mapped: copy onto the block
//!       shared: take it back, or copy on write
//!       hole:   allocate blocks nobody can see; copy the data and zero the rest; fence
//!               publish under the mapping lock: block map, then entries, then page tables
//!     fence; then the new length
//!   unlock
//! ```
//! In the mode `atomic` the pieces are those of [`atomic`] instead.
//!
//! So user memory is only touched with the I/O lock held, never with a mapping lock (the buffer may
//! be a mapping of the same file: it then faults, and the fault takes the mapping lock); a block is
//! initialised before anything can reach it; and a fence comes before the unlock.
//!
//! # Locking
//! The I/O lock over exactly the bytes read or written. A write past the end locks from the old end
//! on, so that the gap, which it zeroes, is its own; never beyond what it writes. An append holds
//! the append mutex and then `[end, end + len)`.

use std::io::{IoSlice, IoSliceMut};

use daxfs_pmem::InFlight;

use super::atomic::Wanted;
use super::buffers::{Source, total_len};
use super::mapping_lock::Cut;
use super::open_file::OpenFile;
use super::prepared::Content;
use super::settings::DataMode;
use super::{MAX_FILE_BYTES, atomic, checksums, copy_on_write, resize, zero};
use crate::error::{Error, Result};
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::format::item::Sharing;
use crate::inode::block_map::Found;
use crate::lock_order::{Held, Rank};
use crate::schedule::Point;

/// The end of `len_bytes` bytes at `offset_bytes`.
///
/// # Errors
/// [`Error::InvalidRange`] when a file cannot have them.
pub(crate) fn range_end(operation: &'static str, offset_bytes: u64, len_bytes: u64) -> Result<u64> {
    offset_bytes
        .checked_add(len_bytes)
        .filter(|end| *end <= MAX_FILE_BYTES)
        .ok_or(Error::InvalidRange {
            operation,
            offset_bytes,
            len_bytes,
            max_bytes: MAX_FILE_BYTES,
        })
}

/// The end of `len_bytes` bytes, at least one, at `offset_bytes`.
///
/// # Errors
/// [`Error::InvalidOption`] for no bytes, and as [`range_end`].
pub(crate) fn some_range_end(
    operation: &'static str,
    offset_bytes: u64,
    len_bytes: u64,
) -> Result<u64> {
    if len_bytes == 0 {
        return Err(Error::InvalidOption {
            reason: format!("{operation}: a range of no bytes"),
        });
    }
    range_end(operation, offset_bytes, len_bytes)
}

// ---- Read -------------------------------------------------------------------------------------

/// Reads into `buffer` from `offset_bytes` on, and returns how many bytes there were.
pub(crate) fn read_at(file: &OpenFile, buffer: &mut [u8], offset_bytes: u64) -> Result<usize> {
    let len = buffer.len();
    read(file, offset_bytes, len, |wanted| {
        copy_out(file, &mut buffer[..wanted], offset_bytes)
    })
}

/// Reads into `buffers`, one after the other, in one step.
pub(crate) fn read_vectored_at(
    file: &OpenFile,
    buffers: &mut [IoSliceMut<'_>],
    offset_bytes: u64,
) -> Result<usize> {
    let len = total_len(
        "read_vectored_at",
        buffers.iter().map(|buffer| buffer.len()),
    )?;
    read(file, offset_bytes, len, |wanted| {
        let mut done = 0;
        for buffer in buffers {
            let len = buffer.len().min(wanted - done);
            copy_out(file, &mut buffer[..len], offset_bytes + done as u64)?;
            done += len;
        }
        Ok(())
    })
}

/// Locks what there is of `len` bytes, and has `copy` read as many.
fn read(
    file: &OpenFile,
    offset_bytes: u64,
    len: usize,
    copy: impl FnOnce(usize) -> Result<()>,
) -> Result<usize> {
    // As on Linux, where no file can have bytes nothing was read.
    if len > 0 && offset_bytes < MAX_FILE_BYTES {
        // Brought into the log when the file is synced or closed: it is open.
        let _is_new = file.inode().note_read();
    }
    let wanted = within_file(file, offset_bytes, len);
    let end = offset_bytes.saturating_add(wanted as u64);
    file.io_lock.shared(offset_bytes..end, || {
        // The file may have been truncated while we waited; what is left is locked.
        let wanted = within_file(file, offset_bytes, wanted);
        copy(wanted)?;
        Ok(wanted)
    })
}

fn within_file(file: &OpenFile, offset_bytes: u64, len: usize) -> usize {
    let rest = file.inode().len_bytes().saturating_sub(offset_bytes);
    len.min(usize::try_from(rest).unwrap_or(usize::MAX))
}

fn copy_out(file: &OpenFile, buffer: &mut [u8], offset_bytes: u64) -> Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let piece = Piece::at(file, offset_bytes + done as u64, buffer.len() - done);
        let target = &mut buffer[done..done + piece.len];
        match piece.place {
            Place::Device(at) | Place::Shared(at) => {
                let start = offset_bytes + done as u64;
                let end = start + piece.len as u64;
                checksums::check(&file.mapped, start / BLOCK_BYTES..blocks_for_bytes(end))?;
                file.volume().device.read(at, target)?;
            }
            Place::Hole => target.fill(0),
        }
        done += piece.len;
    }
    Ok(())
}

/// Bytes of a file that lie together on the device, or in one hole.
struct Piece {
    len: usize,
    place: Place,
}

/// Where they are.
#[derive(Clone, Copy)]
enum Place {
    Hole,
    /// At this byte of the device.
    Device(u64),
    /// The same, in blocks that other places have too.
    Shared(u64),
}

impl Piece {
    fn at(file: &OpenFile, offset_bytes: u64, max_len: usize) -> Self {
        let in_block = offset_bytes % BLOCK_BYTES;
        let blocks = blocks_for_bytes(in_block + max_len as u64);
        let found = file
            .mapping_lock
            .find(&file.mapped, offset_bytes / BLOCK_BYTES, blocks);
        let place = match found {
            Found::Hole { .. } => Place::Hole,
            Found::Mapped(mapped) => {
                let device_offset_bytes = mapped.run.block * BLOCK_BYTES + in_block;
                match mapped.sharing {
                    Sharing::Exclusive => Place::Device(device_offset_bytes),
                    Sharing::Shared => Place::Shared(device_offset_bytes),
                }
            }
        };
        let len_bytes = found.len_blocks() * BLOCK_BYTES - in_block;
        let len = usize::try_from(len_bytes).map_or(max_len, |len| len.min(max_len));
        Self { len, place }
    }
}

// ---- Write ------------------------------------------------------------------------------------

/// Writes `bytes` at `offset_bytes` and returns how many were written: fewer when space ran out
/// after some.
pub(crate) fn write_at(file: &OpenFile, bytes: &[u8], offset_bytes: u64) -> Result<usize> {
    let buffers = [IoSlice::new(bytes)];
    let source = Source::new(&buffers, bytes.len());
    write(file, "write_at", source, offset_bytes)
}

/// Writes the bytes of `buffers`, one after the other, in one step.
pub(crate) fn write_vectored_at(
    file: &OpenFile,
    buffers: &[IoSlice<'_>],
    offset_bytes: u64,
) -> Result<usize> {
    let operation = "write_vectored_at";
    let len = total_len(operation, buffers.iter().map(|buffer| buffer.len()))?;
    write(file, operation, Source::new(buffers, len), offset_bytes)
}

fn write(
    file: &OpenFile,
    operation: &'static str,
    bytes: Source<'_>,
    offset_bytes: u64,
) -> Result<usize> {
    if bytes.len() == 0 {
        return Ok(0);
    }
    let end = range_end(operation, offset_bytes, bytes.len() as u64)?;
    loop {
        let len_bytes = file.inode().len_bytes();
        let start = if end > len_bytes {
            offset_bytes.min(len_bytes)
        } else {
            offset_bytes
        };
        let written = file.io_lock.exclusive(start..end, || {
            let len_bytes = file.inode().len_bytes();
            if end > len_bytes && len_bytes < start {
                // Truncated while we waited: the gap that is to be zeroed is not all ours.
                return None;
            }
            Some(write_locked(file, bytes, offset_bytes))
        });
        if let Some(written) = written {
            return written;
        }
    }
}

/// Writes all of `bytes` at the end of the file, or nothing, and returns where that was.
pub(crate) fn append(file: &OpenFile, bytes: &[u8]) -> Result<u64> {
    let buffers = [IoSlice::new(bytes)];
    append_source(file, "append", Source::new(&buffers, bytes.len()))
}

/// Writes all bytes of `buffers` at the end of the file, or nothing, and returns where that was.
pub(crate) fn append_vectored(file: &OpenFile, buffers: &[IoSlice<'_>]) -> Result<u64> {
    let operation = "append_vectored";
    let len = total_len(operation, buffers.iter().map(|buffer| buffer.len()))?;
    append_source(file, operation, Source::new(buffers, len))
}

fn append_source(file: &OpenFile, operation: &'static str, bytes: Source<'_>) -> Result<u64> {
    let _rank = Held::take(Rank::Append);
    let _one_appender = file.append.lock();
    loop {
        let at = file.inode().len_bytes();
        let end = range_end(operation, at, bytes.len() as u64)?;
        let appended = file.io_lock.exclusive(at..end, || {
            if file.inode().len_bytes() != at {
                return None;
            }
            Some(append_locked(file, bytes, at))
        });
        if let Some(result) = appended {
            return result.map(|()| at);
        }
    }
}

fn append_locked(file: &OpenFile, bytes: Source<'_>, at: u64) -> Result<()> {
    match copy_in(file, bytes, at, Wanted::All) {
        (done, None) => extend(file, at, done),
        (_, Some(error)) => {
            // Nothing of it shows, since the length is as it was; give the blocks back too.
            let unit = file.mapped.unit_pages();
            let first = blocks_for_bytes(at).next_multiple_of(unit);
            let last = blocks_for_bytes(at + bytes.len() as u64).next_multiple_of(unit);
            file.mapping_lock
                .remove(&file.mapped, first..last, Cut::Punch)?;
            Err(error)
        }
    }
}

fn write_locked(file: &OpenFile, bytes: Source<'_>, offset_bytes: u64) -> Result<usize> {
    let len_bytes = file.inode().len_bytes();
    if offset_bytes > len_bytes {
        zero::zero_gap(file, len_bytes, offset_bytes)?;
    }
    match copy_in(file, bytes, offset_bytes, Wanted::WhatFits) {
        (0, Some(error)) => Err(error),
        (done, _) => extend(file, offset_bytes, done).map(|()| done),
    }
}

/// Publishes the length that `done` bytes at `offset_bytes` give the file.
fn extend(file: &OpenFile, offset_bytes: u64, done: usize) -> Result<()> {
    let end = offset_bytes + done as u64;
    file.inode().note_written();
    if end > file.inode().len_bytes() {
        resize::extend(file, end)?;
    }
    Ok(())
}

/// Copies `bytes` in, allocating where there are holes. Returns how many went in, and what stopped
/// it.
fn copy_in(
    file: &OpenFile,
    bytes: Source<'_>,
    offset_bytes: u64,
    wanted: Wanted,
) -> (usize, Option<Error>) {
    let pages = offset_bytes / BLOCK_BYTES..blocks_for_bytes(offset_bytes + bytes.len() as u64);
    let copy = || match file.data {
        DataMode::InPlace => copy_pieces(file, bytes, offset_bytes),
        DataMode::Atomic => match atomic::write(file, bytes, offset_bytes, wanted) {
            Ok(done) => (done, None),
            Err(error) => (0, Some(error)),
        },
    };
    match file.mapping_lock.write(&file.mapped, pages, copy) {
        Ok(copied) => copied,
        Err(error) => (0, Some(error)),
    }
}

fn copy_pieces(file: &OpenFile, bytes: Source<'_>, offset_bytes: u64) -> (usize, Option<Error>) {
    let (mut done, mut rest) = (0, bytes);
    let mut in_flight: Option<InFlight> = None;
    let mut error = None;
    while rest.len() > 0 && error.is_none() {
        let at = offset_bytes + done as u64;
        let piece = Piece::at(file, at, rest.len());
        let source = rest.first(piece.len);
        let is_last = piece.len == rest.len();
        let copied = match piece.place {
            Place::Device(device_offset) => {
                checksums::before_change(&file.mapped, at..at + piece.len as u64)
                    .and_then(|()| overwrite(file, source, device_offset, &mut in_flight))
            }
            Place::Shared(_) => copy_on_write::write(file, source, at),
            Place::Hole if is_last => settle(file, &mut in_flight)
                .and_then(|()| fill_hole(file, source, at, at + piece.len as u64)),
            Place::Hole => fill_hole(file, source, at, 0),
        };
        match copied {
            Ok(len) => (done, rest) = (done + len, rest.after(len)),
            Err(stopped) => error = Some(stopped),
        }
    }
    // The fence comes before the caller unlocks: nobody acts on data that a crash can take back.
    match settle(file, &mut in_flight) {
        Ok(()) => (done, error),
        Err(failed) => (0, Some(failed)),
    }
}

fn settle(file: &OpenFile, in_flight: &mut Option<InFlight>) -> Result<()> {
    if let Some(in_flight) = in_flight.take() {
        let _settled = file.volume().settle(in_flight)?;
    }
    Ok(())
}

fn overwrite(
    file: &OpenFile,
    source: Source<'_>,
    device_offset_bytes: u64,
    in_flight: &mut Option<InFlight>,
) -> Result<usize> {
    let copied = source.copy_to(&file.volume().device, device_offset_bytes)?;
    *in_flight = Some(match in_flight.take() {
        Some(before) => before.and(copied),
        None => copied,
    });
    Ok(source.len())
}

/// Allocates blocks for a hole, fills them, and publishes them; with the last of a write, which
/// makes the file `len_bytes` long, the new length as well. Returns how many bytes of `source` they
/// took: 0 when somebody else filled the hole first.
fn fill_hole(
    file: &OpenFile,
    source: Source<'_>,
    offset_bytes: u64,
    len_bytes: u64,
) -> Result<usize> {
    let mapped = &file.mapped;
    let end = offset_bytes + source.len() as u64;
    let blocks = mapped.units_of(offset_bytes / BLOCK_BYTES..blocks_for_bytes(end));
    let fresh = mapped.allocate(blocks.start, blocks.end - blocks.start, mapped.placement())?;
    let run = fresh.run();

    let run_start = blocks.start * BLOCK_BYTES;
    let run_end = run_start + run.len_blocks * BLOCK_BYTES;
    let whole_end = end;
    let end = end.min(run_end);
    let device = &file.volume().device;
    let on_device = |offset: u64| run.block * BLOCK_BYTES + (offset - run_start);
    let source = source.first((end - offset_bytes) as usize);
    let filled = source
        .copy_to(device, on_device(offset_bytes))?
        .and(device.zero(on_device(run_start), offset_bytes - run_start)?)
        .and(device.zero(on_device(end), run_end - end)?);
    let mut fresh = fresh.filled(&file.volume().settle(filled)?, Content::New)?;
    let len_bytes = if end == whole_end { len_bytes } else { 0 };

    file.volume()
        .reached(Point::WriteBeforePublish, blocks.start);
    let published = file
        .mapping_lock
        .publish(mapped, blocks.start, &mut fresh, len_bytes)?;
    if published == 0
        && matches!(
            mapped.blocks.look_up(offset_bytes / BLOCK_BYTES, 1),
            Found::Hole { .. }
        )
    {
        return Err(Error::InvalidOption {
            reason: format!(
                "the file has single blocks near byte {offset_bytes}, and this device maps whole \
                 units of {} blocks; copy the file to a fresh one",
                mapped.unit_pages()
            ),
        });
    }
    let published_end = run_start + published * BLOCK_BYTES;
    Ok(published_end.min(end).saturating_sub(offset_bytes) as usize)
}
