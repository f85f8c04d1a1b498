//! All threads use the same page: nine of ten requests read, one writes. What the page holds shows
//! whether the lock excluded whom it should.
//!
//! Takes the lock measured.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{PAGE_BYTES, Pairs, Workload};
use crate::contender::Shared;
use crate::witness::Witness;

/// One request of so many writes.
const WRITE_EVERY: u64 = 10;

/// One page for all threads.
pub struct Hot<L> {
    lock: L,
    page: Witness,
    writes: AtomicU64,
}

impl<L: Shared> Hot<L> {
    /// For so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            lock: L::new(2 * PAGE_BYTES, threads),
            page: Witness::default(),
            writes: AtomicU64::new(0),
        }
    }
}

impl<L: Shared> Workload for Hot<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let range = PAGE_BYTES..2 * PAGE_BYTES;
        // Threads take turns in writing.
        let mut request = thread as u64 * 3;
        Box::new(move |pairs| {
            let mut writes = 0;
            for _ in 0..pairs {
                request += 1;
                if request.is_multiple_of(WRITE_EVERY) {
                    let _guard = self.lock.write(black_box(range.clone()));
                    self.page.write();
                    writes += 1;
                } else {
                    let _guard = self.lock.read(black_box(range.clone()));
                    self.page.read();
                }
            }
            self.writes.fetch_add(writes, Relaxed);
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
        self.page.check_writes(self.writes.load(Relaxed), L::NAME);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::contender::TreeOnly;

    #[test]
    fn every_tenth_request_writes_and_none_is_lost() {
        let hot = Hot::<TreeOnly>::new(2);
        thread::scope(|scope| {
            for thread in 0..2 {
                let hot = &hot;
                scope.spawn(move || hot.start(thread)(1_000));
            }
        });
        assert_eq!(hot.writes.load(Relaxed), 200);
        hot.check();
    }
}
