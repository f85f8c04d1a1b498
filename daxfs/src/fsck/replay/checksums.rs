//! Checksums of data that no longer count. See the [module above](super).

use std::ops::Range;

use super::{Applied, Model};
use crate::error::Error;
use crate::format::item::{CHECKSUM_GROUP_BLOCKS, ItemKind, Key, StoredChecksums};
use crate::fsck::items::Items;

impl Model<'_, '_> {
    /// Blocks of a file are gone, or have changed.
    pub(super) fn forget_checksums(&mut self, number: u64, file_blocks: &Range<u64>) -> Applied {
        Ok(forget(self.items, number, file_blocks)?)
    }
}

/// Takes the checksums of `file_blocks` out. What does not decode stays as it is.
///
/// # Errors
/// Only when the device cannot be read.
pub(in crate::fsck) fn forget(
    items: &mut Items<'_>,
    inode: u64,
    file_blocks: &Range<u64>,
) -> Result<(), Error> {
    if !items.image().superblock.features.has_data_checksums() || file_blocks.is_empty() {
        return Ok(());
    }
    let key = |position| Key::new(inode, ItemKind::DataChecksums, position);
    let first = file_blocks.start / CHECKSUM_GROUP_BLOCKS * CHECKSUM_GROUP_BLOCKS;
    for (key, value) in items.range(key(first)..key(file_blocks.end))? {
        let Ok(stored) = StoredChecksums::decode(key.position, &value) else {
            continue;
        };
        let mut kept = StoredChecksums {
            bits: 0,
            sums: Vec::new(),
            ..stored
        };
        for (block, sum) in stored.blocks() {
            if !file_blocks.contains(&block) {
                kept.bits |= 1 << (block - stored.first_block);
                kept.sums.push(sum);
            }
        }
        match kept.bits {
            0 => items.remove(key),
            _ => items.put(key, kept.encode()),
        }
    }
    Ok(())
}
