//! Records of names: create, link, unlink, rename, exchange. See the [module above](super).

use super::{Applied, Model, impossible, touch};
use crate::format::item::chunk::chunks;
use crate::format::item::dirent::StoredDirent;
use crate::format::item::orphan::orphan_key;
use crate::format::item::{ItemKind, Key, StoredInode};
use crate::format::record::{Disposition, Entry, Record};
use crate::format::{FileType, Timestamp};

/// An entry of a directory.
#[derive(Clone)]
struct Found {
    inode: u64,
    kind: FileType,
    name: Vec<u8>,
}

/// Where an entry is.
#[derive(Clone, Copy)]
struct Place {
    directory: u64,
    position: u64,
}

impl Place {
    fn of(entry: &Entry) -> Self {
        Self {
            directory: entry.directory,
            position: entry.position,
        }
    }

    fn key(self) -> Key {
        Key::new(self.directory, ItemKind::Dirent, self.position)
    }
}

impl Model<'_, '_> {
    pub(super) fn apply_to_names(&mut self, record: &Record) -> Applied {
        match record {
            Record::Create { .. } => self.create(record),
            Record::Link {
                directory,
                position,
                name,
                inode,
                time,
            } => {
                let place = Place {
                    directory: *directory,
                    position: *position,
                };
                self.link(place, name, *inode, *time)
            }
            Record::Unlink {
                directory,
                position,
                inode,
                time,
                disposition,
            } => {
                let place = Place {
                    directory: *directory,
                    position: *position,
                };
                self.take_name(place, *inode)?;
                self.touch_directory(place.directory, *time)?;
                self.lose_name(place.directory, *inode, *disposition, *time)
            }
            Record::Rename { .. } => self.rename(record),
            Record::Exchange {
                first,
                second,
                time,
            } => self.exchange([first, second], *time),
            _ => Ok(()),
        }
    }

    fn create(&mut self, record: &Record) -> Applied {
        let Record::Create {
            parent,
            position,
            name,
            inode: number,
            kind,
            mode,
            uid,
            gid,
            rdev,
            time,
            target,
            links,
            xattrs,
        } = record
        else {
            return Ok(());
        };
        let key = Key::new(*number, ItemKind::Inode, 0);
        if self.items.get(key)?.is_some() {
            return impossible(format!("inode {number} exists already"));
        }
        let inode = StoredInode {
            kind: *kind,
            mode: *mode,
            links: *links,
            uid: *uid,
            gid: *gid,
            rdev: *rdev,
            flags: 0,
            size_bytes: target.len() as u64,
            allocated_blocks: 0,
            parent: if *kind == FileType::Directory {
                *parent
            } else {
                0
            },
            accessed: *time,
            modified: *time,
            changed: *time,
            created: *time,
            xattr_bytes: xattrs.len() as u32,
        };
        self.put_inode(*number, &inode);
        for (kind, blob) in [
            (ItemKind::SymlinkChunk, target),
            (ItemKind::XattrChunk, xattrs),
        ] {
            for (chunk, bytes) in chunks(blob) {
                let key = Key::new(*number, kind, chunk);
                self.items.put(key, bytes.to_vec());
            }
        }
        if *links == 0 {
            self.items.put(orphan_key(*number), Vec::new());
            return Ok(());
        }
        let found = Found {
            inode: *number,
            kind: *kind,
            name: name.clone(),
        };
        let place = Place {
            directory: *parent,
            position: *position,
        };
        self.add_name(place, &found, *time)
    }

    fn link(&mut self, place: Place, name: &[u8], number: u64, time: Timestamp) -> Applied {
        let mut inode = self.inode(number)?;
        if inode.links == 0 {
            self.items.remove(orphan_key(number));
        }
        inode.links = inode.links.saturating_add(1);
        inode.changed = time;
        self.put_inode(number, &inode);
        let found = Found {
            inode: number,
            kind: inode.kind,
            name: name.to_vec(),
        };
        self.add_name(place, &found, time)
    }

    fn rename(&mut self, record: &Record) -> Applied {
        let Record::Rename {
            from_directory,
            from_position,
            to_directory,
            to_position,
            to_name,
            inode: number,
            replaced_inode,
            disposition,
            time,
        } = record
        else {
            return Ok(());
        };
        let from = Place {
            directory: *from_directory,
            position: *from_position,
        };
        let to = Place {
            directory: *to_directory,
            position: *to_position,
        };
        self.take_name(from, *number)?;
        let replaced = self.name_at(to)?.map_or(0, |found| found.inode);
        if replaced != *replaced_inode {
            return impossible(format!(
                "inode {replaced} has the name that inode {replaced_inode} should lose"
            ));
        }
        let kind = self.inode(*number)?.kind;
        let found = Found {
            inode: *number,
            kind,
            name: to_name.clone(),
        };
        self.put_name(to, &found);
        self.touch_directory(from.directory, *time)?;
        self.touch_directory(to.directory, *time)?;
        self.change(*number, |inode| inode.changed = *time)?;
        self.move_parent(*number, from.directory, to.directory)?;
        match replaced {
            0 => Ok(()),
            replaced => self.lose_name(to.directory, replaced, *disposition, *time),
        }
    }

