//! The 40 bytes at the start of each record: what it is, where it belongs, and a checksum.
//!
//! ```text
//! 0               4               8                               16
//! +---------------+---------------+-------------------------------+
//! | magic "DXlg"  | len_bytes u32 | lsn                       u64 |
//! +---------------+---------------+-------------------------------+
//! 16                              24                              32
//! +-------------------------------+-------------------------------+
//! | epoch                     u64 | durable_lsn               u64 |
//! +-------------------------------+-------------------------------+
//! 32      34      36              40
//! +-------+-------+---------------+-- payload, then zeroes to a multiple of 64
//! | kind  | rsvd  | crc32c    u32 |
//! +-------+-------+---------------+
//! ```
//!
//! The checksum is that of the header with the checksum zero, and the payload. `log/mod.rs` says
//! what `lsn`, `epoch` and `durable_lsn` are for. Pure: no I/O, no locks.

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_ref};

use super::field::FIELDS;
use crate::format::error::{FormatError, Problem, Structure};

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 40;
/// Records begin at multiples of this many bytes: the cache line that persistent memory is written
/// by, so that no two records share one.
pub(crate) const ALIGNMENT_BYTES: u64 = 64;
/// The kind of the record that says: the log goes on at the start of the ring.
pub(crate) const SKIP: u16 = 0;

const MAGIC: u32 = u32::from_le_bytes(*b"DXlg");

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    len_bytes: U32,
    lsn: U64,
    epoch: U64,
    durable_lsn: U64,
    kind: U16,
    reserved: U16,
    checksum: U32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// Where the checksum lies in a header.
const CHECKSUM_AT: usize = HEADER_LEN - 4;

/// A position in the log: bytes since the first one ever, never wrapping, whatever the size of the
/// ring they are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lsn(u64);

impl Lsn {
    /// Positions are below this; at a gigabyte a second it is reached after 292 years.
    pub(crate) const END: Self = Self(1 << 63);

    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The position `bytes` further on. Saturates; never does below [`Lsn::END`].
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// How far this is behind `earlier`, in bytes; 0 if it is not.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a header says about the record's place in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Where the record begins.
    pub(crate) lsn: Lsn,
    /// Which mount wrote it.
    pub(crate) epoch: u64,
    /// Everything before this was durable when the record was written.
    pub(crate) durable_lsn: Lsn,
}

/// A header whose own fields were checked; the checksum is checked by [`RecordHeader::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of header and payload.
    pub(crate) len_bytes: u32,
    /// The kind of the record, or [`SKIP`].
    pub(crate) kind: u16,
    /// Its place in history.
    pub(crate) stamp: Stamp,
    checksum: u32,
}

impl RecordHeader {
    /// Reads a header: whether it is one, not whether it is the one that is looked for.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        let raw: &RawHeader = transmute_ref!(bytes);
        FIELDS.equal("magic", MAGIC, raw.magic.get())?;
        FIELDS.equal("reserved", 0_u16, raw.reserved.get())?;
        let (len_bytes, kind) = (raw.len_bytes.get(), raw.kind.get());
        if kind == SKIP {
            FIELDS.equal("len_bytes of a skip", HEADER_LEN as u64, len_bytes)?;
        }
        FIELDS.range(
            "len_bytes",
            HEADER_LEN as u64,
            u32::MAX.into(),
            len_bytes.into(),
        )?;
        Ok(Self {
            len_bytes,
            kind,
            stamp: Stamp {
                lsn: Lsn(raw.lsn.get()),
                epoch: raw.epoch.get(),
                durable_lsn: Lsn(raw.durable_lsn.get()),
            },
            checksum: raw.checksum.get(),
        })
    }

    /// Bytes that the record takes of the log: a multiple of 64.
    pub(crate) fn padded_bytes(&self) -> u64 {
        padded(self.len_bytes.into())
    }

    /// Checks that `record`, from its header to the end of its padding, is what was written.
    pub(crate) fn verify(&self, record: &[u8]) -> Result<(), FormatError> {
        let short = || FIELDS.invalid("len_bytes", "is more than there is");
        let len = self.len_bytes as usize;
        let (record, padding) = record.split_at_checked(len).ok_or_else(short)?;
        let (header, payload) = record.split_at_checked(HEADER_LEN).ok_or_else(short)?;
        let found = checksum(header, payload);
        if found != self.checksum {
            let expected = self.checksum;
            return Err(FormatError::new(
                Structure::LogRecord,
                Problem::Checksum { expected, found },
            ));
        }
        FIELDS.zero("padding", padding)
    }

    /// The payload of `record`; empty when that is shorter than the header says.
    pub(crate) fn payload<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record
            .get(HEADER_LEN..self.len_bytes as usize)
            .unwrap_or_default()
    }
}

/// The next multiple of 64.
pub(crate) fn padded(len_bytes: u64) -> u64 {
    len_bytes.next_multiple_of(ALIGNMENT_BYTES)
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let before = crc32c::crc32c(&header[..CHECKSUM_AT]);
    let header = crc32c::crc32c_append(before, &[0; HEADER_LEN - CHECKSUM_AT]);
    crc32c::crc32c_append(header, payload)
}

/// Completes the record that `buffer` holds from `start` on, whose first 40 bytes are still to be
/// written: its header, its checksum, its padding.
pub(super) fn seal(buffer: &mut Vec<u8>, start: usize, kind: u16, stamp: Stamp) {
    let (len, checksum) = {
        let record = &mut buffer[start..];
        let len = record.len();
        let (header, payload) = record.split_at_mut(HEADER_LEN);
        let raw = RawHeader {
            magic: MAGIC.into(),
            // A record is shorter than the log, which is at most 64 MiB.
            len_bytes: (len as u32).into(),
            lsn: stamp.lsn.0.into(),
            epoch: stamp.epoch.into(),
            durable_lsn: stamp.durable_lsn.0.into(),
            kind: kind.into(),
            reserved: U16::ZERO,
            checksum: U32::ZERO,
        };
        header.copy_from_slice(raw.as_bytes());
        (len, checksum(header, payload))
    };
    buffer[start + CHECKSUM_AT..][..4].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(start + padded(len as u64) as usize, 0);
}

/// Appends the record that sends a reader on to the start of the ring.
pub(crate) fn encode_skip(stamp: Stamp, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.resize(start + HEADER_LEN, 0);
    seal(buffer, start, SKIP, stamp);
}
