//! Folds what changed into the tree, all or nothing, at the cost of what changed.
//!
//! # Steps
//! 1. Close the gate; take along what each changed inode has changed, what files got and gave up of
//!    the device, and the place in the log; open it.
//! 2. Write the changed nodes of the tree, and the path above them, to free blocks, and the changed
//!    blocks of the space map into their other slots.
//! 3. Fence (and, on files, `msync` the data that the new metadata refers to).
//! 4. Write both superblock copies, each with a fence: the new trees are the filesystem, and the
//!    log begins where the gate was closed.
//! 5. Only now give back the blocks that were freed, those of the old tree, and the log before.
//!
//! Operations go on during all but the first. A crash before the first superblock copy is durable
//! leaves the old state and the log since; afterwards the new one. A failure before step 4 gives
//! back what step 2 took and keeps the changes for the next try; a failure in step 4 leaves open
//! which state the medium has, so nothing may be written after it.
//!
//! # Locking
//! `state` (one checkpoint at a time; ranks before the gate). The gate, closed, for step 1 alone.
//! No ranges, entries or directories: whoever waits for a checkpoint may hold them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daxfs_pmem::Durable;

use super::superblock::{Order, write_superblock};
use crate::allocation::{SharedRun, SpaceChanges};
use crate::clock::now_ns;
use crate::error::{Error, Result};
use crate::format::geometry::SUPERBLOCK_BLOCKS;
use crate::format::item::{StoredSharedRun, orphan_key, shared_keys};
use crate::format::record::Lsn;
use crate::format::{ItemKind, Key, Structure, Superblock, SuperblockState};
use crate::gate::Closed;
use crate::inode::{ChangedInodes, Changes, Inode};
use crate::lock_order::{Held, Rank};
use crate::metadata::{NodeWriter, Replacement, SpaceMap, Tree};
use crate::run::Run;
use crate::volume::Volume;

/// Blocks kept beyond what all metadata takes: the path to a new root, rounding, and what
/// operations under way have asked for before a checkpoint counts anew and use after it.
const RESERVE_SLACK_BLOCKS: u64 = 32;

/// What the last checkpoint left on the device, and the only way to make the next.
pub(super) struct Checkpointer {
    /// `std`'s: a page fault that finds the log full makes a checkpoint.
    state: Mutex<Stored>,
}

/// The state of the medium.
pub(super) struct Stored {
    pub(super) superblock: Superblock,
    /// Of its copies, at the next write.
    pub(super) order: Order,
    pub(super) space: SpaceMap,
    /// Nothing has been written for this mount: the next checkpoint begins a new epoch.
    pub(super) is_new_mount: bool,
    /// A superblock could not be written: what the medium has is not known.
    pub(super) is_broken: bool,
}

/// What step 1 takes along.
struct Cut {
    inodes: ChangedInodes,
    taken: Vec<(Arc<Inode>, Changes)>,
    replacements: Vec<Replacement>,
    space: SpaceChanges,
    /// The parts of the device whose shared blocks changed.
    shared: Vec<Range<u64>>,
    freed: Vec<Run>,
    next_inode: u64,
    live_inodes: u64,
    first_lsn: Lsn,
}

/// What step 2 makes.
struct Built {
    tree: Tree,
    superblock: Superblock,
    durable: Durable,
}

impl Checkpointer {
    pub(super) fn new(volume: &Volume, stored: Stored) -> Self {
        let reserve = stored.superblock.tree_nodes + RESERVE_SLACK_BLOCKS;
        volume.allocator.set_reserve(reserve);
        Self {
            state: Mutex::new(stored),
        }
    }

    /// Blocks of metadata, as of the last checkpoint.
    pub(super) fn metadata_blocks(&self) -> u64 {
        self.state().superblock.tree_nodes
    }

    /// The generation of the last checkpoint.
    pub(super) fn generation(&self) -> u64 {
        self.state().superblock.generation
    }

    /// Makes freed blocks available: by a checkpoint if any wait for one, otherwise by having
    /// waited for the one that was under way.
    ///
    /// # Errors
    /// As [`Checkpointer::run`].
    pub(super) fn reclaim(&self, volume: &Volume) -> Result<()> {
        drop(self.state());
        if !volume.allocator.has_pending() && !volume.allocator.has_growth() {
            return Ok(());
        }
        self.run(volume, SuperblockState::InUse)
    }

