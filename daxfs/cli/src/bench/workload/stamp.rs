//! Bytes that say who wrote them: a block filled with one 8-byte number, never zero, so that a
//! stale hole, an old block or a torn block is told from the right one.
//!
//! Touches files only in [`fill_file`]; takes no locks.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use daxfs::File;

use super::BLOCK_BYTES;

/// One block of memory, aligned as a page so that copies cost every thread the same.
#[repr(align(4096))]
pub(super) struct Block(pub(super) [u8; BLOCK_BYTES as usize]);

impl Block {
    /// A block of zeroes.
    pub(super) fn zeroed() -> Box<Self> {
        Box::new(Self([0; BLOCK_BYTES as usize]))
    }

    /// A block full of `stamp`.
    pub(super) fn stamped(stamp: u64) -> Box<Self> {
        let mut block = Self::zeroed();
        block.fill(stamp);
        block
    }

    /// Fills the block with `stamp`.
    pub(super) fn fill(&mut self, stamp: u64) {
        for word in self.0.chunks_exact_mut(8) {
            word.copy_from_slice(&stamp.to_le_bytes());
        }
    }

    /// The stamp that fills all of the block, if one does.
    pub(super) fn stamp(&self) -> Option<u64> {
        let mut words = self.0.chunks_exact(8);
        let first = words.next()?;
        words.all(|word| word == first).then(|| word(first))
    }
}

/// The number in 8 bytes.
pub(super) fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// A number that no other call returns, and that no block number of [`of_block`] equals.
pub(super) fn fresh() -> u64 {
    fresh_run(1)
}

/// The first of `count` consecutive numbers, each as from [`fresh`].
pub(super) fn fresh_run(count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 48);
    NEXT.fetch_add(count, Ordering::Relaxed)
}

/// What [`fill_file`] stamps the block at `offset_bytes` with.
pub(super) fn of_block(offset_bytes: u64) -> u64 {
    offset_bytes / BLOCK_BYTES + 1
}

/// Writes `len_bytes` of stamped blocks.
pub(super) fn fill_file(file: &File, len_bytes: u64) -> Result<()> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let mut chunk = Vec::new();
    for start_bytes in (0..len_bytes).step_by(CHUNK_BYTES as usize) {
        let end_bytes = len_bytes.min(start_bytes + CHUNK_BYTES);
        chunk.clear();
        for offset_bytes in (start_bytes..end_bytes).step_by(BLOCK_BYTES as usize) {
            chunk.extend_from_slice(&Block::stamped(of_block(offset_bytes)).0);
        }
        file.write_all_at(&chunk, start_bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_stamp() {
        assert_eq!(
            Block::stamped(0x1122_3344_5566_7788).stamp(),
            Some(0x1122_3344_5566_7788)
        );
        assert_eq!(Block::zeroed().stamp(), Some(0));
    }

    #[test]
    fn a_torn_block_has_no_stamp() {
        for torn in [0, 8, 2048, 4095] {
            let mut block = Block::stamped(7);
            block.0[torn] ^= 1;
            assert_eq!(block.stamp(), None, "byte {torn}");
        }
    }

    #[test]
    fn fresh_stamps_differ_from_each_other_and_from_those_of_blocks() {
        let (first, second) = (fresh(), fresh());
        assert_ne!(first, second);
        assert!(first > of_block(1 << 56));
        assert_ne!(of_block(0), 0);
    }
}
