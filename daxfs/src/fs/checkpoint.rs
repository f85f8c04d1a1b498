//! Makes what is in memory durable: all or nothing, at the cost of what changed.
//!
//! # Steps
//! 1. Close the gate; copy the inodes that changed; take over the blocks freed so far; open it.
//! 2. Write the changed leaves and the index blocks above them to free blocks.
//! 3. Fence (and, on files, `msync` the data that the new metadata refers to).
//! 4. Write both superblock copies, each with a fence: the new trees are the filesystem.
//! 5. Only now give back the blocks that were freed, and those of the old trees.
//!
//! A crash before the first superblock copy is durable leaves the old state, afterwards the new
//! one. A failure before step 4 gives back what step 2 took and keeps the changes for the next try.
//!
//! # Locking
//! `state` (one checkpoint at a time; ranks before the gate and is taken with no lock but I/O range
//! locks held). The gate, closed, for step 1 alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use daxfs_pmem::{Durable, Persistence};
use parking_lot::Mutex;

use super::content;
use super::make::now_ns;
use super::superblock::write_superblock;
use crate::error::Result;
use crate::format::geometry::{INODE_TABLE_OWNER, inode_leaf, inode_slot, inode_table_leaves};
use crate::format::{self, Block, InodeLeaf, InodeLeafBuilder, Superblock, SuperblockState};
use crate::gate::Closed;
use crate::inode::Snapshot;
use crate::metadata::{BlockWriter, StoredTree, read_block};
use crate::run::Run;
use crate::volume::Volume;

/// Blocks kept beyond what all metadata takes: the path to a new root, rounding, and what
/// operations under way have asked for before a checkpoint counts anew and use after it.
const RESERVE_SLACK_BLOCKS: u64 = 32;

/// What the last checkpoint left on the device, and the only way to make the next.
pub(super) struct Checkpointer {
    state: Mutex<Stored>,
}

/// The state of the medium.
pub(super) struct Stored {
    pub(super) superblock: Superblock,
    pub(super) table: StoredTree,
    /// The content trees of inodes that have one.
    pub(super) contents: HashMap<u64, StoredTree>,
    /// Data blocks of all files.
    pub(super) data_blocks: u64,
    /// Blocks of all pointer trees.
    pub(super) metadata_blocks: u64,
}

/// What step 1 takes along.
struct Changes {
    numbers: BTreeSet<u64>,
    snapshots: BTreeMap<u64, Snapshot>,
    freed: Vec<Run>,
    next_inode: u64,
    live_inodes: u64,
}

/// What step 2 makes.
struct NewTrees {
    table: StoredTree,
    /// `None`: the inode or its tree is gone.
    contents: Vec<(u64, Option<StoredTree>)>,
    data_blocks: u64,
}

impl Checkpointer {
    pub(super) fn new(volume: &Volume, stored: Stored) -> Self {
        volume
            .allocator
            .set_reserve(stored.metadata_blocks + RESERVE_SLACK_BLOCKS);
        Self {
            state: Mutex::new(stored),
        }
    }

    /// Blocks of metadata, as of the last checkpoint.
    pub(super) fn metadata_blocks(&self) -> u64 {
        self.state.lock().metadata_blocks
    }

    /// The generation of the last checkpoint.
    pub(super) fn generation(&self) -> u64 {
        self.state.lock().superblock.generation
    }

    /// Makes freed blocks available: by a checkpoint if any wait for one, otherwise by having
    /// waited for the one that was under way.
    ///
    /// # Errors
    /// As [`Checkpointer::run`].
    pub(super) fn reclaim(&self, volume: &Volume) -> Result<()> {
        drop(self.state.lock());
        if !volume.allocator.has_pending() && !volume.allocator.has_growth() {
            return Ok(());
        }
        self.run(volume, SuperblockState::InUse)
    }

