//! Metadata on the medium: pointer trees read and written block by block.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`block`] | reads one block |
//! | [`tree`] | the stored shape of one pointer tree, and how a change of leaves changes it |
//! | [`reader`] | reads a tree, checking every block against the pointer to it |
//! | [`writer`] | writes changed blocks to free places, never over live ones |
//!
//! A change never overwrites a block that the last checkpoint reaches. Changed leaves go to free
//! blocks, then the index blocks above them, up to a new root: until the superblock names that
//! root, the old tree is whole. (Shadow paging, as in LMDB and redb.)
//!
//! Knows blocks and the format, not what the leaves mean to files. Takes no locks: one checkpoint
//! runs at a time.

mod block;
mod reader;
mod tree;
mod writer;

pub(crate) use block::read_block;
pub(crate) use reader::TreeReader;
pub(crate) use tree::StoredTree;
pub(crate) use writer::BlockWriter;

#[cfg(test)]
mod tests;
