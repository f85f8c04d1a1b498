//! Answers to issues of names.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::fix::Plan;
use crate::error::Error;
use crate::format::item::dirent::StoredDirent;
use crate::format::item::orphan::orphan_key;
use crate::format::item::{DirectoryHash, ItemKind, Key};
use crate::fsck::facts::text;
use crate::fsck::issue::Issue;
use crate::fsck::owner::InodeKind;
use crate::fsck::scan::{Reference, Scan};

impl Plan<'_> {
    /// Answers an issue of class 2.
    pub(super) fn fix_name(&mut self, issue: &Issue, scan: &Scan) -> Result<(), Error> {
        match issue {
            Issue::NamePosition {
                directory,
                position,
                ..
            } => self.move_name(*directory, *position),
            Issue::DuplicateName {
                directory,
                position,
                ..
            }
            | Issue::DanglingEntry {
                directory,
                position,
                ..
            }
            | Issue::RootNamed {
                directory,
                position,
            } => self.remove_name(*directory, *position),
            Issue::EntryKind {
                directory,
                position,
                expected,
                ..
            } => self.set_kind(*directory, *position, *expected),
            Issue::DirectoryNamedTwice { inode, .. } => self.keep_one_name(*inode, scan),
            Issue::OrphanMissing { inode } | Issue::OrphanNamed { inode, .. } => {
                let inode = *inode;
                self.items.remove(orphan_key(inode));
                self.did(Action::Unlisted { inode });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes a name.
    pub(super) fn remove_name(&mut self, directory: u64, position: u64) -> Result<(), Error> {
        let key = Key::new(directory, ItemKind::Dirent, position);
        let Some(value) = self.items.get(key)? else {
            return Ok(());
        };
        self.items.remove(key);
        if let Ok(entry) = StoredDirent::decode(&value) {
            let (name, inode) = (text(entry.name), entry.inode);
            self.did(Action::RemovedName {
                directory,
                name,
                inode,
            });
        }
        Ok(())
    }

    /// Puts a name where its hash belongs.
    fn move_name(&mut self, directory: u64, position: u64) -> Result<(), Error> {
        let key = Key::new(directory, ItemKind::Dirent, position);
        let Some(value) = self.items.get(key)? else {
            return Ok(());
        };
        let Ok(entry) = StoredDirent::decode(&value) else {
            return Ok(());
        };
        let name = entry.name.to_vec();
        self.items.remove(key);
        let Some(position) = self.free_position(directory, &name)? else {
            // As many names of one hash as there can be. The inode gets another name if need be.
            return Ok(());
        };
        let key = Key::new(directory, ItemKind::Dirent, position);
        self.items.put(key, value);
        self.did(Action::MovedName {
            directory,
            name: text(&name),
            position,
        });
        Ok(())
    }

    /// The least position that is free for a name.
    pub(super) fn free_position(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Error> {
        let hash = DirectoryHash::new(&self.items.image().superblock.hash_key);
        let positions = hash.position_range(name);
        let key = |position| Key::new(directory, ItemKind::Dirent, position);
        let taken = self
            .items
            .range(key(positions.start)..key(positions.end))?
            .into_iter()
            .map(|(key, _)| key.position)
            .collect::<BTreeSet<_>>();
        let mut free = positions.filter(|position| !taken.contains(position));
        Ok(free.next())
    }

    fn set_kind(&mut self, directory: u64, position: u64, kind: InodeKind) -> Result<(), Error> {
        let key = Key::new(directory, ItemKind::Dirent, position);
        let Some(value) = self.items.get(key)? else {
            return Ok(());
        };
        let Ok(entry) = StoredDirent::decode(&value) else {
            return Ok(());
        };
        let inode = entry.inode;
        let right = StoredDirent {
            kind: kind.stored(),
            ..entry
        };
        let right = right.encode();
        self.items.put(key, right);
        self.did(Action::SetKind {
            directory,
            inode,
            kind,
        });
        Ok(())
    }

    /// Of the names of a directory, keeps the one in its parent, or the first.
    fn keep_one_name(&mut self, inode: u64, scan: &Scan) -> Result<(), Error> {
        let names = scan.references.iter().filter(|r| r.inode == inode);
        let names = names.copied().collect::<Vec<Reference>>();
        let parent = self.inode(inode)?.map(|stored| stored.parent);
        let kept = names
            .iter()
            .position(|name| Some(name.directory) == parent)
            .unwrap_or(0);
        for (at, name) in names.iter().enumerate() {
            if at != kept {
                self.remove_name(name.directory, name.position)?;
            }
        }
        Ok(())
    }

    /// Of each ring of directories that are below each other, takes one out: it has no name then.
    pub(super) fn cut_cycles<'i>(
        &mut self,
        scan: &Scan,
        issues: impl Iterator<Item = &'i Issue>,
    ) -> Result<(), Error> {
        let unreachable = issues.filter_map(|issue| match issue {
            Issue::Unreachable { inode } => Some(*inode),
            _ => None,
        });
        let unreachable = unreachable.collect::<BTreeSet<_>>();
        let mut holders = BTreeMap::new();
        for reference in &scan.references {
            if unreachable.contains(&reference.inode) {
                holders
                    .entry(reference.inode)
                    .or_insert((reference.directory, reference.position));
            }
        }
        for inode in on_cycles(&unreachable, &holders) {
            if let Some((directory, position)) = holders.get(&inode) {
                self.remove_name(*directory, *position)?;
            }
        }
        Ok(())
    }
}

/// One directory of each ring.
fn on_cycles(unreachable: &BTreeSet<u64>, holders: &BTreeMap<u64, (u64, u64)>) -> Vec<u64> {
    // The walk upwards on which each directory was seen first.
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cut = Vec::new();
    for start in unreachable {
        let mut at = *start;
        loop {
            if let Some(walk) = seen.get(&at) {
                if walk == start {
                    cut.push(at);
                }
                break;
            }
            seen.insert(at, *start);
            match holders.get(&at) {
                Some((above, _)) => at = *above,
                None => break,
            }
        }
    }
    cut
}
