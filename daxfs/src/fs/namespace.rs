//! Looking paths up, and making and removing what they name.
//!
//! # Locking
//! A change locks the directory that holds the name, and for the removal of a directory that one
//! too, ancestors first; inside them a transaction. Walking a path takes only each directory's
//! latch, so the directory found is looked at again once it is locked: one that was removed
//! meanwhile has no links.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use super::metadata::{DirectoryEntry, Metadata};
use super::mounted::Mounted;
use super::path;
use crate::directory::{Directory, Target};
use crate::error::{Error, Result};
use crate::format::InodeKind;
use crate::format::geometry::ROOT_INODE;
use crate::inode::Inode;

impl Mounted {
    /// The inode that `path` names.
    pub(super) fn find(&self, path: &Path) -> Result<Arc<Inode>> {
        self.walk(path, &path::components(path)?)
    }

    pub(super) fn metadata(&self, path: &Path) -> Result<Metadata> {
        Ok(Metadata::of(&*self.find(path)?))
    }

    pub(super) fn read_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        let inode = self.find(path)?;
        let entries = directory_of(&inode, path)?.entries();
        let entry = |(name, target): (Vec<u8>, Target)| DirectoryEntry {
            name: OsString::from_vec(name),
            inode: target.inode,
            kind: target.kind.into(),
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// Makes an empty file.
    pub(super) fn create_file(&self, path: &Path) -> Result<Arc<Inode>> {
        self.create(path, InodeKind::File)
    }

    /// Makes an empty directory.
    pub(super) fn create_directory(&self, path: &Path) -> Result<()> {
        self.create(path, InodeKind::Directory).map(drop)
    }

    fn create(&self, path: &Path, kind: InodeKind) -> Result<Arc<Inode>> {
        let (parents, name) = path::split(path)?;
        let parent = self.walk(path, &parents)?;
        let directory = directory_of(&parent, path)?;
        let locked = directory.lock();
        check_alive(&parent, path)?;
        if directory.get(&name).is_some() {
            return Err(Error::AlreadyExists {
                path: path.to_path_buf(),
            });
        }
        // One block for the inode, and one at times for the name.
        self.volume.allocator.grow_reserve(1)?;
        self.volume.reserve_growth(&parent)?;

        let transaction = self.volume.gate.begin();
        let make = |number| match kind {
            InodeKind::File => Inode::new_file(number),
            InodeKind::Directory => Inode::new_directory(number, parent.number()),
        };
        let no_numbers = Error::NoSpace {
            needed_blocks: 1,
            available_blocks: 0,
        };
        let inode = self
            .volume
            .inodes
            .create(&transaction, make)
            .ok_or(no_numbers)?;
        locked.insert(
            &name,
            Target {
                inode: inode.number(),
                kind,
            },
        );
        if kind == InodeKind::Directory {
            parent.set_links(&transaction, parent.links().saturating_add(1));
        }
        parent.touch(&transaction);
        self.volume.mark_changed(&transaction, &parent);
        Ok(inode)
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<()> {
        let (parents, name) = path::split(path)?;
        let parent = self.walk(path, &parents)?;
        let directory = directory_of(&parent, path)?;
        let locked = directory.lock();
        let inode = self.child(directory, &name, path)?;
        if inode.kind() == InodeKind::Directory {
            return Err(Error::IsADirectory {
                path: path.to_path_buf(),
            });
        }
        {
            let transaction = self.volume.gate.begin();
            locked.remove(&name);
            inode.set_links(&transaction, inode.links() - 1);
            inode.touch(&transaction);
            parent.touch(&transaction);
            self.volume.mark_changed(&transaction, &inode);
            self.volume.mark_changed(&transaction, &parent);
        }
        if inode.links() == 0 {
            self.remove_unless_open(&inode);
        }
        Ok(())
    }

    pub(super) fn remove_directory(&self, path: &Path) -> Result<()> {
        let (parents, name) = path::split(path)?;
        let parent = self.walk(path, &parents)?;
        let directory = directory_of(&parent, path)?;
        let locked = directory.lock();
        let inode = self.child(directory, &name, path)?;
        let child = directory_of(&inode, path)?;
        let _child_locked = child.lock();
        if !child.is_empty() {
            return Err(Error::DirectoryNotEmpty {
                path: path.to_path_buf(),
            });
        }
        {
            let transaction = self.volume.gate.begin();
            locked.remove(&name);
            inode.set_links(&transaction, 0);
            parent.set_links(&transaction, parent.links() - 1);
            parent.touch(&transaction);
            self.volume.mark_changed(&transaction, &parent);
            self.volume.inodes.remove(&transaction, &inode);
        }
        Ok(())
    }

    fn walk(&self, path: &Path, names: &[Vec<u8>]) -> Result<Arc<Inode>> {
        let not_found = || Error::NotFound {
            path: path.to_path_buf(),
        };
        let mut inode = self.volume.inodes.get(ROOT_INODE).ok_or_else(not_found)?;
        for name in names {
            let directory = directory_of(&inode, path)?;
            inode = self.child(directory, name, path)?;
        }
        Ok(inode)
    }

    /// The inode that `name` stands for. Its number may become another inode's between the two
    /// look-ups, so both are made again until they agree; each disagreement is somebody's progress,
    /// but a name without an inode would never end, hence the bound.
    fn child(&self, directory: &Directory, name: &[u8], path: &Path) -> Result<Arc<Inode>> {
        const ATTEMPTS: u32 = 1000;
        for _ in 0..ATTEMPTS {
            let Some(target) = directory.get(name) else {
                break;
            };
            let found = self.volume.inodes.get(target.inode);
            // The number may also have come back to the name: then what was found has no links.
            if directory.get(name) == Some(target)
                && let Some(found) = found
                && found.links() > 0
            {
                return Ok(found);
            }
        }
        Err(Error::NotFound {
            path: path.to_path_buf(),
        })
    }
}

fn directory_of<'inode>(inode: &'inode Inode, path: &Path) -> Result<&'inode Directory> {
    inode.directory().ok_or_else(|| Error::NotADirectory {
        path: path.to_path_buf(),
    })
}

fn check_alive(directory: &Inode, path: &Path) -> Result<()> {
    if directory.links() == 0 {
        return Err(Error::NotFound {
            path: path.to_path_buf(),
        });
    }
    Ok(())
}
