//! Finding the window of an address from inside a signal handler.
//!
//! # Why
//! A signal handler can interrupt anything, so a lock that the interrupted thread may hold must not
//! be waited for, and nothing may be allocated. Windows meanwhile come and go in other threads.
//! Hence a read-copy-update scheme: writers build a new sorted list and publish its address;
//! readers count themselves in, search the list that they find, and count themselves out.
//!
//! # States
//! ```text
//!   writer (mutex held)                       reader
//!   -------------------                       ------
//!   build the new list                        readers += 1          (a)
//!   old = swap(list, new)            (1)      list = load(list)     (b)
//!   retired += old                            search, clone a handle
//!   if (readers += 0) == 0:          (2)      readers -= 1          (c)
//!       free retired
//! ```
//!
//! `readers` is sharded, so that faults of different threads share no line: a reader uses the shard
//! of its stack, the same in (a) and (c), and (2) looks at all of them, one after the other.
//!
//! # Invariants
//! 1. A list is changed by nobody after it was published.
//! 2. A reader that can see a retired list was counted in before step (2) of the writer that
//!    retired it. (a), (c) and (2) all change the reader's shard by reading and writing it at once,
//!    so they have one order, and each sees the one before it. If (2) comes before (a), then (a)
//!    acquires what (2) released, hence (b) finds the list of (1). If (a) comes before (2), the
//!    writer finds the reader counted, or acquires what (c) released, hence the search is over. A
//!    plain load in place of (2) could find an old count while (b) finds the old list.
//! 3. A writer that finds readers frees nothing and leaves it to the next one: it never waits, and
//!    a reader never waits either.
//!
//! What a list refers to it does not keep alive (its records hold `Weak` handles), so that a
//! retired list delays nobody's end.
//!
//! Touches its own lists. Takes the writers' mutex, outermost, and nothing under it.

use std::ops::Range;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::page_table::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::shard;

/// As many threads as fault at a time; two under loom, which tries all interleavings.
const SHARDS: usize = if cfg!(loom) { 2 } else { 32 };

/// What is registered for a range of addresses.
#[derive(Debug)]
struct Record<T> {
    range: Range<usize>,
    value: T,
}

/// A list of records, sorted by address; their ranges do not overlap.
type List<T> = Vec<Record<T>>;

/// Records by address, searched without waiting.
pub(super) struct Registry<T> {
    list: AtomicPtr<List<T>>,
    readers: [CachePadded<AtomicUsize>; SHARDS],
    retired: Mutex<Vec<Retired<T>>>,
}

/// A list that was replaced and that a reader may still be searching.
struct Retired<T>(*mut List<T>);

// SAFETY: a retired list is reached by its address only, and freed under the writers' mutex.
unsafe impl<T: Send> Send for Retired<T> {}

impl<T: Clone> Registry<T> {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            list: AtomicPtr::new(std::ptr::null_mut()),
            readers: [const { CachePadded::new(AtomicUsize::new(0)) }; SHARDS],
            retired: Mutex::new(Vec::new()),
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self {
            list: AtomicPtr::new(std::ptr::null_mut()),
            readers: std::array::from_fn(|_| CachePadded::new(AtomicUsize::new(0))),
            retired: Mutex::new(Vec::new()),
        }
    }

    /// Calls `then` with the record of an address. Never waits, allocates or frees.
    pub(super) fn find<R>(&self, address: usize, then: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        self.find_in(shard::of_this_thread(SHARDS), address, then)
    }

    /// The same, counted in that shard.
    fn find_in<R>(
        &self,
        shard: usize,
        address: usize,
        then: impl FnOnce(&T) -> Option<R>,
    ) -> Option<R> {
        let readers = &self.readers[shard];
        // Acquire: step (a) partners with step (2); without it step (b) could find a list that has
        // been freed.
        readers.fetch_add(1, Ordering::Acquire);
        // Acquire: step (b) partners with step (1); without it the records could be seen before
        // they were built.
        let list = self.list.load(Ordering::Acquire);
        // SAFETY: null, or a list that is not freed while this reader is counted (invariant 2).
        let found = unsafe { list.as_ref() }.and_then(|list| {
            let behind = list.partition_point(|record| record.range.end <= address);
            let record = list
                .get(behind)
                .filter(|record| record.range.contains(&address))?;
            then(&record.value)
        });
        // Release: step (c) partners with step (2); without it the list could be freed while the
        // search is still running.
        readers.fetch_sub(1, Ordering::Release);
        found
    }

    /// Registers a range that overlaps no other.
    pub(super) fn insert(&self, range: Range<usize>, value: T) {
        self.publish(|list| {
            let place = list.partition_point(|record| record.range.start < range.start);
            list.insert(place, Record { range, value });
        });
    }

    /// Forgets the range that begins at `start`.
    pub(super) fn remove(&self, start: usize) {
        self.publish(|list| list.retain(|record| record.range.start != start));
    }

    fn publish(&self, change: impl FnOnce(&mut List<T>)) {
        let mut retired = self.retired.lock();
        // Acquire: partners with the last writer's swap; its mutex orders the two as well.
        let current = self.list.load(Ordering::Acquire);
        // SAFETY: null, or the current list, which only a holder of the mutex retires.
        let mut list: List<T> = unsafe { current.as_ref() }.map_or_else(Vec::new, |list| {
            let copied = list.iter();
            copied
                .map(|Record { range, value }| Record {
                    range: range.clone(),
                    value: value.clone(),
                })
                .collect()
        });
        change(&mut list);
        // Release: step (1) partners with step (b), which has to see the list as it was built.
        let old = self
            .list
            .swap(Box::into_raw(Box::new(list)), Ordering::Release);
        if !old.is_null() {
            retired.push(Retired(old));
        }
        // Release: step (2) partners with step (a). Acquire: it partners with step (c).
        let is_idle =
            |readers: &CachePadded<AtomicUsize>| readers.fetch_add(0, Ordering::AcqRel) == 0;
        if self.readers.iter().all(is_idle) {
            free(&mut retired);
        }
    }
}

fn free<T>(retired: &mut Vec<Retired<T>>) {
    for Retired(list) in retired.drain(..) {
        // SAFETY: the address came from `Box::into_raw` and is freed once; no reader that was not
        // counted can find it any more (invariant 2).
        drop(unsafe { Box::from_raw(list) });
    }
}

impl<T> Drop for Registry<T> {
    fn drop(&mut self) {
        free(self.retired.get_mut());
        // Relaxed: `&mut self` says that nobody else is here.
        let list = self.list.load(Ordering::Relaxed);
        if !list.is_null() {
            // SAFETY: the last list, published by `publish` and never freed before.
            drop(unsafe { Box::from_raw(list) });
        }
    }
}

#[cfg(test)]
mod tests;
