//! The judge of an image: reads all metadata, trusts none of it, and says what is wrong.
//!
//! Imports only the format, the error type and `daxfs_pmem`: it shares no code with the part of
//! the crate that writes images, so a mistake made there is not made again here. Read-only; works
//! on any bytes without panic, and in time bounded by the size of the image.
//!
//! | Module | Holds |
//! |---|---|
//! | `issue` | [`Issue`]: every way an image can be wrong, and how bad each is |
//! | `report` | [`Report`]: the issues, and what was counted |
//! | `progress` | [`Progress`]: how far the check is |
//! | `copies` | stage 0: the two copies of the superblock |
//! | `ownership` | which blocks are in use; who shares one |
//! | `tree` | verified reading of the blocks of a pointer tree |
//! | `content` | the extents of a file, the entries of a directory |
//! | `scan` | stage 1: all inodes and their contents, leaf by leaf, in parallel |
//! | `namespace` | stage 2: links, parents, reachability; needs the whole of stage 1 |
//!
//! # Why it ends
//! A metadata block is descended into only when its header names the tree, level and ordinal that
//! its parent expects. One block has one header, so it can pass in one place only, however many
//! pointers lead to it: the walk visits no more blocks than the image has, and cannot go in
//! circles.
//!
//! # Locks
//! None is held while a block is read. Ownership is a bitmap of atomics; the shares of one block
//! are collected under a mutex that is taken only when an image has such blocks.

mod content;
mod copies;
mod issue;
mod namespace;
mod ownership;
mod progress;
mod report;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

use daxfs_pmem::Device;

use crate::error::Error;
use crate::format::Superblock;

pub use self::issue::{Issue, Owner, Severity, Tree};
pub use self::progress::{NoProgress, Progress, Stage};
pub use self::report::{Report, Shutdown};
pub use crate::format::{FormatError, InodeKind, Problem, Structure};

use self::copies::Copies;
use self::ownership::Ownership;
use self::scan::Scan;
use self::tree::Image;

/// Checks the image on `device` and reports all that is wrong with it. Changes nothing.
///
/// The caller makes sure that nobody writes to the device meanwhile, as [`Device::open_file`] does
/// for image files. Uses all threads of rayon's current pool, and memory of two bits a block and
/// about 100 bytes an inode.
///
/// # Errors
/// Damage is no error: it is in the report. An error says that there is nothing to check:
/// [`Error::NotAnImage`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`];
/// [`Error::Truncated`] when the device is shorter than the image; [`Error::Device`] when the
/// device cannot be read.
pub fn check(device: &Device, progress: &dyn Progress) -> Result<Report, Error> {
    let Copies { superblock, issues } = copies::read(device)?;
    let Some(superblock) = superblock else {
        return Ok(Report::without_superblock(issues));
    };
    let mut image = Image::new(device, superblock.block_count);
    let mut scan = scan::scan(&image, &superblock, Stage::Inodes, progress)?;
    let mut report = Report::new(&superblock, issues);
    report.issues.append(&mut scan.issues);
    if image.ownership.has_shared() {
        image.ownership.begin_attribution();
        // The issues of this second scan are those of the first; only the shares are of interest.
        scan::scan(&image, &superblock, Stage::SharedBlocks, progress)?;
        report.issues.append(&mut image.ownership.shared_issues());
    }
    count(&mut report, &scan, &superblock, &image.ownership);
    report.issues.append(&mut namespace::check(&scan, progress));
    Ok(report)
}

/// Fills in the report's counts, and compares them with the superblock's.
fn count(report: &mut Report, scan: &Scan, superblock: &Superblock, ownership: &Ownership) {
    report.inodes = scan.inodes.len() as u64;
    report.directories = scan
        .inodes
        .iter()
        .filter(|inode| inode.kind == InodeKind::Directory)
        .count() as u64;
    report.files = report.inodes - report.directories;
    report.extents = scan.counts.extents;
    report.data_blocks = scan.counts.data_blocks;
    report.metadata_blocks = scan.counts.metadata_blocks;
    report.free_blocks = ownership.free_blocks();
    if scan.is_incomplete() {
        // What hangs below damaged blocks was not counted, so a difference would say nothing.
        return;
    }
    let allocated = report.data_blocks + report.metadata_blocks;
    if superblock.allocated_blocks != allocated {
        let (expected, found) = (allocated, superblock.allocated_blocks);
        report
            .issues
            .push(Issue::AllocatedBlocksTotal { expected, found });
    }
    if superblock.live_inodes != report.inodes {
        let (expected, found) = (report.inodes, superblock.live_inodes);
        report.issues.push(Issue::LiveInodes { expected, found });
    }
}
