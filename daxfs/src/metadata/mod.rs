//! Metadata on the medium: one copy-on-write tree of items, and the map of blocks in use.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`block`] | reads one block |
//! | [`node_cache`], [`node_reader`] | read nodes of the tree, checking each against its pointer |
//! | [`node_writer`] | writes nodes to free places, never over live ones |
//! | [`btree`] | the tree: look up, walk, replace items |
//! | [`space_map`] | which blocks are in use, as the medium has it |
//!
//! A change never overwrites a block that the last checkpoint reaches. Changed leaves go to free
//! blocks, then the index nodes above them, up to a new root: until the superblock names that
//! root, the old tree is whole. (Shadow paging, as in LMDB and redb.)
//!
//! Knows blocks and items, not what the items mean to files. Takes no locks but the cache's latch:
//! one checkpoint runs at a time.

mod block;
mod btree;
mod node_cache;
mod node_reader;
mod node_writer;
mod space_map;

pub(crate) use block::read_block;
pub(crate) use btree::{Replacement, Tree};
pub(crate) use node_cache::NodeCache;
pub(crate) use node_reader::NodeReader;
pub(crate) use node_writer::NodeWriter;
pub(crate) use space_map::{SpaceMap, SpaceRoot};
