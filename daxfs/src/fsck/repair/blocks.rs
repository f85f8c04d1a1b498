//! Answers to issues of blocks that have several owners.
//!
//! Two files that claim one block both keep what it holds: the first keeps the block, the others
//! get copies. Files that know that they share, two of them or more, go before one that does not.
//! The metadata tree goes before all files: what is a node, by its checksum, is not a file's
//! content any more.

use std::ops::Range;

use super::action::Action;
use super::fix::Plan;
use super::{Done, Refusal};
use crate::error::Error;
use crate::format::item::{ItemKind, Key, Sharing, StoredRun, StoredSharedRun};
use crate::fsck::issue::Issue;
use crate::fsck::owner::Owner;
use crate::fsck::replay::runs::{self, within, without};
use crate::fsck::shared::{Share, stretches_of_uses};

/// What becomes of the blocks of one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It gets a copy.
    Copy,
    /// It becomes a hole.
    Hole,
}

impl Plan<'_> {
    /// Gives each owner of blocks that are used twice blocks of its own.
    pub(super) fn separate<'i>(
        &mut self,
        shares: &[Share],
        issues: impl Iterator<Item = &'i Issue>,
    ) -> Done<()> {
        for issue in issues {
            let Issue::UsedTwice {
                block, len_blocks, ..
            } = issue
            else {
                continue;
            };
            let blocks = *block..block + len_blocks;
            let uses = shares
                .iter()
                .filter_map(|share| part_of(share, &blocks))
                .collect::<Vec<_>>();
            if let Err(refusal) = self.separate_uses(&uses)? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    /// `uses` are all those of some blocks. They are in order.
    fn separate_uses(&mut self, uses: &[Share]) -> Done<()> {
        for part in stretches_of_uses(uses) {
            let mut here = uses
                .iter()
                .filter_map(|share| part_of(share, &part))
                .collect::<Vec<_>>();
            here.sort_by_key(|share| (share.owner, share.file_block));
            let is_of_tree = here.iter().any(|share| share.owner == Owner::Tree);
            let marked = here.iter().filter(|share| share.is_marked).count();
            let mut kept_one = false;
            for share in here {
                let keeps = match share.owner {
                    Owner::Tree => true,
                    Owner::Data { .. } if is_of_tree => false,
                    Owner::Data { .. } if marked > 1 => share.is_marked,
                    Owner::Data { .. } => !std::mem::replace(&mut kept_one, true),
                };
                if keeps {
                    continue;
                }
                let fate = if is_of_tree { Fate::Hole } else { Fate::Copy };
                if let Err(refusal) = self.move_use(&share, fate)? {
                    return Ok(Err(refusal));
                }
            }
        }
        Ok(Ok(()))
    }

    fn move_use(&mut self, share: &Share, fate: Fate) -> Done<()> {
        let Owner::Data { inode } = share.owner else {
            return Ok(Ok(()));
        };
        let len_blocks = share.end - share.block;
        let file_blocks = share.file_block..share.file_block + len_blocks;
        let before = runs::load(&self.items, inode, &file_blocks)?;
        let mut after = without(&before, &file_blocks);
        if fate == Fate::Copy {
            for (offset, old) in (0..).zip(share.block..share.end) {
                let Some(new) = self.free.take() else {
                    return Ok(Err(Refusal::NoSpace));
                };
                self.copies.push((old, new));
                after.push(StoredRun {
                    file_block: share.file_block + offset,
                    device_block: new,
                    len_blocks: 1,
                    sharing: Sharing::Exclusive,
                });
            }
        }
        debug_assert!(!within(&before, &file_blocks).is_empty());
        runs::store(&mut self.items, inode, &file_blocks, after)?;
        let file_block = share.file_block;
        self.did(match fate {
            Fate::Copy => Action::CopiedBlocks {
                inode,
                file_block,
                len_blocks,
            },
            Fate::Hole => Action::SetRuns {
                inode,
                dropped_blocks: len_blocks,
            },
        });
        Ok(Ok(()))
    }

    /// Counts the owners of all shared blocks anew.
    pub(super) fn count_shared(&mut self, shares: &[Share]) -> Result<(), Error> {
        let keys = Key::range_of_kind(0, ItemKind::Shared);
        self.items.remove_range(keys)?;
        let mut counted: Vec<StoredSharedRun> = Vec::new();
        for (blocks, owners) in stretches_of_owners(shares) {
            match counted.last_mut() {
                Some(last)
                    if last.owners == owners
                        && last.device_block + last.len_blocks == blocks.start =>
                {
                    last.len_blocks += blocks.end - blocks.start;
                }
                _ => counted.push(StoredSharedRun {
                    device_block: blocks.start,
                    len_blocks: blocks.end - blocks.start,
                    owners,
                }),
            }
        }
        for run in &counted {
            let key = Key::new(0, ItemKind::Shared, run.device_block);
            self.items.put(key, run.encode().to_vec());
        }
        let runs = counted.len() as u64;
        self.did(Action::CountedShared { runs });
        Ok(())
    }
}

/// Stretches of blocks that several use, each with how many do.
fn stretches_of_owners(shares: &[Share]) -> impl Iterator<Item = (Range<u64>, u64)> {
    stretches_of_uses(shares).into_iter().filter_map(|blocks| {
        // Uses are sorted by their first block; none is longer than a segment.
        let from = blocks.start.saturating_sub(512);
        let first = shares.partition_point(|share| share.block < from);
        let near = shares[first..]
            .iter()
            .take_while(|share| share.block < blocks.end);
        let owners = near.filter(|share| share.end > blocks.start).count() as u64;
        (owners > 1).then_some((blocks, owners))
    })
}

/// The part of a use that lies in `blocks`.
fn part_of(share: &Share, blocks: &Range<u64>) -> Option<Share> {
    let start = share.block.max(blocks.start);
    let end = share.end.min(blocks.end);
    (start < end).then(|| Share {
        block: start,
        end,
        file_block: share.file_block + (start - share.block),
        ..*share
    })
}
