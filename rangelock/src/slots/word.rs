//! One slot's word: who uses which part of which granule, in 64 bits.
//!
//! ```text
//!   63     62     61         60 ..... 40    39 ..... 19   18 ..... 0
//!   VALID  WRITE  CONTENDED  first offset   last offset   tag
//! ```
//!
//! The tag and the shard in which the word stands name the granule exactly (`granule.rs`); the
//! offsets, both inclusive, are within the granule. A free slot is all zero, and a taken one never
//! is, because of `VALID`. Touches nothing; takes no lock.

use crate::mode::Mode;

pub(super) const TAG_BITS: u32 = 19;
pub(super) const OFFSET_BITS: u32 = 21;

const VALID: u64 = 1 << 63;
const WRITE: u64 = 1 << 62;
const CONTENDED: u64 = 1 << 61;
const FIRST_SHIFT: u32 = TAG_BITS + OFFSET_BITS;
const LAST_SHIFT: u32 = TAG_BITS;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// The content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    pub(super) const FREE: Self = Self(0);

    /// A taken slot. The offsets are below 2^`OFFSET_BITS`, the tag below 2^`TAG_BITS`.
    #[inline]
    pub(super) fn new(mode: Mode, first_offset: u64, last_offset: u64, tag: u64) -> Self {
        debug_assert!(first_offset <= last_offset && last_offset <= OFFSET_MASK);
        debug_assert!(tag <= TAG_MASK);
        let write = match mode {
            Mode::Read => 0,
            Mode::Write => WRITE,
        };
        Self(VALID | write | first_offset << FIRST_SHIFT | last_offset << LAST_SHIFT | tag)
    }

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) fn is_free(self) -> bool {
        self == Self::FREE
    }

    #[inline]
    pub(super) fn mode(self) -> Mode {
        if self.0 & WRITE == 0 {
            Mode::Read
        } else {
            Mode::Write
        }
    }

    /// Whether somebody waits for this one to leave.
    #[inline]
    pub(super) fn is_contended(self) -> bool {
        self.0 & CONTENDED != 0
    }

    #[inline]
    pub(super) fn contended(self) -> Self {
        Self(self.0 | CONTENDED)
    }

    #[inline]
    pub(super) fn first_offset(self) -> u64 {
        self.0 >> FIRST_SHIFT & OFFSET_MASK
    }

    #[inline]
    pub(super) fn last_offset(self) -> u64 {
        self.0 >> LAST_SHIFT & OFFSET_MASK
    }

    #[inline]
    pub(super) fn tag(self) -> u64 {
        self.0 & TAG_MASK
    }

    /// Whether two words of one shard exclude each other. A free slot excludes nobody.
    #[inline]
    pub(super) fn conflicts_with(self, other: Self) -> bool {
        let same_granule = (self.0 ^ other.0) & (VALID | TAG_MASK) == 0;
        let one_writes = (self.0 | other.0) & WRITE != 0;
        same_granule
            && one_writes
            && self.first_offset() <= other.last_offset()
            && other.first_offset() <= self.last_offset()
    }
}
