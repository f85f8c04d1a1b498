//! Blocks that a repair may write to.
//!
//! A block is free when nothing that was found claims it: not the old checkpoint, not the state
//! after the log, not any state on the way to the new one, and no leaf that was salvaged. Blocks
//! that nothing claims and that the old space map calls used are taken last: they may be what is
//! left of what could not be found. Plain memory, no locks.

use crate::format::ImageGeometry;
use crate::fsck::bits::Bits;

/// Blocks that may be written to.
#[derive(Debug)]
pub(super) struct FreeBlocks {
    geometry: ImageGeometry,
    /// Never to be taken.
    kept: Bits,
    /// To be taken last.
    doubtful: Bits,
    cursor: u64,
    takes_doubtful: bool,
}

impl FreeBlocks {
    /// All of the data area but `used`; `mapped` are those that the space map calls used.
    pub(super) fn new(geometry: ImageGeometry, mapped: &Bits, used: &Bits) -> Self {
        let block_count = geometry.block_count;
        let free = Self {
            geometry,
            kept: Bits::new(block_count),
            doubtful: Bits::new(block_count),
            cursor: geometry.data_start_block,
            takes_doubtful: false,
        };
        free.keep(used);
        for word in 0..mapped.words() {
            free.doubtful.set_word(word, mapped.word(word));
        }
        free
    }

    /// Excludes blocks from now on.
    pub(super) fn keep(&self, used: &Bits) {
        for word in 0..used.words() {
            self.kept.set_word(word, used.word(word));
        }
    }

    /// Excludes one block from now on.
    pub(super) fn keep_block(&self, block: u64) {
        self.kept.set(block..block + 1, |_, _| {});
    }

    /// How many blocks can still be taken.
    pub(super) fn left(&self) -> u64 {
        self.geometry
            .data_area_blocks()
            .saturating_sub(self.kept.count())
    }

    /// Takes a block.
    pub(super) fn take(&mut self) -> Option<u64> {
        loop {
            while self.cursor < self.geometry.block_count {
                let block = self.cursor;
                self.cursor += 1;
                let is_doubtful = !self.takes_doubtful && self.doubtful.contains(block);
                if !is_doubtful && !self.kept.contains(block) {
                    self.keep_block(block);
                    return Some(block);
                }
            }
            if self.takes_doubtful {
                return None;
            }
            self.takes_doubtful = true;
            self.cursor = self.geometry.data_start_block;
        }
    }
}
