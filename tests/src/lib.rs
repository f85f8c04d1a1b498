//! What the cross-crate tests share. The tests themselves are in `tests/`, beside this folder.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`choreography`] | holds threads at named points, so that one interleaving happens every time |
//! | [`crash`] | what a power failure may leave of a device |
//! | [`fixture`] | devices and mounted filesystems, and numbers that look random |
//! | [`model`] | an in-memory filesystem to compare with |
//! | [`stage`] | a file on which threads meet, and what can be seen of it |
//! | [`tree`] | trees of real files |
#![forbid(unsafe_code)]

pub mod choreography;
pub mod crash;
pub mod fixture;
pub mod model;
pub mod stage;
pub mod tree;
