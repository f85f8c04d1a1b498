//! The word of one mapping entry.
//!
//! ```text
//!  63                          20 19     8 7      4 3     2     1      0
//! +------------------------------+---------+--------+-----+-----+------+------+
//! | device block                 | readers | unused |EMPTY|DIRTY| ZERO |LOCKED|
//! +------------------------------+---------+--------+-----+-----+------+------+
//! ```
//! | Word | Meaning |
//! |---|---|
//! | 0 | no entry: nothing is mapped here |
//! | `EMPTY` with `LOCKED` | no entry yet, locked by whoever is about to make one |
//! | `ZERO` | a hole: read-only mappings of the zero page may exist |
//! | block | that device block may be mapped; the cached answer of the block map |
//! | block with `DIRTY` | and it may be mapped writable |
//!
//! Readers are counted by the design `entry-rw` alone; under every other the bits are 0. Twelve
//! bits hold 4,095 of them; whoever would be one more waits until one leaves. They cost blocks: 44
//! bits are left, for devices of 64 PiB, which is more than page tables can name. (Linux had no
//! bits left in 2017: its entries were as long as a pointer, 32 bits on some machines.)
//!
//! The bits follow Linux's `fs/dax.c` (`DAX_LOCKED`, `DAX_ZERO_PAGE`, `DAX_EMPTY`), which keeps
//! dirtiness in tags of the tree. Plain values: touches nothing, takes no locks.

/// The value of a mapping entry, with or without its lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u64);

const LOCKED: u64 = 1 << 0;
const ZERO: u64 = 1 << 1;
const DIRTY: u64 = 1 << 2;
const EMPTY: u64 = 1 << 3;
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
    /// A hole that may be mapped by the zero page.
    pub(crate) const ZERO: Self = Self(ZERO);

    /// A block that may be mapped.
    pub(crate) fn block(block: u64, dirtiness: Dirtiness) -> Self {
        let dirty = match dirtiness {
            Dirtiness::Clean => 0,
            Dirtiness::Dirty => DIRTY,
        };
        Self(block << BLOCK_SHIFT | dirty)
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

    /// The device block that it caches, if any.
    pub(crate) fn device_block(self) -> Option<u64> {
        let block = self.0 >> BLOCK_SHIFT;
        (block != 0).then_some(block)
    }

    /// The same entry, locked; no entry becomes an empty one.
    pub(crate) fn locked(self) -> Self {
        match self.0 {
            0 => Self(LOCKED | EMPTY),
            word => Self(word | LOCKED),
        }
    }

    /// The same entry, unlocked; an empty one becomes no entry.
    pub(crate) fn unlocked(self) -> Self {
        Self(self.0 & !(LOCKED | EMPTY))
    }

    /// The same entry, dirty if `before` was dirty with the same block.
    pub(crate) fn keeping_dirty(self, before: Entry) -> Self {
        if self.device_block().is_some() && self.device_block() == before.device_block() {
            return Self(self.0 | before.0 & DIRTY);
        }
        self
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lock = if self.is_locked() { "locked " } else { "" };
        let dirty = if self.is_dirty() { " dirty" } else { "" };
        match self.device_block() {
            Some(block) => write!(formatter, "{lock}block {block}{dirty}"),
            None if self.is_zero() => write!(formatter, "{lock}zero"),
            None => write!(formatter, "{lock}none"),
        }
    }
}
