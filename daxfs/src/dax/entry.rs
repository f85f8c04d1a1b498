//! The word of one mapping entry.
//!
//! ```text
//!  63             20 19     8 7   6      5       4     3     2     1      0
//! +-----------------+---------+---+------+-------+-----+-----+-----+------+------+
//! | device block    | readers | - |SHARED|DIVIDED|LARGE|EMPTY|DIRTY| ZERO |LOCKED|
//! +-----------------+---------+---+------+-------+-----+-----+-----+------+------+
//! ```
//! | Word | Meaning |
//! |---|---|
//! | 0 | no entry: nothing is mapped here |
//! | `EMPTY` with `LOCKED` | no entry yet, locked by whoever is about to make one |
//! | `ZERO` | a hole: read-only mappings of the zero page may exist |
//! | block | that device block may be mapped; the cached answer of the block map |
//! | block with `DIRTY` | and it may be mapped writable |
//! | block with `SHARED` | other places have it too: it may be mapped to be read, and that alone |
//! | any of them with `LARGE` | the same of 512 pages; the block is the first one's |
//! | `DIVIDED` | in the word of 512 pages: each page has a word of its own |
//!
//! Readers are counted by the design `entry-rw` alone; under every other the bits are 0. Twelve
//! bits hold 4,095 of them; whoever would be one more waits until one leaves. They cost blocks: 44
//! bits are left, for devices of 64 PiB, which is more than page tables can name. (Linux had no
//! bits to spare in 2017: its entries are as long as a pointer, 32 bits on some machines, and
//! hold two bits of the tree, four of the kind above, and the sector.)
//!
//! The bits follow Linux's `fs/dax.c` (`DAX_LOCKED`, `DAX_PMD`, `DAX_ZERO_PAGE`, `DAX_EMPTY`),
//! which keeps dirtiness in tags of the tree. Plain values: touches nothing, takes no locks.

use std::ops::Range;

use crate::inode::block_map::SEGMENT_BLOCKS;

/// How many pages one entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// One page of 4 KiB.
    Small,
    /// The 512 pages of an aligned 2 MiB.
    Large,
}

impl Size {
    pub(crate) const fn pages(self) -> u64 {
        match self {
            Self::Small => 1,
            Self::Large => SEGMENT_BLOCKS,
        }
    }

    /// The pages of the entry that `page` belongs to.
    pub(crate) fn around(self, page: u64) -> Range<u64> {
        let first = page - page % self.pages();
        first..first + self.pages()
    }
}

/// The value of a mapping entry, with or without its lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u64);

const LOCKED: u64 = 1 << 0;
const ZERO: u64 = 1 << 1;
const DIRTY: u64 = 1 << 2;
const EMPTY: u64 = 1 << 3;
const LARGE: u64 = 1 << 4;
const DIVIDED: u64 = 1 << 5;
const SHARED: u64 = 1 << 6;
const READERS_SHIFT: u32 = 8;
const READERS_BITS: u32 = 12;
const READERS_MAX: u64 = (1 << READERS_BITS) - 1;
const BLOCK_SHIFT: u32 = READERS_SHIFT + READERS_BITS;

/// What one reader adds to a word.
pub(crate) const ONE_READER: u64 = 1 << READERS_SHIFT;
/// The bit of a dirty entry.
pub(crate) const DIRTY_BIT: u64 = DIRTY;

/// Whether page tables may have the entry's block writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dirtiness {
    Clean,
    Dirty,
}

impl Entry {
    /// No entry.
    pub(crate) const NONE: Self = Self(0);
    /// In place of an entry of 512 pages: each of them may have its own.
    pub(crate) const DIVIDED: Self = Self(DIVIDED);

    /// A hole that may be mapped by zero pages.
    pub(crate) fn zero(size: Size) -> Self {
        Self(ZERO | large_bit(size))
    }

    /// A block, or the first of 512, that may be mapped.
    pub(crate) fn block(block: u64, size: Size, dirtiness: Dirtiness) -> Self {
        let dirty = match dirtiness {
            Dirtiness::Clean => 0,
            Dirtiness::Dirty => DIRTY,
        };
        Self(block << BLOCK_SHIFT | dirty | large_bit(size))
    }

