//! Zeroing part of a file in place: gaps past the old end, edges of a punched hole.
//!
//! Only blocks that are there are touched: a hole is zero already. (Those that other places have
//! too are copied first.) The caller holds the I/O lock exclusive over the bytes. Mappings of the
//! blocks stay, and see the zeroes.

use super::open_file::OpenFile;
use super::settings::DataMode;
use super::{atomic, checksums, copy_on_write};
use crate::error::Result;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::Sharing;
use crate::inode::block_map::Found;

/// Zeroes what lies between the end of file and where a write or truncate goes on. Bytes past the
/// end have any value: a mapping may have stored them in the last page, and a write that a crash
/// cut short leaves blocks there, as does whoever allocates ahead.
pub(super) fn zero_gap(file: &OpenFile, len_bytes: u64, until_bytes: u64) -> Result<()> {
    zero_range(file, len_bytes, until_bytes)
}

/// Zeroes the blocks that are there in `start_bytes..end_bytes`.
pub(super) fn zero_range(file: &OpenFile, start_bytes: u64, end_bytes: u64) -> Result<()> {
    if file.data == DataMode::Atomic {
        atomic::settle_redo(file, &file.mapped.sharing.alone())?;
    }
    let mut at = start_bytes;
    while at < end_bytes {
        let block = at / BLOCK_BYTES;
        let max_blocks = end_bytes.div_ceil(BLOCK_BYTES) - block;
        let found = file.mapped.blocks.look_up(block, max_blocks);
        let piece_end = end_bytes.min((block + found.len_blocks()) * BLOCK_BYTES);
        if let Found::Mapped(mapped) = found {
            if mapped.sharing == Sharing::Shared {
                copy_on_write::make_own(file, at, piece_end)?;
                continue;
            }
            checksums::before_change(&file.mapped, at..piece_end)?;
            let device_offset = mapped.run.block * BLOCK_BYTES + at % BLOCK_BYTES;
            let in_flight = file.volume().device.zero(device_offset, piece_end - at)?;
            let _zeroed = file.volume().settle(in_flight)?;
        }
        at = piece_end;
    }
    Ok(())
}
