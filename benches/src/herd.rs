//! How often a waiting thread is woken for one grant. The ideal is once: who is woken has the range
//! and goes on. Where a release wakes all who wait, most find it taken and sleep again.
//!
//! # How it is counted
//!
//! From outside, the same for every lock: a thread that waits for a range reads, before it asks and
//! after it was granted, how often the kernel has put it to sleep. Every sleep was ended by a
//! wake-up. Threads arrive one by one, each only when the one before sleeps, so that none of them
//! sleeps for the sake of the lock's own mutex; and none of them ends before all have been counted,
//! because the end of a thread changes the address space, for which the kernel has a lock as well.
//!
//! Not counted: calls of the kernel that wake nobody.
//!
//! Takes the lock measured.

use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::Exclusive;
use crate::sleeps::{id_of_this_thread, is_asleep, sleeps_of_this_thread};
use crate::workload::PAGE_BYTES;

/// A lock under which a waiting thread is not asleep after this time does not put it to sleep.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Each waits for a page of its own, and one release of the whole file frees all.
    Fan,
    /// All wait for the same page, and each release frees the next.
    Chain,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WakeUps {
    /// Requests that slept before they were granted.
    pub slept: u64,
    /// How often they were woken, all together.
    pub wakes: u64,
}

impl WakeUps {
    /// Wake-ups for each grant to one that slept.
    #[must_use]
    pub fn per_grant(self) -> f64 {
        self.wakes as f64 / self.slept as f64
    }
}

/// Lets so many threads wait, `rounds` times. Nothing if the lock does not put them to sleep, or if
/// the system does not say how often they sleep.
#[must_use]
pub fn count<L: Exclusive>(queue: Queue, waiters: usize, rounds: usize) -> Option<WakeUps> {
    let mut sum = WakeUps::default();
    for _ in 0..rounds {
        for wakes in one_round::<L>(queue, waiters)? {
            sum.slept += u64::from(wakes > 0);
            sum.wakes += wakes;
        }
    }
    Some(sum)
}

/// How often each of the waiters was woken.
fn one_round<L: Exclusive>(queue: Queue, waiters: usize) -> Option<Vec<u64>> {
    let lock = L::new((waiters as u64 + 1) * PAGE_BYTES, waiters + 1);
    let all_counted = Barrier::new(waiters);
    let ids: Vec<_> = (0..waiters).map(|_| AtomicU32::new(0)).collect();
    let holder = match queue {
        Queue::Fan => lock.write_whole(),
        Queue::Chain => lock.write(queue.range(0)),
    };
    let wakes = thread::scope(|scope| {
        let mut all_sleep = true;
        let threads: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(at, id)| {
                let (lock, all_counted) = (&lock, &all_counted);
                let thread = scope.spawn(move || {
                    let wakes = wait_once(lock, queue.range(at), id);
                    all_counted.wait();
                    wakes
                });
                all_sleep &= wait_until_asleep(id);
                thread
            })
            .collect();
        drop(holder);
        let wakes: Option<Vec<_>> = threads
            .into_iter()
            .map(|thread| thread.join().expect("waiting does not panic"))
            .collect();
        wakes.filter(|_| all_sleep)
    });
    assert!(lock.is_free(), "{} is still held", L::NAME);
    wakes
}

/// What a waiter does; says how often it was woken.
fn wait_once<L: Exclusive>(lock: &L, range: Range<u64>, id: &AtomicU32) -> Option<u64> {
    let before = sleeps_of_this_thread();
    // Release pairs with the Acquire of whoever looks whether this thread sleeps: what it did so
    // far, which may include sleeping, is over by then.
    id.store(id_of_this_thread().unwrap_or(u32::MAX), Release);
    let guard = lock.write(range);
    let after = sleeps_of_this_thread();
    drop(guard);
    Some(after? - before?)
}

fn wait_until_asleep(id: &AtomicU32) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let id = id.load(Acquire);
        if id != 0 && is_asleep(id) {
            return true;
        }
        thread::yield_now();
    }
    false
}

impl Queue {
    fn range(self, waiter: usize) -> Range<u64> {
        let page = match self {
            Self::Fan => waiter as u64,
            Self::Chain => 0,
        };
        page * PAGE_BYTES..(page + 1) * PAGE_BYTES
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::contender::{Segments, SplitMap, TreeOnly};

    #[test]
    fn every_waiter_sleeps_and_a_herd_is_seen() {
        const WAITERS: usize = 4;
        let ours = count::<TreeOnly>(Queue::Chain, WAITERS, 1).expect("it puts waiters to sleep");
        assert_eq!(ours.slept, WAITERS as u64);
        let herd = count::<SplitMap>(Queue::Chain, WAITERS, 3).expect("it puts waiters to sleep");
        assert!(herd.wakes > ours.wakes * 3, "{herd:?}");
    }

    #[test]
    fn locks_that_spin_are_not_counted() {
        assert_eq!(count::<Segments>(Queue::Chain, 1, 1), None);
    }
}
