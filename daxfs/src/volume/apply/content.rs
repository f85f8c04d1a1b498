//! Lengths and blocks of files. See the [module above](super) for locking.

use std::ops::Range;
use std::sync::Arc;

use super::super::Volume;
use super::super::redo::RedoWrite;
use super::impossible;
use crate::error::Result;
use crate::format::Timestamp;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::Sharing;
use crate::format::record::{Record, ShiftDirection};
use crate::inode::Inode;
use crate::inode::block_map::{Found, MappedRun};
use crate::run::Run;

/// Removes an inode that nothing refers to, and gives its blocks back.
pub(super) fn remove_inode(volume: &Volume, inode: &Arc<Inode>) -> Result<()> {
    if inode.file().is_some() {
        withdraw(volume, inode, 0..u64::MAX)?;
    }
    volume.inodes.remove(inode.number());
    Ok(())
}

pub(super) fn apply(volume: &Volume, record: &Record) -> Result<()> {
    match record {
        Record::Map {
            inode,
            file_block,
            run,
            len_bytes,
            time,
            ..
        } => {
            let inode = volume.inode(*inode)?;
            put(volume, &inode, *file_block, run.run())?;
            finish(volume, &inode, *len_bytes, *time);
        }
        Record::Unmap {
            inode,
            file_blocks,
            time,
        } => {
            let inode = volume.inode(*inode)?;
            withdraw(volume, &inode, file_blocks.clone())?;
            finish(volume, &inode, 0, *time);
        }
        Record::SetLength {
            inode,
            len_bytes,
            kept_blocks,
            time,
        } => {
            let inode = volume.inode(*inode)?;
            inode.set_len_bytes(*len_bytes);
            withdraw(volume, &inode, *kept_blocks..u64::MAX)?;
            finish(volume, &inode, 0, *time);
        }
        Record::Extend {
            inode,
            len_bytes,
            time,
        } => {
            let inode = volume.inode(*inode)?;
            finish(volume, &inode, *len_bytes, *time);
        }
        Record::Replace {
            inode,
            file_block,
            runs,
            len_bytes,
            time,
        } => {
            let inode = volume.inode(*inode)?;
            let mut at = *file_block;
            for run in runs {
                let run = run.run();
                withdraw(volume, &inode, at..at + run.len_blocks)?;
                put(volume, &inode, at, run)?;
                at += run.len_blocks;
            }
            finish(volume, &inode, *len_bytes, *time);
        }
        Record::Share {
            from_inode,
            from_block,
            to_inode,
            to_block,
            len_blocks,
            len_bytes,
            time,
        } => {
            let (from, to) = (volume.inode(*from_inode)?, volume.inode(*to_inode)?);
            let from_blocks = *from_block..*from_block + *len_blocks;
            share(volume, (&from, from_blocks), (&to, *to_block))?;
            volume.inodes.mark_changed(&from);
            finish(volume, &to, *len_bytes, *time);
        }
        Record::Shift {
            inode,
            file_block,
            len_blocks,
            direction,
            len_bytes,
            time,
        } => {
            let inode = volume.inode(*inode)?;
            inode.set_len_bytes(*len_bytes);
            let blocks = volume.blocks(&inode)?;
            match direction {
                ShiftDirection::TowardsStart => {
                    give_back(volume, &blocks.collapse(*file_block, *len_blocks));
                }
                ShiftDirection::TowardsEnd => blocks.spread(*file_block, *len_blocks),
            }
            finish(volume, &inode, 0, *time);
        }
        Record::Redo {
            inode,
            offset_bytes,
            bytes,
        } => {
            let inode = volume.inode(*inode)?;
            redo(volume, &inode, *offset_bytes, bytes)?;
        }
        Record::RedoDone { inode } => volume.redo.forget_file(*inode),
        Record::ForgetChecksums { inode, file_blocks } => {
            let inode = volume.inode(*inode)?;
            volume.blocks(&inode)?.checksums.forget(file_blocks);
            volume.inodes.mark_changed(&inode);
        }
        other => {
            return Err(impossible(format!(
                "a record of kind {} in an image that has no use for it",
                other.kind()
            )));
        }
    }
    Ok(())
}

/// Gives blocks to a file, where it has a hole.
fn put(volume: &Volume, inode: &Arc<Inode>, file_block: u64, run: Run) -> Result<()> {
    volume
        .allocator
        .mark_used(run)
        .map_err(|block| impossible(format!("block {block} is in use already")))?;
    volume.allocator.note_published(run);
    volume.redo.forget_blocks(run);
    if volume.blocks(inode)?.insert_into_hole(file_block, run) != run.len_blocks {
        return Err(impossible(format!(
            "inode {} has blocks at {file_block} already",
            inode.number()
        )));
    }
    Ok(())
}

/// Notes which bytes of the device are to be written again.
fn redo(volume: &Volume, inode: &Arc<Inode>, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
    let blocks = volume.blocks(inode)?;
    let mut rest = bytes;
    let mut at = offset_bytes;
    while !rest.is_empty() {
        let in_block = at % BLOCK_BYTES;
        let len = rest.len().min((BLOCK_BYTES - in_block) as usize);
        let Found::Mapped(found) = blocks.look_up(at / BLOCK_BYTES, 1) else {
            return Err(impossible(format!(
                "inode {} has no block at byte {at}, which is to be written again",
                inode.number()
            )));
        };
        let (now, later) = rest.split_at(len);
        volume.redo.add(RedoWrite {
            inode: inode.number(),
            offset_bytes: found.run.block * BLOCK_BYTES + in_block,
            bytes: now.to_vec(),
        });
        rest = later;
        at += len as u64;
    }
    Ok(())
}

fn withdraw(volume: &Volume, inode: &Arc<Inode>, file_blocks: Range<u64>) -> Result<()> {
    give_back(volume, &volume.blocks(inode)?.remove(file_blocks));
    Ok(())
}

fn give_back(volume: &Volume, removed: &[MappedRun]) {
    let withdrawn = volume.withdraw(removed);
    volume.allocator.free_withdrawn(withdrawn);
}

/// Gives the blocks that one place has to another, too; what is a hole in the one is a hole in the
/// other afterwards.
fn share(
    volume: &Volume,
    (from, from_blocks): (&Arc<Inode>, Range<u64>),
    (to, to_block): (&Arc<Inode>, u64),
) -> Result<()> {
    volume.load_owners()?;
    let source = volume.blocks(from)?;
    source.mark(from_blocks.clone(), Sharing::Shared);
    let extents = source.extents_within(from_blocks.clone());
    let target = volume.blocks(to)?;
    for extent in &extents {
        volume.owners.share(extent.run);
    }
    let len_blocks = from_blocks.end - from_blocks.start;
    give_back(volume, &target.remove(to_block..to_block + len_blocks));
    for extent in &extents {
        let at = extent.file_block - from_blocks.start + to_block;
        target.load_into_hole(at, extent.mapped());
    }
    target.bring_checksums(source, &from_blocks, to_block);
    Ok(())
}

/// The content changed, and the file is at least `len_bytes` long.
fn finish(volume: &Volume, inode: &Arc<Inode>, len_bytes: u64, time: Timestamp) {
    inode.extend_len_bytes(len_bytes);
    inode.touch(time);
    volume.inodes.mark_changed(inode);
}
