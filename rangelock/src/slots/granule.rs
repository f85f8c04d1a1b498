//! Granules: the pieces of equal size into which a lock divides its range, and which shard each of
//! them belongs to.
//!
//! Touches nothing; takes no lock.

use crate::span::Span;

/// 2^64 / golden ratio, made odd: the upper bits of its multiples lie as far apart as can be, so
/// that neighbouring granules get different shards (Knuth, "The Art of Computer Programming",
/// volume 3, section 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The unit in which a lock divides its range: a power of two.
///
/// A range inside one granule is *narrow*, and a range that crosses a boundary is *wide*. Narrow
/// ranges take the fast path; on a lock whose table has grown, wide ones do not. So the granule
/// should be a multiple of the usual request; and smaller than the distance between threads, for
/// requests in different granules use different cache lines most of the time. All paths are exact:
/// the granule never decides who excludes whom, only how fast.
///
/// The first 2^60 / `len` units take part: for granules of 64 KiB that is 16 TiB, for 2 MiB 512
/// GiB. Ranges above are wide.
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
    // A byte, for what every request reads has to fit into one cache line.
    shift: u8,
}

const MAX_SHIFT: u32 = 21;

impl Granule {
    /// The longest granule, 2^21: 2 MiB if the lock counts bytes.
    pub const MAX_LEN: u64 = 1 << MAX_SHIFT;

    /// What a lock begins with if nobody said: 2^16, 64 KiB if the lock counts bytes.
    pub(crate) const USUAL: Self = Self { shift: 16 };

    /// A granule of `len` units of whatever the lock counts. Nothing unless `len` is a power of two
    /// in `1..=MAX_LEN`.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::Granule;
    ///
    /// assert!(Granule::from_len(4096).is_some());
    /// assert!(Granule::from_len(2 * Granule::MAX_LEN).is_none());
    /// ```
    #[must_use]
    pub const fn from_len(len: u64) -> Option<Self> {
        if len.is_power_of_two() && len <= Self::MAX_LEN {
            Some(Self {
                shift: len.trailing_zeros() as u8,
            })
        } else {
            None
        }
    }

    /// Its length, in units of whatever the lock counts.
    ///
    /// # Examples
    ///
    /// ```
    /// let granule = rangelock::Granule::from_len(4096).expect("a power of two");
    /// assert_eq!(granule.len(), 4096);
    /// ```
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no granule is empty")]
    pub const fn len(self) -> u64 {
        1 << self.shift
    }

    #[inline]
    pub(super) const fn shift(self) -> u32 {
        self.shift as u32
    }

    pub(super) const fn from_shift(shift: u32) -> Self {
        debug_assert!(shift <= MAX_SHIFT);
        Self { shift: shift as u8 }
    }

    /// The number of the granule in which `span` lies; nothing if it crosses a boundary.
    #[inline]
    pub(super) fn number_of(self, span: Span) -> Option<u64> {
        let number = span.first >> self.shift;
        (number == span.last >> self.shift).then_some(number)
    }

    /// The numbers of all granules that `span` touches.
    #[inline]
    pub(super) fn numbers_of(self, span: Span) -> std::ops::RangeInclusive<u64> {
        span.first >> self.shift..=span.last >> self.shift
    }
}

/// The shard of a granule, of 2^`shard_bits`. At least one bit.
#[inline]
pub(super) fn shard_of(number: u64, shard_bits: u32) -> usize {
    (number.wrapping_mul(SPREAD) >> (u64::BITS - shard_bits)) as usize
}
