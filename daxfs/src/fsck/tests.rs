//! Tests of the check: whole images pass, each kind of damage is named, and no bytes do harm.

mod builder;
mod damage;
mod model;
mod namespace;
mod whole;
