//! Stage 1: all inodes and their contents, one leaf of the inode table after the other, in
//! parallel. Results are joined in the order of the leaves, so every run gives the same report.

use rayon::prelude::*;

use super::content::{self, Reference};
use super::issue::{Issue, Tree};
use super::progress::{Progress, Stage};
use super::tree::{Findings, Image, LeafPointer};
use crate::error::Error;
use crate::format::geometry::{INODES_PER_LEAF, inode_table_leaves};
use crate::format::{Inode, InodeKind, InodeLeaf, Structure, Superblock, TreeRoot};

/// What stage 2 needs of an inode.
#[derive(Debug, Clone, Copy)]
pub(super) struct InodeRecord {
    pub(super) number: u64,
    pub(super) kind: InodeKind,
    pub(super) links: u32,
    pub(super) parent: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) extents: u64,
    pub(super) data_blocks: u64,
    pub(super) metadata_blocks: u64,
    unread: u64,
}

/// All that a scan of the inodes found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What is wrong.
    pub(super) issues: Vec<Issue>,
    /// The valid inodes, by number.
    pub(super) inodes: Vec<InodeRecord>,
    /// The entries of all directories, by directory.
    pub(super) references: Vec<Reference>,
    /// What was counted.
    pub(super) counts: Counts,
}

impl Scan {
    /// Whether part of the image could not be read, so that counts are not whole.
    pub(super) fn is_incomplete(&self) -> bool {
        self.counts.unread > 0
    }

    fn absorb(&mut self, mut findings: Findings) {
        self.issues.append(&mut findings.issues);
        self.counts.metadata_blocks += findings.metadata_blocks;
        self.counts.unread += findings.unread;
    }

    fn append(&mut self, mut other: Scan) {
        self.issues.append(&mut other.issues);
        self.inodes.append(&mut other.inodes);
        self.references.append(&mut other.references);
        self.counts.extents += other.counts.extents;
        // Overlapping extents of a damaged image can add up to anything.
        self.counts.data_blocks = self
            .counts
            .data_blocks
            .saturating_add(other.counts.data_blocks);
        self.counts.metadata_blocks += other.counts.metadata_blocks;
        self.counts.unread += other.counts.unread;
    }
}

/// Scans all inodes.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn scan(
    image: &Image<'_>,
    superblock: &Superblock,
    stage: Stage,
    progress: &dyn Progress,
) -> Result<Scan, Error> {
    let mut scan = Scan::default();
    let mut findings = Findings::default();
    let root = TreeRoot {
        pointer: superblock.inode_table,
        level: superblock.inode_table_level,
        // Bounded when the superblock was decoded.
        leaves: inode_table_leaves(superblock.next_inode) as u32,
    };
    let leaves = image.leaves(Tree::InodeTable, root, &mut findings)?;
    scan.absorb(findings);
    progress.begin(stage, leaves.len() as u64);
    let scans = leaves
        .into_par_iter()
        .map(|leaf| {
            let scan = scan_leaf(image, leaf, superblock.next_inode);
            progress.advance(1);
            scan
        })
        .collect::<Result<Vec<_>, _>>()?;
    scans.into_iter().for_each(|leaf| scan.append(leaf));
    Ok(scan)
}

fn scan_leaf(image: &Image<'_>, leaf: LeafPointer, next_inode: u64) -> Result<Scan, Error> {
    let mut scan = Scan::default();
    let mut findings = Findings::default();
    let tree = Tree::InodeTable;
    let block_number = leaf.pointer.block;
    if let Some(block) = image.read(tree, leaf.pointer, Structure::InodeLeaf, &mut findings)? {
        match InodeLeaf::parse(&block, leaf.index) {
            Ok(inodes) => {
                for slot in 0..INODES_PER_LEAF {
                    let number = leaf.index.saturating_mul(INODES_PER_LEAF as u64) + slot as u64;
                    match inodes.slot(slot) {
                        Ok(None) => {}
                        Ok(Some(inode)) => scan.inode(image, &inode, next_inode, &mut findings)?,
                        Err(error) => findings.lost(Issue::MalformedInode {
                            inode: number,
                            block: block_number,
                            error,
                        }),
                    }
                }
            }
            Err(error) => findings.lost(Issue::BadBlock {
                tree,
                block: block_number,
                error,
            }),
        }
    }
    scan.absorb(findings);
    Ok(scan)
}

impl Scan {
    /// Checks one inode and what it holds.
    fn inode(
        &mut self,
        image: &Image<'_>,
        inode: &Inode,
        next_inode: u64,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let &Inode {
            number,
            kind,
            links,
            parent,
            ..
        } = inode;
        if number >= next_inode {
            findings.issues.push(Issue::InodeBeyondNext {
                inode: number,
                next_inode,
            });
        }
        match kind {
            InodeKind::File => {
                let totals = content::check_file(image, inode, findings)?;
                self.counts.extents += totals.extents;
                self.counts.data_blocks = self.counts.data_blocks.saturating_add(totals.blocks);
            }
            InodeKind::Directory => {
                content::check_directory(image, inode, findings, &mut self.references)?;
            }
        }
        self.inodes.push(InodeRecord {
            number,
            kind,
            links,
            parent,
        });
        Ok(())
    }
}
