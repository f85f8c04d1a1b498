//! Tests of the check and of the repair: whole images pass, each kind of damage is named and
//! repaired, what was healthy stays as it was, and no bytes do harm.

mod access_control;
mod builder;
mod checksums;
mod damage;
mod device;
mod log;
mod mounted;
mod namespace;
mod random;
mod repair;
mod tree;
mod whole;
