//! The one place that names `std` or `loom` for what faults, reads and writes of a file meet at.
//!
//! | Module | What it is for |
//! |---|---|
//! | `modelled` | the same inside a loom model |
//! | this file | the standard library's; what only models need |
//!
//! Everything in `dax`, `radix`, `inode::block_map` and `log::rounds` that two threads change is
//! named from here, so that a model explores the code that runs in production. What lies below
//! (free space, the inode and its latches, the rest of the log, the gate, the device) is the
//! standard library's in models too: no thread changes anything of this list while it holds one of
//! those, and no model closes the gate, so that loom has nothing to choose there.
//!
//! Models are small: under `cfg(loom)` a segment has 4 pages instead of 512, a node of a radix tree
//! 2 slots instead of 64, all entries share one wait queue. These are sizes of tables: no line of
//! code is another for them.
//!
//! Touches nothing. Takes no locks.

#[cfg(loom)]
mod modelled;

/// A number that tells what has happened, which no thread acts on. Models do not explore it.
pub(crate) use std::sync::atomic::AtomicU64 as Tally;
pub(crate) use std::sync::{Arc, PoisonError, atomic::Ordering};

#[cfg(loom)]
pub(crate) use modelled::{
    AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard,
    RwLockWriteGuard, fence, yield_now,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicU32, AtomicU64, fence},
    sync::{Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::yield_now,
};

/// Stands between a sequentially consistent store and a sequentially consistent load of another
/// word, where two threads do so crosswise and one must see the other's store.
///
/// The language needs nothing there: all four accesses are in one order. loom takes each for a
/// release or an acquire only, and has to be told with a fence.
#[inline(always)]
pub(crate) fn fence_between_sequentially_consistent() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Declares functions `const`, except in a model, whose locks cannot be made in a constant.
macro_rules! const_unless_modelled {
    ($($(#[$attribute:meta])* $visibility:vis const fn $name:ident($($arguments:tt)*) -> $result:ty
        $body:block)*) => {$(
        #[cfg(not(loom))]
        $(#[$attribute])* $visibility const fn $name($($arguments)*) -> $result $body
        #[cfg(loom)]
        $(#[$attribute])* $visibility fn $name($($arguments)*) -> $result $body
    )*};
}
pub(crate) use const_unless_modelled;

/// An array whose places are made one by one: in a constant, except in a model.
#[cfg(not(loom))]
macro_rules! array_of {
    ($make:expr; $len:expr) => {
        [const { $make }; $len]
    };
}
#[cfg(loom)]
macro_rules! array_of {
    ($make:expr; $len:expr) => {
        std::array::from_fn(|_| $make)
    };
}
pub(crate) use array_of;

/// Declares a table that is there from the start; in a model, anew in each run.
#[cfg(not(loom))]
macro_rules! static_table {
    (static $name:ident: $table:ty = $make:expr;) => {
        static $name: $table = $make;
    };
}
#[cfg(loom)]
macro_rules! static_table {
    (static $name:ident: $table:ty = $make:expr;) => {
        ::loom::lazy_static! {
            static ref $name: $table = $make;
        }
    };
}
pub(crate) use static_table;
