//! One inode put together from its items, which come in the order of their keys.
//!
//! Holds no more of a directory than the names of one hash, and no more of a file than its last
//! run. Takes no locks.

use std::collections::BTreeSet;

use super::facts::{Name, Statement, text};
use super::issue::Issue;
use super::owner::InodeKind;
use super::scan::{InodeRecord, Reference, Scan};
use crate::format::FileType;
use crate::format::acl::check_acls;
use crate::format::item::chunk::ChunkJoin;
use crate::format::item::extents::segment_of;
use crate::format::item::symlink::{check_target, target_chunks};
use crate::format::item::xattr::{decode_xattrs, xattr_chunks};
use crate::format::item::{Key, StoredInode, StoredRun};

/// Bits of a position that tell names of one hash apart.
const DISCRIMINATOR_BITS: u32 = 15;

/// An inode of which some items were seen.
#[derive(Debug)]
pub(super) struct Assembly {
    number: u64,
    stored: Option<Box<StoredInode>>,
    /// Items that need an inode, while there is none.
    stray_items: u64,
    /// What the inode would be by its stray items.
    stray_kind: Option<FileType>,
    xattrs: Chunks,
    target: Chunks,
    names: SameHash,
    last_run: Option<StoredRun>,
    blocks: u64,
}

/// Chunks that come one after the other; broken by the first that does not fit.
#[derive(Debug, Default)]
enum Chunks {
    #[default]
    None,
    Joining(ChunkJoin),
    Broken,
}

/// Names of one hash, which lie side by side.
#[derive(Debug, Default)]
struct SameHash {
    hash: u64,
    names: BTreeSet<Box<[u8]>>,
}

impl SameHash {
    /// Adds a name, and gives it back when it is there already.
    fn add(&mut self, position: u64, name: Box<[u8]>) -> Option<Box<[u8]>> {
        let hash = position >> DISCRIMINATOR_BITS;
        if hash != self.hash {
            self.hash = hash;
            self.names.clear();
        }
        if self.names.contains(&name) {
            return Some(name);
        }
        self.names.insert(name);
        None
    }
}