    /// A block, or the first of 512, that other places have too.
    pub(crate) fn shared(block: u64, size: Size) -> Self {
        Self(block << BLOCK_SHIFT | SHARED | large_bit(size))
    }

    pub(crate) fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn is_divided(self) -> bool {
        self.0 & DIVIDED != 0
    }

    pub(crate) fn is_locked(self) -> bool {
        self.0 & LOCKED != 0
    }

    /// How many hold it shared.
    pub(crate) fn readers(self) -> u64 {
        self.0 >> READERS_SHIFT & READERS_MAX
    }

    /// Whether nobody holds it, neither exclusive nor shared.
    pub(crate) fn is_free(self) -> bool {
        !self.is_locked() && self.readers() == 0
    }

    /// The same entry with one more reader; `None` when it is locked or has as many as it can.
    pub(crate) fn with_reader(self) -> Option<Self> {
        let has_room = !self.is_locked() && self.readers() < READERS_MAX;
        has_room.then_some(Self(self.0 + ONE_READER))
    }

    pub(crate) fn is_zero(self) -> bool {
        self.0 & ZERO != 0
    }

    pub(crate) fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    pub(crate) fn is_shared(self) -> bool {
        self.0 & SHARED != 0
    }

    pub(crate) fn size(self) -> Size {
        match self.0 & LARGE {
            0 => Size::Small,
            _ => Size::Large,
        }
    }

    /// The device block that it caches, or the first of them, if any.
    pub(crate) fn device_block(self) -> Option<u64> {
        let block = self.0 >> BLOCK_SHIFT;
        (block != 0).then_some(block)
    }

    /// The device block that it caches for `page`, which is one of its pages.
    pub(crate) fn device_block_of(self, page: u64) -> Option<u64> {
        self.device_block()
            .map(|first| first + page % self.size().pages())
    }

    /// What the entry of 512 pages says of one of them, as an entry of its own.
    pub(crate) fn part(self, offset: u64) -> Option<Self> {
        let kept = self.0 & (DIRTY | SHARED);
        self.device_block()
            .map(|first| Self((first + offset) << BLOCK_SHIFT | kept))
    }

    /// The same entry, locked; no entry becomes an empty one of `size`.
    pub(crate) fn locked(self, size: Size) -> Self {
        match self.0 {
            0 => Self(LOCKED | EMPTY | large_bit(size)),
            word => Self(word | LOCKED),
        }
    }

    /// The same entry, unlocked; an empty one becomes no entry.
    pub(crate) fn unlocked(self) -> Self {
        match self.0 & EMPTY {
            0 => Self(self.0 & !LOCKED),
            _ => Self::NONE,
        }
    }

    /// The same entry, dirty.
    pub(crate) fn dirty(self) -> Self {
        Self(self.0 | DIRTY)
    }

    /// The same entry, dirty if `before` was dirty with the same blocks.
    pub(crate) fn keeping_dirty(self, before: Self) -> Self {
        let is_same = self.device_block().is_some() && self.device_block() == before.device_block();
        match is_same && before.is_dirty() {
            true => self.dirty(),
            false => self,
        }
    }
}

fn large_bit(size: Size) -> u64 {
    match size {
        Size::Small => 0,
        Size::Large => LARGE,
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lock = if self.is_locked() { "locked " } else { "" };
        let dirty = if self.is_dirty() { " dirty" } else { "" };
        let size = match self.size() {
            Size::Small => "",
            Size::Large => "large ",
        };
        let shared = if self.is_shared() { " shared" } else { "" };
        match self.device_block() {
            _ if self.is_divided() => write!(formatter, "{lock}divided"),
            Some(block) => write!(formatter, "{lock}{size}block {block}{dirty}{shared}"),
            None if self.is_zero() => write!(formatter, "{lock}{size}zero"),
            None => write!(formatter, "{lock}{size}none"),
        }
    }
}
