//! Checksums of data that no longer count, or are now of other blocks. See the [module
//! above](super).

use std::collections::BTreeMap;
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

    /// Those of blocks of a file, with the blocks.
    pub(super) fn checksums(
        &self,
        number: u64,
        file_blocks: &Range<u64>,
    ) -> Applied<Vec<(u64, u32)>> {
        let keys = keys_of(number, file_blocks);
        let mut found = Vec::new();
        for (key, value) in self.items.range(keys)? {
            if let Ok(stored) = StoredChecksums::decode(key.position, &value) {
                found.extend(
                    stored
                        .blocks()
                        .filter(|(block, _)| file_blocks.contains(block)),
                );
            }
        }
        Ok(found)
    }

    /// Gives checksums to blocks that have none.
    pub(super) fn add_checksums(
        &mut self,
        number: u64,
        sums: impl IntoIterator<Item = (u64, u32)>,
    ) -> Applied {
        let mut groups: BTreeMap<u64, BTreeMap<u64, u32>> = BTreeMap::new();
        for (block, sum) in sums {
            let first = block / CHECKSUM_GROUP_BLOCKS * CHECKSUM_GROUP_BLOCKS;
            groups.entry(first).or_default().insert(block, sum);
        }
        for (first, mut sums) in groups {
            let key = Key::new(number, ItemKind::DataChecksums, first);
            if let Some(value) = self.items.get(key)? {
                let Ok(stored) = StoredChecksums::decode(first, &value) else {
                    continue;
                };
                sums.extend(stored.blocks());
            }
            let bit = |block: &u64| 1_u128 << (block - first);
            let stored = StoredChecksums {
                first_block: first,
                bits: sums.keys().map(bit).sum(),
                sums: sums.into_values().collect(),
            };
            self.items.put(key, stored.encode());
        }
        Ok(())
    }
}

/// The keys of items about any of the blocks.
fn keys_of(inode: u64, file_blocks: &Range<u64>) -> Range<Key> {
    let key = |position| Key::new(inode, ItemKind::DataChecksums, position);
    let first = file_blocks.start / CHECKSUM_GROUP_BLOCKS * CHECKSUM_GROUP_BLOCKS;
    key(first)..key(file_blocks.end)
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
    for (key, value) in items.range(keys_of(inode, file_blocks))? {
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
