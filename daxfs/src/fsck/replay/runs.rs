//! Lists of runs: parts taken out and put in, and the one form in which they are stored.
//!
//! A list is sorted by block of the file and its runs do not overlap. Plain values, no locks.

use std::ops::Range;

use crate::error::Error;
use crate::format::item::extents::{SEGMENT_BLOCKS, decode_extents, encode_extents, segment_of};
use crate::format::item::{ItemKind, Key, StoredRun};
use crate::fsck::items::Items;

/// The part of `run` within `file_blocks`, if there is one.
pub(in crate::fsck) fn clip(run: &StoredRun, file_blocks: &Range<u64>) -> Option<StoredRun> {
    let start = run.file_block.max(file_blocks.start);
    let end = run.file_end().min(file_blocks.end);
    (start < end).then(|| StoredRun {
        file_block: start,
        device_block: run.device_block + (start - run.file_block),
        len_blocks: end - start,
        sharing: run.sharing,
    })
}

/// The runs without what lies in `file_blocks`.
pub(in crate::fsck) fn without(runs: &[StoredRun], file_blocks: &Range<u64>) -> Vec<StoredRun> {
    let outside = [0..file_blocks.start, file_blocks.end..u64::MAX];
    let parts = runs
        .iter()
        .flat_map(|run| outside.iter().filter_map(|range| clip(run, range)));
    parts.collect()
}

/// The parts of the runs that lie in `file_blocks`.
pub(in crate::fsck) fn within(runs: &[StoredRun], file_blocks: &Range<u64>) -> Vec<StoredRun> {
    runs.iter()
        .filter_map(|run| clip(run, file_blocks))
        .collect()
}

/// Cuts at the ends of segments, joins what continues, and sorts: the form that is stored.
pub(in crate::fsck) fn normalised(mut runs: Vec<StoredRun>) -> Vec<StoredRun> {
    runs.sort_unstable_by_key(|run| run.file_block);
    let mut normal: Vec<StoredRun> = Vec::with_capacity(runs.len());
    for run in runs {
        let mut rest = run;
        while rest.len_blocks > 0 {
            let segment_end = (segment_of(rest.file_block) + 1) * SEGMENT_BLOCKS;
            let part = rest.len_blocks.min(segment_end - rest.file_block);
            let piece = StoredRun {
                len_blocks: part,
                ..rest
            };
            rest = StoredRun {
                file_block: rest.file_block + part,
                device_block: rest.device_block + part,
                len_blocks: rest.len_blocks - part,
                ..rest
            };
            match normal.last_mut() {
                Some(last)
                    if segment_of(last.file_block) == segment_of(piece.file_block)
                        && last.is_continued_by(&piece) =>
                {
                    last.len_blocks += piece.len_blocks;
                }
                _ => normal.push(piece),
            }
        }
    }
    normal
}

/// How many blocks the runs have.
pub(in crate::fsck) fn blocks(runs: &[StoredRun]) -> u64 {
    runs.iter().map(|run| run.len_blocks).sum()
}

/// The keys of the items that hold the segments of `file_blocks`.
fn keys(inode: u64, file_blocks: &Range<u64>) -> Range<Key> {
    let start = segment_of(file_blocks.start) * SEGMENT_BLOCKS;
    let end = file_blocks.end.checked_next_multiple_of(SEGMENT_BLOCKS);
    let key = |position| Key::new(inode, ItemKind::Extents, position);
    key(start)..key(end.unwrap_or(u64::MAX))
}

/// The runs of the segments that `file_blocks` touches. Items that do not decode have none.
///
/// # Errors
/// Only when the device cannot be read.
pub(in crate::fsck) fn load(
    items: &Items<'_>,
    inode: u64,
    file_blocks: &Range<u64>,
) -> Result<Vec<StoredRun>, Error> {
    let stored = items.range(keys(inode, file_blocks))?;
    let decoded = stored
        .iter()
        .filter_map(|(key, value)| decode_extents(key.position, value).ok());
    Ok(decoded.flatten().collect())
}

/// Stores `runs`, all of the segments that `file_blocks` touches, in the place of what is there.
/// They do not overlap.
///
/// # Errors
/// Only when the device cannot be read.
pub(in crate::fsck) fn store(
    items: &mut Items<'_>,
    inode: u64,
    file_blocks: &Range<u64>,
    runs: Vec<StoredRun>,
) -> Result<(), Error> {
    items.remove_range(keys(inode, file_blocks))?;
    let runs = normalised(runs);
    for segment in runs.chunk_by(|a, b| segment_of(a.file_block) == segment_of(b.file_block)) {
        for (position, value) in encode_extents(segment_of(segment[0].file_block), segment) {
            items.put(Key::new(inode, ItemKind::Extents, position), value);
        }
    }
    Ok(())
}
