//! Writing where a file has blocks that other places have too: it takes them back if it alone is
//! left, and otherwise gets blocks of its own, with what is written in them and the rest copied.
//!
//! ```text
//!   take back what no other place has       (then the caller writes it in place)
//!   allocate blocks nobody can see; copy the data that is written
//!   sharing lock, shared:
//!     still the same shared blocks? copy what is not written from them; fence
//!     replace under the mapping lock: block map, then entries, then page tables
//! ```
//! User memory is touched before the sharing lock is taken. A crash leaves the old blocks or the
//! new ones, whole.
//!
//! # Locking
//! The caller holds the I/O lock exclusive over the bytes; inside it the sharing lock, shared, and
//! the mapping lock exclusive.

use super::buffers::Source;
use super::checksums;
use super::open_file::OpenFile;
use super::prepared::{Content, Filled};
use super::sharing::REPLACE_LOG_BYTES;
use crate::error::Result;
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::run::Run;

/// Writes `source` at `offset_bytes`, where the file has marked blocks that lie together. Returns
/// how many bytes went in; 0 when the file has something else there by now: look again.
///
/// # Errors
/// [`Error::NoSpace`](crate::Error::NoSpace), and what the device reports.
pub(super) fn write(file: &OpenFile, source: Source<'_>, offset_bytes: u64) -> Result<usize> {
    let change = Change {
        offset_bytes,
        end_bytes: offset_bytes + source.len() as u64,
        source: Some(source),
    };
    Ok(apply(file, &change)? as usize)
}

/// Makes sure that the file has the blocks of `start_bytes..end_bytes` for itself, at least the
/// first of them.
///
/// # Errors
/// As [`write()`].
pub(super) fn make_own(file: &OpenFile, start_bytes: u64, end_bytes: u64) -> Result<()> {
    let nothing = Change {
        offset_bytes: start_bytes,
        end_bytes,
        source: None,
    };
    apply(file, &nothing).map(|_| ())
}

/// Bytes of a file that are to change.
struct Change<'bytes> {
    offset_bytes: u64,
    end_bytes: u64,
    /// What they become; what they are if there is none.
    source: Option<Source<'bytes>>,
}

/// Returns how many of the bytes are in new blocks now.
fn apply(file: &OpenFile, change: &Change<'_>) -> Result<u64> {
    let mapped = &file.mapped;
    let touched = change.offset_bytes / BLOCK_BYTES..blocks_for_bytes(change.end_bytes);
    let blocks = mapped.units_of(touched);
    let len_blocks = blocks.end - blocks.start;
    if mapped.take_back(blocks.clone(), &mapped.sharing.shared())? > 0 {
        return Ok(0);
    }
    let Some(old) = mapped.shared_run(blocks.start, len_blocks) else {
        return Ok(0);
    };
    let fresh = mapped.allocate(blocks.start, old.len_blocks, mapped.placement())?;
    let old = Run::new(old.block, fresh.run().len_blocks);
    let piece = Piece {
        file_offset_bytes: blocks.start * BLOCK_BYTES,
        old,
        new: fresh.run(),
    };
    let device = &file.volume().device;
    let written = piece.clamp(change.offset_bytes)..piece.clamp(change.end_bytes);
    let mut filled = device.zero(piece.new.block * BLOCK_BYTES, 0)?;
    let mut kept = [piece.start()..piece.end(), 0..0];
    if let Some(source) = change.source {
        let source = source.first((written.end - written.start) as usize);
        filled = filled.and(source.copy_to(device, piece.in_new(written.start))?);
        kept = [piece.start()..written.start, written.end..piece.end()];
    }

    let sharers = mapped.sharing.shared();
    if mapped.shared_run(blocks.start, old.len_blocks) != Some(old) {
        return Ok(0);
    }
    for bytes in kept {
        checksums::check(
            mapped,
            bytes.start / BLOCK_BYTES..blocks_for_bytes(bytes.end),
        )?;
        let (from, to) = (piece.in_old(bytes.start), piece.in_new(bytes.start));
        let copied = file
            .volume()
            .device_copy(from, to, bytes.end - bytes.start)?;
        filled = filled.and(copied);
    }
    let settled = file.volume().settle(filled)?;
    let content = Content::CopyOf {
        source: old,
        _unchanged: sharers,
    };
    let mut copy = fresh.filled(&settled, content)?;
    match replace(file, blocks.start, &mut copy)? {
        Replaced::Yes => Ok(written.end - written.start),
        Replaced::LookAgain => Ok(0),
    }
}

/// Blocks of a file, before and after.
struct Piece {
    file_offset_bytes: u64,
    old: Run,
    new: Run,
}

impl Piece {
    fn start(&self) -> u64 {
        self.file_offset_bytes
    }

    fn end(&self) -> u64 {
        self.file_offset_bytes + self.new.len_blocks * BLOCK_BYTES
    }

    fn clamp(&self, offset_bytes: u64) -> u64 {
        offset_bytes.clamp(self.start(), self.end())
    }

    /// Where a byte of the file is on the device, before.
    fn in_old(&self, offset_bytes: u64) -> u64 {
        self.old.block * BLOCK_BYTES + offset_bytes.saturating_sub(self.file_offset_bytes)
    }

    /// And afterwards.
    fn in_new(&self, offset_bytes: u64) -> u64 {
        self.new.block * BLOCK_BYTES + offset_bytes.saturating_sub(self.file_offset_bytes)
    }
}

enum Replaced {
    Yes,
    LookAgain,
}

/// In a transaction of its own; then invalidates, and only then gives up the old blocks.
fn replace(file: &OpenFile, file_block: u64, copy: &mut Filled<'_>) -> Result<Replaced> {
    let mapped = &file.mapped;
    let pages = file_block..file_block + copy.run().len_blocks;
    file.mapping_lock.change(mapped, pages.clone(), || {
        let mut transaction = mapped.volume.begin(REPLACE_LOG_BYTES)?;
        let Some(withdrawn) = mapped.replace(&mut transaction, file_block, copy)? else {
            return Ok(Replaced::LookAgain);
        };
        drop(transaction);
        mapped.give_up(pages, withdrawn)?;
        Ok(Replaced::Yes)
    })
}
