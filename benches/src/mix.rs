//! An adversarial mix: writers of the whole file against readers of single pages, all of whom ask
//! again as soon as they have given back. How long does each wait, and does anyone starve?
//!
//! The pages lie so far apart that a writer's range is wide for any granule. Every page holds
//! counters that tell, so a lock that is fast because it excludes too little fails.
//!
//! Takes the lock measured.

use std::hint::spin_loop;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contender::Shared;
use crate::gate::Gate;
use crate::witness::Witness;
use crate::workload::PAGE_BYTES;

const PAGES: usize = 64;
const DISTANCE_BYTES: u64 = 1 << 20;
/// A reader stays for so many pauses of the processor, a microsecond or so: most of the time there
/// is a reader.
const READER_PAUSES: u32 = 32;

/// Who takes part, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Threads that write the whole file.
    pub wide_writers: usize,
    /// Threads that read one page at a time.
    pub narrow_readers: usize,
    /// How long new requests are made.
    pub duration: Duration,
}

/// How long the requests of each class waited.
#[derive(Debug)]
pub struct MixWaits {
    /// Those for the whole file.
    pub writers: Waits,
    /// Those for a page.
    pub readers: Waits,
}

/// How long requests waited, from call to grant.
#[derive(Debug)]
pub struct Waits {
    histogram: Histogram<u64>,
}

impl Waits {
    fn new() -> Self {
        // Two digits, any length.
        let histogram = Histogram::new(2).expect("two digits are allowed");
        Self { histogram }
    }

    fn record(&mut self, wait: Duration) {
        self.histogram
            .record(wait.as_nanos() as u64)
            .expect("the histogram grows");
    }

    fn add(mut self, other: &Self) -> Self {
        self.histogram
            .add(&other.histogram)
            .expect("the histogram grows");
        self
    }

    /// How many requests were granted.
    #[must_use]
    pub fn grants(&self) -> u64 {
        self.histogram.len()
    }

    /// The longest wait.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// Of a hundred requests, 99 waited no longer.
    #[must_use]
    pub fn percentile_99(&self) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(0.99))
    }
}

/// Lets them all loose on a new lock.
///
/// # Panics
///
/// If the lock excluded too little, or is not free at the end.
#[must_use]
pub fn run<L: Shared>(mix: Mix) -> MixWaits {
    let mixer = Mixer::<L> {
        lock: L::new(
            PAGES as u64 * DISTANCE_BYTES,
            mix.wide_writers + mix.narrow_readers,
        ),
        pages: [(); PAGES].map(|()| Witness::default()),
        writes: AtomicU64::new(0),
        gate: Gate::new(mix.wide_writers + mix.narrow_readers),
        duration: mix.duration,
    };
    let waits = thread::scope(|scope| {
        let mixer = &mixer;
        let writers: Vec<_> = (0..mix.wide_writers)
            .map(|_| scope.spawn(|| mixer.write_over_and_over()))
            .collect();
        let readers: Vec<_> = (0..mix.narrow_readers)
            .map(|thread| scope.spawn(move || mixer.read_over_and_over(thread)))
            .collect();
        let all = |threads: Vec<thread::ScopedJoinHandle<'_, Waits>>| {
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a thread found a mistake"))
                .fold(Waits::new(), |sum, waits| sum.add(&waits))
        };
        MixWaits {
            writers: all(writers),
            readers: all(readers),
        }
    });
    mixer.check();
    waits
}

struct Mixer<L> {
    lock: L,
    pages: [Witness; PAGES],
    writes: AtomicU64,
    gate: Gate,
    duration: Duration,
}

impl<L: Shared> Mixer<L> {
    fn write_over_and_over(&self) -> Waits {
        let mut writes = 0;
        let waits = self.repeat(|| {
            let asked = Instant::now();
            let _guard = self.lock.write_whole();
            let wait = asked.elapsed();
            self.pages.iter().for_each(Witness::begin_write);
            self.pages.iter().for_each(Witness::end_write);
            writes += 1;
            wait
        });
        self.writes.fetch_add(writes, Relaxed);
        waits
    }

