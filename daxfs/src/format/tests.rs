//! Tests of the format: what is written reads back, damage is found, and no bytes do harm.

mod examples;
mod items;
mod layout;
mod nodes;
mod superblock;