    /// Makes everything up to now durable and marks the image as `mark`.
    ///
    /// # Errors
    /// [`NoSpace`](crate::Error::NoSpace) and [`Device`](crate::Error::Device): the last checkpoint
    /// is still the filesystem, and the changes are still in memory.
    pub(super) fn run(&self, volume: &Volume, mark: SuperblockState) -> Result<()> {
        let mut stored = self.state.lock();
        let changes = collect(volume);
        if changes.numbers.is_empty() && changes.freed.is_empty() && stored.superblock.state == mark
        {
            volume
                .allocator
                .set_reserve(stored.metadata_blocks + RESERVE_SLACK_BLOCKS);
            return flush_device(volume);
        }
        let allocate = || volume.allocator.allocate_metadata();
        let mut writer = BlockWriter::new(&volume.device, &allocate);
        let prepared = build(&stored, &changes, &mut writer)
            .and_then(|trees| Ok((trees, make_durable(volume, &mut writer)?)));
        let (written, replaced) = writer.into_written_and_replaced();
        let (trees, durable) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                give_back(volume, written);
                volume.allocator.free_after_checkpoint(changes.freed);
                volume.inodes.restore_changed(changes.numbers);
                return Err(error);
            }
        };
        let metadata_blocks = stored.metadata_blocks + written.len() as u64 - replaced.len() as u64;
        let next = stored.next_superblock(&changes, &trees, metadata_blocks, mark);
        if let Err(error) = write_superblock(&volume.device, &next, &durable) {
            // A copy of it may be on the medium: neither tree's blocks may be reused.
            volume.inodes.restore_changed(changes.numbers);
            return Err(error);
        }
        stored.superblock = next;
        stored.metadata_blocks = metadata_blocks;
        stored.apply(trees);
        for run in changes.freed {
            volume.allocator.free_now(run);
        }
        give_back(volume, replaced);
        volume
            .allocator
            .set_reserve(stored.metadata_blocks + RESERVE_SLACK_BLOCKS);
        Ok(())
    }
}

/// Step 1.
fn collect(volume: &Volume) -> Changes {
    let closed = volume.gate.close();
    volume.allocator.fold_reserve();
    let numbers = volume.inodes.take_changed();
    let snapshots = numbers
        .iter()
        .filter_map(|number| Some((*number, snapshot(volume, *number, &closed)?)))
        .collect();
    Changes {
        snapshots,
        numbers,
        freed: volume.allocator.take_pending(),
        next_inode: volume.inodes.next_number(),
        live_inodes: volume.inodes.live(),
    }
}

fn snapshot(volume: &Volume, number: u64, closed: &Closed<'_>) -> Option<Snapshot> {
    volume
        .inodes
        .get(number)
        .map(|inode| inode.snapshot(closed))
}

/// Step 2.
fn build(stored: &Stored, changes: &Changes, writer: &mut BlockWriter<'_>) -> Result<NewTrees> {
    let mut data_blocks = stored.data_blocks;
    let mut contents = Vec::new();
    let mut leaves: BTreeMap<u64, Option<Block>> = BTreeMap::new();
    let mut numbers = changes.numbers.iter().copied().peekable();
    while let Some(first) = numbers.peek().copied() {
        let ordinal = inode_leaf(first);
        let mut inodes = stored_inodes(stored, ordinal, writer)?;
        while let Some(number) = numbers.next_if(|number| inode_leaf(*number) == ordinal) {
            let slot = &mut inodes[inode_slot(number)];
            data_blocks -= slot.as_ref().map_or(0, |inode| inode.allocated_blocks);
            let (inode, tree) =
                store_inode(stored, changes.snapshots.get(&number), number, writer)?;
            data_blocks += inode.as_ref().map_or(0, |inode| inode.allocated_blocks);
            *slot = inode;
            contents.push((number, tree));
        }
        leaves.insert(ordinal, pack_inodes(ordinal, &inodes)?);
    }
    let leaf_count = inode_table_leaves(changes.next_inode);
    let table = stored
        .table
        .with_leaves(INODE_TABLE_OWNER, leaf_count, &leaves, writer)?;
    Ok(NewTrees {
        table,
        contents,
        data_blocks,
    })
}

