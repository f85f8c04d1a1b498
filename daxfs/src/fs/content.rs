//! What an inode holds, as leaves of a pointer tree, and back.
//!
//! Packing is deterministic: what did not change gives the same bytes, which the writer then leaves
//! where they are. Touches no device, takes no locks.

use crate::directory::Target;
use crate::format::geometry::INLINE_EXTENTS;
use crate::format::{Block, Dirent, DirentLeafBuilder, Extent, ExtentLeafBuilder};
use crate::inode::{Snapshot, SnapshotContent};

/// The leaves of a snapshot's content: none for few extents, which the inode itself holds.
pub(super) fn pack(snapshot: &Snapshot) -> Vec<Block> {
    let owner = snapshot.inode.number;
    match &snapshot.content {
        SnapshotContent::Extents(extents) if extents.len() <= INLINE_EXTENTS => Vec::new(),
        SnapshotContent::Extents(extents) => pack_extents(owner, extents),
        SnapshotContent::Names(names) => pack_names(owner, names),
    }
}

/// The extents that the inode itself holds.
pub(super) fn inline_extents(snapshot: &Snapshot) -> Vec<Extent> {
    match &snapshot.content {
        SnapshotContent::Extents(extents) if extents.len() <= INLINE_EXTENTS => extents.clone(),
        _ => Vec::new(),
    }
}

fn pack_extents(owner: u64, extents: &[Extent]) -> Vec<Block> {
    let mut leaves = Vec::new();
    let mut builder = ExtentLeafBuilder::new(owner, 0);
    for extent in extents {
        if builder.push(extent).is_err() {
            leaves.push(builder.finish());
            builder = ExtentLeafBuilder::new(owner, leaves.len() as u64);
            // An empty leaf has room for one.
            let _ = builder.push(extent);
        }
    }
    leaves.push(builder.finish());
    leaves
}

fn pack_names(owner: u64, names: &[(Vec<u8>, Target)]) -> Vec<Block> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut leaves = Vec::new();
    let mut builder = DirentLeafBuilder::new(owner, 0);
    for (name, target) in names {
        let dirent = Dirent {
            inode: target.inode,
            kind: target.kind,
            name,
        };
        if builder.push(&dirent).is_err() {
            leaves.push(builder.finish());
            builder = DirentLeafBuilder::new(owner, leaves.len() as u64);
            // An empty leaf has room for the longest name.
            let _ = builder.push(&dirent);
        }
    }
    leaves.push(builder.finish());
    leaves
}
