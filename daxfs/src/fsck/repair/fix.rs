//! One round of a repair: each issue of the most basic class is answered with changes of items.
//!
//! | Class | Issues | Answered in |
//! |---|---|---|
//! | 0 | items that say nothing valid, or of the wrong kind | [`inodes`](super::inodes) |
//! | 1 | inodes that are missing | [`inodes`](super::inodes) |
//! | 2 | names that lead nowhere, or do not belong | [`names`](super::names) |
//! | 3 | inodes without names | [`lost_found`](super::lost_found) |
//! | 4 | directories that are below themselves | [`names`](super::names) |
//! | 5 | blocks with two owners | [`blocks`](super::blocks) |
//! | 6 | counts | here and in [`blocks`](super::blocks) |
//!
//! An answer looks at the items as they are by then: the answer to an issue before it may have
//! settled it. Takes no locks.

use super::action::Action;
use super::free::FreeBlocks;
use super::{Done, Refusal};
use crate::error::Error;
use crate::format::item::{ItemKind, Key, StoredInode};
use crate::fsck::examine::Judgement;
use crate::fsck::issue::Issue;
use crate::fsck::items::Items;
use crate::fsck::scan::InodeRecord;

/// A repair in the making.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The items as they will be.
    pub(super) items: Items<'a>,
    /// Blocks that may be written to.
    pub(super) free: FreeBlocks,
    /// Inode numbers in use are below this.
    pub(super) next_inode: u64,
    /// Blocks to be copied before anything is written over: from, to.
    pub(super) copies: Vec<(u64, u64)>,
    /// What was done.
    pub(super) actions: Vec<Action>,
}

/// Which issues are answered before which.
fn class(issue: &Issue) -> u8 {
    match issue {
        Issue::BadItem { .. }
        | Issue::ItemOfOtherKind { .. }
        | Issue::BadXattrs { .. }
        | Issue::BadAcl { .. }
        | Issue::BadTarget { .. }
        | Issue::ChecksumOfHole { .. }
        | Issue::RunOutOfImage { .. }
        | Issue::RunOrder { .. }
        | Issue::RunNotMerged { .. } => 0,
        Issue::OrphanedItems { .. } | Issue::RootMissing | Issue::RootNotADirectory { .. } => 1,
        Issue::NamePosition { .. }
        | Issue::DuplicateName { .. }
        | Issue::DanglingEntry { .. }
        | Issue::RootNamed { .. }
        | Issue::EntryKind { .. }
        | Issue::DirectoryNamedTwice { .. }
        | Issue::OrphanMissing { .. }
        | Issue::OrphanNamed { .. } => 2,
        Issue::Unnamed { .. } => 3,
        Issue::Unreachable { .. } => 4,
        Issue::UsedTwice { .. } => 5,
        _ => 6,
    }
}

impl<'a> Plan<'a> {
    /// A repair that changes nothing yet.
    pub(super) fn new(items: Items<'a>, free: FreeBlocks) -> Self {
        let next_inode = items.image().superblock.next_inode;
        Self {
            items,
            free,
            next_inode,
            copies: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Notes what was done.
    pub(super) fn did(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Answers the issues of the most basic class.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn fix(&mut self, judged: &Judgement) -> Done<()> {
        let Some(now) = judged.issues.iter().map(class).min() else {
            return Ok(Ok(()));
        };
        let issues = judged.issues.iter().filter(|issue| class(issue) == now);
        match now {
            0 | 1 => {
                for issue in issues {
                    self.fix_inode(issue)?;
                }
            }
            2 => {
                for issue in issues {
                    self.fix_name(issue, &judged.scan)?;
                }
            }
            3 => return self.put_into_lost_found(issues),
            4 => self.cut_cycles(&judged.scan, issues)?,
            5 => return self.separate(&judged.shares, issues),
            _ => {
                let mut counts_shared = false;
                for issue in issues {
                    counts_shared |= self.fix_count(issue)?;
                }
                if counts_shared {
                    self.count_shared(&judged.shares)?;
                }
            }
        }
        Ok(Ok(()))
    }

    /// Answers an issue about a count. Whether shared blocks are to be counted is told back: all at
    /// once.
    fn fix_count(&mut self, issue: &Issue) -> Result<bool, Error> {
        match issue {
            Issue::LinkCount {
                inode, expected, ..
            } => {
                let links = u32::try_from(*expected).unwrap_or(u32::MAX);
                self.change_inode(*inode, |stored| stored.links = links)?;
                let inode = *inode;
                self.did(Action::SetLinks { inode, links });
            }
            Issue::Parent {
                inode, expected, ..
            } => {
                let (inode, parent) = (*inode, *expected);
                self.change_inode(inode, |stored| stored.parent = parent)?;
                self.did(Action::SetParent { inode, parent });
            }
            Issue::AllocatedBlocks {
                inode, expected, ..
            } => {
                let (inode, blocks) = (*inode, *expected);
                self.change_inode(inode, |stored| stored.allocated_blocks = blocks)?;
                self.did(Action::SetAllocatedBlocks { inode, blocks });
            }
            Issue::SharedCount { .. } | Issue::SharedOverlap { .. } => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    /// The inode of this number, if there is one that decodes.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn inode(&self, number: u64) -> Result<Option<StoredInode>, Error> {
        let value = self.items.get(Key::new(number, ItemKind::Inode, 0))?;
        Ok(value.and_then(|value| StoredInode::decode(&value).ok()))
    }

    /// Stores an inode.
    pub(super) fn put_inode(&mut self, number: u64, inode: &StoredInode) {
        let key = Key::new(number, ItemKind::Inode, 0);
        self.items.put(key, inode.encode().to_vec());
    }

    /// Changes an inode, if there is one.
    ///
    /// # Errors
    /// Only when the device cannot be read.
    pub(super) fn change_inode(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut StoredInode),
    ) -> Result<(), Error> {
        if let Some(mut inode) = self.inode(number)? {
            change(&mut inode);
            self.put_inode(number, &inode);
        }
        Ok(())
    }

    /// New inodes get numbers above all of these.
    pub(super) fn see_inodes(&mut self, inodes: &[InodeRecord]) {
        // They are sorted.
        let above = inodes
            .last()
            .map_or(0, |last| last.number.saturating_add(1));
        self.next_inode = self.next_inode.max(above);
    }

    /// A number for a new inode.
    pub(super) fn new_inode(&mut self) -> Result<u64, Refusal> {
        let number = self.next_inode;
        if number >= crate::format::item::INODE_LIMIT - 1 {
            return Err(Refusal::CounterAtEnd);
        }
        self.next_inode += 1;
        Ok(number)
    }
}
