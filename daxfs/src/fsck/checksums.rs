//! Checksums of data: whether what has one is there, and holds what it did.
//!
//! Items are looked at part by part, in parallel, each with the runs that its blocks are in. Data
//! is read for the state after the log alone: records of it say which checksums no longer count.
//! Takes no locks but the latch of [`items`](super::items).

use rayon::prelude::*;

use super::image::Image;
use super::issue::Issue;
use super::items::Items;
use super::progress::{Progress, Stage};
use super::replay::runs;
use crate::error::Error;
use crate::format::item::{CHECKSUM_GROUP_BLOCKS, ItemKind, Key, StoredChecksums, StoredRun};

/// Blocks that have checksums and are holes, of each item the first.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn holes(items: &Items<'_>, progress: &dyn Progress) -> Result<Vec<Issue>, Error> {
    for_each_item(items, progress, |item| {
        let hole = item
            .blocks()
            .find(|(_, _, device_block)| device_block.is_none());
        let issue = hole.map(|(file_block, ..)| Issue::ChecksumOfHole {
            inode: item.inode,
            file_block,
            position: item.stored.first_block,
        });
        Ok(issue.into_iter().collect())
    })
}

/// Blocks that do not hold what their checksums were computed of.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn damaged(items: &Items<'_>, progress: &dyn Progress) -> Result<Vec<Issue>, Error> {
    let image = items.image();
    for_each_item(items, progress, |item| {
        let mut issues = Vec::new();
        for (file_block, expected, device_block) in item.blocks() {
            let device_block = device_block.filter(|block| is_of_files(image, *block));
            let Some(device_block) = device_block else {
                continue;
            };
            let found = image.read(device_block)?.checksum();
            if found != expected {
                issues.push(Issue::DataDamaged {
                    inode: item.inode,
                    file_block,
                    device_block,
                    expected,
                    found,
                });
            }
        }
        Ok(issues)
    })
}

fn is_of_files(image: &Image<'_>, device_block: u64) -> bool {
    image.geometry().is_data_range(device_block, 1)
}

/// The checksums of one group of blocks, and the runs that these are in.
struct Item {
    inode: u64,
    stored: StoredChecksums,
    runs: Vec<StoredRun>,
}

impl Item {
    fn load(items: &Items<'_>, inode: u64, stored: StoredChecksums) -> Result<Self, Error> {
        let blocks = stored.first_block..stored.first_block + CHECKSUM_GROUP_BLOCKS;
        let runs = runs::within(&runs::load(items, inode, &blocks)?, &blocks);
        Ok(Self {
            inode,
            stored,
            runs,
        })
    }

    /// Each block that has a checksum: that, and the block of the device, if there is one.
    fn blocks(&self) -> impl Iterator<Item = (u64, u32, Option<u64>)> {
        self.stored.blocks().map(|(file_block, sum)| {
            let has = |run: &&StoredRun| (run.file_block..run.file_end()).contains(&file_block);
            let run = self.runs.iter().find(has);
            let device_block = run.map(|run| run.device_block + (file_block - run.file_block));
            (file_block, sum, device_block)
        })
    }
}

/// What `look` says of all items, in order; items that do not decode are named elsewhere.
fn for_each_item(
    items: &Items<'_>,
    progress: &dyn Progress,
    look: impl Fn(&Item) -> Result<Vec<Issue>, Error> + Sync,
) -> Result<Vec<Issue>, Error> {
    if !items.image().superblock.features.has_data_checksums() {
        return Ok(Vec::new());
    }
    progress.begin(Stage::Data, items.parts() as u64);
    let of_part = |part| {
        let mut issues = Vec::new();
        for (key, value) in items.part(part)? {
            if let Some(stored) = decode(key, &value) {
                issues.extend(look(&Item::load(items, key.inode, stored)?)?);
            }
        }
        progress.advance(1);
        Ok(issues)
    };
    let parts = (0..items.parts()).into_par_iter().map(of_part);
    let found = parts.collect::<Result<Vec<_>, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

fn decode(key: Key, value: &[u8]) -> Option<StoredChecksums> {
    match key.kind {
        ItemKind::DataChecksums => StoredChecksums::decode(key.position, value).ok(),
        _ => None,
    }
}
