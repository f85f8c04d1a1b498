//! Directory entries, and the positions that their names have.
//!
//! A directory is ordered by a keyed hash of the name. So a look-up needs one path of the tree, an
//! entry keeps its position (which is the cookie of a listing) for as long as it lives, whatever
//! comes and goes around it, and nobody who does not know the key can choose names that collide.
//! Plain values, no locks.

use std::ops::Range;

use siphasher::sip::SipHasher13;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file_type::FileType;
use super::key::INODE_LIMIT;
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::{MAXIMUM_NAME_BYTES, ROOT_INODE};

/// Bits of a position below the hash: they tell names of one hash apart.
const DISCRIMINATOR_BITS: u32 = 15;
/// Bits of the hash that are dropped, so that a position is not negative as a signed number.
const DROPPED_HASH_BITS: u32 = 16;

/// The least position that an entry can have. Those below are for `.` and `..`, which are not
/// stored, in listings.
pub(crate) const FIRST_DIRENT_POSITION: u64 = 1 << DISCRIMINATOR_BITS;
/// Positions of entries are below this.
pub(crate) const DIRENT_POSITION_LIMIT: u64 = 1 << (64 - DROPPED_HASH_BITS + DISCRIMINATOR_BITS);
/// Those that an entry can have: 48 bits of a hash that is never 0, above 15 bits.
pub(crate) const DIRENT_POSITIONS: Range<u64> = FIRST_DIRENT_POSITION..DIRENT_POSITION_LIMIT;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::format) struct RawStoredDirent {
    pub(in crate::format) inode: U64,
    pub(in crate::format) kind: u8,
    pub(in crate::format) name_len: u8,
}

const HEAD_LEN: usize = 10;
const _: () = assert!(size_of::<RawStoredDirent>() == HEAD_LEN);

/// An entry of a directory. The directory and its position are in its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoredDirent<'a> {
    /// The inode it names.
    pub(crate) inode: u64,
    /// What that inode is, so that a listing need not read it.
    pub(crate) kind: FileType,
    /// The name: 1 to 255 bytes, none of them `/` or NUL.
    pub(crate) name: &'a [u8],
}

impl<'a> StoredDirent<'a> {
    /// The value of the item. The caller has made sure that the name is one
    /// ([`dirent_name_problem`]).
    pub(crate) fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(dirent_name_problem(self.name), None);
        let head = RawStoredDirent {
            inode: self.inode.into(),
            kind: self.kind as u8,
            name_len: self.name.len() as u8,
        };
        [head.as_bytes(), self.name].concat()
    }

    /// Decodes the value of an item. Whether the name belongs at its position, the reader checks
    /// with [`DirectoryHash::position_range`].
    pub(crate) fn decode(value: &'a [u8]) -> Result<Self, FormatError> {
        let fields = Fields(Structure::Dirent);
        let (head, name) = RawStoredDirent::ref_from_prefix(value)
            .map_err(|_| fields.invalid("length", "is less than that of an entry"))?;
        fields.equal("name_len", name.len() as u64, head.name_len)?;
        if let Some(rule) = dirent_name_problem(name) {
            return Err(fields.invalid("name", rule));
        }
        let inode = head.inode.get();
        fields.range("inode", ROOT_INODE, INODE_LIMIT - 1, inode)?;
        let kind = FileType::decode(head.kind)
            .ok_or_else(|| fields.invalid("kind", "is no kind of inode (1 to 7)"))?;
        Ok(Self { inode, kind, name })
    }
}

/// Says what makes `name` no name of a directory entry, if anything does.
pub(crate) fn dirent_name_problem(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > MAXIMUM_NAME_BYTES {
        return Some("is longer than 255 bytes");
    }
    if name.contains(&b'/') {
        return Some("contains a slash");
    }
    if name.contains(&0) {
        return Some("contains a NUL byte");
    }
    if name == b"." || name == b".." {
        return Some("is . or .., which are never stored");
    }
    None
}

/// The hash that orders the entries of every directory of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectoryHash {
    keyed: SipHasher13,
}

impl DirectoryHash {
    /// The hash of the image whose superblock has this key.
    pub(crate) fn new(hash_key: &[u8; 16]) -> Self {
        let keyed = SipHasher13::new_with_key(hash_key);
        Self { keyed }
    }

    /// The 2^15 positions that an entry of this name can have. It has the least that is free when
    /// it is made.
    pub(crate) fn position_range(&self, name: &[u8]) -> Range<u64> {
        // A hash of 0 would give positions that belong to `.` and `..`.
        let hash = (self.keyed.hash(name) >> DROPPED_HASH_BITS).max(1);
        hash << DISCRIMINATOR_BITS..(hash + 1) << DISCRIMINATOR_BITS
    }
}