    fn read_over_and_over(&self, thread: usize) -> Waits {
        let mut page = thread * PAGES / 4;
        self.repeat(|| {
            page = (page + 1) % PAGES;
            let start = page as u64 * DISTANCE_BYTES;
            let asked = Instant::now();
            let _guard = self.lock.read(start..start + PAGE_BYTES);
            let wait = asked.elapsed();
            self.pages[page].read();
            for _ in 0..READER_PAUSES {
                spin_loop();
            }
            self.pages[page].read();
            wait
        })
    }

    fn repeat(&self, mut request: impl FnMut() -> Duration) -> Waits {
        let mut waits = Waits::new();
        self.gate.join().meet();
        let deadline = Instant::now() + self.duration;
        while Instant::now() < deadline {
            waits.record(request());
        }
        waits
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
        for page in &self.pages {
            page.check_writes(self.writes.load(Relaxed), L::NAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::contender::{Exclusive, ParkingLot, Std, TreeOnly};

    const SHORT: Mix = Mix {
        wide_writers: 2,
        narrow_readers: 2,
        duration: Duration::from_millis(50),
    };

    #[test]
    fn everybody_is_served_and_counted() {
        for waits in [run::<TreeOnly>(SHORT), run::<ParkingLot>(SHORT)] {
            for class in [&waits.writers, &waits.readers] {
                assert!(class.grants() > 0);
                assert!(class.longest() >= class.percentile_99().mul_f64(0.98));
            }
        }
    }

    /// Writers exclude each other, but nobody else.
    struct DeafToReaders(Std);

    impl Exclusive for DeafToReaders {
        const NAME: &'static str = "deaf to readers";
        type Guard<'lock> = <Std as Exclusive>::Guard<'lock>;

        fn new(len_bytes: u64, guards: usize) -> Self {
            Self(Std::new(len_bytes, guards))
        }

        fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
            self.0.write(range)
        }

        fn write_whole(&self) -> Self::Guard<'_> {
            self.0.write_whole()
        }

        fn is_free(&self) -> bool {
            self.0.is_free()
        }
    }

    impl Shared for DeafToReaders {
        type ReadGuard<'lock> = ();

        fn read(&self, _range: Range<u64>) -> Self::ReadGuard<'_> {}
    }

    #[test]
    #[should_panic(expected = "a thread found a mistake")]
    fn a_lock_that_lets_readers_in_beside_a_writer_is_found_out() {
        let _ = run::<DeafToReaders>(Mix {
            duration: Duration::from_secs(2),
            ..SHORT
        });
    }

    /// Readers and writers exclude each other, but not writers among themselves.
    struct DeafToWriters(Std);

    impl Exclusive for DeafToWriters {
        const NAME: &'static str = "deaf to writers";
        type Guard<'lock> = <Std as Shared>::ReadGuard<'lock>;

        fn new(len_bytes: u64, guards: usize) -> Self {
            Self(Std::new(len_bytes, guards))
        }

        fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
            self.0.read(range)
        }

        fn write_whole(&self) -> Self::Guard<'_> {
            self.0.read(0..1)
        }

        fn is_free(&self) -> bool {
            self.0.is_free()
        }
    }

    impl Shared for DeafToWriters {
        type ReadGuard<'lock> = <Std as Exclusive>::Guard<'lock>;

        fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
            self.0.write(range)
        }
    }

    #[test]
    #[should_panic(expected = "let two writers in at once")]
    fn a_lock_that_lets_two_writers_in_is_found_out() {
        let _ = run::<DeafToWriters>(Mix {
            narrow_readers: 0,
            duration: Duration::from_secs(1),
            ..SHORT
        });
    }
}
