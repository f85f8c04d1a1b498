//! Tests of the log, by what they show.

mod append;
mod cut;
mod damage;
mod failure;
mod fixture;
mod msync;
mod reservations;
mod stale;
mod threads;
mod wrap;
