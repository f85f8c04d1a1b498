//! The content of one inode: a file's extents, a directory's entries.

use std::collections::HashSet;

use super::issue::{Issue, Owner, Tree};
use super::tree::{Findings, Image};
use crate::error::Error;
use crate::format::geometry::{INLINE_EXTENTS, blocks_for_bytes, is_data_range};
use crate::format::{DirentLeaf, Extent, ExtentLeaf, Inode, InodeKind, Structure};

/// An entry of a directory, without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// The inode named.
    pub(super) inode: u64,
    /// The directory with the entry.
    pub(super) directory: u64,
    /// Whether the entry says that it is a directory; orders like the kinds' numbers.
    pub(super) says_directory: bool,
}

/// What a file's extents add up to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileTotals {
    pub(super) extents: u64,
    pub(super) blocks: u64,
}

/// Checks the extents of the file `inode`.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn check_file(
    image: &Image<'_>,
    inode: &Inode,
    findings: &mut Findings,
) -> Result<FileTotals, Error> {
    let mut check = ExtentCheck::new(image, inode);
    if inode.extent_count <= INLINE_EXTENTS as u64 {
        inode
            .inline_extents
            .iter()
            .for_each(|extent| check.see(extent, findings));
        check.compare(inode, findings);
        return Ok(check.totals);
    }
    let tree = Tree::Extents {
        inode: inode.number,
    };
    let unread_before = findings.unread;
    for leaf in image.leaves(tree, inode.content, findings)? {
        let structure = Structure::ExtentLeaf;
        let Some(block) = image.read(tree, leaf.pointer, structure, findings)? else {
            continue;
        };
        match ExtentLeaf::parse(&block, inode.number, leaf.index) {
            Ok(leaf) => leaf
                .extents()
                .iter()
                .for_each(|extent| check.see(extent, findings)),
            Err(error) => {
                findings.lost(Issue::BadBlock {
                    tree,
                    block: leaf.pointer.block,
                    error,
                });
            }
        }
    }
    if findings.unread == unread_before {
        check.compare(inode, findings);
    }
    Ok(check.totals)
}

/// Looks at the extents of one file, one after the other.
struct ExtentCheck<'a> {
    image: &'a Image<'a>,
    inode: u64,
    size_blocks: u64,
    previous: Option<Extent>,
    totals: FileTotals,
}

impl<'a> ExtentCheck<'a> {
    fn new(image: &'a Image<'_>, inode: &Inode) -> Self {
        Self {
            image,
            inode: inode.number,
            size_blocks: blocks_for_bytes(inode.size_bytes),
            previous: None,
            totals: FileTotals::default(),
        }
    }

    fn see(&mut self, extent: &Extent, findings: &mut Findings) {
        let inode = self.inode;
        let issues = &mut findings.issues;
        let &Extent {
            file_block,
            device_block,
            len_blocks,
        } = extent;
        if let Some(previous) = &self.previous {
            let least = previous.file_end();
            if file_block < least {
                issues.push(Issue::ExtentOrder {
                    inode,
                    file_block,
                    least,
                });
            }
            if is_continued(previous, extent) {
                issues.push(Issue::ExtentNotMerged { inode, file_block });
            }
        }
        if extent.file_end() > self.size_blocks {
            let (file_end, most) = (extent.file_end(), self.size_blocks);
            issues.push(Issue::ExtentPastEnd {
                inode,
                file_end,
                most,
            });
        }
        let block_count = self.image.block_count;
        if is_data_range(device_block, len_blocks.into(), block_count) {
            let blocks = device_block..extent.device_end();
            self.image.ownership.claim(blocks, Owner::Data { inode });
        } else {
            findings.lost(Issue::ExtentOutOfImage {
                inode,
                file_block,
                device_block,
                len_blocks,
                block_count,
            });
        }
        self.previous = Some(*extent);
        self.totals.extents += 1;
        self.totals.blocks = self.totals.blocks.saturating_add(len_blocks.into());
    }

    /// Compares what was seen with what the inode counts; only when all was seen.
    fn compare(&self, inode: &Inode, findings: &mut Findings) {
        let FileTotals { extents, blocks } = self.totals;
        if inode.extent_count != extents {
            findings.issues.push(Issue::ExtentCount {
                inode: inode.number,
                expected: extents,
                found: inode.extent_count,
            });
        }
        if inode.allocated_blocks != blocks {
            findings.issues.push(Issue::AllocatedBlocks {
                inode: inode.number,
                expected: blocks,
                found: inode.allocated_blocks,
            });
        }
    }
}

/// Whether `next` begins where `previous` ends, in the file and on the device, and one extent
/// could hold both.
fn is_continued(previous: &Extent, next: &Extent) -> bool {
    previous.file_end() == next.file_block
        && previous.device_end() == next.device_block
        && previous.len_blocks.checked_add(next.len_blocks).is_some()
}

/// Checks the entries of the directory `inode` and adds them to `references`.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn check_directory(
    image: &Image<'_>,
    inode: &Inode,
    findings: &mut Findings,
    references: &mut Vec<Reference>,
) -> Result<(), Error> {
    let directory = inode.number;
    let tree = Tree::Entries { inode: directory };
    let mut names = HashSet::new();
    for leaf in image.leaves(tree, inode.content, findings)? {
        let structure = Structure::DirentLeaf;
        let Some(block) = image.read(tree, leaf.pointer, structure, findings)? else {
            continue;
        };
        let entries = match DirentLeaf::parse(&block, directory, leaf.index) {
            Ok(entries) => entries,
            Err(error) => {
                findings.lost(Issue::BadBlock {
                    tree,
                    block: leaf.pointer.block,
                    error,
                });
                continue;
            }
        };
        for entry in entries.entries() {
            if !names.insert(Box::<[u8]>::from(entry.name)) {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                findings
                    .issues
                    .push(Issue::DuplicateName { directory, name });
            }
            let says_directory = entry.kind == InodeKind::Directory;
            references.push(Reference {
                inode: entry.inode,
                directory,
                says_directory,
            });
        }
    }
    Ok(())
}
