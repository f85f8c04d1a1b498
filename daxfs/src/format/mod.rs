//! On-media structures of a daxfs image, format version 1: bytes to structures and back.
//!
//! Does no input or output, takes no locks, allocates only blocks of 4 KiB. Every parse function
//! is total: any bytes whatever give a structure or a [`FormatError`], never a panic, a loop or an
//! index out of range. `docs/format.md` shows every structure byte by byte and says why each field
//! is there.
//!
//! | Module | Holds |
//! |---|---|
//! | [`geometry`] | sizes, limits and the arithmetic of the pointer trees |
//! | [`error`] | [`FormatError`]: which structure, which entry, what was expected and found |
//! | [`block`] | [`Block`]: the 4096 bytes that everything is read from and written to |
//! | [`mod@pointer`] | [`BlockPointer`]: a block number and the checksum of that block |
//! | [`header`] | the 32 bytes at the start of every metadata block |
//! | [`index`] | index blocks: 254 pointers to blocks one level below |
//! | [`extent`] | extents and the leaves that hold them |
//! | [`inode_kind`] | what an inode is: file or directory |
//! | [`dirent`] | directory entries and the leaves that hold them |
//! | [`inode`] | inodes and the leaves that hold them |
//! | [`superblock`] | the two copies of the superblock, and which one counts |
//! | [`features`], [`label`], [`state`], [`timestamp`] | parts of superblocks and inodes |
//!
//! Format version 2 is being built beside it:
//!
//! | Module | Holds |
//! |---|---|
//! | [`image_geometry`] | where the regions of an image lie |
//! | [`item`] | keys, and the values of each kind of item |
//! | [`node`] | nodes of the tree of items |
//! | [`space_block`] | blocks of the space map |
//! | [`image`], [`image_check`], [`image_error`] | the superblock of version 2 |
//! | [`record`] | records of the log |
//!
//! Each module imports only from those above it.

// What is marked so is of version 2: nothing reads or writes such images yet.
pub(crate) mod block;
pub(crate) mod dirent;
pub(crate) mod error;
pub(crate) mod extent;
mod features;
pub(crate) mod geometry;
pub(crate) mod header;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod image;
mod image_check;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod image_error;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod image_geometry;
pub(crate) mod index;
pub(crate) mod inode;
mod inode_kind;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod item;
mod label;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod node;
pub(crate) mod pointer;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "images of version 1 have no log")
)]
pub(crate) mod record;
#[allow(dead_code, unused_imports)] // version 2
pub(crate) mod space_block;
mod state;
pub(crate) mod superblock;
#[cfg(test)]
mod tests;
mod timestamp;

pub(crate) use block::Block;
pub(crate) use dirent::{Dirent, DirentLeaf, DirentLeafBuilder};
pub use error::{FormatError, Problem, Structure};
pub(crate) use extent::{Extent, ExtentLeaf, ExtentLeafBuilder};
pub(crate) use header::Identity;
pub(crate) use index::{IndexBlock, IndexBlockBuilder, NullPointers};
pub use inode::InodeKind;
pub(crate) use inode::{Inode, InodeLeaf, InodeLeafBuilder, Timestamp, TreeRoot};
pub(crate) use pointer::BlockPointer;
pub(crate) use superblock::{Features, Label, Superblock, SuperblockError, SuperblockState};
