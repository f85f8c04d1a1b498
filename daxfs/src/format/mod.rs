//! On-media structures of a daxfs image, format version 2: bytes to structures and back.
//!
//! Does no input or output, takes no locks, allocates only blocks of 4 KiB. Every parse function
//! is total: any bytes whatever give a structure or a [`FormatError`], never a panic, a loop or an
//! index out of range. `docs/format.md` shows every structure byte by byte and says why each field
//! is there.
//!
//! | Module | Holds |
//! |---|---|
//! | [`geometry`] | sizes and limits |
//! | [`error`] | [`FormatError`]: which structure, which entry, what was expected and found |
//! | [`block`] | [`Block`]: the 4096 bytes that everything is read from and written to |
//! | [`mod@pointer`] | [`BlockPointer`]: a block number and the checksum of that block |
//! | [`timestamp`], [`label`], [`features`], [`state`] | values that structures are made of |
//! | [`numbered`] | enumerations that are numbers on the medium |
//! | [`item`] | items: what the leaves of the metadata tree hold |
//! | [`acl`] | access control lists, which are attributes with a form and a meaning |
//! | [`node`] | nodes of the metadata tree |
//! | [`space_block`] | blocks of the space map |
//! | [`record`] | records of the log |
//! | [`image_geometry`] | where the regions of an image lie |
//! | [`superblock`] | the two copies of the superblock, and which one counts |
//!
//! Each module imports only from those above it.

// What is marked so is of version 2: nothing reads or writes such images yet.
pub(crate) mod acl;
pub(crate) mod block;
pub(crate) mod error;
mod features;
pub(crate) mod geometry;
pub(crate) mod image_geometry;
pub(crate) mod item;
mod label;
pub(crate) mod node;
mod numbered;
pub(crate) mod pointer;
pub(crate) mod record;
pub(crate) mod space_block;
mod state;
pub(crate) mod superblock;
mod superblock_check;
pub(crate) mod superblock_error;
#[cfg(test)]
mod tests;
mod timestamp;

pub(crate) use block::Block;
pub use error::{FormatError, Problem, Structure};
pub(crate) use features::Features;
pub(crate) use image_geometry::ImageGeometry;
pub(crate) use item::{DirectoryHash, FileType, ItemKind, Key};
pub(crate) use label::Label;
pub(crate) use pointer::BlockPointer;
pub(crate) use state::SuperblockState;
pub(crate) use superblock::{DataMode, Superblock};
pub(crate) use timestamp::Timestamp;