/// The inodes of one leaf, as of the last checkpoint.
fn stored_inodes(
    stored: &Stored,
    ordinal: u64,
    writer: &BlockWriter<'_>,
) -> Result<Vec<Option<format::Inode>>> {
    let mut inodes = vec![None; format::geometry::INODES_PER_LEAF];
    let pointer = stored
        .table
        .leaves()
        .get(ordinal as usize)
        .filter(|p| !p.is_null());
    if let Some(pointer) = pointer {
        let block = read_block(writer.device(), pointer.block)?;
        let corrupt = |error: format::FormatError| error.at_block(pointer.block);
        pointer
            .verify(&block, format::Structure::InodeLeaf)
            .map_err(corrupt)?;
        for inode in InodeLeaf::parse(&block, ordinal).map_err(corrupt)?.inodes() {
            let inode = inode.map_err(corrupt)?;
            let slot = inode_slot(inode.number);
            inodes[slot] = Some(inode);
        }
    }
    Ok(inodes)
}

/// Writes the content of one inode; gives the inode as it is to be stored, and its tree.
fn store_inode(
    stored: &Stored,
    snapshot: Option<&Snapshot>,
    number: u64,
    writer: &mut BlockWriter<'_>,
) -> Result<(Option<format::Inode>, Option<StoredTree>)> {
    let empty = StoredTree::default();
    let before = stored.contents.get(&number).unwrap_or(&empty);
    let leaves = snapshot.map(content::pack).unwrap_or_default();
    let leaf_count = leaves.len() as u64;
    let changed = (0..).zip(leaves.into_iter().map(Some)).collect();
    let tree = before.with_leaves(number, leaf_count, &changed, writer)?;
    let inode = snapshot.map(|snapshot| format::Inode {
        content: tree.root(),
        inline_extents: content::inline_extents(snapshot),
        ..snapshot.inode.clone()
    });
    Ok((inode, (leaf_count > 0).then_some(tree)))
}

fn pack_inodes(ordinal: u64, inodes: &[Option<format::Inode>]) -> Result<Option<Block>> {
    let mut builder = InodeLeafBuilder::new(ordinal);
    for inode in inodes.iter().flatten() {
        builder.set(inode).map_err(|error| error.at_block(0))?;
    }
    Ok(builder.finish())
}

/// Step 3.
fn make_durable(volume: &Volume, writer: &mut BlockWriter<'_>) -> Result<Durable> {
    flush_device(volume)?;
    match writer.fence()? {
        Some(durable) => Ok(durable),
        None => Ok(volume.device.fence(volume.device.zero(0, 0)?)?),
    }
}

/// Makes data durable that was written without a fence: on files, where only `msync` can.
fn flush_device(volume: &Volume) -> Result<()> {
    let device = &volume.device;
    if device.persistence() == Persistence::Msync {
        let _durable = device.fence(device.flush_range(0, device.usable_bytes())?)?;
    }
    Ok(())
}

fn give_back(volume: &Volume, blocks: Vec<u64>) {
    for block in blocks {
        volume.allocator.free_now(Run::new(block, 1));
    }
}

impl Stored {
    fn next_superblock(
        &self,
        changes: &Changes,
        trees: &NewTrees,
        metadata_blocks: u64,
        mark: SuperblockState,
    ) -> Superblock {
        let root = trees.table.root();
        Superblock {
            generation: self.superblock.generation + 1,
            inode_table: root.pointer,
            inode_table_level: root.level,
            next_inode: changes.next_inode,
            live_inodes: changes.live_inodes,
            allocated_blocks: trees.data_blocks + metadata_blocks,
            checkpointed_ns: now_ns(),
            state: mark,
            ..self.superblock.clone()
        }
    }

    fn apply(&mut self, trees: NewTrees) {
        for (number, tree) in trees.contents {
            match tree {
                Some(tree) => self.contents.insert(number, tree),
                None => self.contents.remove(&number),
            };
        }
        self.table = trees.table;
        self.data_blocks = trees.data_blocks;
    }
}
