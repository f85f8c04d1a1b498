//! Writes a repaired state beside the old one, and then names it.
//!
//! The order is that of a checkpoint: nodes, space map and copied blocks, a fence, one copy of the
//! superblock, a fence, the other, a fence. Nodes go to free blocks, each block of the space map to
//! that of its two places which the old map does not use. Takes no locks.

use daxfs_pmem::{Device, InFlight};

use super::action::Action;
use super::fix::Plan;
use super::{Done, Refusal};
use crate::clock::now_ns;
use crate::error::Error;
use crate::format::geometry::{POINTERS_PER_INDEX, SUPERBLOCK_BLOCKS, block_offset_bytes};
use crate::format::item::Key;
use crate::format::node::index::{MAXIMUM_INDEX_ENTRIES, encode_index};
use crate::format::node::leaf::{LEAF_CAPACITY, encode_leaf, item_len};
use crate::format::node::{IndexEntry, MAXIMUM_NODE_LEVEL};
use crate::format::space_block::{
    SpacePlace, WORDS_PER_SPACE_LEAF, encode_space_index, encode_space_leaf,
};
use crate::format::{Block, BlockPointer, Superblock, SuperblockState};
use crate::fsck::bits::Bits;
use crate::fsck::examine::Judgement;
use crate::fsck::image::Image;
use crate::fsck::issue::Issue;
use crate::fsck::progress::{Progress, Stage};
use crate::fsck::replay::Replay;
use crate::fsck::space::SpaceMap;

/// A new checkpoint on its way to the device.
struct Writer<'w, 'a> {
    image: &'a Image<'a>,
    plan: &'w mut Plan<'a>,
    generation: u64,
    /// Blocks of the new checkpoint.
    used: Bits,
    nodes: u64,
    in_flight: Option<InFlight>,
}

/// Writes the state of `plan`, which `judged` found right.
///
/// # Errors
/// Only when the device cannot be read or written.
pub(super) fn checkpoint(
    mut plan: Plan<'_>,
    judged: &Judgement,
    space: &SpaceMap,
    replay: &Replay,
    progress: &dyn Progress,
) -> Done<Vec<Action>> {
    let image = plan.items.image();
    let old = &image.superblock;
    let last_epoch = match replay.issue {
        Some(Issue::RecordOfFuture { found, .. }) => found.max(old.epoch),
        _ => old.epoch,
    };
    let counters = old.generation.max(last_epoch);
    if counters >= u64::MAX - 2 {
        return Ok(Err(Refusal::CounterAtEnd));
    }
    let leaves = count_leaves(&plan)?;
    if nodes_for(leaves) > plan.free.left() {
        return Ok(Err(Refusal::NoSpace));
    }
    let generation = old.generation + 1;
    let mut superblock = Superblock {
        generation,
        epoch: last_epoch + 1,
        log_first_lsn: next_lsn(replay, image.geometry().log_len_bytes()),
        next_inode: plan.next_inode,
        live_inodes: judged.scan.inodes.len() as u64,
        checkpointed_ns: now_ns(),
        state: SuperblockState::Clean,
        ..old.clone()
    };
    let used = Bits::new(image.block_count());
    let (claimed, nodes) = (&judged.ownership.used, &judged.ownership.nodes);
    for word in 0..claimed.words() {
        used.set_word(word, claimed.word(word) & !nodes.word(word));
    }
    superblock.data_blocks = used.count();
    let mut writer = Writer {
        image,
        plan: &mut plan,
        generation,
        used,
        nodes: 0,
        in_flight: None,
    };
    writer.redo(replay)?;
    writer.copy_blocks()?;
    let Some((root, level)) = writer.tree(progress)? else {
        return Ok(Err(Refusal::NoSpace));
    };
    superblock.root = root;
    superblock.root_level = level;
    superblock.tree_nodes = writer.nodes;
    superblock.space_root = writer.space_map(space)?;
    if Superblock::decode(&superblock.encode()).is_err() {
        return Ok(Err(Refusal::NotConsistent));
    }
    writer.fence()?;
    self::superblock(image.device, &superblock)?;
    let nodes = superblock.tree_nodes;
    plan.did(Action::WroteCheckpoint { generation, nodes });
    Ok(Ok(plan.actions))
}

