//! Tests of the log, by what they show.

mod append;
mod cut;
mod damage;
mod failure;
mod fixture;
#[cfg(loom)]
mod loom;
mod msync;
mod reservations;
#[cfg(not(loom))]
mod rounds;
mod stale;
mod threads;
mod wrap;