    fn exchange(&mut self, entries: [&Entry; 2], time: Timestamp) -> Applied {
        let [first, second] = entries;
        let (first_place, second_place) = (Place::of(first), Place::of(second));
        let at_first = self.expect_name(first_place, first.inode)?;
        let at_second = self.expect_name(second_place, second.inode)?;
        let swapped = |place: &Found, named: &Found| Found {
            name: place.name.clone(),
            ..named.clone()
        };
        self.put_name(first_place, &swapped(&at_first, &at_second));
        self.put_name(second_place, &swapped(&at_second, &at_first));
        for (number, from, to) in [
            (first.inode, first.directory, second.directory),
            (second.inode, second.directory, first.directory),
        ] {
            self.change(number, |inode| inode.changed = time)?;
            self.move_parent(number, from, to)?;
        }
        self.touch_directory(first.directory, time)?;
        self.touch_directory(second.directory, time)
    }

    fn name_at(&self, place: Place) -> Applied<Option<Found>> {
        let Some(value) = self.items.get(place.key())? else {
            return Ok(None);
        };
        match StoredDirent::decode(&value) {
            Ok(entry) => Ok(Some(Found {
                inode: entry.inode,
                kind: entry.kind,
                name: entry.name.to_vec(),
            })),
            Err(error) => impossible(format!("directory {}: {error}", place.directory)),
        }
    }

    fn expect_name(&self, place: Place, inode: u64) -> Applied<Found> {
        let found = self.name_at(place)?;
        match found.filter(|found| found.inode == inode) {
            Some(found) => Ok(found),
            None => impossible(format!(
                "directory {} has no name of inode {inode} at {}",
                place.directory, place.position
            )),
        }
    }

    fn take_name(&mut self, place: Place, inode: u64) -> Applied {
        self.expect_name(place, inode)?;
        self.items.remove(place.key());
        Ok(())
    }

    fn put_name(&mut self, place: Place, found: &Found) {
        let entry = StoredDirent {
            inode: found.inode,
            kind: found.kind,
            name: &found.name,
        };
        self.items.put(place.key(), entry.encode());
    }

    fn add_name(&mut self, place: Place, found: &Found, time: Timestamp) -> Applied {
        if self.items.get(place.key())?.is_some() {
            return impossible(format!(
                "directory {} has a name at {} already",
                place.directory, place.position
            ));
        }
        self.put_name(place, found);
        if found.kind == FileType::Directory {
            let more = |parent: &mut StoredInode| parent.links = parent.links.saturating_add(1);
            self.change(place.directory, more)?;
        }
        self.touch_directory(place.directory, time)
    }

    fn touch_directory(&mut self, directory: u64, time: Timestamp) -> Applied {
        let mut inode = self.inode(directory)?;
        if inode.kind != FileType::Directory {
            return impossible(format!("inode {directory} is a {}", inode.kind));
        }
        touch(&mut inode, time);
        self.put_inode(directory, &inode);
        Ok(())
    }

    /// An inode has lost a name in `directory`.
    fn lose_name(
        &mut self,
        directory: u64,
        number: u64,
        disposition: Disposition,
        time: Timestamp,
    ) -> Applied {
        let mut inode = self.inode(number)?;
        if inode.kind == FileType::Directory {
            let fewer = |parent: &mut StoredInode| parent.links = parent.links.saturating_sub(1);
            self.change(directory, fewer)?;
            inode.links = 0;
        } else {
            inode.links = inode.links.saturating_sub(1);
        }
        inode.changed = time;
        self.put_inode(number, &inode);
        match disposition {
            Disposition::Kept => Ok(()),
            Disposition::Orphaned => {
                self.items.put(orphan_key(number), Vec::new());
                Ok(())
            }
            Disposition::Freed => self.remove_inode(number),
        }
    }

    /// A directory that moves to another one takes its link to the parent along.
    fn move_parent(&mut self, number: u64, from: u64, to: u64) -> Applied {
        if from == to || self.inode(number)?.kind != FileType::Directory {
            return Ok(());
        }
        self.change(from, |inode| inode.links = inode.links.saturating_sub(1))?;
        self.change(to, |inode| inode.links = inode.links.saturating_add(1))?;
        self.change(number, |inode| inode.parent = to)
    }
}
