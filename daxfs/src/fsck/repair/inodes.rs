//! Answers to issues of single inodes and of what belongs to them.

use super::action::Action;
use super::fix::Plan;
use crate::error::Error;
use crate::format::acl::{ACCESS_ACL, DEFAULT_ACL};
use crate::format::geometry::{BLOCK_BYTES, MAXIMUM_FILE_BYTES, ROOT_INODE};
use crate::format::item::symlink::MAXIMUM_TARGET_BYTES;
use crate::format::item::xattr::{MAXIMUM_XATTR_BYTES, decode_xattrs, encode_xattrs};
use crate::format::item::{CHECKSUM_GROUP_BLOCKS, ItemKind, Key, StoredInode, StoredRun, chunks};
use crate::format::{FileType, Timestamp};
use crate::fsck::issue::Issue;
use crate::fsck::owner::InodeKind;
use crate::fsck::replay::checksums;
use crate::fsck::replay::runs::{self, blocks, within};

/// Any block of a file.
const ALL_BLOCKS: std::ops::Range<u64> = 0..u64::MAX;

impl Plan<'_> {
    /// Answers an issue of class 0 or 1.
    pub(super) fn fix_inode(&mut self, issue: &Issue) -> Result<(), Error> {
        match issue {
            Issue::BadItem {
                inode,
                kind,
                position,
                ..
            }
            | Issue::ItemOfOtherKind {
                inode,
                item_kind: kind,
                position,
                ..
            } => {
                self.remove_item(*inode, *kind, *position);
                Ok(())
            }
            Issue::ChecksumOfHole {
                inode, position, ..
            } => self.remove_checksums(*inode, *position),
            Issue::BadXattrs { inode, .. } => self.remove_xattrs(*inode),
            Issue::BadAcl { inode, .. } => self.remove_acls(*inode),
            Issue::BadTarget { inode, .. } => self.remove_inode(*inode),
            Issue::RunOutOfImage { inode, .. }
            | Issue::RunOrder { inode, .. }
            | Issue::RunNotMerged { inode, .. } => self.tidy_runs(*inode),
            Issue::OrphanedItems { inode, kind, .. } => self.remake(*inode, *kind),
            Issue::RootMissing => self.make_root(),
            Issue::RootNotADirectory { .. } => self.move_root(),
            _ => Ok(()),
        }
    }

    fn remove_item(&mut self, inode: u64, kind: u8, position: u64) {
        if let Some(item_kind) = ItemKind::decode(kind) {
            self.items.remove(Key::new(inode, item_kind, position));
            self.did(Action::RemovedItem {
                inode,
                kind,
                position,
            });
        }
    }

    /// Leaves those of blocks that are there.
    fn remove_checksums(&mut self, inode: u64, position: u64) -> Result<(), Error> {
        let group = position..position + CHECKSUM_GROUP_BLOCKS;
        let mut at = group.start;
        for run in within(&runs::load(&self.items, inode, &group)?, &group) {
            checksums::forget(&mut self.items, inode, &(at..run.file_block))?;
            at = run.file_end();
        }
        checksums::forget(&mut self.items, inode, &(at..group.end))?;
        self.did(Action::RemovedChecksums { inode, position });
        Ok(())
    }

    /// A part of the log or of the tree was lost: blocks may have changed since, and what is right
    /// would be taken for damaged.
    pub(super) fn remove_all_checksums(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for part in 0..self.items.parts() {
            let keys = self.items.part(part)?.into_iter().map(|(key, _)| key);
            found.extend(keys.filter(|key| key.kind == ItemKind::DataChecksums));
        }
        if !found.is_empty() {
            let items = found.len() as u64;
            found.into_iter().for_each(|key| self.items.remove(key));
            self.did(Action::RemovedAllChecksums { items });
        }
        Ok(())
    }

    fn remove_xattrs(&mut self, inode: u64) -> Result<(), Error> {
        let keys = Key::range_of_kind(inode, ItemKind::XattrChunk);
        self.items.remove_range(keys)?;
        self.change_inode(inode, |stored| stored.xattr_bytes = 0)?;
        self.did(Action::RemovedXattrs { inode });
        Ok(())
    }

    /// Who may do what is then what the permission bits say: never more than the list said, but
    /// for those whom it named.
    fn remove_acls(&mut self, inode: u64) -> Result<(), Error> {
        let keys = Key::range_of_kind(inode, ItemKind::XattrChunk);
        let stored = self.items.range(keys.clone())?.into_iter();
        let blob = stored.flat_map(|(_, chunk)| chunk).collect::<Vec<_>>();
        let Ok(mut xattrs) = decode_xattrs(&blob) else {
            return self.remove_xattrs(inode);
        };
        xattrs.retain(|name, _| ![ACCESS_ACL, DEFAULT_ACL].contains(&name.as_slice()));
        let blob = encode_xattrs(&xattrs);
        self.items.remove_range(keys)?;
        for (chunk, bytes) in chunks(&blob) {
            let key = Key::new(inode, ItemKind::XattrChunk, chunk);
            self.items.put(key, bytes.to_vec());
        }
        self.change_inode(inode, |stored| stored.xattr_bytes = blob.len() as u32)?;
        self.did(Action::RemovedAcls { inode });
        Ok(())
    }

    fn remove_inode(&mut self, inode: u64) -> Result<(), Error> {
        self.items.remove_range(Key::range_of_inode(inode))?;
        self.did(Action::RemovedInode { inode });
        Ok(())
    }

    /// Keeps the runs that a file can have: within the data area, and of those that overlap the
    /// first.
    fn tidy_runs(&mut self, inode: u64) -> Result<(), Error> {
        let geometry = *self.items.image().geometry();
        let mut all = runs::load(&self.items, inode, &ALL_BLOCKS)?;
        let before = blocks(&all);
        all.retain(|run| geometry.is_data_range(run.device_block, run.len_blocks));
        all.sort_by_key(|run| run.file_block);
        let mut kept: Vec<StoredRun> = Vec::with_capacity(all.len());
        for run in all {
            let end = kept.last().map_or(0, StoredRun::file_end);
            kept.extend(runs::clip(&run, &(end..u64::MAX)));
        }
        let dropped_blocks = before - blocks(&kept);
        runs::store(&mut self.items, inode, &ALL_BLOCKS, kept)?;
        self.did(Action::SetRuns {
            inode,
            dropped_blocks,
        });
        Ok(())
    }

    /// Makes an inode for items that have none, with what they say about it.
    fn remake(&mut self, inode: u64, kind: InodeKind) -> Result<(), Error> {
        let xattr_bytes = self.len_of(inode, ItemKind::XattrChunk)?;
        let target_bytes = self.len_of(inode, ItemKind::SymlinkChunk)?;
        let runs = runs::load(&self.items, inode, &ALL_BLOCKS)?;
        let end_bytes = runs
            .last()
            .map_or(0, |run| run.file_end().saturating_mul(BLOCK_BYTES));
        let (can_be, size_bytes) = match kind {
            InodeKind::Symlink => (
                (1..=MAXIMUM_TARGET_BYTES as u64).contains(&target_bytes),
                target_bytes,
            ),
            InodeKind::File => (!runs.is_empty(), end_bytes.min(MAXIMUM_FILE_BYTES)),
            _ => (true, 0),
        };
        if !can_be {
            return self.remove_inode(inode);
        }
        let mut stored = new_inode(kind.stored());
        stored.size_bytes = size_bytes;
        if kind == InodeKind::File {
            stored.allocated_blocks = blocks(&runs);
        }
        // What is too long to be theirs is found in the next round, and goes.
        stored.xattr_bytes = xattr_bytes.min(MAXIMUM_XATTR_BYTES as u64) as u32;
        self.put_inode(inode, &stored);
        self.did(Action::RemadeInode { inode, kind });
        Ok(())
    }

    /// Bytes of all chunks of a kind.
    fn len_of(&self, inode: u64, kind: ItemKind) -> Result<u64, Error> {
        let chunks = self.items.range(Key::range_of_kind(inode, kind))?;
        Ok(chunks.iter().map(|(_, chunk)| chunk.len() as u64).sum())
    }

    fn make_root(&mut self) -> Result<(), Error> {
        if self.inode(ROOT_INODE)?.is_some() {
            return Ok(());
        }
        let mut root = new_inode(FileType::Directory);
        root.mode = 0o755;
        root.links = 2;
        self.put_inode(ROOT_INODE, &root);
        self.did(Action::RemadeInode {
            inode: ROOT_INODE,
            kind: InodeKind::Directory,
        });
        Ok(())
    }

    /// Gives another number to what has that of the root.
    fn move_root(&mut self) -> Result<(), Error> {
        let Ok(to) = self.new_inode() else {
            return self.remove_inode(ROOT_INODE);
        };
        for (key, value) in self.items.range(Key::range_of_inode(ROOT_INODE))? {
            self.items.remove(key);
            self.items.put(Key { inode: to, ..key }, value);
        }
        self.did(Action::MovedRoot { to });
        self.make_root()
    }
}

/// An inode of which nothing is known but its kind.
pub(super) fn new_inode(kind: FileType) -> StoredInode {
    let is_directory = kind == FileType::Directory;
    StoredInode {
        kind,
        mode: if is_directory { 0o700 } else { 0o600 },
        links: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        size_bytes: 0,
        allocated_blocks: 0,
        parent: if is_directory { ROOT_INODE } else { 0 },
        accessed: Timestamp::default(),
        modified: Timestamp::default(),
        changed: Timestamp::default(),
        created: Timestamp::default(),
        xattr_bytes: 0,
    }
}
