//! Records of the content of files. See the [module above](super).

use std::ops::Range;

use super::runs::{self, blocks, within, without};
use super::{Applied, Model, RedoWrite, impossible, touch};
use crate::format::geometry::{BLOCK_BYTES, MAXIMUM_FILE_BLOCKS, block_offset_bytes};
use crate::format::item::{Sharing, StoredInode, StoredRun};
use crate::format::record::{Record, ShiftDirection};
use crate::format::{FileType, Timestamp};
use crate::run::Run;

/// Flag of a new run: it is shared.
const SHARED_FLAG: u32 = 1;

/// Blocks that two files, or two places of one, are to have both.
#[derive(Clone, Copy)]
struct Sharer {
    from_inode: u64,
    from_block: u64,
    to_inode: u64,
    to_block: u64,
    len_blocks: u64,
}

impl Model<'_, '_> {
    pub(super) fn apply_to_content(&mut self, record: &Record) -> Applied {
        match record {
            Record::Map {
                inode,
                file_block,
                run,
                flags,
                len_bytes,
                time,
            } => {
                let sharing = match flags & SHARED_FLAG {
                    0 => Sharing::Exclusive,
                    _ => Sharing::Shared,
                };
                self.put_run(*inode, *file_block, run.run(), sharing)?;
                self.grow(*inode, *len_bytes, *time)
            }
            Record::Unmap {
                inode,
                file_blocks,
                time,
            } => {
                self.withdraw(*inode, file_blocks.clone())?;
                self.grow(*inode, 0, *time)
            }
            Record::SetLength {
                inode,
                len_bytes,
                kept_blocks,
                time,
            } => {
                self.withdraw(*inode, *kept_blocks..MAXIMUM_FILE_BLOCKS)?;
                self.set_len(*inode, *len_bytes, *time)
            }
            Record::Extend {
                inode,
                len_bytes,
                time,
            } => {
                self.file(*inode)?;
                self.grow(*inode, *len_bytes, *time)
            }
            Record::Replace {
                inode,
                file_block,
                runs,
                len_bytes,
                time,
            } => {
                let mut at = *file_block;
                for run in runs {
                    let run = run.run();
                    self.withdraw(*inode, at..at + run.len_blocks)?;
                    self.put_run(*inode, at, run, Sharing::Exclusive)?;
                    at += run.len_blocks;
                }
                self.grow(*inode, *len_bytes, *time)
            }
            _ => self.apply_to_places(record),
        }
    }

