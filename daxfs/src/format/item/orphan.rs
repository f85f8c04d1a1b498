//! Inodes without names that were open when the image was last in use. Plain values, no locks.

use super::key::{INODE_LIMIT, ItemKind, Key};
use crate::format::error::{Fields, FormatError, Structure};
use crate::format::geometry::ROOT_INODE;

/// The key of the item that says `inode` is to be removed at the next mount. Its value is empty.
pub(crate) fn orphan_key(inode: u64) -> Key {
    Key::new(0, ItemKind::Orphan, inode)
}

/// Decodes an item: the inode it names.
pub(crate) fn decode_orphan(position: u64, value: &[u8]) -> Result<u64, FormatError> {
    let fields = Fields(Structure::Orphan);
    fields.equal("length", 0_u64, value.len() as u64)?;
    // The root always has its place.
    fields.range("inode", ROOT_INODE + 1, INODE_LIMIT - 1, position)?;
    Ok(position)
}