    /// Makes everything up to now part of the tree and marks the image as `mark`.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::Device`]: the last checkpoint is still the filesystem, and
    /// the changes are still in memory. [`Error::Failed`] when the medium failed before in a way
    /// that leaves its state unknown.
    pub(super) fn run(&self, volume: &Volume, mark: SuperblockState) -> Result<()> {
        let _rank = Held::take(Rank::Checkpoint);
        let mut stored = self.state();
        if stored.is_broken {
            return Err(Error::Failed {
                reason: "a superblock could not be written",
            });
        }
        let cut = collect(volume);
        let _under_way = UnderWay(volume);
        if cut.is_empty() && stored.is_current(&cut, mark) {
            return volume.sync_data();
        }
        let mut edit = SpaceEdit::new(&cut.space);
        let allocate = || volume.allocator.allocate_metadata();
        let generation = stored.superblock.generation + 1;
        let mut writer = NodeWriter::new(&volume.device, generation, &allocate);
        let built = build(volume, &mut stored, &cut, &mut edit, &mut writer, mark);
        let (written, replaced) = writer.into_written_and_replaced();
        let built = match built {
            Ok(built) => built,
            Err(error) => {
                edit.undo(&mut stored.space);
                give_back(volume, written);
                cut.restore(volume);
                return Err(error);
            }
        };
        let written = write_superblock(
            &volume.device,
            &built.superblock,
            stored.order,
            &built.durable,
        );
        if let Err(error) = written {
            stored.is_broken = true;
            return Err(error);
        }
        stored.space.commit();
        stored.superblock = built.superblock;
        stored.order = Order::FirstCopyFirst;
        stored.is_new_mount = false;
        volume.store.replace(built.tree);
        volume.inodes.finish_changed();
        volume.log.release_before(cut.first_lsn);
        volume.allocator.free_pending(&cut.freed);
        give_back(volume, replaced);
        let reserve = stored.superblock.tree_nodes + RESERVE_SLACK_BLOCKS;
        volume.allocator.set_reserve(reserve);
        drop(cut.taken);
        drop(cut.inodes);
        volume.inodes.trim();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, Stored> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what [`collect`] begins, however the checkpoint comes to its end.
struct UnderWay<'volume>(&'volume Volume);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.allocator.end_checkpoint();
    }
}

// ---- Step 1 -----------------------------------------------------------------------------------

fn collect(volume: &Volume) -> Cut {
    let _rank = Held::take(Rank::Gate);
    let closed = volume.gate.close();
    volume.allocator.fold_reserve();
    let inodes = volume.inodes.take_changed();
    let mut replacements = orphan_items(&inodes);
    let shared = collect_shared(volume, &mut replacements);
    let taken = collect_inodes(&inodes, &closed, &mut replacements);
    Cut {
        taken,
        replacements,
        inodes,
        shared,
        space: volume.allocator.take_changes(),
        freed: volume.allocator.take_pending(),
        next_inode: volume.inodes.next_number(),
        live_inodes: volume.inodes.live(),
        first_lsn: volume.log.tail(),
    }
}

fn orphan_items(inodes: &ChangedInodes) -> Vec<Replacement> {
    if !inodes.orphans_changed {
        return Vec::new();
    }
    let items = inodes.orphans.iter();
    vec![Replacement {
        keys: Key::range_of_kind(0, ItemKind::Orphan),
        items: items
            .map(|inode| (orphan_key(*inode), Vec::new()))
            .collect(),
    }]
}

/// What is shared in the parts of the device where that changed. Returns the parts.
fn collect_shared(volume: &Volume, replacements: &mut Vec<Replacement>) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    for (blocks, runs) in volume.owners.take_changed() {
        replacements.push(Replacement {
            keys: shared_keys(blocks.clone()),
            items: runs.iter().map(shared_item).collect(),
        });
        parts.push(blocks);
    }
    parts
}

fn shared_item(shared: &SharedRun) -> (Key, Vec<u8>) {
    let stored = StoredSharedRun {
        device_block: shared.run.block,
        len_blocks: shared.run.len_blocks,
        owners: shared.owners,
    };
    let key = Key::new(0, ItemKind::Shared, stored.device_block);
    (key, stored.encode().to_vec())
}

/// The changes of all inodes in order of their numbers, those that are gone among them.
fn collect_inodes(
    inodes: &ChangedInodes,
    closed: &Closed<'_>,
    replacements: &mut Vec<Replacement>,
) -> Vec<(Arc<Inode>, Changes)> {
    let mut taken = Vec::with_capacity(inodes.inodes.len());
    let mut removed = inodes.removed.iter().copied().peekable();
    let gone = |number| Replacement {
        keys: Key::range_of_inode(number),
        items: Vec::new(),
    };
    for (number, inode) in &inodes.inodes {
        while let Some(before) = removed.next_if(|removed| removed < number) {
            replacements.push(gone(before));
        }
        let (changes, items) = inode.take_changes(closed);
        replacements.extend(items);
        taken.push((Arc::clone(inode), changes));
    }
    replacements.extend(removed.map(gone));
    taken
}

