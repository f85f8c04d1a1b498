//! The space map on a device, against a plain list of bits; attempts that fail, and torn slots.

use std::collections::BTreeSet;

use daxfs_pmem::{Device, PersistenceChoice};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{SpaceMap, SpaceRoot};
use crate::error::{Error, Result};
use crate::format::BlockPointer;
use crate::format::geometry::{BLOCK_BYTES, BLOCK_LEN, block_offset_bytes};
use crate::format::image_geometry::{BLOCKS_PER_SPACE_LEAF, ImageGeometry};
use crate::metadata::NodeWriter;
use crate::run::Run;

/// Five leaves and an index block.
const BLOCKS: u64 = 4 * BLOCKS_PER_SPACE_LEAF + 1000;

fn no_block() -> Result<u64> {
    panic!("the space map has its own places")
}

fn device(block_count: u64) -> Device {
    Device::create_memfd(block_count * BLOCK_BYTES, PersistenceChoice::Detect).unwrap()
}

/// A map, the bits it should have, and those of the last commit.
struct World {
    device: Device,
    geometry: ImageGeometry,
    map: SpaceMap,
    naive: Vec<bool>,
    committed: (SpaceRoot, Vec<bool>),
    generation: u64,
}

impl World {
    fn new() -> Self {
        let geometry = ImageGeometry::for_blocks(BLOCKS);
        let naive = vec![false; BLOCKS as usize];
        let root = SpaceRoot {
            pointer: BlockPointer::NULL,
            level: 1,
        };
        Self {
            device: device(BLOCKS),
            geometry,
            map: SpaceMap::new(geometry),
            committed: (root, naive.clone()),
            naive,
            generation: 1,
        }
    }

    /// The parts of `run` in the data area whose bits are `used`.
    fn parts(&self, run: Run, used: bool) -> Vec<Run> {
        let start = run.block.max(self.geometry.data_start_block);
        let blocks = start..run.end().min(BLOCKS);
        runs(blocks.filter(|block| self.naive[*block as usize] == used))
    }

    fn mark(&mut self, run: Run, used: bool) {
        for part in self.parts(run, !used) {
            let marked = match used {
                true => self.map.set(part),
                false => self.map.clear(part),
            };
            marked.unwrap();
            self.naive[part.block as usize..part.end() as usize].fill(used);
        }
    }

    fn write(&mut self) -> SpaceRoot {
        let mut writer = NodeWriter::new(&self.device, self.generation, &no_block);
        let root = self.map.write(&mut writer).unwrap();
        writer.fence().unwrap();
        self.generation += 1;
        root
    }

    fn load(&self, root: SpaceRoot) -> SpaceMap {
        SpaceMap::load(&self.device, root, self.geometry).unwrap()
    }

    /// Writes nonsense over every slot that the committed map does not use.
    fn tear(&self, byte: u8) {
        let committed = self.load(self.committed.0);
        let used: BTreeSet<u64> = committed.stored.iter().flatten().map(|p| p.block).collect();
        for level in 0..=self.geometry.space_level() {
            for index in 0..self.geometry.space_blocks_at(level) {
                let slots = self.geometry.space_slots(level, index);
                for slot in slots.into_iter().filter(|slot| !used.contains(slot)) {
                    let offset_bytes = block_offset_bytes(slot);
                    let nonsense = [byte; BLOCK_LEN];
                    self.device.copy(offset_bytes, &nonsense).unwrap().defer();
                }
            }
        }
    }
}

fn runs(blocks: impl Iterator<Item = u64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if run.end() == block => run.len_blocks += 1,
            _ => runs.push(Run::new(block, 1)),
        }
    }
    runs
}

fn holds(map: &SpaceMap, bits: &[bool]) {
    let used = (0..BLOCKS).filter(|block| bits[*block as usize]);
    assert_eq!(map.used_blocks(), used.clone().count() as u64);
    assert_eq!(map.used_runs().collect::<Vec<_>>(), runs(used));
}

#[derive(Debug, Clone)]
enum Step {
    Mark(u64, u64, bool),
    /// Written, and the superblock is durable.
    Commit,
    /// Written, and nothing came of it.
    Fail,
    /// Failed, and the machine stopped: what lies in the other slots is anything.
    Crash(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![1..200_u64, 1..2 * BLOCKS_PER_SPACE_LEAF];
    prop_oneof![
        6 => (0..BLOCKS, len, any::<bool>()).prop_map(|(b, len, used)| Step::Mark(b, len, used)),
        2 => Just(Step::Commit),
        2 => Just(Step::Fail),
        1 => any::<u8>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_committed_is_never_lost(steps in vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Mark(block, len_blocks, used) => {
                    world.mark(Run::new(block, len_blocks), used);
                }
                Step::Commit => {
                    let root = world.write();
                    world.map.commit();
                    world.committed = (root, world.naive.clone());
                }
                Step::Fail => {
                    let root = world.write();
                    holds(&world.load(root), &world.naive);
                }
                Step::Crash(byte) => {
                    world.write();
                    world.tear(byte);
                    world.map = world.load(world.committed.0);
                    world.naive = world.committed.1.clone();
                }
            }
            holds(&world.map, &world.naive);
            holds(&world.load(world.committed.0), &world.committed.1);
        }
    }

