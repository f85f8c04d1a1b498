//! All threads write the same page, one after the other, and count what they write.
//!
//! Takes the lock measured.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{PAGE_BYTES, Pairs, Workload};
use crate::contender::Exclusive;
use crate::witness::Witness;

/// One page for all threads.
pub struct Contended<L> {
    lock: L,
    page: Witness,
    writes: AtomicU64,
}

impl<L: Exclusive> Contended<L> {
    /// With a new lock, for few threads.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lock: L::new(2 * PAGE_BYTES, 2),
            page: Witness::default(),
            writes: AtomicU64::new(0),
        }
    }
}

impl<L: Exclusive> Default for Contended<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Exclusive> Workload for Contended<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, _thread: usize) -> Pairs<'_> {
        let range = PAGE_BYTES..2 * PAGE_BYTES;
        Box::new(move |pairs| {
            for _ in 0..pairs {
                self.lock
                    .with_write(black_box(range.clone()), || self.page.write());
            }
            self.writes.fetch_add(pairs, Relaxed);
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
        self.page.check_writes(self.writes.load(Relaxed), L::NAME);
    }
}
