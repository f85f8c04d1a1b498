//! Many ranges held by every thread at once: each pair gives back a thread's oldest range and locks
//! a new one. Dave Chinner's workload for the XFS range lock (linux-fsdevel, May 2019), there with
//! 100 ranges held by each thread.
//!
//! Takes the lock measured. No two threads ever ask for the same byte, so nobody waits for a range.

use std::hint::black_box;
use std::ops::Range;

use super::{PAGE_BYTES, Pairs, Workload};
use crate::contender::Exclusive;

/// Places among which the ranges of one thread wander, in ascending order and then from the start.
const PLACES: u64 = 1024;

/// Where the places of the threads lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Each thread has 8 MiB of its own: a page of every two.
    Areas,
    /// The pages of the threads alternate over the file.
    Interleaved,
    /// Eight bytes each, of all threads in turn: all of them in one granule of 2 MiB for up to 128
    /// threads.
    OneGranule,
}

/// Each thread holds a number of ranges.
pub struct Ring<L> {
    lock: L,
    threads: u64,
    held: usize,
    layout: Layout,
}

impl<L: Exclusive> Ring<L> {
    /// Each of `threads` holds `held` ranges.
    ///
    /// # Panics
    ///
    /// If a thread would run into its own ranges.
    #[must_use]
    pub fn new(threads: usize, held: usize, layout: Layout) -> Self {
        assert!((held as u64) < PLACES);
        let (stride, _) = layout.stride_and_len();
        Self {
            lock: L::new(threads as u64 * PLACES * stride, threads * held),
            threads: threads as u64,
            held,
            layout,
        }
    }

    fn range_at(&self, thread: u64, place: u64) -> Range<u64> {
        let (stride, len) = self.layout.stride_and_len();
        let start = stride
            * match self.layout {
                Layout::Areas => thread * PLACES + place,
                Layout::Interleaved | Layout::OneGranule => place * self.threads + thread,
            };
        start..start + len
    }
}

impl Layout {
    fn stride_and_len(self) -> (u64, u64) {
        match self {
            Self::Areas | Self::Interleaved => (2 * PAGE_BYTES, PAGE_BYTES),
            Self::OneGranule => (16, 8),
        }
    }
}

impl<L: Exclusive> Workload for Ring<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let thread = thread as u64;
        let mut ring: Vec<_> = (0..self.held as u64)
            .map(|place| Some(self.lock.write(self.range_at(thread, place))))
            .collect();
        let (mut oldest, mut place) = (0, self.held as u64);
        Box::new(move |pairs| {
            for _ in 0..pairs {
                ring[oldest] = None;
                let range = black_box(self.range_at(thread, place));
                ring[oldest] = Some(self.lock.write(range));
                oldest += 1;
                if oldest == self.held {
                    oldest = 0;
                }
                place = (place + 1) % PLACES;
            }
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::contender::TreeOnly;

    fn nobody_asks_for_anothers_bytes(layout: Layout) {
        const THREADS: usize = 3;
        let ring = Ring::<TreeOnly>::new(THREADS, 100, layout);
        let mut ranges: Vec<_> = (0..THREADS as u64)
            .flat_map(|thread| (0..PLACES).map(move |place| (thread, place)))
            .map(|(thread, place)| ring.range_at(thread, place))
            .collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let ring = &ring;
                scope.spawn(move || {
                    let mut pairs = ring.start(thread);
                    pairs(3 * PLACES);
                    assert!(!ring.lock.is_free());
                });
            }
        });
        ring.check();
    }

    #[test]
    fn rings_are_disjoint_in_every_layout() {
        nobody_asks_for_anothers_bytes(Layout::Areas);
        nobody_asks_for_anothers_bytes(Layout::Interleaved);
        nobody_asks_for_anothers_bytes(Layout::OneGranule);
    }
}
