//! Making, linking and removing names.
//!
//! # Locking
//! A change locks the directory that holds the name, and for the removal of a directory that one
//! too, ancestors first; inside them a transaction; and inside that, where it is decided whether an
//! inode that loses a name goes or stays, the list of open files. The directory found by walking a
//! path is looked at again once it is locked: one that was removed meanwhile has no links.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use super::metadata::DirectoryEntry;
use super::mounted::Mounted;
use super::path::check_name;
use super::walk::{Ending, LastLink, Place};
use crate::directory::LoadedDirectory;
use crate::error::{Error, Result};
use crate::format::FileType;
use crate::format::geometry::blocks_for_bytes;
use crate::format::record::{Disposition, Record};
use crate::inode::Inode;
use crate::inode::attributes::now;

/// The most names that an inode can have, as ext4 has it.
pub(super) const MOST_LINKS: u32 = 65_000;
/// The set-group-ID bit: what is made in a directory that has it belongs to its group.
pub(super) const SET_GROUP_ID: u16 = 0o2000;
/// The bits that a new directory gets from its maker, as on Linux: what the others mean for a
/// directory, its parent decides.
const DIRECTORY_BITS: u16 = 0o1777;
/// Entries of a directory that are copied with its latch held.
const ENTRIES_AT_ONCE: usize = 1024;

/// What to make.
#[derive(Clone, Debug)]
pub(super) struct NewInode {
    pub(super) kind: FileType,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Which device, for devices.
    pub(super) device_number: u64,
    /// Where a symbolic link leads.
    pub(super) target: Vec<u8>,
}

impl Mounted {
    // ---- Make ---------------------------------------------------------------------------------

    /// Makes an inode and its first name.
    pub(super) fn create(&self, path: &Path, new: &NewInode) -> Result<Arc<Inode>> {
        let place = self.new_place(path)?;
        if place.wants_directory && new.kind == FileType::File {
            return Err(Error::IsADirectory {
                path: path.to_path_buf(),
            });
        }
        let directory = self.volume.directory(&place.parent)?;
        let _locked = directory.lock();
        check_alive(&place.parent, path)?;
        let position = vacant(&directory, &place.name, path)?;
        if place.wants_directory && new.kind != FileType::Directory {
            return Err(not_found(path));
        }
        if new.kind == FileType::Directory && place.parent.links() >= MOST_LINKS {
            return Err(Error::TooManyNames {
                path: path.to_path_buf(),
            });
        }
        // One block for the inode, and one at times for the name.
        self.volume.allocator.grow_reserve(1)?;
        self.volume.reserve_growth(&place.parent)?;
        let links = if new.kind == FileType::Directory {
            2
        } else {
            1
        };
        self.make(new, &place.parent, position, place.name, links)
    }

    /// Makes a file without a name, in the directory `path` as far as its group is concerned.
    pub(super) fn create_anonymous(&self, path: &Path, new: &NewInode) -> Result<Arc<Inode>> {
        let parent = self.find(path, LastLink::Follow)?;
        if parent.directory().is_none() {
            return Err(Error::NotADirectory {
                path: path.to_path_buf(),
            });
        }
        check_alive(&parent, path)?;
        self.volume.allocator.grow_reserve(1)?;
        let inode = self.make(new, &parent, 0, Vec::new(), 0)?;
        inode.set_linkable();
        Ok(inode)
    }

    fn make(
        &self,
        new: &NewInode,
        parent: &Inode,
        position: u64,
        name: Vec<u8>,
        links: u32,
    ) -> Result<Arc<Inode>> {
        let (gid, mode) = inherited(parent, new);
        let (mode, xattrs) = self.inherited_acls(parent, new.kind, mode)?;
        // Those of a directory with long lists take more than the block that is kept already.
        let blocks = blocks_for_bytes(xattrs.len() as u64);
        self.volume.allocator.grow_reserve(blocks)?;
        let number = self.volume.inodes.take_number().ok_or(Error::NoSpace {
            needed_blocks: 1,
            available_blocks: 0,
        })?;
        let record = Record::Create {
            parent: parent.number(),
            position,
            name,
            inode: number,
            kind: new.kind,
            mode,
            uid: new.uid,
            gid,
            rdev: new.device_number,
            time: now(),
            target: new.target.clone(),
            links,
            xattrs,
        };
        self.volume.begin(record.encoded_len())?.commit(&record)?;
        self.volume.inode(number)
    }

    // ---- Link ---------------------------------------------------------------------------------

    /// Gives an inode one more name. One that lost its last name stays lost, unless it never had
    /// one.
    pub(super) fn link(&self, inode: &Arc<Inode>, path: &Path) -> Result<()> {
        let place = self.new_place(path)?;
        let directory = self.volume.directory(&place.parent)?;
        let _locked = directory.lock();
        check_alive(&place.parent, path)?;
        let position = vacant(&directory, &place.name, path)?;
        if place.wants_directory {
            return Err(not_found(path));
        }
        if inode.directory().is_some() {
            return Err(Error::NotPermitted {
                path: path.to_path_buf(),
                reason: "a directory has one name only",
            });
        }
        self.volume.reserve_growth(&place.parent)?;
        let record = Record::Link {
            directory: place.parent.number(),
            position,
            name: place.name,
            inode: inode.number(),
            time: now(),
        };
        let mut transaction = self.volume.begin(record.encoded_len())?;
        let _decided = self.open_files.lock();
        if inode.links() == 0 && !inode.is_linkable() {
            return Err(not_found(path));
        }
        if inode.links() >= MOST_LINKS {
            return Err(Error::TooManyNames {
                path: path.to_path_buf(),
            });
        }
        transaction.commit(&record)?;
        inode.forget_linkable();
        Ok(())
    }

