//! Where the regions of an image lie. All of it follows from the number of blocks.
//!
//! Pure functions of numbers: no bytes, no locks.
//!
//! ```text
//! block   0    1    2                                      data_start_block        block_count
//!         +----+----+------------+-----------------+-------+-----------------------+
//!         | superb. | log        | space map       | zero  | data area             |
//!         +----+----+------------+-----------------+-------+-----------------------+
//! ```
//!
//! The blocks of the space map form a pointer tree as [`geometry`](super::geometry) describes it,
//! over all its leaves. Each has two fixed places ("slots"), so that it is written without asking
//! for a block and never over the copy that the last checkpoint uses.

use super::geometry::{
    BLOCK_BYTES, MAXIMUM_BLOCKS, MAXIMUM_LEVEL, POINTERS_PER_INDEX, blocks_at_level, children,
    level_for_leaves,
};

/// Blocks of the data area begin at a multiple of this, so that runs aligned to 2 MiB exist.
const DATA_ALIGNMENT_BLOCKS: u64 = 512;
/// The block at which the log begins.
const LOG_START_BLOCK: u64 = 2;
const MINIMUM_LOG_BLOCKS: u64 = 256;
const MAXIMUM_LOG_BLOCKS: u64 = 16384;
/// The log is this part of the image, within the limits above.
const BLOCKS_PER_LOG_BLOCK: u64 = 64;

/// Blocks whose bits one leaf of the space map holds.
pub(crate) const BLOCKS_PER_SPACE_LEAF: u64 = 4064 * 8;

/// Where the regions of an image lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ImageGeometry {
    /// The size of the image.
    pub(crate) block_count: u64,
    /// The first block of the log.
    pub(crate) log_start_block: u64,
    /// How many blocks the log has.
    pub(crate) log_blocks: u64,
    /// The first block of the space map's slots.
    pub(crate) space_map_block: u64,
    /// The first block that files and nodes may use.
    pub(crate) data_start_block: u64,
}

impl ImageGeometry {
    /// The regions of an image of `block_count` blocks, within the limits of images.
    pub(crate) fn for_blocks(block_count: u64) -> Self {
        let log_blocks =
            (block_count / BLOCKS_PER_LOG_BLOCK).clamp(MINIMUM_LOG_BLOCKS, MAXIMUM_LOG_BLOCKS);
        let space_map_block = LOG_START_BLOCK + log_blocks;
        let mut geometry = Self {
            block_count,
            log_start_block: LOG_START_BLOCK,
            log_blocks,
            space_map_block,
            data_start_block: 0,
        };
        let head_blocks = space_map_block + 2 * geometry.space_blocks();
        geometry.data_start_block = head_blocks.next_multiple_of(DATA_ALIGNMENT_BLOCKS);
        geometry
    }

    /// The size of the log in bytes: the ring that its records go round.
    pub(crate) fn log_len_bytes(&self) -> u64 {
        self.log_blocks * BLOCK_BYTES
    }

    /// How many blocks the data area has.
    pub(crate) fn data_area_blocks(&self) -> u64 {
        self.block_count.saturating_sub(self.data_start_block)
    }

    /// Whether `block` and the `len_blocks - 1` blocks after it all lie in the data area.
    pub(crate) fn is_data_range(&self, block: u64, len_blocks: u64) -> bool {
        let end = block.checked_add(len_blocks);
        len_blocks > 0
            && block >= self.data_start_block
            && end.is_some_and(|end| end <= self.block_count)
    }

    /// How many leaves the space map has.
    pub(crate) fn space_leaves(&self) -> u64 {
        self.block_count.div_ceil(BLOCKS_PER_SPACE_LEAF)
    }

    /// The level of the space map's root.
    pub(crate) fn space_level(&self) -> u16 {
        // There is a level for every image within the limits.
        level_for_leaves(self.space_leaves()).unwrap_or(MAXIMUM_LEVEL)
    }

    /// How many blocks the space map has at `level`.
    pub(crate) fn space_blocks_at(&self, level: u16) -> u64 {
        blocks_at_level(self.space_leaves(), level)
    }

    /// How many pointers the block `index` at `level` (1 or more) of the space map has.
    pub(crate) fn space_children(&self, level: u16, index: u64) -> usize {
        children(self.space_leaves(), level, index)
    }

    /// How many blocks the space map has over all levels.
    fn space_blocks(&self) -> u64 {
        (0..=self.space_level())
            .map(|level| self.space_blocks_at(level))
            .sum()
    }

    /// The two places of the block `index` at `level` of the space map.
    pub(crate) fn space_slots(&self, level: u16, index: u64) -> [u64; 2] {
        let below = (0..level).map(|below| self.space_blocks_at(below));
        let first = self.space_map_block + 2 * (below.sum::<u64>() + index);
        [first, first + 1]
    }
}

// The root of any space map is within the levels that pointer trees have.
const _: () = assert!(
    (POINTERS_PER_INDEX as u64).pow(MAXIMUM_LEVEL as u32) > MAXIMUM_BLOCKS / BLOCKS_PER_SPACE_LEAF
);
