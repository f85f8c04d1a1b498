//! The directory for what has lost its name.

use super::action::Action;
use super::fix::Plan;
use super::inodes::new_inode;
use super::{Done, Refusal};
use crate::error::Error;
use crate::format::FileType;
use crate::format::geometry::ROOT_INODE;
use crate::format::item::dirent::StoredDirent;
use crate::format::item::{DirectoryHash, ItemKind, Key};
use crate::fsck::issue::Issue;

const NAME: &str = "lost+found";
/// The most names that are tried for one inode.
const MAXIMUM_TRIES: u32 = 1000;

impl Plan<'_> {
    /// Gives a name to each inode that has none.
    pub(super) fn put_into_lost_found<'i>(
        &mut self,
        issues: impl Iterator<Item = &'i Issue>,
    ) -> Done<()> {
        let directory = match self.lost_found()? {
            Ok(directory) => directory,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for issue in issues {
            let Issue::Unnamed { inode, kind } = issue else {
                continue;
            };
            let first = format!("#{inode}");
            let Some(name) = self.free_name(directory, &first)? else {
                return Ok(Err(Refusal::NotConsistent));
            };
            self.add_name(directory, &name, *inode, kind.stored())?;
            let inode = *inode;
            self.did(Action::PutIntoLostFound { inode, name });
        }
        Ok(Ok(()))
    }

    /// The directory: the one that is there, or a new one.
    fn lost_found(&mut self) -> Done<u64> {
        if let Some((inode, FileType::Directory)) = self.look_up(ROOT_INODE, NAME)?
            && let Some(stored) = self.inode(inode)?
            && stored.kind == FileType::Directory
        {
            return Ok(Ok(inode));
        }
        let Some(name) = self.free_name(ROOT_INODE, NAME)? else {
            return Ok(Err(Refusal::NotConsistent));
        };
        let inode = match self.new_inode() {
            Ok(inode) => inode,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.put_inode(inode, &new_inode(FileType::Directory));
        self.add_name(ROOT_INODE, &name, inode, FileType::Directory)?;
        self.did(Action::MadeLostFound { inode, name });
        Ok(Ok(inode))
    }

    /// What a name leads to.
    fn look_up(&self, directory: u64, name: &str) -> Result<Option<(u64, FileType)>, Error> {
        let hash = DirectoryHash::new(&self.items.image().superblock.hash_key);
        let positions = hash.position_range(name.as_bytes());
        let key = |position| Key::new(directory, ItemKind::Dirent, position);
        let near = self.items.range(key(positions.start)..key(positions.end))?;
        let found = near.iter().find_map(|(_, value)| {
            let entry = StoredDirent::decode(value).ok()?;
            (entry.name == name.as_bytes()).then_some((entry.inode, entry.kind))
        });
        Ok(found)
    }

    /// `first`, or `first` with a number, whichever is free.
    fn free_name(&self, directory: u64, first: &str) -> Result<Option<String>, Error> {
        for number in 0..MAXIMUM_TRIES {
            let name = match number {
                0 => first.to_owned(),
                _ => format!("{first}-{number}"),
            };
            if self.look_up(directory, &name)?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn add_name(
        &mut self,
        directory: u64,
        name: &str,
        inode: u64,
        kind: FileType,
    ) -> Result<(), Error> {
        if let Some(position) = self.free_position(directory, name.as_bytes())? {
            let entry = StoredDirent {
                inode,
                kind,
                name: name.as_bytes(),
            };
            let key = Key::new(directory, ItemKind::Dirent, position);
            let value = entry.encode();
            self.items.put(key, value);
        }
        Ok(())
    }
}
