//! Tests of the format: what is written reads back, damage is found, and no bytes do harm.

mod damage;
mod geometry;
mod layout;
mod round_trip;
mod strategies;
