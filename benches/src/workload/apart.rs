//! Threads side by side, each with a page of its own: what they pay for sharing a lock, and two
//! controls that share nothing.
//!
//! Takes the lock measured.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Mutex;

use crossbeam_utils::CachePadded;

use super::{Inside, PAGE_BYTES, Pairs, Workload};
use crate::contender::Exclusive;

/// Each thread writes one page, always the same.
pub struct Apart<L, I> {
    lock: L,
    distance_bytes: u64,
    company: Company,
    inside: PhantomData<fn() -> I>,
}

/// Who else uses the lock meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Nobody,
    /// Somebody holds all that lies beyond the threads' pages.
    WideHolder,
}

impl<L: Exclusive, I: Inside> Apart<L, I> {
    /// For so many threads, whose pages begin `distance_bytes` apart.
    #[must_use]
    pub fn new(threads: usize, distance_bytes: u64) -> Self {
        let len_bytes = threads as u64 * distance_bytes + PAGE_BYTES;
        Self {
            lock: L::new(len_bytes, threads),
            distance_bytes,
            company: Company::Nobody,
            inside: PhantomData,
        }
    }

    /// The same while somebody holds 32 MiB beyond the threads' pages.
    #[must_use]
    pub fn beside_a_wide_holder(threads: usize, distance_bytes: u64) -> Self {
        let len_bytes = BEYOND_BYTES + WIDE_BYTES;
        Self {
            lock: L::new(len_bytes, threads + 1),
            company: Company::WideHolder,
            ..Self::new(threads, distance_bytes)
        }
    }

    /// Taken by the first thread, and kept as long as it works.
    fn wide_guard(&self, thread: usize) -> Option<L::Guard<'_>> {
        let is_wanted = thread == 0 && self.company == Company::WideHolder;
        is_wanted.then(|| self.lock.write(BEYOND_BYTES..BEYOND_BYTES + WIDE_BYTES))
    }
}

/// Where the wide holder's range begins, beyond all threads, and how long it is.
const BEYOND_BYTES: u64 = 32 << 20;
const WIDE_BYTES: u64 = 32 << 20;

impl<L: Exclusive, I: Inside> Workload for Apart<L, I> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let start = thread as u64 * self.distance_bytes;
        let range = start..start + PAGE_BYTES;
        let mut inside = I::new(thread);
        let wide = self.wide_guard(thread);
        Box::new(move |pairs| {
            let _wide = &wide;
            for _ in 0..pairs {
                self.lock
                    .with_write(black_box(range.clone()), || inside.work());
            }
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
    }
}

/// The control: a mutex for each thread, on a cache line of its own.
#[derive(Debug)]
pub struct PrivateMutexes<I> {
    mutexes: Vec<CachePadded<Mutex<()>>>,
    inside: PhantomData<fn() -> I>,
}

impl<I: Inside> PrivateMutexes<I> {
    /// What it is called.
    pub const NAME: &'static str = "a std Mutex each (control)";

    /// For so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            mutexes: (0..threads).map(|_| CachePadded::default()).collect(),
            inside: PhantomData,
        }
    }
}

impl<I: Inside> Workload for PrivateMutexes<I> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let mutex = &self.mutexes[thread];
        let mut inside = I::new(thread);
        Box::new(move |pairs| {
            for _ in 0..pairs {
                let _guard = black_box(mutex).lock().expect("no holder panics");
                inside.work();
            }
        })
    }

    fn check(&self) {
        assert!(self.mutexes.iter().all(|mutex| mutex.try_lock().is_ok()));
    }
}

/// The work without any lock.
#[derive(Debug, Default)]
pub struct NoLock<I>(PhantomData<fn() -> I>);

impl<I: Inside> NoLock<I> {
    /// What it is called.
    pub const NAME: &'static str = "no lock";

    /// Nothing is kept.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<I: Inside> Workload for NoLock<I> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let mut inside = I::new(thread);
        Box::new(move |pairs| {
            for _ in 0..pairs {
                inside.work();
            }
        })
    }

    fn check(&self) {}
}