impl Stored {
    /// Whether a superblock that says the same is on the medium already.
    fn is_current(&self, cut: &Cut, mark: SuperblockState) -> bool {
        let superblock = &self.superblock;
        let has_log_position = superblock.log_first_lsn == cut.first_lsn.get();
        has_log_position && superblock.state == mark && !self.is_new_mount
    }
}

impl Cut {
    fn is_empty(&self) -> bool {
        self.replacements.is_empty()
            && self.freed.is_empty()
            && self.space.published.is_empty()
            && self.space.withdrawn.is_empty()
    }

    /// The checkpoint failed: the next one is to take all of it along.
    fn restore(self, volume: &Volume) {
        for (inode, changes) in self.taken {
            inode.restore_changes(changes);
        }
        volume.inodes.restore_changed(self.inodes);
        volume.owners.restore_changed(self.shared);
        volume.allocator.restore_changes(self.space);
        volume.allocator.restore_pending(self.freed);
    }
}

// ---- Step 2 -----------------------------------------------------------------------------------

fn build(
    volume: &Volume,
    stored: &mut Stored,
    cut: &Cut,
    edit: &mut SpaceEdit,
    writer: &mut NodeWriter<'_>,
    mark: SuperblockState,
) -> Result<Built> {
    let tree = volume
        .store
        .tree()
        .apply(&volume.store.nodes(), &cut.replacements, writer)?;
    edit.add_nodes(writer.written(), writer.replaced());
    edit.apply(&mut stored.space)?;
    let space_root = stored.space.write(writer)?.pointer;
    let durable = make_durable(volume, writer)?;
    let before = &stored.superblock;
    let superblock = Superblock {
        generation: before.generation + 1,
        root: tree.root(),
        root_level: tree.level(),
        tree_nodes: tree.nodes(),
        space_root,
        data_blocks: data_blocks(before, &cut.space)?,
        log_first_lsn: cut.first_lsn.get(),
        epoch: before.epoch + u64::from(stored.is_new_mount),
        next_inode: cut.next_inode,
        live_inodes: cut.live_inodes,
        checkpointed_ns: now_ns(),
        state: mark,
        ..before.clone()
    };
    Ok(Built {
        tree,
        superblock,
        durable,
    })
}

fn data_blocks(before: &Superblock, changes: &SpaceChanges) -> Result<u64> {
    let most = before.data_blocks + blocks(&changes.published);
    let withdrawn = blocks(&changes.withdrawn);
    most.checked_sub(withdrawn).ok_or_else(|| Error::Corrupt {
        structure: Structure::Superblock.name(),
        block: SUPERBLOCK_BLOCKS[0],
        problem: format!("files gave back {withdrawn} blocks, and had {most}"),
    })
}

fn blocks(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.len_blocks).sum()
}

/// What a checkpoint changes in the space map, in this order.
struct SpaceEdit {
    published: Vec<Run>,
    withdrawn: Vec<Run>,
    /// How many of both, in their order, the space map has.
    applied: usize,
}

impl SpaceEdit {
    fn new(changes: &SpaceChanges) -> Self {
        Self {
            published: changes.published.clone(),
            withdrawn: changes.withdrawn.clone(),
            applied: 0,
        }
    }

    fn add_nodes(&mut self, written: &[u64], replaced: &[u64]) {
        let one = |block: &u64| Run::new(*block, 1);
        self.published.extend(written.iter().map(one));
        self.withdrawn.extend(replaced.iter().map(one));
    }

    /// First all that came, then all that went: what came and went is gone.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the map contradicts that.
    fn apply(&mut self, space: &mut SpaceMap) -> Result<()> {
        for run in &self.published {
            space.set(*run)?;
            self.applied += 1;
        }
        for run in &self.withdrawn {
            space.clear(*run)?;
            self.applied += 1;
        }
        Ok(())
    }

    /// Takes back what was applied, the last first.
    fn undo(&self, space: &mut SpaceMap) {
        let published = self.applied.min(self.published.len());
        let withdrawn = self.applied - published;
        for run in self.withdrawn[..withdrawn].iter().rev() {
            let undone = space.set(*run);
            debug_assert!(undone.is_ok(), "it was made free just now");
        }
        for run in self.published[..published].iter().rev() {
            let undone = space.clear(*run);
            debug_assert!(undone.is_ok(), "it was put in use just now");
        }
    }
}

// ---- Step 3 -----------------------------------------------------------------------------------

fn make_durable(volume: &Volume, writer: &mut NodeWriter<'_>) -> Result<Durable> {
    volume.sync_data()?;
    match writer.fence()? {
        Some(durable) => Ok(durable),
        None => Ok(volume.device.fence(volume.device.zero(0, 0)?)?),
    }
}

fn give_back(volume: &Volume, blocks: Vec<u64>) {
    for block in blocks {
        volume.allocator.free_now(Run::new(block, 1));
    }
}
