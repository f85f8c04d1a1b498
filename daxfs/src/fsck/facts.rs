//! What items say, each by itself: the part of a check that needs no neighbour.
//!
//! Items are decoded part by part, in parallel; what they say is put together in order by
//! [`scan`](super::scan). Claims blocks on the way. Takes no locks.

use super::image::Image;
use super::issue::Issue;
use super::items::Items;
use super::owner::Owner;
use super::ownership::Ownership;
use crate::error::Error;
use crate::format::error::Fields;
use crate::format::item::dirent::StoredDirent;
use crate::format::item::extents::decode_extents;
use crate::format::item::orphan::decode_orphan;
use crate::format::item::{
    DirectoryHash, ItemKind, Key, StoredChecksums, StoredInode, StoredRun, StoredSharedRun,
};
use crate::format::{FileType, FormatError, Structure};

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) inode: u64,
    pub(super) kind: FileType,
    pub(super) name: Box<[u8]>,
}

/// What one item says of an inode.
#[derive(Debug)]
pub(super) enum Statement {
    Inode(Box<StoredInode>),
    XattrChunk(Vec<u8>),
    TargetChunk(Vec<u8>),
    Name(Name),
    Runs(Vec<StoredRun>),
    /// Compared with the runs, and with the data, by [`checksums`](super::checksums).
    Checksums,
}

/// What one item says.
#[derive(Debug)]
pub(super) enum Fact {
    OfInode(Key, Statement),
    Orphan(u64),
    Shared(StoredSharedRun),
}

/// What one part of the items says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) facts: Vec<Fact>,
    pub(super) issues: Vec<Issue>,
}

/// Decodes one part of `items`, and claims the blocks of its runs.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn of_part(
    items: &Items<'_>,
    part: usize,
    ownership: &Ownership,
) -> Result<Facts, Error> {
    let image = items.image();
    let hash = DirectoryHash::new(&image.superblock.hash_key);
    let mut facts = Facts::default();
    for (key, value) in items.part(part)? {
        match decode(key, value) {
            Ok(fact) => {
                facts.check(image, &hash, &fact, ownership);
                facts.facts.push(fact);
            }
            Err(error) => facts.issues.push(Issue::BadItem {
                inode: key.inode,
                kind: key.kind as u8,
                position: key.position,
                error,
            }),
        }
    }
    Ok(facts)
}

/// Decodes one item.
pub(super) fn decode(key: Key, value: Vec<u8>) -> Result<Fact, FormatError> {
    let statement = match key.kind {
        ItemKind::Orphan => return decode_orphan(key.position, &value).map(Fact::Orphan),
        ItemKind::Shared => {
            return StoredSharedRun::decode(key.position, &value).map(Fact::Shared);
        }
        ItemKind::Inode => {
            Fields(Structure::Inode).equal("position", 0_u64, key.position)?;
            Statement::Inode(Box::new(StoredInode::decode(&value)?))
        }
        ItemKind::XattrChunk => Statement::XattrChunk(value),
        ItemKind::SymlinkChunk => Statement::TargetChunk(value),
        ItemKind::Dirent => {
            let StoredDirent { inode, kind, name } = StoredDirent::decode(&value)?;
            Statement::Name(Name {
                inode,
                kind,
                name: name.into(),
            })
        }
        ItemKind::Extents => Statement::Runs(decode_extents(key.position, &value)?),
        ItemKind::DataChecksums => {
            StoredChecksums::decode(key.position, &value)?;
            Statement::Checksums
        }
    };
    Ok(Fact::OfInode(key, statement))
}

impl Facts {
    /// Checks a fact against what holds everywhere in the image.
    fn check(&mut self, image: &Image<'_>, hash: &DirectoryHash, fact: &Fact, owners: &Ownership) {
        match fact {
            Fact::OfInode(key, Statement::Inode(_)) => {
                let (inode, next_inode) = (key.inode, image.superblock.next_inode);
                if inode >= next_inode {
                    self.issues
                        .push(Issue::InodeBeyondNext { inode, next_inode });
                }
            }
            Fact::OfInode(key, Statement::Name(name)) => {
                let positions = hash.position_range(&name.name);
                if !positions.contains(&key.position) {
                    self.issues.push(Issue::NamePosition {
                        directory: key.inode,
                        position: key.position,
                        least: positions.start,
                        name: text(&name.name),
                    });
                }
            }
            Fact::OfInode(key, Statement::Checksums)
                if !image.superblock.features.has_data_checksums() =>
            {
                let rule = "is of no use in an image without data checksums";
                self.issues.push(Issue::BadItem {
                    inode: key.inode,
                    kind: key.kind as u8,
                    position: key.position,
                    error: Fields(Structure::TreeLeaf).invalid("kind", rule),
                });
            }
            Fact::OfInode(key, Statement::Runs(runs)) => {
                for run in runs {
                    self.check_run(image, key.inode, run, owners);
                }
            }
            _ => {}
        }
    }

    fn check_run(&mut self, image: &Image<'_>, inode: u64, run: &StoredRun, owners: &Ownership) {
        let geometry = image.geometry();
        if geometry.is_data_range(run.device_block, run.len_blocks) {
            owners.claim(run.device_block..run.device_end(), Owner::Data { inode });
            return;
        }
        self.issues.push(Issue::RunOutOfImage {
            inode,
            file_block: run.file_block,
            device_block: run.device_block,
            len_blocks: run.len_blocks,
            least: geometry.data_start_block,
            block_count: geometry.block_count,
        });
    }
}

/// A name for a message.
pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
