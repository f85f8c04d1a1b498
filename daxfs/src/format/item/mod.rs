//! Items: what the leaves of the metadata tree hold, one file for each kind.
//!
//! An item is a [`Key`] and a value of at most 1024 bytes. The node knows keys and lengths; what a
//! value means is known here alone. Every decoder is total: any bytes give a structure or a
//! [`FormatError`](super::FormatError). Does no input or output, takes no locks.
//!
//! | Module | Kind | Holds |
//! |---|---|---|
//! | [`key`] | all | keys and their order |
//! | [`file_type`] | 1, 4 | what an inode is |
//! | [`inode`] | 1 | the fixed part of an inode |
//! | [`chunk`] | 2, 3 | values longer than an item |
//! | [`xattr`] | 2 | extended attributes |
//! | [`symlink`] | 3 | targets of symbolic links |
//! | [`dirent`] | 4 | directory entries, and the hash that orders them |
//! | [`extents`] | 5 | which blocks hold a segment of a file |
//! | [`orphan`] | 6 | inodes to be removed |
//! | [`shared`] | 7 | blocks with several owners |
//! | [`checksums`] | 8 | checksums of blocks of files |

pub(crate) mod checksums;
pub(crate) mod chunk;
pub(crate) mod dirent;
pub(crate) mod extents;
pub(crate) mod file_type;
pub(crate) mod inode;
pub(crate) mod key;
pub(crate) mod orphan;
pub(crate) mod shared;
pub(crate) mod symlink;
pub(crate) mod xattr;

pub(crate) use checksums::{CHECKSUM_GROUP_BLOCKS, StoredChecksums, checksum_key, data_checksum};
pub(crate) use chunk::chunks;
pub(crate) use dirent::{DirectoryHash, StoredDirent};
pub(crate) use extents::{Sharing, StoredRun, decode_extents, encode_extents, segment_keys};
pub(crate) use file_type::FileType;
pub(crate) use inode::StoredInode;
pub(crate) use key::{INODE_LIMIT, ItemKind, Key};
pub(crate) use orphan::{decode_orphan, orphan_key};
pub(crate) use shared::{StoredSharedRun, shared_keys};
pub(crate) use symlink::{MAXIMUM_TARGET_BYTES, check_target, target_chunks, target_problem};
pub(crate) use xattr::{
    MAXIMUM_XATTR_BYTES, MAXIMUM_XATTR_NAME_BYTES, Xattrs, decode_xattrs, encode_xattrs,
    xattr_blob_len, xattr_chunks,
};

/// The longest value of an item: at least three items of any length fit into a leaf.
pub(crate) const MAXIMUM_VALUE_BYTES: usize = 1024;
