//! Faults that a review found after the tests had passed, each with the test that would have found
//! it: symptom, cause and fix stand above the test.
//!
//! | Module | What it is for |
//! |---|---|
//! | `hold` | holds one thread at a point while another does something, and copies devices |
//! | `inodes` | a number that is another inode's by now |
//! | `lengths` | appends against whatever else moves the end of file |
//! | `lost_flush` | what an invalidation must not forget |
//! | `durability` | what a sync promises, and what a crash may leave |
//! | `space` | the blocks that are kept for metadata |
//! | `times` | when a file was last modified |
//! | `address_space` | a process that may have no more mappings |
//!
//! Interleavings are forced where there is a point to hold a thread at; elsewhere random rounds,
//! bounded by their number. Touches anonymous memory; takes no locks of its own but `hold`'s.
#![forbid(unsafe_code)]

mod address_space;
mod durability;
mod hold;
mod inodes;
mod lengths;
mod lost_flush;
mod space;
mod times;
