//! Makes a damaged image consistent, and loses no more than was lost already.
//!
//! # How
//! The repaired image is first made in memory, as changes laid over the leaves that are right:
//!
//! 1. [`salvage`]: items of leaves that the tree lost and the data area still has.
//! 2. The log, as far as it verifies and applies.
//! 3. [`fix`]: the state is judged by the same code that checks images, each issue is answered with
//!    changes, and so again, until nothing is wrong. One class of issues is answered at a time,
//!    causes before consequences, so that an inode is not declared nameless while the directory
//!    that names it is still being put together.
//! 4. [`mod@write`]: a new tree and the space map, to free blocks and places; then both copies of
//!    the superblock.
//!
//! So whatever is written was judged clean before, and a state that does not come clean is not
//! written at all: the image is left as it was. Nothing that the old checkpoint reaches is written
//! over before the superblock names the new one, so a crash leaves the old image or the new. (The
//! exceptions are the bytes that the log itself wants written again: any mount would write them.)
//!
//! The tree is written from its items in one pass, by code of its own: a bulk load needs none of
//! what makes the filesystem's tree writer long (changing a tree that is there), and a mistake made
//! there cannot come back in what is to cure its effects.
//!
//! # What is kept of what
//! A file whose items are right and whose blocks nobody else claims is not touched. Of two that
//! claim one block both keep the content: the later claimant gets a copy. What lost its name goes
//! to `/lost+found`. Nothing is deleted but what cannot be read.
//!
//! # Memory
//! A bit for each block, some times over, and the changes: their number follows the damage and the
//! log, not the image.
//!
//! # Locks
//! None, but those of the check.

mod action;
mod blocks;
mod fix;
mod free;
mod inodes;
mod lost_found;
mod names;
mod salvage;
mod write;

use std::collections::HashSet;

use daxfs_pmem::Device;

use super::copies::{self, Copies};
use super::examine::{self, Judgement, Structure, judge};
use super::image::Image;
use super::issue::Issue;
use super::items::Items;
use super::owner::Owner;
use super::ownership::Ownership;
use super::progress::Progress;
use super::replay;
use super::report::Report;
use super::shared::Counts;
use crate::error::Error;

pub use self::action::Action;

use self::fix::Plan;
use self::free::FreeBlocks;

/// The most rounds of judging and fixing. Each class of issues takes one or two, and an image of
/// random damage takes less than half of these.
const MAXIMUM_ROUNDS: usize = 40;

/// What a repair came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was wrong, and nothing was done.
    Clean,
    /// The image is consistent now.
    Repaired,
    /// The image could not be made consistent, and is as it was.
    Refused(Refusal),
}

/// Why an image was left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Without a superblock nothing can be found.
    #[error("no superblock is usable: restore the image from a copy")]
    NoSuperblock,
    /// The image uses features that this library does not know, and which allow reading alone.
    #[error("it uses features that this program may read and not write: use a newer daxfs")]
    UnknownFeatures,
    /// Nothing is wrong but what files hold, and that is known nowhere else.
    #[error("only the content of files is damaged: restore them from a copy")]
    DamagedData,
    /// The new metadata needs more blocks than are free.
    #[error("too few free blocks for the repaired metadata: make the image larger")]
    NoSpace,
    /// The state did not come clean.
    #[error("it could not be made consistent: restore the image from a copy")]
    NotConsistent,
    /// A number that only grows has reached its end.
    #[error("the counters of its superblock are at their end: restore the image from a copy")]
    CounterAtEnd,
}

/// The result of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The image as it was found.
    pub before: Report,
    /// What was done, in order; empty when the image is as it was.
    pub actions: Vec<Action>,
    /// What it came to.
    pub outcome: Outcome,
    /// The image as it is now, checked again; nothing when it is as it was.
    pub after: Option<Report>,
}

