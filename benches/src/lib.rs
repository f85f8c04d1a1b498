//! What the suites share: the locks compared, what they are made to do, and how that is timed.
//!
//! | Module | What it is |
//! |---|---|
//! | [`contender`] | one interface over every lock that takes part |
//! | [`rivals`] | designs of range lock that others use, written here for comparison |
//! | [`workload`] | what a thread does with a lock, over and over |
//! | [`interleaved`] | times several workloads in turns, so that noise falls on all alike |
//! | [`mix`] | wide writers against narrow readers: how long each waits |
//! | [`herd`] | how often a waiting thread is woken for one grant |
//! | [`allocations`] | an allocator that counts |
//!
//! Results are in `RESULTS.md`, losses included. Run `cargo bench -p daxfs-benches`.

pub mod allocations;
pub mod contender;
pub mod herd;
pub mod interleaved;
pub mod mix;
pub mod rivals;
pub mod workload;

mod gate;
mod processors;
mod sleeps;
mod witness;
