//! What a loom model takes in the standard library's place.
//!
//! loom has atomics, mutexes and condition variables; a cell that is set once is made of those
//! here. Takes a mutex of its own while a cell is set.

use std::sync::atomic::Ordering;

pub(crate) use ::loom::sync::atomic::{AtomicU32, AtomicU64, fence};
pub(crate) use ::loom::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
pub(crate) use ::loom::thread::yield_now;

/// [`std::sync::OnceLock`]: the value lies in one, and what threads know of it in an atomic.
pub(crate) struct OnceLock<T> {
    is_set: AtomicU32,
    setting: Mutex<()>,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            is_set: AtomicU32::new(0),
            setting: Mutex::new(()),
            value: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire: pairs with the release in `get_or_init`, as the standard library's does.
        match self.is_set.load(Ordering::Acquire) {
            0 => None,
            _ => self.value.get(),
        }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _setting = self.setting.lock();
        if self.value.get().is_none() {
            // Made before the cell is touched: to make it may take steps, at which others run.
            let made = make();
            let value = self.value.get_or_init(|| made);
            // Release: pairs with the acquire in `get`.
            self.is_set.store(1, Ordering::Release);
            return value;
        }
        self.value.get_or_init(make)
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}