/// Writes both copies of a superblock, one after the other.
///
/// # Errors
/// Only when the device cannot be written.
pub(super) fn superblock(device: &Device, superblock: &Superblock) -> Result<(), Error> {
    let block = superblock.encode();
    for number in SUPERBLOCK_BLOCKS {
        let copied = device.copy(block_offset_bytes(number), block.bytes())?;
        let _durable = device.fence(copied)?;
    }
    Ok(())
}

/// Where the log goes on: a ring further, so that no record that lies in it, of whatever epoch, can
/// be taken for one of the new log.
fn next_lsn(replay: &Replay, ring_bytes: u64) -> u64 {
    use crate::format::record::Lsn;
    use crate::format::record::header::ALIGNMENT_BYTES;
    let end = replay.end.plus(ring_bytes);
    match end < Lsn::END && end.get().is_multiple_of(ALIGNMENT_BYTES) {
        true => end.get(),
        false => 0,
    }
}

/// Puts items into leaves, as many as fit into each.
#[derive(Default)]
struct Packer {
    items: Vec<(Key, Vec<u8>)>,
    len: usize,
}

impl Packer {
    /// Adds an item; gives back a full leaf when the item begins the next.
    fn add(&mut self, key: Key, value: Vec<u8>) -> Option<Vec<(Key, Vec<u8>)>> {
        let len = item_len(value.len());
        let full = (self.len + len > LEAF_CAPACITY).then(|| self.finish());
        self.len += len;
        self.items.push((key, value));
        full
    }

    /// What is left.
    fn finish(&mut self) -> Vec<(Key, Vec<u8>)> {
        self.len = 0;
        std::mem::take(&mut self.items)
    }
}

fn count_leaves(plan: &Plan<'_>) -> Result<u64, Error> {
    let mut packer = Packer::default();
    let mut leaves = 0;
    for part in 0..plan.items.parts() {
        for (key, value) in plan.items.part(part)? {
            leaves += u64::from(packer.add(key, value).is_some());
        }
    }
    Ok(leaves + u64::from(!packer.finish().is_empty()))
}

/// Nodes of a tree with so many leaves.
fn nodes_for(leaves: u64) -> u64 {
    let (mut nodes, mut level) = (leaves, leaves);
    while level > 1 {
        level = level.div_ceil(MAXIMUM_INDEX_ENTRIES as u64);
        nodes += level;
    }
    nodes
}

impl Writer<'_, '_> {
    fn put(&mut self, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let copied = self.image.device.copy(block_offset_bytes(number), bytes)?;
        self.join(copied);
        Ok(())
    }

    fn join(&mut self, copied: InFlight) {
        self.in_flight = Some(match self.in_flight.take() {
            Some(before) => before.and(copied),
            None => copied,
        });
    }

    fn fence(&mut self) -> Result<(), Error> {
        if let Some(in_flight) = self.in_flight.take() {
            let _durable = self.image.device.fence(in_flight)?;
        }
        Ok(())
    }

    /// Writes again what the log says.
    fn redo(&mut self, replay: &Replay) -> Result<(), Error> {
        for write in &replay.redo {
            let copied = self.image.device.copy(write.offset_bytes, &write.bytes)?;
            self.join(copied);
        }
        Ok(())
    }

    fn copy_blocks(&mut self) -> Result<(), Error> {
        for (from, to) in std::mem::take(&mut self.plan.copies) {
            let block = self.image.read(from)?;
            self.put(to, block.bytes())?;
        }
        Ok(())
    }

    /// Writes a node to a free block; `encode` is given its number. Nothing when no block is left.
    fn node(
        &mut self,
        encode: impl FnOnce(u64, u64) -> Option<Block>,
    ) -> Result<Option<BlockPointer>, Error> {
        let Some(number) = self.plan.free.take() else {
            return Ok(None);
        };
        let Some(block) = encode(number, self.generation) else {
            return Ok(None);
        };
        self.put(number, block.bytes())?;
        self.used.set(number..number + 1, |_, _| {});
        self.nodes += 1;
        Ok(Some(BlockPointer::to(number, &block)))
    }

