//! The walk of the metadata tree: every node read once, checked, and claimed.
//!
//! Goes down level by level, all nodes of a level in parallel. Nothing is believed before it was
//! checked: a pointer's target is within the data area, the target's checksum is the pointer's, and
//! its header and keys are those of the very place the parent gives it. Takes no locks.

use rayon::prelude::*;

use super::image::Image;
use super::issue::Issue;
use super::owner::Owner;
use super::ownership::Ownership;
use super::progress::{Progress, Stage};
use crate::error::Error;
use crate::format::item::Key;
use crate::format::node::{IndexNode, LeafNode, NodePlace};
use crate::format::{Block, BlockPointer, FormatError};

/// A node: the pointer to it, and where the pointer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) pointer: BlockPointer,
    pub(super) place: NodePlace,
}

/// A leaf that was read and is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) node: Node,
    pub(super) first_key: Key,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The leaves, in order of their keys.
    pub(super) leaves: Vec<Leaf>,
    /// The blocks that pointers call nodes.
    pub(super) blocks: Vec<u64>,
    /// Nodes that cannot be believed: what is below them is missing.
    pub(super) lost: Vec<Node>,
    pub(super) issues: Vec<Issue>,
}

/// One node, visited.
struct Visit<T> {
    node: Node,
    found: Result<T, Issue>,
    of_future: Option<Issue>,
}

/// Walks the tree that the superblock names.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn walk(
    image: &Image<'_>,
    ownership: &Ownership,
    progress: &dyn Progress,
) -> Result<Walk, Error> {
    let mut walk = Walk::default();
    let (root, root_level) = (image.superblock.root, image.superblock.root_level);
    if root.is_null() {
        return Ok(walk);
    }
    let place = NodePlace::of_root(root.block, root_level);
    let mut nodes = vec![Node {
        pointer: root,
        place,
    }];
    for _ in 0..root_level {
        let visits = visit_all(&nodes, image, ownership, |block, place| {
            let node = IndexNode::parse(&block, place)?;
            let slots = 0..node.entries().len();
            let children = slots.map(|slot| Node {
                pointer: node.entries()[slot].pointer,
                place: node.child_place(slot, place),
            });
            Ok((children.collect::<Vec<_>>(), node.generation()))
        })?;
        let found = walk.absorb(visits);
        nodes = found.into_iter().flat_map(|(_, below)| below).collect();
    }
    progress.begin(Stage::Tree, nodes.len() as u64);
    let visits = visit_all(&nodes, image, ownership, |block, place| {
        let leaf = LeafNode::parse(block, place)?;
        let first_key = leaf.items().next().map_or(place.end, |(key, _)| key);
        progress.advance(1);
        Ok((first_key, leaf.generation()))
    })?;
    let leaves = walk.absorb(visits).into_iter();
    walk.leaves = leaves
        .map(|(node, first_key)| Leaf { node, first_key })
        .collect();
    Ok(walk)
}

impl Walk {
    /// Whether all of the tree could be read.
    pub(super) fn is_complete(&self) -> bool {
        self.lost.is_empty()
    }

    /// Takes down what was found, and gives back what was found right.
    fn absorb<T>(&mut self, visits: Vec<Visit<T>>) -> Vec<(Node, T)> {
        let mut right = Vec::with_capacity(visits.len());
        for visit in visits {
            let is_placed = !matches!(visit.found, Err(Issue::PointerOutOfImage { .. }));
            if is_placed {
                self.blocks.push(visit.node.pointer.block);
            }
            self.issues.extend(visit.of_future);
            match visit.found {
                Ok(found) => right.push((visit.node, found)),
                Err(issue) => {
                    self.issues.push(issue);
                    self.lost.push(visit.node);
                }
            }
        }
        right
    }
}

/// Visits nodes of one level, in parallel. `parse` also gives the checkpoint of the node.
fn visit_all<T: Send>(
    nodes: &[Node],
    image: &Image<'_>,
    ownership: &Ownership,
    parse: impl Fn(Block, &NodePlace) -> Result<(T, u64), FormatError> + Sync,
) -> Result<Vec<Visit<T>>, Error> {
    let visit = |node: &Node| {
        let node = *node;
        let mut of_future = None;
        let found = match read(image, ownership, &node)? {
            Ok(block) => parse(block, &node.place).map_err(|error| bad(&node, error)),
            Err(issue) => Err(issue),
        };
        let found = found.map(|(found, generation)| {
            let most = image.superblock.generation;
            of_future = (generation > most).then_some(Issue::NodeOfFuture {
                block: node.pointer.block,
                most,
                found: generation,
            });
            found
        });
        Ok(Visit {
            node,
            found,
            of_future,
        })
    };
    nodes.par_iter().map(visit).collect()
}

/// The block of `node`, if it is the one that the pointer was made for.
fn read(
    image: &Image<'_>,
    ownership: &Ownership,
    node: &Node,
) -> Result<Result<Block, Issue>, Error> {
    let (target, geometry) = (node.pointer.block, image.geometry());
    if !geometry.is_data_range(target, 1) {
        return Ok(Err(Issue::PointerOutOfImage {
            target,
            level: node.place.level,
            least: geometry.data_start_block,
            block_count: geometry.block_count,
        }));
    }
    ownership.claim(target..target + 1, Owner::Tree);
    let block = image.read(target)?;
    let verified = node.pointer.verify(&block, node.place.structure());
    Ok(verified.map(|()| block).map_err(|error| bad(node, error)))
}

fn bad(node: &Node, error: FormatError) -> Issue {
    Issue::BadNode {
        block: node.pointer.block,
        level: node.place.level,
        error,
    }
}
