//! The check itself: the checkpoint, the space map, and the state after the log.
//!
//! Reads only. Takes no locks but those of its parts.

use daxfs_pmem::Device;

use super::bits::Bits;
use super::checksums;
use super::copies::{self, Copies};
use super::image::Image;
use super::issue::Issue;
use super::items::Items;
use super::namespace;
use super::nodes::{self, Walk};
use super::owner::Owner;
use super::ownership::Ownership;
use super::progress::Progress;
use super::replay;
use super::report::Report;
use super::scan::{self, Scan};
use super::shared::{self, Counts, Share};
use super::space::{self, Knowledge, SpaceMap};
use crate::error::Error;

/// What was judged of one state.
#[derive(Debug)]
pub(super) struct Judgement {
    /// What is wrong with the items.
    pub(super) issues: Vec<Issue>,
    pub(super) scan: Scan,
    pub(super) ownership: Ownership,
    /// All uses of blocks that are used more than once.
    pub(super) shares: Vec<Share>,
}

/// Judges a state of an image: its items by themselves, their names, the owners of its blocks.
/// `node_blocks` are the blocks of the tree, if any count.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn judge(
    items: &Items<'_>,
    node_blocks: &[u64],
    ownership: Ownership,
    counts: Counts,
    progress: &dyn Progress,
) -> Result<Judgement, Error> {
    let mut scan = scan::scan(items, &ownership, progress)?;
    let shares = shared::shares(items, node_blocks, &ownership, progress)?;
    let block_count = items.image().block_count();
    let mut issues = std::mem::take(&mut scan.issues);
    issues.extend(shared::check(&shares, &scan.shared, block_count, counts));
    issues.extend(namespace::check(&scan, progress));
    issues.extend(checksums::holes(items, progress)?);
    Ok(Judgement {
        issues,
        scan,
        ownership,
        shares,
    })
}

/// What was read of an image whose superblock is usable.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) walk: Walk,
    pub(super) space: SpaceMap,
    /// Who owns what, by the checkpoint.
    pub(super) ownership: Ownership,
}

/// Checks the image on `device`, and keeps what a repair needs of it.
///
/// # Errors
/// As [`check`](super::check).
pub(super) fn examine(device: &Device, progress: &dyn Progress) -> Result<Report, Error> {
    let Copies { superblock, issues } = copies::read(device)?;
    let Some(superblock) = superblock else {
        return Ok(Report::without_superblock(issues));
    };
    let image = Image { device, superblock };
    let mut report = Report::new(&image.superblock, issues);
    examine_image(&image, &mut report, progress)?;
    Ok(report)
}

/// The same once the superblock is known.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn examine_image(
    image: &Image<'_>,
    report: &mut Report,
    progress: &dyn Progress,
) -> Result<Structure, Error> {
    let ownership = Ownership::new(image.block_count());
    let mut walk = nodes::walk(image, &ownership, progress)?;
    let space = space::read(image)?;
    report.issues.append(&mut walk.issues);
    let mut items = Items::new(image, &walk.leaves);
    let judged = judge(&items, &walk.blocks, ownership, Counts::Check, progress)?;
    count(image, report, &walk, &judged);
    let knowledge = match walk.is_complete() {
        true => Knowledge::Complete,
        false => Knowledge::Partial,
    };
    let compared = space::compare(&space, &image.superblock, &judged.ownership, knowledge);
    let Judgement {
        issues, ownership, ..
    } = judged;
    let before = report.issues.len();
    report.issues.extend(issues);
    report.issues.extend(space.issues.iter().cloned());
    report.issues.extend(compared);
    let log = LogCheck {
        walk: &walk,
        used: &ownership.used,
        before,
    };
    examine_log(&mut items, &log, report, progress)?;
    Ok(Structure {
        walk,
        space,
        ownership,
    })
}

/// Fills in the report's counts, and compares them with the superblock's.
fn count(image: &Image<'_>, report: &mut Report, walk: &Walk, judged: &Judgement) {
    let Judgement {
        scan, ownership, ..
    } = judged;
    report.inodes = scan.inodes.len() as u64;
    report.directories = scan.directories();
    report.files = report.inodes - report.directories;
    report.extents = scan.runs;
    report.data_blocks = ownership.data_blocks();
    report.metadata_blocks = ownership.nodes.count();
    let area = image.geometry().data_area_blocks();
    report.free_blocks = area.saturating_sub(ownership.used.count());
    if !walk.is_complete() {
        // What hangs below damaged nodes was not counted, so a difference would say nothing.
        return;
    }
    let superblock = &image.superblock;
    let (expected, found) = (report.metadata_blocks, superblock.tree_nodes);
    if expected != found {
        report.issues.push(Issue::TreeNodes { expected, found });
    }
    let (expected, found) = (report.data_blocks, superblock.data_blocks);
    if expected != found {
        report.issues.push(Issue::DataBlocks { expected, found });
    }
    let (expected, found) = (report.inodes, superblock.live_inodes);
    if expected != found {
        report.issues.push(Issue::LiveInodes { expected, found });
    }
}

/// What the check of the log needs of the checkpoint.
struct LogCheck<'c> {
    walk: &'c Walk,
    /// Blocks in use.
    used: &'c Bits,
    /// Which issue of the report is the first of the checkpoint's items.
    before: usize,
}

/// Applies the log, and judges what it leaves. What was wrong before is not said again.
fn examine_log(
    items: &mut Items<'_>,
    log: &LogCheck<'_>,
    report: &mut Report,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let walk = log.walk;
    let replay = replay::replay(items, log.used)?;
    report.log_records = replay.records;
    let mut found = Vec::new();
    if !items.changes().is_empty() {
        let ownership = Ownership::new(items.image().block_count());
        for block in &walk.blocks {
            ownership.claim(*block..block + 1, Owner::Tree);
        }
        let judged = judge(items, &walk.blocks, ownership, Counts::Ignore, progress)?;
        let known = &report.issues[log.before..];
        let new = judged.issues.into_iter().filter(|issue| {
            let is_by_log = matches!(issue, Issue::InodeBeyondNext { inode, .. }
                if *inode < replay.next_inode);
            !is_by_log && !known.contains(issue)
        });
        found.extend(new.map(|issue| Issue::AfterReplay {
            issue: Box::new(issue),
        }));
    }
    if replay.issue.is_none() {
        report.issues.extend(checksums::damaged(items, progress)?);
    }
    report.issues.extend(replay.issue);
    report.issues.extend(found);
    Ok(())
}
