//! What the criterion suites share: rival locks, and one interface over all locks compared.
//!
//! | Module | What it is |
//! |---|---|
//! | [`contender`] | the interface, and every lock that takes part |
//! | [`rivals`] | designs of range lock that others use, written here for comparison |
//!
//! Results are in `RESULTS.md`, losses included. Run `cargo bench -p daxfs-benches`.

pub mod contender;
pub mod rivals;
