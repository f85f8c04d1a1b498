//! What a superblock alone can show to be wrong: fields that contradict each other or the image.
//!
//! Pure functions of a decoded superblock: no bytes, no locks.

use super::error::{Fields, FormatError, Structure};
use super::geometry::ROOT_INODE;
use super::item::INODE_LIMIT;
use super::node::MAXIMUM_NODE_LEVEL;
use super::space_block::{SpacePlace, check_slot};
use super::superblock::Superblock;

/// Records of the log begin at multiples of this.
const LSN_ALIGNMENT: u64 = 64;

const FIELDS: Fields = Fields(Structure::Superblock);

/// Checks that the fields are plausible and agree with each other.
pub(super) fn check(superblock: &Superblock) -> Result<(), FormatError> {
    // The last generation has no successor, so a counter that reached it is not believed.
    FIELDS.range("generation", 1, u64::MAX - 1, superblock.generation)?;
    FIELDS.range("epoch", 0, u64::MAX - 1, superblock.epoch)?;
    FIELDS.equal(
        "remainder of log_first_lsn",
        0_u64,
        superblock.log_first_lsn % LSN_ALIGNMENT,
    )?;
    let next_inode = superblock.next_inode;
    FIELDS.range("next_inode", ROOT_INODE + 1, INODE_LIMIT, next_inode)?;
    FIELDS.range("live_inodes", 1, next_inode - 1, superblock.live_inodes)?;
    check_tree(superblock)?;
    check_space(superblock)
}

fn check_tree(superblock: &Superblock) -> Result<(), FormatError> {
    let geometry = &superblock.geometry;
    if superblock.root.is_null() {
        FIELDS.equal("tree_nodes of an empty tree", 0_u64, superblock.tree_nodes)?;
        return FIELDS.equal("root_level of an empty tree", 0_u16, superblock.root_level);
    }
    let (least, most) = (geometry.data_start_block, geometry.block_count - 1);
    FIELDS.range("root", least, most, superblock.root.block)?;
    let level = u64::from(superblock.root_level);
    FIELDS.range("root_level", 0, MAXIMUM_NODE_LEVEL.into(), level)?;
    let most = geometry.data_area_blocks();
    FIELDS.range("tree_nodes", level + 1, most, superblock.tree_nodes)
}

fn check_space(superblock: &Superblock) -> Result<(), FormatError> {
    let geometry = &superblock.geometry;
    let most = geometry.data_area_blocks();
    FIELDS.range("data_blocks", 0, most, superblock.data_blocks)?;
    let in_use = superblock.allocated_blocks();
    FIELDS.range("tree_nodes and data_blocks", 0, most, in_use)?;
    if superblock.space_root.is_null() {
        return FIELDS.equal("blocks in use with an empty space map", 0_u64, in_use);
    }
    FIELDS.range("blocks in use with a space map", 1, most, in_use)?;
    let root = SpacePlace::new(geometry.space_level(), 0);
    check_slot(superblock.space_root, root, geometry)?;
    Ok(())
}
