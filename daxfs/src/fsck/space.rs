//! The space map: read whole, checked, and compared with the blocks that are in use.
//!
//! A bit for each block is kept; leaves are read in parallel. Takes no locks.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::bits::Bits;
use super::image::Image;
use super::issue::Issue;
use super::ownership::Ownership;
use crate::error::Error;
use crate::format::image_geometry::BLOCKS_PER_SPACE_LEAF;
use crate::format::space_block::{
    SpacePlace, WORDS_PER_SPACE_LEAF, check_slot, parse_space_index, parse_space_leaf,
};
use crate::format::{BlockPointer, FormatError, Structure, Superblock};

/// The space map of the checkpoint.
#[derive(Debug)]
pub(super) struct SpaceMap {
    /// Blocks that it says are in use.
    pub(super) used: Bits,
    /// Where its blocks lie, as far as they could be read.
    pub(super) pointers: BTreeMap<(u16, u64), BlockPointer>,
    /// What is wrong with its blocks.
    pub(super) issues: Vec<Issue>,
}

impl SpaceMap {
    /// Whether all of it could be read.
    pub(super) fn is_complete(&self) -> bool {
        self.issues.is_empty()
    }
}

/// Reads the map.
///
/// # Errors
/// Only when the device cannot be read.
pub(super) fn read(image: &Image<'_>) -> Result<SpaceMap, Error> {
    let geometry = image.geometry();
    let mut map = SpaceMap {
        used: Bits::new(geometry.block_count),
        pointers: BTreeMap::new(),
        issues: Vec::new(),
    };
    let mut level = geometry.space_level();
    let mut blocks = vec![(0, image.superblock.space_root)];
    while level > 0 {
        let mut below = Vec::new();
        for (index, pointer) in blocks {
            let place = SpacePlace::new(level, index);
            if let Some(pointers) = map.index(image, place, pointer)? {
                let first = index * crate::format::geometry::POINTERS_PER_INDEX as u64;
                below.extend((first..).zip(pointers));
            }
        }
        blocks = below;
        level -= 1;
    }
    map.leaves(image, &blocks)?;
    Ok(map)
}

impl SpaceMap {
    fn index(
        &mut self,
        image: &Image<'_>,
        place: SpacePlace,
        pointer: BlockPointer,
    ) -> Result<Option<Vec<BlockPointer>>, Error> {
        if pointer.is_null() {
            return Ok(None);
        }
        let block = image.read(pointer.block)?;
        let parsed = pointer
            .verify(&block, Structure::SpaceMap)
            .and_then(|()| parse_space_index(&block, place, image.geometry()));
        Ok(self.take(place, pointer, parsed))
    }

    fn leaves(&mut self, image: &Image<'_>, leaves: &[(u64, BlockPointer)]) -> Result<(), Error> {
        let geometry = image.geometry();
        let stored = leaves.par_iter().filter(|(_, pointer)| !pointer.is_null());
        let read = stored.map(|(index, pointer)| {
            let place = SpacePlace::new(0, *index);
            let checked = check_slot(*pointer, place, geometry);
            let parsed = match checked {
                Ok(_) => {
                    let block = image.read(pointer.block)?;
                    pointer
                        .verify(&block, Structure::SpaceMap)
                        .and_then(|()| parse_space_leaf(&block, *index, geometry))
                }
                Err(error) => Err(error),
            };
            Ok((place, *pointer, parsed))
        });
        for (place, pointer, parsed) in read.collect::<Result<Vec<_>, Error>>()? {
            let Some(words) = self.take(place, pointer, parsed) else {
                continue;
            };
            let first = place.index as usize * WORDS_PER_SPACE_LEAF;
            for (word, bits) in (first..).zip(words.iter()) {
                self.used.set_word(word, *bits);
            }
        }
        Ok(())
    }

    fn take<T>(
        &mut self,
        place: SpacePlace,
        pointer: BlockPointer,
        parsed: Result<T, FormatError>,
    ) -> Option<T> {
        match parsed {
            Ok(parsed) => {
                self.pointers.insert((place.level, place.index), pointer);
                Some(parsed)
            }
            Err(error) => {
                self.issues.push(Issue::BadSpaceBlock {
                    block: pointer.block,
                    level: place.level,
                    index: place.index,
                    error,
                });
                None
            }
        }
    }
}

/// How far the blocks in use are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// All of the image was read.
    Complete,
    /// Part of it could not be read: there may be more.
    Partial,
}

/// Compares the map with the blocks in use, and with how many the superblock says there are.
pub(super) fn compare(
    map: &SpaceMap,
    superblock: &Superblock,
    ownership: &Ownership,
    knowledge: Knowledge,
) -> Vec<Issue> {
    if !map.is_complete() {
        // The blocks that are missing were reported; what they held is not known.
        return Vec::new();
    }
    let (expected, found) = (map.used.count(), superblock.allocated_blocks());
    let total = (expected != found).then_some(Issue::SpaceTotal { expected, found });
    let used = &ownership.used;
    let missing = difference(used, &map.used).map(|(first_block, blocks)| Issue::UsedButFree {
        first_block,
        blocks,
    });
    let leaked = difference(&map.used, used).map(|(first_block, blocks)| Issue::Leaked {
        first_block,
        blocks,
    });
    let certain = total.into_iter().chain(missing);
    match knowledge {
        Knowledge::Complete => certain.chain(leaked).collect(),
        Knowledge::Partial => certain.collect(),
    }
}

/// The first block that `a` has and `b` has not, and how many such blocks there are.
fn difference(a: &Bits, b: &Bits) -> Option<(u64, u64)> {
    let words = (0..a.words()).map(|word| (word, a.word(word) & !b.word(word)));
    let mut first_block = None;
    let mut blocks = 0;
    for (word, bits) in words.filter(|(_, bits)| *bits != 0) {
        let first = word as u64 * 64 + u64::from(bits.trailing_zeros());
        first_block.get_or_insert(first);
        blocks += u64::from(bits.count_ones());
    }
    first_block.map(|first| (first, blocks))
}

// Leaves begin at whole words.
const _: () = assert!(BLOCKS_PER_SPACE_LEAF == WORDS_PER_SPACE_LEAF as u64 * 64);
