//! The chunks of a window, made when they are first mapped: a window costs what is touched of it.
//!
//! Touches nothing. A chunk stays where it is as long as the window lives, so finding one takes no
//! lock.

use std::ops::Range;
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::chunk::Chunk;

/// Chunks that are made together: of 1 GiB of pages.
const LEAF_CHUNKS: usize = 512;

/// Chunks that lie one behind the other.
type Leaf = Box<[CachePadded<Chunk>]>;

#[derive(Debug)]
pub(super) struct Directory {
    leaves: Box<[OnceLock<Leaf>]>,
    len_chunks: usize,
}

impl Directory {
    pub(super) fn new(len_chunks: usize) -> Self {
        let leaves = len_chunks.div_ceil(LEAF_CHUNKS);
        Self {
            leaves: (0..leaves).map(|_| OnceLock::new()).collect(),
            len_chunks,
        }
    }

    /// The chunk of that number, made if need be.
    pub(super) fn make(&self, number: usize) -> &Chunk {
        let leaf = number / LEAF_CHUNKS;
        let chunks = self.leaves[leaf].get_or_init(|| {
            let len = (self.len_chunks - leaf * LEAF_CHUNKS).min(LEAF_CHUNKS);
            (0..len).map(|_| CachePadded::default()).collect()
        });
        &chunks[number % LEAF_CHUNKS]
    }

    /// The chunk of that number, if it has been made. Allocates nothing.
    pub(super) fn get(&self, number: usize) -> Option<&Chunk> {
        let chunks = self.leaves.get(number / LEAF_CHUNKS)?.get()?;
        chunks.get(number % LEAF_CHUNKS).map(|chunk| &**chunk)
    }

    /// The chunks in a range that have been made, in order.
    pub(super) fn made(&self, numbers: Range<usize>) -> impl Iterator<Item = (usize, &Chunk)> {
        let leaves = numbers.start / LEAF_CHUNKS..numbers.end.div_ceil(LEAF_CHUNKS);
        leaves.flat_map(move |leaf| {
            let first = leaf * LEAF_CHUNKS;
            let chunks = self.leaves[leaf].get().map_or(&[][..], |chunks| chunks);
            let from = numbers.start.max(first) - first;
            let to = (numbers.end - first).min(chunks.len());
            (from..to).map(move |index| (first + index, &*chunks[index]))
        })
    }

    pub(super) fn len_chunks(&self) -> usize {
        self.len_chunks
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_that_were_made_are_found() {
        let directory = Directory::new(1500);
        assert_eq!(directory.made(0..1500).count(), 0);
        directory.make(600);
        let made = |range| directory.made(range).map(|(number, _)| number);
        assert!(made(0..1500).eq(512..1024));
        assert!(made(600..602).eq(600..602));
        assert!(made(1020..1100).eq(1020..1024));
        assert_eq!(made(0..512).count(), 0);
        assert!(directory.get(511).is_none() && directory.get(512).is_some());
    }

    #[test]
    fn the_last_chunks_are_as_many_as_there_are() {
        let directory = Directory::new(513);
        directory.make(512);
        assert!(directory.get(512).is_some() && directory.get(513).is_none());
        assert_eq!(directory.made(0..513).count(), 1);
    }
}
