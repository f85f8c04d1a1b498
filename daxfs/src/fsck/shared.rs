//! Blocks with several owners: whether all know of it, and whether they are counted right.
//!
//! A block may have several owners only when all of them are file blocks whose runs are marked as
//! shared, and an item counts exactly so many. Who owns the blocks that were claimed twice is found
//! by reading the runs once more; nothing else is kept in memory of all the runs. Takes no locks.

use std::ops::Range;

use rayon::prelude::*;

use super::bits::Bits;
use super::facts::{self, Fact, Statement};
use super::issue::Issue;
use super::items::Items;
use super::owner::Owner;
use super::ownership::Ownership;
use super::progress::{Progress, Stage};
use crate::error::Error;
use crate::format::item::extents::SEGMENT_BLOCKS;
use crate::format::item::{Sharing, StoredRun, StoredSharedRun};

/// Owners that an issue names at most.
const NAMED_OWNERS: usize = 8;

/// A use of blocks that are used more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    /// The first block.
    pub(super) block: u64,
    /// The block after the last.
    pub(super) end: u64,
    /// Who.
    pub(super) owner: Owner,
    /// The block of the file that the first block is.
    pub(super) file_block: u64,
    /// Whether that owner knows of others.
    pub(super) is_marked: bool,
}

/// All uses of the blocks that are used more than once, by block.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn shares(
    items: &Items<'_>,
    node_blocks: &[u64],
    ownership: &Ownership,
    progress: &dyn Progress,
) -> Result<Vec<Share>, Error> {
    if ownership.twice.is_empty() {
        return Ok(Vec::new());
    }
    let parts = items.parts();
    progress.begin(Stage::SharedBlocks, parts as u64);
    let of_part = |part| {
        let shares = shares_of_part(items, part, &ownership.twice);
        progress.advance(1);
        shares
    };
    let found = (0..parts)
        .into_par_iter()
        .map(of_part)
        .collect::<Result<Vec<_>, Error>>()?;
    let mut shares = found.into_iter().flatten().collect::<Vec<_>>();
    let nodes = node_blocks
        .iter()
        .filter(|block| ownership.twice.contains(**block));
    shares.extend(nodes.map(|block| Share {
        block: *block,
        end: block + 1,
        owner: Owner::Tree,
        file_block: 0,
        is_marked: false,
    }));
    shares.sort_unstable();
    Ok(shares)
}

fn shares_of_part(items: &Items<'_>, part: usize, twice: &Bits) -> Result<Vec<Share>, Error> {
    let mut shares = Vec::new();
    for (key, value) in items.part(part)? {
        let Ok(Fact::OfInode(key, Statement::Runs(runs))) = facts::decode(key, value) else {
            continue;
        };
        let geometry = items.image().geometry();
        let valid = runs
            .iter()
            .filter(|run| geometry.is_data_range(run.device_block, run.len_blocks));
        valid.for_each(|run| shares.extend(shares_of_run(key.inode, run, twice)));
    }
    Ok(shares)
}

fn shares_of_run(inode: u64, run: &StoredRun, twice: &Bits) -> impl Iterator<Item = Share> {
    let run = *run;
    let ranges = twice.runs(run.device_block..run.device_end());
    ranges.into_iter().map(move |range| Share {
        block: range.start,
        end: range.end,
        owner: Owner::Data { inode },
        file_block: run.file_block + (range.start - run.device_block),
        is_marked: run.sharing == Sharing::Shared,
    })
}

/// Whether counts are to be compared with what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// They describe this state.
    Check,
    /// They describe an earlier state: the log does not change them.
    Ignore,
}

/// Checks `shares`, all uses of blocks that are used more than once, against the `counts`.
pub(super) fn check(
    shares: &[Share],
    stored: &[StoredSharedRun],
    block_count: u64,
    counts: Counts,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    let counted = match counts {
        Counts::Check => disjoint(stored, block_count, &mut issues),
        Counts::Ignore => Vec::new(),
    };
    for stretch in stretches(shares, &counted) {
        issues.extend(stretch.issue(shares, counts));
    }
    merge(issues)
}

/// A stretch of blocks with the same uses and the same count all along.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    block: u64,
    end: u64,
    uses: u64,
    /// Uses by those who do not know of others.
    unmarked: u64,
    /// What is counted; 0 when nothing is.
    counted: u64,
}

