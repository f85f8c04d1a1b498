//! I/O lock `segment`: one exclusive lock for each 2 MiB, held across the copy.
//!
//! # Why
//! It is what entry locks would be for reads and writes if they were held across the I/O, as the
//! thread considers and rejects: the entry of a huge page is one exclusive lock bit for 2 MiB. Kept
//! to be measured. It is not the entry's own lock, since the copy touches user memory, which may be
//! a mapping of the same bytes: its fault would wait for the entry that the copy holds.
//!
//! # Locking
//! [`STRIPES`] mutexes a file; segments that lie that many apart share one. A range locks its
//! stripes in ascending order, so that no two wait for each other. No fault takes them, so they
//! need not be fit for a signal handler.

use std::ops::Range;

use daxfs_pmem::HUGE_PAGE_BYTES;
use parking_lot::Mutex;

const STRIPES: usize = 64;

/// A lock on cache lines of its own: neighbours are locked by different threads.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<()>);

pub(crate) struct SegmentIoLock {
    stripes: Box<[Stripe; STRIPES]>,
}

impl Default for SegmentIoLock {
    fn default() -> Self {
        Self {
            stripes: Box::new(std::array::from_fn(|_| Stripe::default())),
        }
    }
}

impl SegmentIoLock {
    // ---- Shared -------------------------------------------------------------------------------

    /// As exclusive: an entry lock knows no readers.
    pub(crate) fn shared<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        self.exclusive(bytes, section)
    }

    // ---- Exclusive ----------------------------------------------------------------------------

    pub(crate) fn exclusive<T>(&self, bytes: Range<u64>, section: impl FnOnce() -> T) -> T {
        let first = bytes.start / HUGE_PAGE_BYTES;
        let segments = (bytes.end.max(bytes.start + 1) - 1) / HUGE_PAGE_BYTES - first + 1;
        if segments == 1 {
            let _guard = self.stripes[(first % STRIPES as u64) as usize].0.lock();
            return section();
        }
        let guards: Vec<_> = self
            .stripes
            .iter()
            .enumerate()
            .filter(|(stripe, _)| is_of(*stripe as u64, first, segments))
            .map(|(_, stripe)| stripe.0.lock())
            .collect();
        let result = section();
        drop(guards);
        result
    }

    // ---- What it takes ------------------------------------------------------------------------

    /// Beside the lock's own size.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.stripes)
    }
}

/// Whether one of `segments` segments from `first` on has this stripe.
fn is_of(stripe: u64, first: u64, segments: u64) -> bool {
    let stripes = STRIPES as u64;
    (stripe + stripes - first % stripes) % stripes < segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_stripes_of_its_segments_and_no_others() {
        for (first, segments) in [(0, 1), (62, 4), (130, 3), (5, 64), (5, 1000)] {
            for stripe in 0..STRIPES as u64 {
                let expected = (first..first + segments).any(|segment| segment % 64 == stripe);
                assert_eq!(is_of(stripe, first, segments), expected, "{first} {stripe}");
            }
        }
    }
}
