//! A run of contiguous blocks of the device. Plain arithmetic: touches nothing, takes no locks.

/// `len_blocks` contiguous blocks of the device from `block` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) block: u64,
    pub(crate) len_blocks: u64,
}

impl Run {
    pub(crate) fn new(block: u64, len_blocks: u64) -> Self {
        Self { block, len_blocks }
    }

    /// One past the last block.
    pub(crate) fn end(self) -> u64 {
        self.block + self.len_blocks
    }

    /// The first `len_blocks` of it, and the rest.
    pub(crate) fn split_at(self, len_blocks: u64) -> (Self, Self) {
        let first = len_blocks.min(self.len_blocks);
        (
            Self::new(self.block, first),
            Self::new(self.block + first, self.len_blocks - first),
        )
    }
}
