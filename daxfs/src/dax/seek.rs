//! Where data and holes begin (`lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`).
//!
//! A block is data, whatever it holds, as on ext4. The end of file counts as a hole.
//!
//! # Locking
//! None: what is found was so at some moment of the look-up.

use super::open_file::OpenFile;
use crate::format::geometry::{BLOCK_BYTES, blocks_for_bytes};
use crate::inode::block_map::Found;

/// The first byte at or after `offset_bytes` that a block holds; `None` when there is none before
/// the end of file.
pub(crate) fn seek_data(file: &OpenFile, offset_bytes: u64) -> Option<u64> {
    let len_bytes = file.inode().len_bytes();
    let mut at = offset_bytes;
    while at < len_bytes {
        match look_up(file, at, len_bytes) {
            Found::Mapped(_) => return Some(at),
            Found::Hole { len_blocks } => at = block_end(at, len_blocks),
        }
    }
    None
}

/// The first byte at or after `offset_bytes` that no block holds, at most the end of file; `None`
/// when `offset_bytes` is not before it.
pub(crate) fn seek_hole(file: &OpenFile, offset_bytes: u64) -> Option<u64> {
    let len_bytes = file.inode().len_bytes();
    if offset_bytes >= len_bytes {
        return None;
    }
    let mut at = offset_bytes;
    while at < len_bytes {
        match look_up(file, at, len_bytes) {
            Found::Hole { .. } => return Some(at),
            Found::Mapped(found) => at = block_end(at, found.run.len_blocks),
        }
    }
    Some(len_bytes)
}

fn look_up(file: &OpenFile, at: u64, len_bytes: u64) -> Found {
    let block = at / BLOCK_BYTES;
    let blocks = blocks_for_bytes(len_bytes) - block;
    file.mapped.blocks.look_up(block, blocks)
}

fn block_end(at: u64, len_blocks: u64) -> u64 {
    (at / BLOCK_BYTES + len_blocks) * BLOCK_BYTES
}
