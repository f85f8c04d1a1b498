//! A fair, allocation-free reader/writer lock over byte ranges.
//!
#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! | Module | What it is |
//! |---|---|
//! | `lock`, `guard`, `pinned` | the public types |
//! | `span`, `mode` | which bytes, and shared or exclusive |
//! | `tree` | the algorithm: the order of requests, with its essay and invariants |
//! | `sync` | mutex and wait word over the platform's futex; the only place that names it |
//! | `probe` | faults and counters for tests; empty in ordinary builds |

mod guard;
mod lock;
mod mode;
mod pinned;
mod probe;
mod span;
mod sync;
mod tree;

pub use guard::{ReadGuard, WriteGuard};
pub use lock::RangeLock;
pub use pinned::{PinnedReadGuard, PinnedWriteGuard, RangeNode};
