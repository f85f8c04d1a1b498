//! Leaves that the tree lost: their items are still in the data area, and only the way is gone.
//!
//! A lost node leaves a range of keys without items. Every leaf in the data area that the walk did
//! not reach and that holds keys of such a range is a candidate. When the space map can be read,
//! only blocks that it calls used count: then the candidate is of the last checkpoint. The newest
//! leaf wins, and nothing of an older one is taken within the keys that a newer one spans: what is
//! missing there was deleted. No checksum vouches for a candidate, so all of it goes through the
//! same judgement as everything else. Takes no locks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::action::Action;
use super::fix::Plan;
use crate::error::Error;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::Key;
use crate::format::node::{LeafNode, NODE_MAGIC, NodePlace};
use crate::fsck::examine::Structure;
use crate::fsck::image::Image;
use crate::fsck::progress::{Progress, Stage};

/// Blocks that one thread looks at in a row.
const CHUNK_BLOCKS: u64 = 1024;

/// A leaf that may be what was lost.
struct Candidate {
    block: u64,
    generation: u64,
}

/// Keys that a leaf spoke for, as ranges that do not overlap: from the first key to the last.
#[derive(Default)]
struct Covered(BTreeMap<Key, Key>);

impl Covered {
    fn contains(&self, key: Key) -> bool {
        let before = self.0.range(..=key).next_back();
        before.is_some_and(|(_, last)| key <= *last)
    }

    fn add(&mut self, first: Key, last: Key) {
        let (mut first, mut last) = (first, last);
        while let Some((start, end)) = self.0.range(..=last).next_back() {
            if *end < first {
                break;
            }
            (first, last) = (first.min(*start), last.max(*end));
            let start = *start;
            self.0.remove(&start);
        }
        self.0.insert(first, last);
    }
}

/// Puts back what is found of the ranges that `walk` lost.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn salvage(
    plan: &mut Plan<'_>,
    structure: &Structure,
    progress: &dyn Progress,
) -> Result<(), Error> {
    if structure.walk.is_complete() {
        return Ok(());
    }
    let mut lost = Covered::default();
    for node in &structure.walk.lost {
        lost.add(node.place.first_key.unwrap_or(Key::MIN), node.place.end);
    }
    let image = plan.items.image();
    let mut candidates = candidates(image, structure, progress)?;
    candidates.sort_by_key(|candidate| (Reverse(candidate.generation), candidate.block));
    let mut covered = Covered::default();
    for Candidate { block, .. } in candidates {
        let Some(leaf) = read_leaf(image, block)? else {
            continue;
        };
        let mut items = 0;
        for (key, value) in leaf.items() {
            if lost.contains(key) && !covered.contains(key) {
                plan.items.put(key, value.to_vec());
                items += 1;
            }
        }
        let first = leaf.items().next().map(|(key, _)| key);
        let last = leaf.items().last().map(|(key, _)| key);
        if let (Some(first), Some(last)) = (first, last) {
            covered.add(first, last);
        }
        if items > 0 {
            plan.free.keep_block(block);
            plan.did(Action::Salvaged { block, items });
        }
    }
    Ok(())
}

fn candidates(
    image: &Image<'_>,
    structure: &Structure,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let Structure {
        walk,
        space,
        ownership,
    } = structure;
    let reached = walk.leaves.iter().map(|leaf| leaf.node.pointer.block);
    let reached = reached.collect::<HashSet<_>>();
    let geometry = image.geometry();
    let area = geometry.data_start_block..geometry.block_count;
    progress.begin(Stage::Salvage, area.end - area.start);
    let chunks = (area.end - area.start).div_ceil(CHUNK_BLOCKS);
    let found = (0..chunks).into_par_iter().map(|chunk| {
        let start = area.start + chunk * CHUNK_BLOCKS;
        let blocks = start..area.end.min(start + CHUNK_BLOCKS);
        progress.advance(blocks.end - blocks.start);
        let may_be = |block: &u64| {
            let is_mapped = !space.is_complete() || space.used.contains(*block);
            // What a file has is its content, whatever it looks like.
            let is_of_file = ownership.used.contains(*block) && !ownership.nodes.contains(*block);
            is_mapped && !is_of_file && !reached.contains(block)
        };
        let mut candidates = Vec::new();
        for block in blocks.filter(may_be) {
            if let Some(leaf) = read_leaf(image, block)? {
                let generation = leaf.generation();
                candidates.push(Candidate { block, generation });
            }
        }
        Ok(candidates)
    });
    let found = found.collect::<Result<Vec<_>, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// The leaf in a block, if it is one.
fn read_leaf(image: &Image<'_>, number: u64) -> Result<Option<LeafNode>, Error> {
    let mut magic = [0; 4];
    image.device.read(number * BLOCK_BYTES, &mut magic)?;
    if u32::from_le_bytes(magic) != NODE_MAGIC {
        return Ok(None);
    }
    let block = image.read(number)?;
    let leaf = LeafNode::parse(block, &NodePlace::of_root(number, 0));
    let most = image.superblock.generation;
    Ok(leaf.ok().filter(|leaf| leaf.generation() <= most))
}
