//! Extended attributes: one blob of names and values for an inode, stored in chunks.
//!
//! Attributes are few and short, and are read together: one blob makes a listing one walk, and the
//! order of names gives a set of attributes one form only. Plain bytes, no locks.

use std::collections::BTreeMap;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::chunk::ChunkJoin;
use crate::format::error::{Fields, FormatError, Structure};

/// The attributes of an inode: names and values, neither of them text.
pub(crate) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The most bytes that the attributes of one inode take together.
pub(crate) const MAXIMUM_XATTR_BYTES: usize = 65536;
/// The longest name of an attribute: `XATTR_NAME_MAX` of Linux.
pub(crate) const MAXIMUM_XATTR_NAME_BYTES: usize = 255;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawXattr {
    pub(in crate::format) name_len: u8,
    pub(in crate::format) value_len: U32,
}

const HEAD_LEN: usize = 5;
const _: () = assert!(size_of::<RawXattr>() == HEAD_LEN);

/// Says what makes `name` no name of an attribute, if anything does.
pub(crate) fn xattr_name_problem(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > MAXIMUM_XATTR_NAME_BYTES {
        return Some("is longer than 255 bytes");
    }
    name.contains(&0).then_some("contains a NUL byte")
}

/// How many bytes `xattrs` takes. More than [`MAXIMUM_XATTR_BYTES`] cannot be stored.
pub(crate) fn xattr_blob_len(xattrs: &Xattrs) -> usize {
    let entry_len = |(name, value): (&Vec<u8>, &Vec<u8>)| HEAD_LEN + name.len() + value.len();
    xattrs.iter().map(entry_len).sum()
}

/// The blob. The caller has made sure that the names are names ([`xattr_name_problem`]) and that
/// all fits ([`xattr_blob_len`]).
pub(crate) fn encode_xattrs(xattrs: &Xattrs) -> Vec<u8> {
    let mut blob = Vec::with_capacity(xattr_blob_len(xattrs));
    for (name, value) in xattrs {
        debug_assert_eq!(xattr_name_problem(name), None);
        let head = RawXattr {
            name_len: name.len() as u8,
            value_len: (value.len() as u32).into(),
        };
        blob.extend_from_slice(head.as_bytes());
        blob.extend_from_slice(name);
        blob.extend_from_slice(value);
    }
    debug_assert!(blob.len() <= MAXIMUM_XATTR_BYTES);
    blob
}

/// Puts the chunks of a blob of `xattr_bytes` bytes together: see [`ChunkJoin`].
pub(crate) fn xattr_chunks(xattr_bytes: u32) -> ChunkJoin {
    ChunkJoin::new(Structure::Xattrs, xattr_bytes as usize)
}

/// Decodes a blob that was put together.
pub(crate) fn decode_xattrs(blob: &[u8]) -> Result<Xattrs, FormatError> {
    let fields = Fields(Structure::Xattrs);
    fields.range("length", 0, MAXIMUM_XATTR_BYTES as u64, blob.len() as u64)?;
    let mut xattrs = Xattrs::new();
    let mut rest = blob;
    while !rest.is_empty() {
        let entry = xattrs.len();
        let ((name, value), after) = split_entry(rest).map_err(|error| error.in_entry(entry))?;
        if xattrs
            .last_key_value()
            .is_some_and(|(last, _)| last.as_slice() >= name)
        {
            let rule = "does not come after the name before it";
            return Err(fields.invalid("name", rule).in_entry(entry));
        }
        xattrs.insert(name.to_vec(), value.to_vec());
        rest = after;
    }
    Ok(xattrs)
}

/// A name and its value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// The name and the value at the start of `bytes`, and the bytes after them.
fn split_entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), FormatError> {
    let fields = Fields(Structure::Xattrs);
    let overrun = fields.invalid("entry", "runs past the end of the attributes");
    let (head, rest) = RawXattr::ref_from_prefix(bytes).map_err(|_| overrun)?;
    let (name, rest) = rest.split_at_checked(head.name_len.into()).ok_or(overrun)?;
    if let Some(rule) = xattr_name_problem(name) {
        return Err(fields.invalid("name", rule));
    }
    let (value, rest) = rest
        .split_at_checked(head.value_len.get() as usize)
        .ok_or(overrun)?;
    Ok(((name, value), rest))
}
