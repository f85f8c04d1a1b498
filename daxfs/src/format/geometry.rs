//! Sizes and limits of the format. Pure functions of numbers: no bytes, no locks.

/// Bytes in a block, for arithmetic on device offsets.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Bytes in a block, as the length of a slice.
pub(crate) const BLOCK_LEN: usize = 4096;

/// The blocks that hold the two copies of the superblock.
pub(crate) const SUPERBLOCK_BLOCKS: [u64; 2] = [0, 1];
/// The first block that files and metadata may use: 2 MiB into the image, so that runs of blocks
/// aligned to 2 MiB exist wherever the device itself is so aligned.
pub(crate) const DATA_START_BLOCK: u64 = 512;
/// The smallest image: 4 MiB.
pub(crate) const MINIMUM_BLOCKS: u64 = 1024;
/// The largest image: 4 PiB.
pub(crate) const MAXIMUM_BLOCKS: u64 = 1 << 40;

/// The largest size of a file: 16 TiB, 2^32 blocks.
pub(crate) const MAXIMUM_FILE_BYTES: u64 = 1 << 44;
/// Blocks in a file of the largest size.
pub(crate) const MAXIMUM_FILE_BLOCKS: u64 = MAXIMUM_FILE_BYTES / BLOCK_BYTES;

/// The inode number of the root directory, and the smallest there is.
pub(crate) const ROOT_INODE: u64 = 1;
/// Pointers in an index block of the space map.
pub(crate) const POINTERS_PER_INDEX: usize = 254;
/// The highest level of the space map's root.
pub(crate) const MAXIMUM_LEVEL: u16 = 4;
/// Inode numbers are below this.
pub(crate) const MAXIMUM_INODES: u64 = 1 << 63;
/// The longest name of a directory entry, in bytes.
pub(crate) const MAXIMUM_NAME_BYTES: usize = 255;

const _: () = assert!(BLOCK_BYTES == BLOCK_LEN as u64);
/// How many leaves a block at `level` covers. Levels above [`MAXIMUM_LEVEL`] count as that.
pub(crate) const fn leaves_under(level: u16) -> u64 {
    let level = if level > 4 { 4 } else { level };
    (POINTERS_PER_INDEX as u64).pow(level as u32)
}

/// The level of the root of a tree with `leaves` leaves (0 for one leaf or none), or `None` when
/// no tree has so many.
pub(crate) fn level_for_leaves(leaves: u64) -> Option<u16> {
    (0..=MAXIMUM_LEVEL).find(|level| leaves <= leaves_under(*level))
}

/// How many blocks a tree of `leaves` leaves has at `level`.
pub(crate) fn blocks_at_level(leaves: u64, level: u16) -> u64 {
    leaves.div_ceil(leaves_under(level))
}

/// How many pointers the index block `index` at `level` (1 or more) has in a tree of `leaves`
/// leaves; 0 where the tree has no such block.
pub(crate) fn children(leaves: u64, level: u16, index: u64) -> usize {
    let below = blocks_at_level(leaves, level.saturating_sub(1));
    let before = index.saturating_mul(POINTERS_PER_INDEX as u64);
    // At most 254, so the conversion is exact.
    below.saturating_sub(before).min(POINTERS_PER_INDEX as u64) as usize
}

/// How many blocks hold `size_bytes` bytes.
pub(crate) fn blocks_for_bytes(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(BLOCK_BYTES)
}

/// Where `block` starts on the device, in bytes. Saturates for a number no image can have.
pub(crate) fn block_offset_bytes(block: u64) -> u64 {
    block.saturating_mul(BLOCK_BYTES)
}
