//! Writes what of a space map differs from the stored one, and commits it. See the invariants of
//! the module above. Writes through the writer of the checkpoint. Takes no locks.

use std::collections::BTreeSet;

use super::{SpaceMap, SpaceRoot};
use crate::error::{Error, Result};
use crate::format::block::BlockFull;
use crate::format::geometry::POINTERS_PER_INDEX;
use crate::format::space_block::{SpacePlace, encode_space_index, encode_space_leaf};
use crate::format::{Block, BlockPointer, Structure};
use crate::metadata::NodeWriter;

impl SpaceMap {
    /// Writes the leaves that differ from the stored map, and the index blocks above them, to the
    /// slots that the stored map does not use. They are durable after the writer's next fence.
    /// [`SpaceMap::commit`] once a superblock that names the root is.
    ///
    /// What is marked after this belongs to the next write.
    ///
    /// # Errors
    /// Those of the device. The map can be written again (but see invariant 4).
    pub(crate) fn write(&mut self, writer: &mut NodeWriter<'_>) -> Result<SpaceRoot> {
        let mut changed = std::mem::take(&mut self.dirty);
        // Leaves of an attempt that was not committed.
        changed.extend(
            self.prepared
                .keys()
                .filter(|place| place.level == 0)
                .map(|place| place.index),
        );
        // Until they are written again, the device may hold something else in their slots.
        for &leaf in &changed {
            self.prepared
                .insert(SpacePlace::new(0, leaf), BlockPointer::NULL);
        }
        for level in 0..=self.geometry.space_level() {
            for &index in &changed {
                self.write_block(SpacePlace::new(level, index), writer)?;
            }
            let parent = |index: &u64| index / POINTERS_PER_INDEX as u64;
            changed = changed.iter().map(parent).collect::<BTreeSet<_>>();
        }
        let level = self.geometry.space_level();
        let pointer = self.pointer(SpacePlace::new(level, 0));
        Ok(SpaceRoot { pointer, level })
    }

    /// The superblock that names the root of the last [`SpaceMap::write`] is durable, in both of
    /// its copies.
    pub(crate) fn commit(&mut self) {
        for (place, pointer) in std::mem::take(&mut self.prepared) {
            self.stored[usize::from(place.level)][place.index as usize] = pointer;
        }
    }

    fn write_block(&mut self, place: SpacePlace, writer: &mut NodeWriter<'_>) -> Result<()> {
        let encoded = self.encode(place, writer.generation());
        let block = encoded.map_err(|full| Error::Corrupt {
            structure: Structure::SpaceMap.name(),
            block: self.other_slot(place),
            problem: full.to_string(),
        })?;
        let pointer = match block {
            Some(block) => writer.write(self.other_slot(place), &block)?,
            None => BlockPointer::NULL,
        };
        self.prepared.insert(place, pointer);
        Ok(())
    }

    /// The bytes of a block, or nothing when nothing below it is in use.
    fn encode(&self, place: SpacePlace, generation: u64) -> Result<Option<Block>, BlockFull> {
        if place.level == 0 {
            let words = self.bits.leaf(place.index);
            return Ok(words.and_then(|words| encode_space_leaf(place.index, generation, words)));
        }
        let first = place.index * POINTERS_PER_INDEX as u64;
        let count = self.geometry.space_children(place.level, place.index) as u64;
        let pointers: Vec<BlockPointer> = (first..first + count)
            .map(|index| self.pointer(SpacePlace::new(place.level - 1, index)))
            .collect();
        encode_space_index(place, generation, &pointers)
    }

    /// The slot that the stored map does not use.
    fn other_slot(&self, place: SpacePlace) -> u64 {
        let [first, second] = self.geometry.space_slots(place.level, place.index);
        if self.stored(place).block == first {
            second
        } else {
            first
        }
    }

    fn stored(&self, place: SpacePlace) -> BlockPointer {
        self.stored[usize::from(place.level)][place.index as usize]
    }

    /// The pointer to a block as the map being written has it.
    fn pointer(&self, place: SpacePlace) -> BlockPointer {
        let prepared = self.prepared.get(&place).copied();
        prepared.unwrap_or_else(|| self.stored(place))
    }
}
