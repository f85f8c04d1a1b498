//! Tests of the registry, by kind.

#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod sequential;
