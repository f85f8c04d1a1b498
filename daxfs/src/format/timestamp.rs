//! Times as inodes hold them. Plain values, no locks.

use zerocopy::little_endian::{I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Fields, FormatError, Structure};

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A time as it lies on the medium.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawTimestamp {
    seconds: I64,
    nanoseconds: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<RawTimestamp>() == 16);

/// A time: seconds since 1970 (negative before), and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Timestamp {
    /// Seconds since the start of 1970, UTC.
    pub(crate) seconds: i64,
    /// Nanoseconds after that second, below 10^9.
    pub(crate) nanoseconds: u32,
}

impl Timestamp {
    pub(super) fn encode(self) -> RawTimestamp {
        RawTimestamp {
            seconds: self.seconds.into(),
            nanoseconds: self.nanoseconds.into(),
            reserved: U32::ZERO,
        }
    }

    pub(super) fn decode(raw: &RawTimestamp, field: &'static str) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Inode);
        let nanoseconds = raw.nanoseconds.get();
        fields.range(
            field,
            0,
            u64::from(NANOSECONDS_PER_SECOND) - 1,
            nanoseconds.into(),
        )?;
        fields.zero(field, raw.reserved.as_bytes())?;
        Ok(Self {
            seconds: raw.seconds.get(),
            nanoseconds,
        })
    }
}