/// Checks the image on `device`, and makes it consistent when it is not.
///
/// Nobody else may read or write the device meanwhile, as [`Device::open_file`] makes sure for
/// image files.
///
/// # Errors
/// As [`check`](super::check), and [`Error::Device`] when the device cannot be written.
pub fn repair(device: &Device, progress: &dyn Progress) -> Result<Repair, Error> {
    let Copies { superblock, issues } = copies::read(device)?;
    let Some(superblock) = superblock else {
        let before = Report::without_superblock(issues);
        return Ok(Repair::refused(before, Refusal::NoSuperblock));
    };
    let image = Image { device, superblock };
    let mut before = Report::new(&image.superblock, issues);
    let of_copies = before.issues.len();
    let structure = examine::examine_image(&image, &mut before, progress)?;
    if before.is_clean() {
        return Ok(Repair {
            before,
            actions: Vec::new(),
            outcome: Outcome::Clean,
            after: None,
        });
    }
    if image.superblock.features.unknown_read_only_compatible() != 0 {
        return Ok(Repair::refused(before, Refusal::UnknownFeatures));
    }
    if before.issues.iter().all(is_of_data) {
        return Ok(Repair::refused(before, Refusal::DamagedData));
    }
    let done = if before.issues.len() == of_copies {
        write::superblock(device, &image.superblock)?;
        Ok(vec![Action::WroteSuperblock])
    } else {
        repair_image(&image, &structure, progress)?
    };
    match done {
        Ok(actions) => Ok(Repair {
            before,
            actions,
            outcome: Outcome::Repaired,
            after: Some(examine::examine(device, progress)?),
        }),
        Err(refusal) => Ok(Repair::refused(before, refusal)),
    }
}

impl Repair {
    fn refused(before: Report, refusal: Refusal) -> Self {
        Self {
            before,
            actions: Vec::new(),
            outcome: Outcome::Refused(refusal),
            after: None,
        }
    }
}

/// Whether no repair can make it right.
fn is_of_data(issue: &Issue) -> bool {
    matches!(issue, Issue::DataDamaged { .. })
}

/// What was done, or why nothing was.
type Done<T> = Result<Result<T, Refusal>, Error>;

fn repair_image(
    image: &Image<'_>,
    structure: &Structure,
    progress: &dyn Progress,
) -> Done<Vec<Action>> {
    let Structure {
        walk,
        space,
        ownership,
    } = structure;
    let mut plan = Plan::new(
        Items::new(image, &walk.leaves),
        FreeBlocks::new(*image.geometry(), &space.used, &ownership.used),
    );
    salvage::salvage(&mut plan, structure, progress)?;
    let replay = replay::replay(&mut plan.items, &ownership.used)?;
    plan.next_inode = replay.next_inode;
    if replay.records > 0 {
        let records = replay.records;
        plan.did(Action::Replayed { records });
    }
    if replay.issue.is_some() {
        let lsn = replay.end.get();
        plan.did(Action::CutLog { lsn });
    }
    if replay.issue.is_some() || !walk.is_complete() {
        plan.remove_all_checksums()?;
    }
    let lost = walk.lost.iter().map(|node| node.pointer.block);
    let lost = lost.collect::<HashSet<_>>();
    let nodes = walk.blocks.iter().filter(|block| !lost.contains(block));
    let nodes = nodes.copied().collect::<Vec<_>>();
    match settle(&mut plan, &nodes, progress)? {
        Ok(judged) => write::checkpoint(plan, &judged, space, &replay, progress),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Judges and fixes until nothing is wrong.
fn settle(plan: &mut Plan<'_>, nodes: &[u64], progress: &dyn Progress) -> Done<Judgement> {
    for _ in 0..MAXIMUM_ROUNDS {
        let ownership = Ownership::new(plan.items.image().block_count());
        for block in nodes {
            ownership.claim(*block..block + 1, Owner::Tree);
        }
        let mut judged = judge(&plan.items, nodes, ownership, Counts::Check, progress)?;
        plan.free.keep(&judged.ownership.used);
        plan.see_inodes(&judged.scan.inodes);
        // The new superblock says how many inodes there are.
        judged
            .issues
            .retain(|issue| !matches!(issue, Issue::InodeBeyondNext { .. }));
        if judged.issues.is_empty() {
            return Ok(Ok(judged));
        }
        if let Err(refusal) = plan.fix(&judged)? {
            return Ok(Err(refusal));
        }
    }
    Ok(Err(Refusal::NotConsistent))
}