    #[test]
    fn a_changed_byte_is_found(
        at in 0..BLOCK_LEN,
        change in 1..=255_u8,
        which in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        for leaf in 0..5 {
            world.mark(Run::new(leaf * BLOCKS_PER_SPACE_LEAF + 9000, 3), true);
            world.mark(Run::new(leaf * BLOCKS_PER_SPACE_LEAF + 500, 3), true);
        }
        let root = world.write();
        world.map.commit();
        let stored: Vec<_> = world.map.stored.iter().flatten().map(|p| p.block).collect();
        prop_assert_eq!(stored.len(), 6);
        let block = stored[which.index(stored.len())];
        let offset_bytes = block_offset_bytes(block) + at as u64;
        let mut byte = [0];
        world.device.read(offset_bytes, &mut byte).unwrap();
        world.device.copy(offset_bytes, &[byte[0] ^ change]).unwrap().defer();
        let loaded = SpaceMap::load(&world.device, root, world.geometry);
        let Err(Error::Corrupt { block: named, .. }) = loaded else {
            panic!("not found");
        };
        prop_assert_eq!(named, block);
    }
}

#[test]
fn a_change_costs_its_leaf_and_the_path_above() {
    let mut world = World::new();
    for leaf in 1..4 {
        world.mark(Run::new(leaf * BLOCKS_PER_SPACE_LEAF, 5), true);
    }
    world.write();
    assert_eq!(world.map.prepared.len(), 3 + 1);
    world.map.commit();
    world.mark(Run::new(2 * BLOCKS_PER_SPACE_LEAF + 77, 1), true);
    world.write();
    assert_eq!(world.map.prepared.len(), 2);
    world.map.commit();
    let before = world.map.stored.clone();
    world.write();
    assert_eq!(world.map.prepared.len(), 0, "nothing changed");
    world.map.commit();
    assert_eq!(world.map.stored, before);
}

#[test]
fn a_map_of_nothing_is_not_stored() {
    let mut world = World::new();
    let all = Run::new(0, BLOCKS);
    world.mark(all, true);
    assert_eq!(world.map.used_blocks(), world.geometry.data_area_blocks());
    assert!(!world.write().pointer.is_null());
    world.map.commit();
    world.mark(all, false);
    assert!(world.write().pointer.is_null());
    world.map.commit();
    assert_eq!(
        world
            .map
            .stored
            .iter()
            .flatten()
            .filter(|p| !p.is_null())
            .count(),
        0
    );
}

#[test]
fn blocks_outside_the_data_area_count_as_used() {
    let world = World::new();
    let start = world.geometry.data_start_block;
    for block in [0, 1, start - 1, BLOCKS, u64::MAX] {
        assert!(world.map.is_used(block), "{block}");
    }
    assert!(!world.map.is_used(start) && !world.map.is_used(BLOCKS - 1));
}

/// Two attempts that fail, with other bits each time, and then a third.
#[test]
fn attempts_that_fail_write_over_each_other_and_nothing_else() {
    let mut world = World::new();
    let block = |n| Run::new(BLOCKS_PER_SPACE_LEAF * n, 1);
    world.mark(block(1), true);
    let stored = world.write();
    world.map.commit();
    world.mark(block(1), false);
    world.mark(block(2), true);
    world.write();
    world.mark(block(1), true);
    world.mark(block(2), false);
    let second = world.write();
    assert_ne!(second.pointer.block, stored.pointer.block);
    // What the two attempts changed is back as it was; it was still written, beside the stored one.
    let runs = |root| world.load(root).used_runs().collect::<Vec<_>>();
    assert_eq!(runs(stored), [block(1)]);
    assert_eq!(runs(second), [block(1)]);
}

/// Three levels: an image of 34 GiB, of which the device takes the blocks that are touched.
#[test]
fn a_map_of_three_levels_reads_back() {
    let block_count = 260 * BLOCKS_PER_SPACE_LEAF;
    let geometry = ImageGeometry::for_blocks(block_count);
    assert_eq!(geometry.space_level(), 2);
    let device = device(block_count);
    let mut map = SpaceMap::new(geometry);
    let used = [30_000_u64, 255 * BLOCKS_PER_SPACE_LEAF, block_count - 9].map(|b| Run::new(b, 9));
    for run in used {
        map.set(run).unwrap();
    }
    let mut writer = NodeWriter::new(&device, 1, &no_block);
    let root = map.write(&mut writer).unwrap();
    writer.fence().unwrap();
    assert_eq!(map.prepared.len(), 3 + 2 + 1);
    map.commit();
    let loaded = SpaceMap::load(&device, root, geometry).unwrap();
    assert_eq!(loaded.used_runs().collect::<Vec<_>>(), used);
    assert_eq!(loaded.stored, map.stored);
}

/// Found by mutated images: an image whose files had blocks that its map called free.
#[test]
fn a_mark_that_contradicts_the_map_changes_nothing() {
    let geometry = ImageGeometry::for_blocks(BLOCKS);
    let start = geometry.data_start_block;
    let mut map = SpaceMap::new(geometry);
    map.set(Run::new(start + 10, 100)).unwrap();
    for run in [(0, 10), (9, 2), (109, 2), (0, 200)] {
        map.clear(Run::new(start + run.0, run.1)).unwrap_err();
    }
    for run in [(9, 2), (109, 2), (50, 1), (0, 200)] {
        map.set(Run::new(start + run.0, run.1)).unwrap_err();
    }
    for outside in [Run::new(0, 1), Run::new(BLOCKS - 1, 2)] {
        map.set(outside).unwrap_err();
        map.clear(outside).unwrap_err();
    }
    assert_eq!(
        map.used_runs().collect::<Vec<_>>(),
        [Run::new(start + 10, 100)]
    );
    map.clear(Run::new(start + 10, 100)).unwrap();
    assert_eq!(map.used_blocks(), 0);
}