impl Stretch {
    fn issue(&self, shares: &[Share], counts: Counts) -> Option<Issue> {
        let (block, len_blocks) = (self.block, self.end - self.block);
        if self.uses > 1 && self.unmarked > 0 {
            let owners = owners(shares, self.block, self.end);
            return Some(Issue::UsedTwice {
                block,
                len_blocks,
                owners,
            });
        }
        // Blocks that are used once are not among the shares, and are not counted either.
        let found = self.counted.max(1);
        let expected = self.uses.max(1);
        (counts == Counts::Check && found != expected).then_some(Issue::SharedCount {
            block,
            len_blocks,
            expected,
            found,
        })
    }
}

/// Who uses blocks of a stretch, each once.
fn owners(shares: &[Share], block: u64, end: u64) -> Vec<Owner> {
    // No use is longer than a segment.
    let from = block.saturating_sub(SEGMENT_BLOCKS);
    let start = shares.partition_point(|share| share.block < from);
    let near = shares[start..].iter().take_while(|share| share.block < end);
    let mut owners = near
        .filter(|share| share.end > block)
        .map(|share| share.owner)
        .collect::<Vec<_>>();
    owners.sort_unstable();
    owners.dedup();
    owners.truncate(NAMED_OWNERS);
    owners
}

/// The counts, without what two of them are about.
fn disjoint(
    stored: &[StoredSharedRun],
    block_count: u64,
    issues: &mut Vec<Issue>,
) -> Vec<StoredSharedRun> {
    let mut counted: Vec<StoredSharedRun> = Vec::with_capacity(stored.len());
    let mut end = 0;
    for run in stored {
        let block = run.device_block;
        if block < end {
            issues.push(Issue::SharedOverlap { block, end });
        }
        let run_end = block.saturating_add(run.len_blocks).min(block_count);
        let start = block.max(end);
        if start < run_end {
            counted.push(StoredSharedRun {
                device_block: start,
                len_blocks: run_end - start,
                owners: run.owners,
            });
            end = run_end;
        }
    }
    counted
}

/// What changes at a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    block: u64,
    uses: i64,
    unmarked: i64,
    counted: Option<u64>,
}

/// Cuts the blocks where uses or counts begin or end.
fn stretches(shares: &[Share], counted: &[StoredSharedRun]) -> Vec<Stretch> {
    let mut edges = Vec::with_capacity(2 * (shares.len() + counted.len()));
    for share in shares {
        let unmarked = i64::from(!share.is_marked);
        edges.push(Edge {
            block: share.block,
            uses: 1,
            unmarked,
            counted: None,
        });
        edges.push(Edge {
            block: share.end,
            uses: -1,
            unmarked: -unmarked,
            counted: None,
        });
    }
    for run in counted {
        let edge = |block, counted| Edge {
            block,
            uses: 0,
            unmarked: 0,
            counted: Some(counted),
        };
        // Ends sort before beginnings at the same block, as 0 is less than any count.
        edges.push(edge(run.device_block, run.owners));
        edges.push(edge(run.device_block + run.len_blocks, 0));
    }
    edges.sort_unstable();
    let mut stretches = Vec::new();
    let (mut uses, mut unmarked, mut owners) = (0_i64, 0_i64, 0);
    for pair in edges.windows(2) {
        let edge = pair[0];
        uses += edge.uses;
        unmarked += edge.unmarked;
        owners = edge.counted.unwrap_or(owners);
        if edge.block < pair[1].block {
            stretches.push(Stretch {
                block: edge.block,
                end: pair[1].block,
                uses: uses.unsigned_abs(),
                unmarked: unmarked.unsigned_abs(),
                counted: owners,
            });
        }
    }
    stretches
}

/// Joins issues that say the same of adjacent blocks.
fn merge(issues: Vec<Issue>) -> Vec<Issue> {
    let mut merged: Vec<Issue> = Vec::with_capacity(issues.len());
    for issue in issues {
        let joined = match (merged.last_mut(), &issue) {
            (
                Some(Issue::UsedTwice {
                    block,
                    len_blocks,
                    owners,
                }),
                Issue::UsedTwice {
                    block: next,
                    len_blocks: more,
                    owners: same,
                },
            ) if *block + *len_blocks == *next && owners == same => {
                *len_blocks += more;
                true
            }
            _ => false,
        };
        if !joined {
            merged.push(issue);
        }
    }
    merged
}

/// The blocks of `shares`, cut wherever a use begins or ends.
pub(super) fn stretches_of_uses(shares: &[Share]) -> Vec<Range<u64>> {
    let stretches = stretches(shares, &[]).into_iter();
    let used = stretches.filter(|stretch| stretch.uses > 0);
    used.map(|stretch| stretch.block..stretch.end).collect()
}
