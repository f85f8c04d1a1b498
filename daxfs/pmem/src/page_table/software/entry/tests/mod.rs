//! Tests of an entry, by kind.

#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod sequential;
