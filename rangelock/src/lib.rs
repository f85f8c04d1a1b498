//! A fair, allocation-free reader/writer lock over byte ranges.
//!
#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! | Module | What it is |
//! |---|---|
//! | `lock` | the lock |
//! | `guard`, `owned`, `pinned`, `future`, `many`, `owned_future`, `many_future` | the ways to hold a range of it |
//! | `data` | a buffer that is locked by ranges |
//! | `inspect` | what a lock tells about itself |
//! | `layers` | who goes to the slots and who to the tree |
//! | `span`, `mode` | which bytes, and shared or exclusive |
//! | `slots` | the fast path, without a mutex, for ranges inside one granule; essay, invariants |
//! | `tree` | the order of requests: who waits for whom; essay and invariants |
//! | `interval` | an interval tree of nodes that live elsewhere |
//! | `interval_map` | the same tree with nodes of its own: ranges that may overlap, and a value each |
//! | `sync` | mutex and wait word over the platform's futex; the only place that names it |
//! | `tally` | the feature `grant_counter`; empty without it |
//! | `probe` | faults and counters for tests; empty in ordinary builds |
//! | `watch` | the features `deadlock_detection` and `tracing`; empty without them |

mod data;
mod future;
mod guard;
mod inspect;
mod interval;
mod interval_map;
mod layers;
mod lock;
mod many;
mod many_future;
mod mode;
mod owned;
mod owned_future;
mod pinned;
mod probe;
mod slots;
mod span;
mod sync;
mod tally;
mod tree;
mod watch;

pub use data::{RangeLocked, ReadSlice, WriteSlice};
pub use future::{ReadFuture, WriteFuture};
pub use guard::{ReadGuard, WriteGuard};
pub use inspect::{Access, Counters, Entry, Snapshot};
pub use interval_map::{IntervalKey, IntervalMap};
pub use lock::RangeLock;
pub use many::{ManyGuard, RangeGuard};
pub use many_future::ManyFuture;
pub use owned::{OwnedReadGuard, OwnedWriteGuard};
pub use owned_future::{OwnedReadFuture, OwnedWriteFuture};
pub use pinned::{PinnedReadGuard, PinnedWriteGuard, RangeNode};
pub use slots::Granule;
