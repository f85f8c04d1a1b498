//! Metadata on the medium: pointer trees read and written block by block.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`block`] | reads one block |
//! | [`btree`] | version 2: the one tree of items |
//! | [`node_reader`], [`node_cache`] | version 2: reads nodes, keeps index nodes |
//! | [`node_writer`] | version 2: writes nodes and the space map |
//! | [`space_map`] | version 2: which blocks are in use |
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
// What is marked so is of format version 2: nothing reads or writes such images yet.
#[allow(dead_code)] // version 2
mod btree;
#[allow(dead_code)] // version 2
mod node_cache;
#[allow(dead_code)] // version 2
mod node_reader;
#[allow(dead_code)] // version 2
mod node_writer;
mod reader;
#[allow(dead_code)] // version 2
mod space_map;
mod tree;
mod writer;

pub(crate) use block::read_block;
#[allow(unused_imports)] // version 2
pub(crate) use btree::{Replacement, Tree};
#[allow(unused_imports)] // version 2
pub(crate) use node_cache::NodeCache;
#[allow(unused_imports)] // version 2
pub(crate) use node_reader::NodeReader;
#[allow(unused_imports)] // version 2
pub(crate) use node_writer::NodeWriter;
pub(crate) use reader::TreeReader;
#[allow(unused_imports)] // version 2
pub(crate) use space_map::{SpaceMap, SpaceRoot};
pub(crate) use tree::StoredTree;
pub(crate) use writer::BlockWriter;

#[cfg(test)]
mod tests;
