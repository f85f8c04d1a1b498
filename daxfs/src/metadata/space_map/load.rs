//! Reads a space map from the medium, level by level from its root. Takes no locks.

use daxfs_pmem::Device;

use super::{SpaceMap, SpaceRoot};
use crate::error::Result;
use crate::format::geometry::POINTERS_PER_INDEX;
use crate::format::image_geometry::ImageGeometry;
use crate::format::space_block::{SpacePlace, check_slot, parse_space_index, parse_space_leaf};
use crate::format::{Block, BlockPointer, FormatError, Structure};
use crate::metadata::read_block;

impl SpaceMap {
    /// The map that a superblock names.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a block of it is not what the pointer to it
    /// says, and those of the device.
    pub(crate) fn load(device: &Device, root: SpaceRoot, geometry: ImageGeometry) -> Result<Self> {
        let mut map = Self::new(geometry);
        map.stored[usize::from(geometry.space_level())][0] = root.pointer;
        for level in (0..=geometry.space_level()).rev() {
            map.load_level(device, level)?;
        }
        Ok(map)
    }

    /// Reads all blocks of one level, to which the level above has given the pointers.
    fn load_level(&mut self, device: &Device, level: u16) -> Result<()> {
        for index in 0..self.stored[usize::from(level)].len() as u64 {
            let pointer = self.stored[usize::from(level)][index as usize];
            if pointer.is_null() {
                continue;
            }
            let place = SpacePlace::new(level, index);
            let block = checked(device, pointer, place, &self.geometry)?;
            let at_block = |error: FormatError| error.at_block(pointer.block);
            if level == 0 {
                let words = parse_space_leaf(&block, index, &self.geometry).map_err(at_block)?;
                self.bits.load_leaf(index, words);
                continue;
            }
            let pointers = parse_space_index(&block, place, &self.geometry).map_err(at_block)?;
            let first = index as usize * POINTERS_PER_INDEX;
            self.stored[usize::from(level) - 1][first..first + pointers.len()]
                .copy_from_slice(&pointers);
        }
        Ok(())
    }
}

/// The block that `pointer` was made for.
fn checked(
    device: &Device,
    pointer: BlockPointer,
    place: SpacePlace,
    geometry: &ImageGeometry,
) -> Result<Block> {
    let at_block = |error: FormatError| error.at_block(pointer.block);
    check_slot(pointer, place, geometry).map_err(at_block)?;
    let block = read_block(device, pointer.block)?;
    pointer
        .verify(&block, Structure::SpaceMap)
        .map_err(at_block)?;
    Ok(block)
}
