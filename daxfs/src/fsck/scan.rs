//! All items of a state, decoded in parallel and put together in order.
//!
//! Parts are decoded some thousands at a time, so that no more than that many leaves are in memory
//! at once whatever the size of the image. Results are joined in the order of the keys, so every
//! run gives the same report. Takes no locks.

use rayon::prelude::*;

use super::facts::{self, Fact, Facts};
use super::inode::Assembly;
use super::issue::Issue;
use super::items::Items;
use super::ownership::Ownership;
use super::progress::{Progress, Stage};
use crate::error::Error;
use crate::format::FileType;
use crate::format::item::StoredSharedRun;

/// Parts that are in memory at once.
const WINDOW_PARTS: usize = 2048;

/// What the check of names needs of an inode.
#[derive(Debug, Clone, Copy)]
pub(super) struct InodeRecord {
    pub(super) number: u64,
    pub(super) kind: FileType,
    pub(super) links: u32,
    pub(super) parent: u64,
}

/// An entry of a directory, without its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// The inode named.
    pub(super) inode: u64,
    /// The directory with the entry.
    pub(super) directory: u64,
    /// The position of the entry.
    pub(super) position: u64,
    /// What the entry says that the inode is.
    pub(super) kind: FileType,
}

/// All that a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What is wrong.
    pub(super) issues: Vec<Issue>,
    /// The valid inodes, by number.
    pub(super) inodes: Vec<InodeRecord>,
    /// The entries of all directories, by directory and position.
    pub(super) references: Vec<Reference>,
    /// The inodes that are to be removed, by number.
    pub(super) orphans: Vec<u64>,
    /// The counts of owners, by block.
    pub(super) shared: Vec<StoredSharedRun>,
    /// Runs of all files.
    pub(super) runs: u64,
}

/// Scans all items, and claims the blocks of their runs.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn scan(
    items: &Items<'_>,
    ownership: &Ownership,
    progress: &dyn Progress,
) -> Result<Scan, Error> {
    let mut scan = Scan::default();
    let mut current: Option<Assembly> = None;
    let parts = items.parts();
    progress.begin(Stage::Items, parts as u64);
    for start in (0..parts).step_by(WINDOW_PARTS) {
        let window = start..parts.min(start + WINDOW_PARTS);
        let decoded = window.into_par_iter().map(|part| {
            let facts = facts::of_part(items, part, ownership);
            progress.advance(1);
            facts
        });
        let decoded = decoded.collect::<Result<Vec<Facts>, Error>>()?;
        for Facts { facts, issues } in decoded {
            scan.issues.extend(issues);
            facts
                .into_iter()
                .for_each(|fact| scan.add(fact, &mut current));
        }
    }
    scan.finish(&mut current);
    Ok(scan)
}

impl Scan {
    fn add(&mut self, fact: Fact, current: &mut Option<Assembly>) {
        match fact {
            Fact::Orphan(inode) => self.orphans.push(inode),
            Fact::Shared(run) => self.shared.push(run),
            Fact::OfInode(key, statement) => {
                if current
                    .as_ref()
                    .is_some_and(|assembly| assembly.number() != key.inode)
                {
                    self.finish(current);
                }
                current
                    .get_or_insert_with(|| Assembly::new(key.inode))
                    .add(key, statement, self);
            }
        }
    }

    fn finish(&mut self, current: &mut Option<Assembly>) {
        if let Some(assembly) = current.take() {
            assembly.finish(self);
        }
    }

    /// How many inodes are directories.
    pub(super) fn directories(&self) -> u64 {
        let kinds = self.inodes.iter().map(|inode| inode.kind);
        kinds.filter(|kind| *kind == FileType::Directory).count() as u64
    }
}
