//! Directory entries and the leaves that hold them.
//!
//! An entry is 16 bytes, the name, and zeroes up to a multiple of 8. Entries are packed from the
//! front of a leaf and none is split between two. `.` and `..` are not stored: the inode has its
//! parent.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_mut, transmute_ref,
};

use super::block::{Block, BlockFull};
use super::error::{Fields, FormatError, Structure};
use super::geometry::{BLOCK_LEN, MAXIMUM_INODES, MAXIMUM_NAME_BYTES, ROOT_INODE};
use super::header::{HEADER_LEN, Identity, RawHeader};
use super::inode_kind::InodeKind;

const RECORDS_LEN: usize = BLOCK_LEN - HEADER_LEN;
const RECORD_HEAD_LEN: usize = 16;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDirent {
    inode: U64,
    name_len: u8,
    kind: u8,
    record_len: U16,
    reserved: U32,
}

const _: () = assert!(size_of::<RawDirent>() == RECORD_HEAD_LEN);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDirentLeaf {
    header: RawHeader,
    records: [u8; RECORDS_LEN],
}

const _: () = assert!(size_of::<RawDirentLeaf>() == BLOCK_LEN);

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dirent<'a> {
    /// The inode it names.
    pub(crate) inode: u64,
    /// What that inode is, so that a listing need not read it.
    pub(crate) kind: InodeKind,
    /// The name: 1 to 255 bytes, none of them `/` or NUL.
    pub(crate) name: &'a [u8],
}

/// Says what makes `name` no name of a directory entry, if anything does.
pub(crate) fn name_problem(name: &[u8]) -> Option<&'static str> {
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

/// Bytes that an entry with a name of `name_len` bytes takes in a leaf.
pub(crate) fn record_len(name_len: usize) -> usize {
    RECORD_HEAD_LEN + name_len.next_multiple_of(8)
}

/// A leaf of directory entries, every one of them checked.
#[derive(Debug)]
pub(crate) struct DirentLeaf<'a> {
    entries: Vec<Dirent<'a>>,
}

impl<'a> DirentLeaf<'a> {
    /// Parses `block` as the leaf `index` of the entries of the directory `owner`.
    pub(crate) fn parse(block: &'a Block, owner: u64, index: u64) -> Result<Self, FormatError> {
        let raw: &RawDirentLeaf = transmute_ref!(block.bytes());
        let count = Identity::dirent_leaf(owner, index).check(&raw.header)?;
        let mut entries = Vec::with_capacity(count);
        let mut rest = raw.records.as_slice();
        for entry in 0..count {
            let (dirent, after) = parse_record(rest).map_err(|e| e.in_entry(entry))?;
            entries.push(dirent);
            rest = after;
        }
        Fields(Structure::DirentLeaf).zero("space past the last entry", rest)?;
        Ok(Self { entries })
    }

    /// The entries, in the order they lie.
    pub(crate) fn entries(&self) -> &[Dirent<'a>] {
        &self.entries
    }
}

/// Parses the entry at the start of `bytes`, and returns it with the bytes after it.
fn parse_record(bytes: &[u8]) -> Result<(Dirent<'_>, &[u8]), FormatError> {
    let fields = Fields(Structure::Dirent);
    let overrun = fields.invalid("record", "runs past the end of the block");
    let Ok((raw, tail)) = RawDirent::ref_from_prefix(bytes) else {
        return Err(overrun);
    };
    let name_len = usize::from(raw.name_len);
    fields.range("name_len", 1, MAXIMUM_NAME_BYTES as u64, name_len as u64)?;
    fields.equal(
        "record_len",
        record_len(name_len) as u64,
        raw.record_len.get(),
    )?;
    fields.zero("reserved", raw.reserved.as_bytes())?;
    let inode = raw.inode.get();
    fields.range("inode", ROOT_INODE, MAXIMUM_INODES - 1, inode)?;
    let kind = InodeKind::decode(raw.kind.into())
        .ok_or_else(|| fields.invalid("kind", "is neither 1 (file) nor 2 (directory)"))?;
    let body_len = record_len(name_len) - RECORD_HEAD_LEN;
    let (body, after) = tail.split_at_checked(body_len).ok_or(overrun)?;
    let (name, padding) = body.split_at_checked(name_len).ok_or(overrun)?;
    fields.zero("padding", padding)?;
    if let Some(rule) = name_problem(name) {
        return Err(fields.invalid("name", rule));
    }
    Ok((Dirent { inode, kind, name }, after))
}

/// Builds a leaf entry by entry.
#[derive(Debug)]
pub(crate) struct DirentLeafBuilder {
    identity: Identity,
    block: Block,
    count: usize,
    used_bytes: usize,
}

impl DirentLeafBuilder {
    /// An empty leaf `index` of the entries of the directory `owner`.
    pub(crate) fn new(owner: u64, index: u64) -> Self {
        let identity = Identity::dirent_leaf(owner, index);
        Self {
            identity,
            block: Block::zeroed(),
            count: 0,
            used_bytes: 0,
        }
    }

    /// Adds an entry; the caller has made sure that its name is one (see [`name_problem`]).
    ///
    /// # Errors
    /// [`BlockFull`] when the entry does not fit any more; the leaf is unchanged.
    pub(crate) fn push(&mut self, dirent: &Dirent<'_>) -> Result<(), BlockFull> {
        let name_len = u8::try_from(dirent.name.len()).map_err(|_| BlockFull)?;
        let len = record_len(dirent.name.len());
        let raw: &mut RawDirentLeaf = transmute_mut!(self.block.bytes_mut());
        let end = self.used_bytes + len;
        let record = raw.records.get_mut(self.used_bytes..end).ok_or(BlockFull)?;
        let head = RawDirent {
            inode: dirent.inode.into(),
            name_len,
            // The two kinds are 1 and 2.
            kind: dirent.kind as u8,
            // A record is at most 272 bytes.
            record_len: (len as u16).into(),
            reserved: U32::ZERO,
        };
        record[..RECORD_HEAD_LEN].copy_from_slice(head.as_bytes());
        record[RECORD_HEAD_LEN..][..dirent.name.len()].copy_from_slice(dirent.name);
        self.used_bytes = end;
        self.count += 1;
        Ok(())
    }

    /// The finished block. It must have at least one entry to parse again.
    pub(crate) fn finish(mut self) -> Block {
        let raw: &mut RawDirentLeaf = transmute_mut!(self.block.bytes_mut());
        raw.header = self.identity.encode(self.count);
        self.block
    }
}
