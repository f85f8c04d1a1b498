//! Tests of the records, by what they show.

mod damage;
mod layout;
mod refused;
mod round_trip;
pub(crate) mod strategies;
