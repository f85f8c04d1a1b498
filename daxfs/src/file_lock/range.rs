//! Which bytes a file lock covers, in `fcntl`'s numbers. Plain values; takes no lock.

use std::fmt;

use crate::error::{Error, LockRangeProblem, Result};

/// The last byte that a lock can cover: Linux's `OFFSET_MAX`.
const LAST_OFFSET: u64 = i64::MAX as u64;

/// The bytes of a file lock: at least one, at most all up to the largest offset.
///
/// A lock may lie beyond the end of file, and a file may grow into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockRange {
    first: u64,
    last: u64,
}

impl LockRange {
    /// Every byte that a file has or can get.
    pub const ALL: Self = Self {
        first: 0,
        last: LAST_OFFSET,
    };

    /// The range that `struct flock` says with `SEEK_SET`: `len_bytes` bytes from `offset_bytes`
    /// on; 0 means all that follow, and a negative length the bytes before the offset.
    ///
    /// ```
    /// use daxfs::LockRange;
    ///
    /// assert_eq!(LockRange::new(100, 50)?.last(), 149);
    /// assert_eq!(LockRange::new(100, 0)?.last(), i64::MAX as u64);
    /// assert_eq!(LockRange::new(100, -10)?.first(), 90);
    /// assert_eq!(LockRange::new(-1, 10).unwrap_err().errno(), 22); // EINVAL
    /// assert_eq!(LockRange::new(i64::MAX, 2).unwrap_err().errno(), 75); // EOVERFLOW
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidLockRange`]: the range begins before the file (EINVAL), or ends past the
    /// largest offset (EOVERFLOW).
    pub fn new(offset_bytes: i64, len_bytes: i64) -> Result<Self> {
        let problem = |problem| Error::InvalidLockRange {
            range: format!("{len_bytes} bytes at {offset_bytes}"),
            problem,
        };
        if offset_bytes < 0 {
            return Err(problem(LockRangeProblem::BeforeStart));
        }
        // Neither can overflow: one is not negative, the other is.
        let (first, last) = match len_bytes {
            0 => (offset_bytes, i64::MAX),
            1.. => {
                let last = offset_bytes.checked_add(len_bytes - 1);
                let past_end = || problem(LockRangeProblem::PastLargestOffset);
                (offset_bytes, last.ok_or_else(past_end)?)
            }
            _ => (offset_bytes + len_bytes, offset_bytes - 1),
        };
        let first = u64::try_from(first).map_err(|_| problem(LockRangeProblem::BeforeStart))?;
        // Not negative: a range has at least one byte, and its first one is not.
        Ok(Self {
            first,
            last: last.unsigned_abs(),
        })
    }

    /// The bytes `first..=last`, as FUSE says it. A `last` past the largest offset means all that
    /// follow.
    ///
    /// ```
    /// use daxfs::LockRange;
    ///
    /// assert_eq!(LockRange::between(100, 149)?, LockRange::new(100, 50)?);
    /// assert_eq!(LockRange::between(0, u64::MAX)?, LockRange::ALL);
    /// assert_eq!(LockRange::between(7, 6).unwrap_err().errno(), 22); // EINVAL
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidLockRange`]: there is no such byte (EINVAL), or the first one is past the
    /// largest offset (EOVERFLOW).
    pub fn between(first: u64, last: u64) -> Result<Self> {
        let problem = |problem| Error::InvalidLockRange {
            range: format!("bytes {first} to {last}"),
            problem,
        };
        if first > last {
            return Err(problem(LockRangeProblem::Reversed));
        }
        if first > LAST_OFFSET {
            return Err(problem(LockRangeProblem::PastLargestOffset));
        }
        let last = last.min(LAST_OFFSET);
        Ok(Self { first, last })
    }

    /// The first byte.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The last byte; `i64::MAX` when the range has all that follow.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many bytes there are, as `struct flock` says it: 0 means all that follow.
    ///
    /// ```
    /// use daxfs::LockRange;
    ///
    /// assert_eq!(LockRange::new(100, 50)?.len_bytes(), 50);
    /// assert_eq!(LockRange::new(100, 0)?.len_bytes(), 0);
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    #[must_use]
    pub const fn len_bytes(self) -> u64 {
        match self.last {
            LAST_OFFSET => 0,
            last => last - self.first + 1,
        }
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// This range with the byte before it and the byte after it: what overlaps that, touches this.
    pub(super) fn with_neighbours(self) -> Self {
        Self {
            first: self.first.saturating_sub(1),
            last: (self.last + 1).min(LAST_OFFSET),
        }
    }

    /// From the first byte of either to the last of either.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// What is left of this range without `other`, which overlaps it.
    pub(super) fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let below = (self.first < other.first).then(|| Self {
            first: self.first,
            last: other.first - 1,
        });
        let above = (other.last < self.last).then(|| Self {
            first: other.last + 1,
            last: self.last,
        });
        below.into_iter().chain(above)
    }

    pub(super) fn bytes(self) -> std::ops::RangeInclusive<u64> {
        self.first..=self.last
    }

    /// The range of an entry of a map that was given [`bytes`](Self::bytes).
    pub(super) fn of_entry(bytes: &std::ops::RangeInclusive<u64>) -> Self {
        Self {
            first: *bytes.start(),
            last: *bytes.end(),
        }
    }
}

impl fmt::Debug for LockRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(formatter)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn numbers(offset: i64, len: i64) -> Result<(u64, u64), i32> {
        let range = LockRange::new(offset, len).map_err(|error| error.errno());
        range.map(|range| (range.first(), range.last()))
    }

    #[test]
    fn numbers_mean_what_they_mean_to_linux() {
        const EINVAL: i32 = 22;
        const EOVERFLOW: i32 = 75;
        let largest = i64::MAX as u64;
        assert_eq!(numbers(0, 1), Ok((0, 0)));
        assert_eq!(numbers(i64::MAX, 0), Ok((largest, largest)));
        assert_eq!(numbers(i64::MAX, 1), Ok((largest, largest)));
        assert_eq!(numbers(i64::MAX, 2), Err(EOVERFLOW));
        assert_eq!(numbers(2, i64::MAX), Err(EOVERFLOW));
        assert_eq!(numbers(1, i64::MAX), Ok((1, largest)));
        assert_eq!(numbers(5, -5), Ok((0, 4)));
        assert_eq!(numbers(5, -6), Err(EINVAL));
        assert_eq!(numbers(0, -1), Err(EINVAL));
        assert_eq!(numbers(0, i64::MIN), Err(EINVAL));
        assert_eq!(numbers(i64::MAX, i64::MIN), Err(EINVAL));
        assert_eq!(numbers(-1, 0), Err(EINVAL));
        assert_eq!(numbers(i64::MIN, i64::MIN), Err(EINVAL));
    }
}