    fn apply_to_places(&mut self, record: &Record) -> Applied {
        match record {
            Record::Share {
                from_inode,
                from_block,
                to_inode,
                to_block,
                len_blocks,
                len_bytes,
                time,
            } => {
                let sharer = Sharer {
                    from_inode: *from_inode,
                    from_block: *from_block,
                    to_inode: *to_inode,
                    to_block: *to_block,
                    len_blocks: *len_blocks,
                };
                self.share(sharer)?;
                self.grow(*to_inode, *len_bytes, *time)
            }
            Record::Shift {
                inode,
                file_block,
                len_blocks,
                direction,
                len_bytes,
                time,
            } => {
                self.shift(*inode, *file_block, *len_blocks, *direction)?;
                self.set_len(*inode, *len_bytes, *time)
            }
            Record::Redo {
                inode,
                offset_bytes,
                bytes,
            } => self.redo(*inode, *offset_bytes, bytes),
            Record::ForgetChecksums { inode, file_blocks } => {
                self.file(*inode)?;
                self.forget_checksums(*inode, file_blocks)
            }
            Record::RedoDone { inode } => {
                self.redo.retain(|write| write.inode != *inode);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(&self, number: u64) -> Applied<StoredInode> {
        let inode = self.inode(number)?;
        match inode.kind {
            FileType::File => Ok(inode),
            kind => impossible(format!("inode {number} is a {kind}, and no file")),
        }
    }

    /// The content changed, and the file is at least `len_bytes` long.
    fn grow(&mut self, number: u64, len_bytes: u64, time: Timestamp) -> Applied {
        self.change(number, |inode| {
            inode.size_bytes = inode.size_bytes.max(len_bytes);
            touch(inode, time);
        })
    }

    fn set_len(&mut self, number: u64, len_bytes: u64, time: Timestamp) -> Applied {
        self.change(number, |inode| {
            inode.size_bytes = len_bytes;
            touch(inode, time);
        })
    }

    /// Changes the runs of the segments that `file_blocks` touches.
    fn change_runs(
        &mut self,
        number: u64,
        file_blocks: Range<u64>,
        change: impl FnOnce(Vec<StoredRun>) -> Vec<StoredRun>,
    ) -> Applied {
        let mut inode = self.file(number)?;
        let before = runs::load(self.items, number, &file_blocks)?;
        let (had, after) = (blocks(&before), change(before));
        let allocated = inode.allocated_blocks.saturating_sub(had);
        inode.allocated_blocks = allocated.saturating_add(blocks(&after));
        runs::store(self.items, number, &file_blocks, after)?;
        self.put_inode(number, &inode);
        Ok(())
    }

    fn withdraw(&mut self, number: u64, file_blocks: Range<u64>) -> Applied {
        let range = file_blocks.clone();
        let mut gone = Vec::new();
        self.change_runs(number, file_blocks, |runs| {
            gone = within(&runs, &range);
            without(&runs, &range)
        })?;
        self.forget_checksums(number, &range)?;
        self.forget_given(&gone);
        Ok(())
    }

    /// A record took runs from a file: a later one may give their blocks away again, unless the
    /// checkpoint uses them. (If another file shares them still, the check of owners finds it.)
    pub(super) fn forget_given(&self, runs: &[StoredRun]) {
        for run in runs {
            let start = run.device_block;
            self.given
                .clear(start..start.saturating_add(run.len_blocks));
        }
    }

    /// Gives blocks to a file, where it has a hole.
    fn put_run(&mut self, number: u64, file_block: u64, run: Run, sharing: Sharing) -> Applied {
        let geometry = self.items.image().geometry();
        if !geometry.is_data_range(run.block, run.len_blocks) {
            let (block, end) = (run.block, run.end());
            return impossible(format!(
                "blocks {block} to {end} are not all of the data area"
            ));
        }
        self.file(number)?;
        let blocks = run.block..run.end();
        if sharing == Sharing::Exclusive {
            let mut taken = !self.used.runs(blocks.clone()).is_empty();
            self.given.set(blocks.clone(), |_, _| taken = true);
            if taken {
                let (block, end) = (blocks.start, blocks.end);
                return impossible(format!("blocks {block} to {end} are not all free"));
            }
        }
        // Filled before they were given away: what was to be written there before is void.
        let bytes = block_offset_bytes(blocks.start)..block_offset_bytes(blocks.end);
        self.redo
            .retain(|write| !bytes.contains(&write.offset_bytes));
        let file_blocks = file_block..file_block + run.len_blocks;
        let there = runs::load(self.items, number, &file_blocks)?;
        if !within(&there, &file_blocks).is_empty() {
            return impossible(format!("inode {number} has blocks at {file_block} already"));
        }
        self.change_runs(number, file_blocks, |mut runs| {
            runs.push(StoredRun {
                file_block,
                device_block: run.block,
                len_blocks: run.len_blocks,
                sharing,
            });
            runs
        })
    }

    fn share(&mut self, sharer: Sharer) -> Applied {
        let Sharer {
            from_inode,
            from_block,
            to_inode,
            to_block,
            len_blocks,
        } = sharer;
        let (from, to) = (
            from_block..from_block + len_blocks,
            to_block..to_block + len_blocks,
        );
        self.file(to_inode)?;
        let mut shared = Vec::new();
        self.change_runs(from_inode, from.clone(), |runs| {
            shared = within(&runs, &from);
            shared
                .iter_mut()
                .for_each(|run| run.sharing = Sharing::Shared);
            [without(&runs, &from), shared.clone()].concat()
        })?;
        let mut gone = Vec::new();
        self.change_runs(to_inode, to.clone(), |runs| {
            gone = within(&runs, &to);
            let moved = shared.iter().map(|run| StoredRun {
                file_block: run.file_block - from_block + to_block,
                ..*run
            });
            without(&runs, &to).into_iter().chain(moved).collect()
        })?;
        let sums = self.checksums(from_inode, &from)?.into_iter();
        let sums = sums.map(|(block, sum)| (block - from_block + to_block, sum));
        self.forget_checksums(to_inode, &to)?;
        self.add_checksums(to_inode, sums)?;
        self.forget_given(&gone);
        Ok(())
    }

    fn shift(
        &mut self,
        number: u64,
        file_block: u64,
        len_blocks: u64,
        direction: ShiftDirection,
    ) -> Applied {
        let range = file_block..file_block + len_blocks;
        let moved_from = match direction {
            ShiftDirection::TowardsStart => range.end,
            ShiftDirection::TowardsEnd => range.start,
        };
        let all = file_block..MAXIMUM_FILE_BLOCKS;
        let last_block = runs::load(self.items, number, &all)?
            .last()
            .map_or(0, StoredRun::file_end);
        let end = last_block.saturating_add(len_blocks);
        if direction == ShiftDirection::TowardsEnd && end > MAXIMUM_FILE_BLOCKS {
            return impossible(format!("inode {number} would be longer than a file can be"));
        }
        let mut gone = Vec::new();
        self.change_runs(number, all, |runs| {
            if direction == ShiftDirection::TowardsStart {
                gone = within(&runs, &range);
            }
            let stays = within(&runs, &(0..file_block));
            let moves = within(&runs, &(moved_from..MAXIMUM_FILE_BLOCKS));
            let moved = moves.into_iter().map(|run| StoredRun {
                file_block: match direction {
                    ShiftDirection::TowardsStart => run.file_block - len_blocks,
                    ShiftDirection::TowardsEnd => run.file_block + len_blocks,
                },
                ..run
            });
            stays.into_iter().chain(moved).collect()
        })?;
        let sums = self.checksums(number, &(moved_from..MAXIMUM_FILE_BLOCKS))?;
        self.forget_checksums(number, &(file_block..MAXIMUM_FILE_BLOCKS))?;
        let moved = sums.into_iter().map(|(block, sum)| match direction {
            ShiftDirection::TowardsStart => (block - len_blocks, sum),
            ShiftDirection::TowardsEnd => (block + len_blocks, sum),
        });
        self.add_checksums(number, moved)?;
        self.forget_given(&gone);
        Ok(())
    }

    /// Notes where the bytes go. Nothing is written: a check changes nothing.
    fn redo(&mut self, number: u64, offset_bytes: u64, bytes: &[u8]) -> Applied {
        self.file(number)?;
        let mut rest = bytes;
        let mut at = offset_bytes;
        while !rest.is_empty() {
            let file_block = at / BLOCK_BYTES;
            let runs = runs::load(self.items, number, &(file_block..file_block + 1))?;
            let found = within(&runs, &(file_block..file_block + 1));
            let [run] = found.as_slice() else {
                return impossible(format!("inode {number} has no block at {file_block}"));
            };
            let within_block = at % BLOCK_BYTES;
            let len = rest.len().min((BLOCK_BYTES - within_block) as usize);
            let (now, later) = rest.split_at(len);
            self.redo.push(RedoWrite {
                inode: number,
                offset_bytes: block_offset_bytes(run.device_block) + within_block,
                bytes: now.to_vec(),
            });
            rest = later;
            at += len as u64;
        }
        Ok(())
    }
}