impl Assembly {
    /// An inode of which nothing is known but its number.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            stored: None,
            stray_items: 0,
            stray_kind: None,
            xattrs: Chunks::None,
            target: Chunks::None,
            names: SameHash::default(),
            last_run: None,
            blocks: 0,
        }
    }

    /// The inode's number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Adds the next item.
    pub(super) fn add(&mut self, key: Key, statement: Statement, scan: &mut Scan) {
        let wanted = match &statement {
            Statement::Inode(_) | Statement::XattrChunk(_) => None,
            Statement::TargetChunk(_) => Some(FileType::Symlink),
            Statement::Name(_) => Some(FileType::Directory),
            Statement::Runs(_) | Statement::Checksums => Some(FileType::File),
        };
        match self.stored.as_deref() {
            None if !matches!(statement, Statement::Inode(_)) => {
                self.stray_items += 1;
                self.stray_kind = self.stray_kind.or(wanted);
            }
            Some(stored) if wanted.is_some_and(|kind| kind != stored.kind) => {
                scan.issues.push(Issue::ItemOfOtherKind {
                    inode: self.number,
                    kind: InodeKind::of(stored.kind),
                    item_kind: key.kind as u8,
                    position: key.position,
                });
                return;
            }
            _ => {}
        }
        match statement {
            Statement::Inode(stored) => self.stored = Some(stored),
            Statement::XattrChunk(chunk) => self.add_xattrs(key, &chunk, scan),
            Statement::TargetChunk(chunk) => self.add_target(key, &chunk, scan),
            Statement::Name(name) => self.add_name(key, name, scan),
            Statement::Checksums => {}
            Statement::Runs(runs) => runs.into_iter().for_each(|run| self.add_run(run, scan)),
        }
    }

    fn add_xattrs(&mut self, key: Key, chunk: &[u8], scan: &mut Scan) {
        let Some(stored) = self.stored.as_deref() else {
            return;
        };
        let join = match std::mem::replace(&mut self.xattrs, Chunks::Broken) {
            Chunks::None => Some(xattr_chunks(stored.xattr_bytes)),
            Chunks::Joining(join) => Some(join),
            Chunks::Broken => None,
        };
        let Some(mut join) = join else { return };
        match join.push(key.position, chunk) {
            Ok(()) => self.xattrs = Chunks::Joining(join),
            Err(error) => scan.issues.push(Issue::BadXattrs {
                inode: self.number,
                error,
            }),
        }
    }

    fn add_target(&mut self, key: Key, chunk: &[u8], scan: &mut Scan) {
        let Some(stored) = self.stored.as_deref() else {
            return;
        };
        let join = match std::mem::replace(&mut self.target, Chunks::Broken) {
            Chunks::None => Some(target_chunks(stored.size_bytes)),
            Chunks::Joining(join) => Some(join),
            Chunks::Broken => None,
        };
        let Some(mut join) = join else { return };
        match join.push(key.position, chunk) {
            Ok(()) => self.target = Chunks::Joining(join),
            Err(error) => scan.issues.push(Issue::BadTarget {
                inode: self.number,
                error,
            }),
        }
    }

    fn add_name(&mut self, key: Key, name: Name, scan: &mut Scan) {
        scan.references.push(Reference {
            inode: name.inode,
            directory: self.number,
            position: key.position,
            kind: name.kind,
        });
        if let Some(name) = self.names.add(key.position, name.name) {
            scan.issues.push(Issue::DuplicateName {
                directory: self.number,
                position: key.position,
                name: text(&name),
            });
        }
    }

    fn add_run(&mut self, run: StoredRun, scan: &mut Scan) {
        scan.runs += 1;
        self.blocks = self.blocks.saturating_add(run.len_blocks);
        let (inode, file_block) = (self.number, run.file_block);
        if let Some(last) = self.last_run {
            if file_block < last.file_end() {
                let least = last.file_end();
                scan.issues.push(Issue::RunOrder {
                    inode,
                    file_block,
                    least,
                });
            } else if last.is_continued_by(&run)
                && segment_of(last.file_block) == segment_of(file_block)
            {
                scan.issues.push(Issue::RunNotMerged { inode, file_block });
            }
        }
        self.last_run = Some(run);
    }

    /// All items were seen.
    pub(super) fn finish(self, scan: &mut Scan) {
        let inode = self.number;
        let Some(stored) = self.stored else {
            scan.issues.push(Issue::OrphanedItems {
                inode,
                items: self.stray_items,
                kind: InodeKind::of(self.stray_kind.unwrap_or(FileType::File)),
            });
            return;
        };
        finish_xattrs(inode, &stored, self.xattrs, scan);
        if stored.kind == FileType::Symlink {
            finish_target(inode, &stored, self.target, scan);
        }
        if stored.kind == FileType::File && stored.allocated_blocks != self.blocks {
            scan.issues.push(Issue::AllocatedBlocks {
                inode,
                expected: self.blocks,
                found: stored.allocated_blocks,
            });
        }
        scan.inodes.push(InodeRecord {
            number: inode,
            kind: stored.kind,
            links: stored.links,
            parent: stored.parent,
        });
    }
}

fn finish_xattrs(inode: u64, stored: &StoredInode, chunks: Chunks, scan: &mut Scan) {
    let join = match chunks {
        Chunks::None => xattr_chunks(stored.xattr_bytes),
        Chunks::Joining(join) => join,
        // Reported when it broke.
        Chunks::Broken => return,
    };
    let checked = join.finish().and_then(|blob| decode_xattrs(&blob));
    match checked {
        Err(error) => scan.issues.push(Issue::BadXattrs { inode, error }),
        Ok(xattrs) => {
            if let Err(error) = check_acls(stored.kind, stored.mode, &xattrs) {
                scan.issues.push(Issue::BadAcl { inode, error });
            }
        }
    }
}

fn finish_target(inode: u64, stored: &StoredInode, chunks: Chunks, scan: &mut Scan) {
    let join = match chunks {
        Chunks::None => target_chunks(stored.size_bytes),
        Chunks::Joining(join) => join,
        Chunks::Broken => return,
    };
    let checked = join.finish().and_then(|target| check_target(&target));
    if let Err(error) = checked {
        scan.issues.push(Issue::BadTarget { inode, error });
    }
}
