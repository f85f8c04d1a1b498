//! Granules: the pieces of equal size into which a lock with slots divides its bytes, and where
//! each of them lives.
//!
//! Touches nothing; takes no lock.

use super::SHARD_BITS;
use super::word::{TAG_BITS, Word};
use crate::mode::Mode;
use crate::span::Span;

/// How many granules have a place in the table. Those beyond are served by the tree.
const NUMBER_BITS: u32 = SHARD_BITS + TAG_BITS;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// 2^23 / golden ratio, made odd: multiples of it lie as far apart as can be, so that neighbouring
/// granules get different shards (Knuth, "The Art of Computer Programming", volume 3, section 6.4).
/// An odd factor makes the product modulo a power of two a bijection: no two granules share shard
/// and tag.
const SPREAD: u64 = 5_184_555;
const GATHER: u64 = inverse_of(SPREAD);

/// The inverse of an odd number modulo 2^64. Newton's iteration doubles the number of right bits;
/// an odd number is its own inverse modulo 8.
const fn inverse_of(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut right_bits = 3;
    while right_bits < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse
}

/// The unit in which a lock with slots divides its range: a power of two.
///
/// A range inside one granule is *narrow* and takes the fast path of
/// [`RangeLock::with_slots`](crate::RangeLock::with_slots); a range that crosses a boundary is
/// *wide* and takes the slow one. So the granule should be a multiple of the usual request; and
/// smaller than the distance between threads, for requests in different granules use different
/// cache lines most of the time. Both paths are byte-exact: the granule never decides who excludes
/// whom, only how fast.
///
/// The first 2^23 granules take part: for granules of 2 MiB that is 16 TiB. Ranges above are wide.
///
/// # Examples
///
/// ```
/// use rangelock::Granule;
///
/// const HUGE_PAGE: Granule = Granule::from_len(2 << 20).expect("a power of two");
/// assert_eq!(HUGE_PAGE.len(), 2 << 20);
/// assert_eq!(Granule::from_len(3000), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granule {
    shift: u32,
}

impl Granule {
    /// The longest granule, 2^21: 2 MiB if the lock counts bytes.
    pub const MAX_LEN: u64 = 1 << super::word::OFFSET_BITS;

    /// A granule of `len` units of whatever the lock counts. Nothing unless `len` is a power of two
    /// in `1..=MAX_LEN`.
    #[must_use]
    pub const fn from_len(len: u64) -> Option<Self> {
        if len.is_power_of_two() && len <= Self::MAX_LEN {
            Some(Self {
                shift: len.trailing_zeros(),
            })
        } else {
            None
        }
    }

    /// Its length, in units of whatever the lock counts.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no granule is empty")]
    pub const fn len(self) -> u64 {
        1 << self.shift
    }

    /// The shard and the word of a narrow request; nothing for a wide one.
    #[inline]
    pub(super) fn locate(self, span: Span, mode: Mode) -> Option<(usize, Word)> {
        let number = span.first >> self.shift;
        if number != span.last >> self.shift || number > NUMBER_MASK {
            return None;
        }
        let (shard, tag) = place_of(number);
        let offset_mask = self.len() - 1;
        let word = Word::new(mode, span.first & offset_mask, span.last & offset_mask, tag);
        Some((shard, word))
    }

    /// The range of which `word` speaks if it stands in `shard`: the inverse of `locate`.
    #[inline]
    pub(super) fn span_of(self, shard: usize, word: Word) -> Span {
        let place = ((shard as u64) << TAG_BITS) | word.tag();
        let start = (place.wrapping_mul(GATHER) & NUMBER_MASK) << self.shift;
        Span {
            first: start | word.first_offset(),
            last: start | word.last_offset(),
        }
    }

    /// Every shard that could hold a part of `span`.
    #[inline]
    pub(super) fn shards_of(self, span: Span) -> ShardSet {
        let first = span.first >> self.shift;
        if first > NUMBER_MASK {
            return ShardSet(0);
        }
        let last = (span.last >> self.shift).min(NUMBER_MASK);
        if last - first >= 1 << SHARD_BITS {
            return ShardSet::ALL;
        }
        ShardSet((first..=last).fold(0, |set, number| set | 1 << place_of(number).0))
    }
}

/// Where a granule lives: shard and tag. A bijection.
#[inline]
fn place_of(number: u64) -> (usize, u64) {
    let place = number.wrapping_mul(SPREAD) & NUMBER_MASK;
    ((place >> TAG_BITS) as usize, place & ((1 << TAG_BITS) - 1))
}

/// A set of shards, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShardSet(u32);

impl ShardSet {
    const ALL: Self = Self(u32::MAX >> (u32::BITS - (1 << SHARD_BITS)));
}

/// Ascending.
impl Iterator for ShardSet {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lowest = self.0.trailing_zeros();
        if lowest == u32::BITS {
            return None;
        }
        self.0 &= self.0 - 1;
        Some(lowest as usize)
    }
}
