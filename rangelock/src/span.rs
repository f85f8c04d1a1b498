//! Turns any `RangeBounds<u64>` into a closed, never empty pair of bounds.
//!
//! Inside the crate a range is always `first..=last`: only so can the byte `u64::MAX` be named.
//! Touches nothing; takes no lock.

use std::ops::{Bound, RangeBounds, RangeInclusive};

/// A range of at least one byte: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    /// The bytes that `range` names, or nothing if it names none.
    #[inline]
    pub(crate) fn of(range: &impl RangeBounds<u64>) -> Option<Self> {
        let first = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(&end) => end,
            Bound::Excluded(&after) => after.checked_sub(1)?,
            Bound::Unbounded => u64::MAX,
        };
        (first <= last).then_some(Self { first, last })
    }

    /// The bytes that are in both.
    pub(crate) fn common_part(self, other: Self) -> Option<Self> {
        self.overlaps(other).then(|| Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        })
    }

    #[inline]
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<Span> for RangeInclusive<u64> {
    fn from(span: Span) -> Self {
        span.first..=span.last
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn bounds(range: impl RangeBounds<u64>) -> Option<(u64, u64)> {
        Span::of(&range).map(|span| (span.first, span.last))
    }

    #[test]
    fn every_form_of_range_becomes_closed_bounds() {
        assert_eq!(bounds(3..7), Some((3, 6)));
        assert_eq!(bounds(3..=7), Some((3, 7)));
        assert_eq!(bounds(..7), Some((0, 6)));
        assert_eq!(bounds(..=7), Some((0, 7)));
        assert_eq!(bounds(3..), Some((3, u64::MAX)));
        assert_eq!(bounds(..), Some((0, u64::MAX)));
        assert_eq!(
            bounds((Bound::Excluded(3), Bound::Included(7))),
            Some((4, 7))
        );
    }

    #[test]
    fn the_last_byte_can_be_named() {
        assert_eq!(bounds(u64::MAX..=u64::MAX), Some((u64::MAX, u64::MAX)));
        assert_eq!(
            bounds(u64::MAX - 1..u64::MAX),
            Some((u64::MAX - 1, u64::MAX - 1))
        );
    }

    #[test]
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "reversed ranges are what is tested"
    )]
    fn ranges_without_a_byte_are_empty() {
        assert_eq!(bounds(5..5), None);
        assert_eq!(bounds(7..3), None);
        assert_eq!(bounds(7..=3), None);
        assert_eq!(bounds(..0), None);
        assert_eq!(bounds((Bound::Excluded(u64::MAX), Bound::Unbounded)), None);
        assert_eq!(bounds((Bound::Excluded(4), Bound::Excluded(5))), None);
    }
}
