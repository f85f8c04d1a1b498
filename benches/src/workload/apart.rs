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
    inside: PhantomData<fn() -> I>,
}

impl<L: Exclusive, I: Inside> Apart<L, I> {
    /// For so many threads, whose pages begin `distance_bytes` apart.
    #[must_use]
    pub fn new(threads: usize, distance_bytes: u64) -> Self {
        let len_bytes = threads as u64 * distance_bytes + PAGE_BYTES;
        Self {
            lock: L::new(len_bytes, threads),
            distance_bytes,
            inside: PhantomData,
        }
    }
}

impl<L: Exclusive, I: Inside> Workload for Apart<L, I> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        let start = thread as u64 * self.distance_bytes;
        let range = start..start + PAGE_BYTES;
        let mut inside = I::new(thread);
        Box::new(move |pairs| {
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
