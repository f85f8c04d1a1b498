//! How one field of a record becomes bytes and is read back.
//!
//! Fields lie one after the other without padding, little-endian; what has a length says it first.
//! Reading never goes past the record, and each error names the field. Pure: no I/O, no locks.

use std::ops::Range;

use super::{Disposition, SettledRun, ShiftDirection};
use crate::format::Timestamp;
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::item::FileType;
use crate::format::numbered::numbered;
use crate::run::Run;

/// What a record's fields are checked as.
pub(super) const FIELDS: Fields = Fields(Structure::LogRecord);

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A field of a record.
pub(super) trait Field: Sized {
    /// How many bytes it takes.
    fn len_bytes(&self) -> usize;

    /// Appends its bytes.
    fn put(&self, buffer: &mut Vec<u8>);

    /// Reads it back; `name` is for the error.
    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError>;
}

/// What is left of a record's payload.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next `len` bytes.
    fn bytes(&mut self, len: usize, name: &'static str) -> Result<&'a [u8], FormatError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| FIELDS.invalid(name, "runs past the end of the record"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const LEN: usize>(&mut self, name: &'static str) -> Result<[u8; LEN], FormatError> {
        let mut array = [0; LEN];
        array.copy_from_slice(self.bytes(LEN, name)?);
        Ok(array)
    }

    /// Requires that nothing is left.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(FIELDS.invalid("payload", "goes on after its last field"))
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Field for $type {
            fn len_bytes(&self) -> usize {
                size_of::<Self>()
            }

            fn put(&self, buffer: &mut Vec<u8>) {
                buffer.extend_from_slice(&self.to_le_bytes());
            }

            fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
                Ok(Self::from_le_bytes(reader.array(name)?))
            }
        })*
    };
}

numbers!(u8 u16 u32 u64 i64);

impl Field for Vec<u8> {
    fn len_bytes(&self) -> usize {
        size_of::<u32>() + self.len()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        // A record is shorter than a log, so its fields are, too.
        (self.len() as u32).put(buffer);
        buffer.extend_from_slice(self);
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        let len = u32::take(reader, name)?;
        reader.bytes(len as usize, name).map(<[u8]>::to_vec)
    }
}

/// One byte that says whether a value follows.
impl<T: Field> Field for Option<T> {
    fn len_bytes(&self) -> usize {
        1 + self.as_ref().map_or(0, T::len_bytes)
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        u8::from(self.is_some()).put(buffer);
        if let Some(value) = self {
            value.put(buffer);
        }
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        match u8::take(reader, name)? {
            0 => Ok(None),
            1 => T::take(reader, name).map(Some),
            _ => Err(FIELDS.invalid(name, "is neither absent (0) nor present (1)")),
        }
    }
}

impl Field for Timestamp {
    fn len_bytes(&self) -> usize {
        size_of::<i64>() + size_of::<u32>()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        self.seconds.put(buffer);
        self.nanoseconds.put(buffer);
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        let seconds = i64::take(reader, name)?;
        let nanoseconds = u32::take(reader, name)?;
        let most = u64::from(NANOSECONDS_PER_SECOND) - 1;
        FIELDS.range(name, 0, most, nanoseconds.into())?;
        Ok(Self {
            seconds,
            nanoseconds,
        })
    }
}

impl Field for Range<u64> {
    fn len_bytes(&self) -> usize {
        2 * size_of::<u64>()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        self.start.put(buffer);
        self.end.put(buffer);
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        Ok(u64::take(reader, name)?..u64::take(reader, name)?)
    }
}

impl Field for SettledRun {
    fn len_bytes(&self) -> usize {
        2 * size_of::<u64>()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        self.run().block.put(buffer);
        self.run().len_blocks.put(buffer);
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        let (block, len_blocks) = (u64::take(reader, name)?, u64::take(reader, name)?);
        Ok(Self::recorded(Run::new(block, len_blocks)))
    }
}

/// How many, and then each.
impl Field for Vec<SettledRun> {
    fn len_bytes(&self) -> usize {
        size_of::<u32>() + self.iter().map(Field::len_bytes).sum::<usize>()
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        // A record is shorter than a log, so it has fewer runs than that, too.
        (self.len() as u32).put(buffer);
        self.iter().for_each(|run| run.put(buffer));
    }

    fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
        let count = u32::take(reader, name)?;
        // Not collected at once: what a damaged count promises is not there.
        (0..count).map(|_| Field::take(reader, name)).collect()
    }
}

/// Enumerations of one byte.
macro_rules! choices {
    ($($type:ty: $rule:literal,)*) => {
        $(impl Field for $type {
            fn len_bytes(&self) -> usize {
                1
            }

            fn put(&self, buffer: &mut Vec<u8>) {
                (*self as u8).put(buffer);
            }

            fn take(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, FormatError> {
                let number = u8::take(reader, name)?;
                let choice = numbered(Self::ALL, number, |choice| choice as u8);
                choice.ok_or_else(|| FIELDS.invalid(name, $rule))
            }
        })*
    };
}

choices! {
    FileType: "is not 1 to 7",
    Disposition: "is not 1 (kept), 2 (orphaned) or 3 (freed)",
    ShiftDirection: "is neither 1 (towards the start) nor 2 (towards the end)",
}
