//! Two common designs of range lock, as plain as their users write them.
//!
//! * [`SplitMapLock`]: a mutex, an ordered map of disjoint pieces, a condition variable. Roughly
//!   what OpenZFS does (`zfs_rlock.c`), and what one writes first.
//! * [`SegmentLock`]: a word for each 4 KiB. Roughly what OdinFS (OSDI 2022) and pNOVA (IEEE Access
//!   2021) do.

mod segments;
mod split_map;

pub use segments::{SegmentGuard, SegmentLock};
pub use split_map::{SplitMapGuard, SplitMapLock};
