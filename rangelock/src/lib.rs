//! A fair, allocation-free reader/writer lock over byte ranges.
//!
#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! | Module | What it is |
//! |---|---|
//! | `lock`, `guard`, `pinned` | the public types |
//! | `layers` | the tree, with the slots above it or without |
//! | `span`, `mode` | which bytes, and shared or exclusive |
//! | `slots` | the fast path, without a mutex, for ranges inside one granule; essay, invariants |
//! | `tree` | the order of requests: who waits for whom; essay and invariants |
//! | `sync` | mutex and wait word over the platform's futex; the only place that names it |
//! | `probe` | faults and counters for tests; empty in ordinary builds |

mod guard;
mod layers;
mod lock;
mod mode;
mod pinned;
mod probe;
mod slots;
mod span;
mod sync;
mod tree;

pub use guard::{ReadGuard, WriteGuard};
pub use lock::RangeLock;
pub use pinned::{PinnedReadGuard, PinnedWriteGuard, RangeNode};
pub use slots::Granule;
