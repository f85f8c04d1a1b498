//! An inode as items of the tree, and back.
//!
//! A checkpoint takes from each changed inode what differs from the last one: its own item, the
//! names at changed positions, the extents of changed 2 MiB segments and the checksums of changed
//! groups of blocks, its extended attributes. What did not change is not looked at.
//!
//! Touches no device. Takes the inode's latches one after the other; the caller keeps transactions
//! out (it closed the gate), so that the parts belong together.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::attributes::{from_timestamp, to_timestamp};
use super::block_map::{BlockMap, FileExtent};
use super::{Attributes, Body, Extended, FileBody, Inode};
use crate::directory::{Directory, Entry};
use crate::format::item::{self, StoredDirent, StoredInode, StoredRun};
use crate::format::{FileType, ItemKind, Key};
use crate::gate::Closed;
use crate::metadata::Replacement;

/// What a checkpoint has taken from an inode.
#[derive(Default)]
pub(crate) struct Changes {
    item: bool,
    extended: bool,
    names: BTreeSet<u64>,
    segments: BTreeSet<u64>,
    checksums: BTreeSet<u64>,
}

impl Inode {
    /// What differs from the last checkpoint, as replacements of items in order of their keys. It
    /// counts as unchanged from now on.
    pub(crate) fn take_changes(&self, _closed: &Closed<'_>) -> (Changes, Vec<Replacement>) {
        let mut changes = Changes {
            item: self.item_changed.swap(false, Ordering::Relaxed),
            extended: self.extended(Extended::take_changed),
            ..Changes::default()
        };
        let mut replacements = Vec::new();
        if changes.item {
            replacements.push(self.item());
        }
        if changes.extended {
            replacements.push(self.extended_items());
        }
        match &self.body {
            Body::SymbolicLink(target) if changes.item => {
                replacements.push(self.blob_items(ItemKind::SymlinkChunk, target));
            }
            Body::Directory(directory) => {
                directory.change_loaded(|names| {
                    changes.names = names.take_changed();
                    for position in &changes.names {
                        replacements.push(self.name_item(*position, names.at(*position)));
                    }
                });
            }
            Body::File(file) => {
                if let Some(blocks) = file.blocks() {
                    changes.segments = blocks.take_changed();
                    for segment in &changes.segments {
                        replacements.push(self.segment_items(*segment, blocks));
                    }
                    changes.checksums = blocks.checksums.take_changed();
                    for group in &changes.checksums {
                        replacements.push(self.checksum_item(*group, blocks));
                    }
                }
            }
            _ => {}
        }
        (changes, replacements)
    }

    /// Puts back what [`Inode::take_changes`] took, after a checkpoint that failed.
    pub(crate) fn restore_changes(&self, changes: Changes) {
        if changes.item {
            self.item_changed.store(true, Ordering::Relaxed);
        }
        if changes.extended {
            self.extended(Extended::restore_changed);
        }
        if let Some(directory) = self.directory() {
            directory.change_loaded(|names| names.restore_changed(changes.names));
        }
        if let Some(blocks) = self.file().and_then(FileBody::blocks) {
            blocks.restore_changed(changes.segments);
            blocks.checksums.restore_changed(changes.checksums);
        }
    }

    fn item(&self) -> Replacement {
        let attributes = self.attributes();
        self.note_times_logged();
        let stored = StoredInode {
            kind: self.kind(),
            mode: attributes.mode,
            links: self.links(),
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: self.device_number(),
            flags: 0,
            size_bytes: self.len_bytes(),
            allocated_blocks: self.allocated_blocks(),
            parent: self.directory().map_or(0, Directory::parent),
            accessed: to_timestamp(attributes.accessed),
            modified: to_timestamp(attributes.modified),
            changed: to_timestamp(attributes.changed),
            created: to_timestamp(attributes.created),
            xattr_bytes: self.extended(|extended| extended.stored_bytes()),
        };
        Replacement::put(self.key(ItemKind::Inode, 0), stored.encode())
    }

    fn name_item(&self, position: u64, entry: Option<&Entry>) -> Replacement {
        let key = self.key(ItemKind::Dirent, position);
        match entry {
            Some(entry) => {
                let dirent = StoredDirent {
                    inode: entry.target.inode,
                    kind: entry.target.kind,
                    name: &entry.name,
                };
                Replacement::put(key, dirent.encode())
            }
            None => Replacement::delete(key.alone()),
        }
    }

    fn segment_items(&self, segment: u64, blocks: &BlockMap) -> Replacement {
        let runs = blocks.segment_runs(segment);
        let stored = |extent: &FileExtent| StoredRun {
            file_block: extent.file_block,
            device_block: extent.run.block,
            len_blocks: extent.run.len_blocks,
            sharing: extent.sharing,
        };
        let runs: Vec<StoredRun> = runs.iter().map(stored).collect();
        let items = item::encode_extents(segment, &runs);
        Replacement {
            keys: item::segment_keys(self.number, segment),
            items: items
                .into_iter()
                .map(|(position, value)| (self.key(ItemKind::Extents, position), value))
                .collect(),
        }
    }

    fn checksum_item(&self, group: u64, blocks: &BlockMap) -> Replacement {
        let stored = blocks.checksums.to_store(group);
        let key = item::checksum_key(self.number, group);
        match stored {
            Some(stored) => Replacement::put(key, stored.encode()),
            None => Replacement::delete(key.alone()),
        }
    }

    fn extended_items(&self) -> Replacement {
        let blob = self.extended(|extended| {
            let values = extended.values().cloned().unwrap_or_default();
            item::encode_xattrs(&values)
        });
        self.blob_items(ItemKind::XattrChunk, &blob)
    }

    fn blob_items(&self, kind: ItemKind, blob: &[u8]) -> Replacement {
        Replacement {
            keys: Key::range_of_kind(self.number, kind),
            items: item::chunks(blob)
                .map(|(position, chunk)| (self.key(kind, position), chunk.to_vec()))
                .collect(),
        }
    }

    fn key(&self, kind: ItemKind, position: u64) -> Key {
        Key {
            inode: self.number,
            kind,
            position,
        }
    }

    /// The inode that an item describes, whose content is still on the medium. `target` is that of
    /// a symbolic link.
    pub(crate) fn from_stored(number: u64, stored: &StoredInode, target: Box<[u8]>) -> Self {
        let attributes = Attributes {
            mode: stored.mode,
            uid: stored.uid,
            gid: stored.gid,
            accessed: from_timestamp(stored.accessed),
            modified: from_timestamp(stored.modified),
            changed: from_timestamp(stored.changed),
            created: from_timestamp(stored.created),
        };
        let body = match stored.kind {
            FileType::File => Body::File(FileBody::stored(stored.allocated_blocks)),
            FileType::Directory => Body::Directory(Directory::stored(stored.parent)),
            FileType::Symlink => Body::SymbolicLink(target),
            FileType::Fifo => Body::Fifo,
            FileType::Socket => Body::Socket,
            FileType::CharacterDevice => Body::CharacterDevice(stored.rdev),
            FileType::BlockDevice => Body::BlockDevice(stored.rdev),
        };
        let len_bytes = stored.size_bytes;
        let extended = Extended::stored(stored.xattr_bytes);
        Self::with(number, body, len_bytes, stored.links, attributes, extended)
    }
}
