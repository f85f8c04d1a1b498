//! A range lock from one word for each 4 KiB of the file.
//!
//! A word counts readers, or says that a writer is there. A range takes its segments one by one, in
//! ascending order, and waits by yielding. Two small ranges in one segment exclude each other
//! though they share no byte; a range of 1 MiB costs 256 atomic operations each way. Locks: the
//! words.

use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

const SEGMENT_BYTES: u64 = 4096;
const WRITER: u32 = 1 << 31;

/// Ranges rounded to segments of 4 KiB, of a file of fixed size.
#[derive(Debug)]
pub struct SegmentLock {
    segments: Box<[AtomicU32]>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Read,
    Write,
}

impl SegmentLock {
    /// Makes a lock for bytes `0..len_bytes`.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        let count = len_bytes.div_ceil(SEGMENT_BYTES);
        Self {
            segments: (0..count).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Waits until nobody writes in the segments of `range`, and shares them.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond the file.
    pub fn read(&self, range: Range<u64>) -> SegmentGuard<'_> {
        let segments = self.covered(&range);
        for segment in segments {
            // Acquire pairs with the Release of a writer's `drop`: its data must be seen.
            while segment
                .try_update(Acquire, Relaxed, |word| {
                    (word & WRITER == 0).then_some(word + 1)
                })
                .is_err()
            {
                thread::yield_now();
            }
        }
        SegmentGuard {
            segments,
            mode: Mode::Read,
        }
    }

    /// Waits until nobody is in the segments of `range`, and takes them.
    ///
    /// # Panics
    ///
    /// If the range reaches beyond the file.
    pub fn write(&self, range: Range<u64>) -> SegmentGuard<'_> {
        let segments = self.covered(&range);
        for segment in segments {
            // Acquire pairs with the Release in `drop`, of readers as well: what this writer does
            // must not reach those who read before.
            while segment
                .compare_exchange(0, WRITER, Acquire, Relaxed)
                .is_err()
            {
                thread::yield_now();
            }
        }
        SegmentGuard {
            segments,
            mode: Mode::Write,
        }
    }

    /// Whether nobody holds anything, as of now.
    pub fn is_free(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| segment.load(Relaxed) == 0)
    }

    fn covered(&self, range: &Range<u64>) -> &[AtomicU32] {
        if range.is_empty() {
            return &[];
        }
        let first = range.start / SEGMENT_BYTES;
        let last = (range.end - 1) / SEGMENT_BYTES;
        &self.segments[first as usize..=last as usize]
    }
}

/// Segments held; given back when dropped.
#[derive(Debug)]
pub struct SegmentGuard<'lock> {
    segments: &'lock [AtomicU32],
    mode: Mode,
}

impl Drop for SegmentGuard<'_> {
    fn drop(&mut self) {
        for segment in self.segments {
            // Release pairs with the Acquire of whoever takes the segment next.
            match self.mode {
                Mode::Read => segment.fetch_sub(1, Release),
                Mode::Write => segment.swap(0, Release),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_count_readers_and_mark_writers() {
        let lock = SegmentLock::new(5 * SEGMENT_BYTES);
        let words = || {
            lock.segments
                .iter()
                .map(|word| word.load(Relaxed))
                .collect::<Vec<_>>()
        };
        let wide = lock.read(0..2 * SEGMENT_BYTES + 1);
        let narrow = lock.read(SEGMENT_BYTES..SEGMENT_BYTES + 1);
        let writer = lock.write(4 * SEGMENT_BYTES - 1..4 * SEGMENT_BYTES + 1);
        assert_eq!(words(), [1, 2, 1, WRITER, WRITER]);
        drop((wide, narrow, writer));
        assert_eq!(words(), [0; 5]);
    }
}
