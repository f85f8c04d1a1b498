//! Byte ranges of a device: never overflowing, always checked before an address is formed.
//!
//! Touches nothing. Takes no locks.

use super::DeviceError;

/// A checked half-open range `[offset_bytes, offset_bytes + len_bytes)` inside a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) offset_bytes: u64,
    pub(crate) len_bytes: u64,
}

impl ByteRange {
    /// Checks that the range lies inside a device of `usable_bytes`.
    pub(crate) fn checked(
        offset_bytes: u64,
        len_bytes: u64,
        usable_bytes: u64,
    ) -> Result<Self, DeviceError> {
        match offset_bytes.checked_add(len_bytes) {
            Some(end_bytes) if end_bytes <= usable_bytes => Ok(Self {
                offset_bytes,
                len_bytes,
            }),
            _ => Err(DeviceError::OutOfBounds {
                offset_bytes,
                len_bytes,
                usable_bytes,
            }),
        }
    }

    /// The smallest range that holds both. An empty range adds nothing.
    pub(crate) fn hull(self, other: Self) -> Self {
        if self.len_bytes == 0 {
            return other;
        }
        if other.len_bytes == 0 {
            return self;
        }
        let offset_bytes = self.offset_bytes.min(other.offset_bytes);
        // Both ends were computed without overflow when the ranges were checked.
        let self_end = self.offset_bytes + self.len_bytes;
        let other_end = other.offset_bytes + other.len_bytes;
        Self {
            offset_bytes,
            len_bytes: self_end.max(other_end) - offset_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_at_the_end_is_inside_and_one_byte_more_is_not() {
        assert!(ByteRange::checked(4095, 1, 4096).is_ok());
        assert!(ByteRange::checked(4096, 0, 4096).is_ok());
        assert!(ByteRange::checked(4095, 2, 4096).is_err());
        assert!(ByteRange::checked(4097, 0, 4096).is_err());
    }

    #[test]
    fn an_end_that_overflows_is_out_of_bounds() {
        let error = ByteRange::checked(u64::MAX, 2, 4096).unwrap_err();
        let expected = DeviceError::OutOfBounds {
            offset_bytes: u64::MAX,
            len_bytes: 2,
            usable_bytes: 4096,
        };
        assert_eq!(error.to_string(), expected.to_string());
    }

    #[test]
    fn the_hull_holds_both_and_ignores_an_empty_range() {
        let low = ByteRange {
            offset_bytes: 10,
            len_bytes: 5,
        };
        let high = ByteRange {
            offset_bytes: 100,
            len_bytes: 1,
        };
        let empty = ByteRange {
            offset_bytes: 4000,
            len_bytes: 0,
        };
        let hull = ByteRange {
            offset_bytes: 10,
            len_bytes: 91,
        };
        assert_eq!(low.hull(high), hull);
        assert_eq!(high.hull(low), hull);
        assert_eq!(low.hull(empty), low);
        assert_eq!(empty.hull(low), low);
    }
}