    fn leaf(&mut self, items: &[(Key, Vec<u8>)]) -> Result<Option<IndexEntry>, Error> {
        let Some((key, _)) = items.first() else {
            return Ok(None);
        };
        let slices = items.iter().map(|(key, value)| (*key, value.as_slice()));
        let pointer =
            self.node(|number, generation| encode_leaf(number, generation, slices).ok())?;
        Ok(pointer.map(|pointer| IndexEntry { key: *key, pointer }))
    }

    /// Writes all items, and gives back the root and its level.
    fn tree(&mut self, progress: &dyn Progress) -> Result<Option<(BlockPointer, u16)>, Error> {
        let parts = self.plan.items.parts();
        progress.begin(Stage::Write, parts as u64);
        let mut packer = Packer::default();
        let mut entries = Vec::new();
        for part in 0..parts {
            for (key, value) in self.plan.items.part(part)? {
                if let Some(full) = packer.add(key, value) {
                    match self.leaf(&full)? {
                        Some(entry) => entries.push(entry),
                        None => return Ok(None),
                    }
                }
            }
            progress.advance(1);
        }
        let last = packer.finish();
        if !last.is_empty() {
            match self.leaf(&last)? {
                Some(entry) => entries.push(entry),
                None => return Ok(None),
            }
        }
        self.index_levels(entries)
    }

    fn index_levels(
        &mut self,
        mut entries: Vec<IndexEntry>,
    ) -> Result<Option<(BlockPointer, u16)>, Error> {
        for level in 0..=MAXIMUM_NODE_LEVEL {
            match entries.as_slice() {
                [] => return Ok(Some((BlockPointer::NULL, 0))),
                [root] => return Ok(Some((root.pointer, level))),
                _ => {}
            }
            // As many to each, so that the last node is as full as the others.
            let nodes = entries.len().div_ceil(MAXIMUM_INDEX_ENTRIES);
            let mut above = Vec::with_capacity(nodes);
            for below in entries.chunks(entries.len().div_ceil(nodes)) {
                let written = self.node(|number, generation| {
                    encode_index(number, level + 1, generation, below).ok()
                })?;
                match (written, below.first()) {
                    (Some(pointer), Some(first)) => above.push(IndexEntry {
                        key: first.key,
                        pointer,
                    }),
                    _ => return Ok(None),
                }
            }
            entries = above;
        }
        Ok(None)
    }

    /// Writes the space map, and gives back the pointer to its root.
    fn space_map(&mut self, old: &SpaceMap) -> Result<BlockPointer, Error> {
        let geometry = *self.image.geometry();
        let mut pointers = Vec::new();
        for index in 0..geometry.space_leaves() {
            let mut words = [0; WORDS_PER_SPACE_LEAF];
            let first = index as usize * WORDS_PER_SPACE_LEAF;
            for (word, bits) in (first..).zip(&mut words) {
                *bits = self.used.word(word);
            }
            let block = encode_space_leaf(index, self.generation, &words);
            pointers.push(self.space_block(SpacePlace::new(0, index), block, old)?);
        }
        for level in 1..=geometry.space_level() {
            let mut above = Vec::new();
            for (index, below) in (0..).zip(pointers.chunks(POINTERS_PER_INDEX)) {
                let place = SpacePlace::new(level, index);
                // Chunks are not longer than an index block.
                let block = encode_space_index(place, self.generation, below);
                above.push(self.space_block(place, block.unwrap_or_default(), old)?);
            }
            pointers = above;
        }
        Ok(pointers.first().copied().unwrap_or(BlockPointer::NULL))
    }

    fn space_block(
        &mut self,
        place: SpacePlace,
        block: Option<Block>,
        old: &SpaceMap,
    ) -> Result<BlockPointer, Error> {
        let Some(block) = block else {
            return Ok(BlockPointer::NULL);
        };
        let [first, second] = self.image.geometry().space_slots(place.level, place.index);
        let taken = old.pointers.get(&(place.level, place.index));
        let number = match taken {
            Some(pointer) if pointer.block == first => second,
            _ => first,
        };
        self.put(number, block.bytes())?;
        Ok(BlockPointer::to(number, &block))
    }
}