    // ---- Remove -------------------------------------------------------------------------------

    /// Removes a name of anything but a directory.
    pub(super) fn remove_file(&self, path: &Path) -> Result<()> {
        let Ending::Name(Place {
            parent,
            name,
            wants_directory,
        }) = self.ending(path)?
        else {
            return Err(Error::IsADirectory {
                path: path.to_path_buf(),
            });
        };
        let directory = self.volume.directory(&parent)?;
        let _locked = directory.lock();
        let (position, inode) = self.present(&parent, &name, path)?;
        if inode.directory().is_some() {
            return Err(Error::IsADirectory {
                path: path.to_path_buf(),
            });
        }
        if wants_directory {
            return Err(Error::NotADirectory {
                path: path.to_path_buf(),
            });
        }
        self.unlink(&parent, position, &inode)
    }

    /// Removes an empty directory.
    pub(super) fn remove_directory(&self, path: &Path) -> Result<()> {
        let Place { parent, name, .. } = match self.ending(path)? {
            Ending::Name(place) => place,
            Ending::Here => {
                return Err(Error::InvalidPath {
                    path: path.to_path_buf(),
                    reason: "a directory is removed by its name, not as `.`",
                });
            }
            Ending::Parent => {
                return Err(Error::DirectoryNotEmpty {
                    path: path.to_path_buf(),
                });
            }
            Ending::Root => {
                return Err(Error::InUse {
                    path: path.to_path_buf(),
                });
            }
        };
        let directory = self.volume.directory(&parent)?;
        let _locked = directory.lock();
        let (position, inode) = self.present(&parent, &name, path)?;
        if inode.directory().is_none() {
            return Err(Error::NotADirectory {
                path: path.to_path_buf(),
            });
        }
        let child = self.volume.directory(&inode)?;
        let _child_locked = child.lock();
        if !child.is_empty() {
            return Err(Error::DirectoryNotEmpty {
                path: path.to_path_buf(),
            });
        }
        self.unlink(&parent, position, &inode)
    }

    fn unlink(&self, parent: &Inode, position: u64, inode: &Arc<Inode>) -> Result<()> {
        self.prepare_removal(inode)?;
        let record = |disposition| Record::Unlink {
            directory: parent.number(),
            position,
            inode: inode.number(),
            time: now(),
            disposition,
        };
        let log_bytes = record(Disposition::Kept).encoded_len();
        let mut transaction = self.volume.begin(log_bytes)?;
        let open_files = self.open_files.lock();
        transaction.commit(&record(open_files.disposition(inode)))
    }

    /// Brings into memory what the removal of an inode looks at, so that nothing is read inside the
    /// transaction.
    pub(super) fn prepare_removal(&self, inode: &Inode) -> Result<()> {
        if inode.links() <= 1 && inode.file().is_some() {
            self.volume.blocks(inode)?;
        }
        Ok(())
    }

    // ---- Look ---------------------------------------------------------------------------------

    /// All names of a directory, in ascending order of their bytes.
    pub(super) fn read_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        let mut position = 0;
        loop {
            let more = self.read_directory_from(path, position, ENTRIES_AT_ONCE)?;
            let Some(last) = more.last() else { break };
            position = last.position + 1;
            entries.extend(more);
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Some names of a directory, in order of their positions.
    pub(super) fn read_directory_from(
        &self,
        path: &Path,
        position: u64,
        limit: usize,
    ) -> Result<Vec<DirectoryEntry>> {
        let inode = self.find(path, LastLink::Follow)?;
        if inode.directory().is_none() {
            return Err(Error::NotADirectory {
                path: path.to_path_buf(),
            });
        }
        let entries = self.volume.directory(&inode)?.entries(position, limit);
        self.note_looked_at(&inode);
        let entry = |(position, entry): (u64, crate::directory::Entry)| DirectoryEntry {
            name: OsString::from_vec(entry.name.into_vec()),
            inode: entry.target.inode,
            kind: entry.target.kind.into(),
            position,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// What `name` stands for in a locked directory.
    fn present(&self, parent: &Inode, name: &[u8], path: &Path) -> Result<(u64, Arc<Inode>)> {
        self.look_up(parent, name, path)?
            .ok_or_else(|| not_found(path))
    }
}

/// The group and the mode of what is made in `parent`.
fn inherited(parent: &Inode, new: &NewInode) -> (u32, u16) {
    let attributes = parent.attributes();
    let inherits_group = attributes.mode & SET_GROUP_ID;
    let mode = match new.kind {
        FileType::Directory => (new.mode & DIRECTORY_BITS) | inherits_group,
        _ => new.mode,
    };
    match inherits_group {
        0 => (new.gid, mode),
        _ => (attributes.gid, mode),
    }
}

/// A position for a name that is not there yet.
pub(super) fn vacant(directory: &LoadedDirectory<'_>, name: &[u8], path: &Path) -> Result<u64> {
    check_name(name, path)?;
    if directory.get(name).is_some() {
        return Err(Error::AlreadyExists {
            path: path.to_path_buf(),
        });
    }
    directory.vacant_position(name).ok_or(Error::NoSpace {
        needed_blocks: 1,
        available_blocks: 0,
    })
}

pub(super) fn check_alive(directory: &Inode, path: &Path) -> Result<()> {
    match directory.links() {
        0 => Err(not_found(path)),
        _ => Ok(()),
    }
}

pub(super) fn not_found(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_path_buf(),
    }
}
