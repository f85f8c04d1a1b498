//! Where threads meet to start something together.
//!
//! Whoever arrives spins until all have, so that as a rule every thread is running on a processor
//! of its own when it goes on. `std::sync::Barrier` would put them to sleep, and they would go on
//! one after the other. Locks: none; waits for the other threads.
//!
//! # Invariant
//!
//! A thread that panics between two meetings says so when its [`Party`] is dropped, and the others
//! panic as well, where they would otherwise wait for ever.

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::thread;

use crossbeam_utils::CachePadded;

/// Spins between offers of the processor to others, who may be the ones waited for.
const SPINS: u32 = 2_000;

/// A place where a fixed number of threads meets, again and again.
pub(crate) struct Gate {
    threads: u64,
    arrivals: CachePadded<AtomicU64>,
    is_abandoned: AtomicBool,
}

/// One thread's part in the meetings.
pub(crate) struct Party<'gate> {
    gate: &'gate Gate,
    arrivals_due: u64,
}

impl Gate {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads: threads as u64,
            arrivals: CachePadded::default(),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// To be called once by each thread.
    pub(crate) fn join(&self) -> Party<'_> {
        Party {
            gate: self,
            arrivals_due: 0,
        }
    }
}

impl Party<'_> {
    /// Waits until every thread has arrived as often as this one.
    ///
    /// # Panics
    ///
    /// If another thread panicked.
    pub(crate) fn meet(&mut self) {
        let gate = self.gate;
        self.arrivals_due += gate.threads;
        // Release and Acquire pair with each other in all threads: what anyone wrote before a
        // meeting (the number of pairs, that time is over) is seen by all after it.
        gate.arrivals.fetch_add(1, AcqRel);
        let mut spins = 0_u32;
        while gate.arrivals.load(Acquire) < self.arrivals_due {
            assert!(!gate.is_abandoned.load(Relaxed), "another thread panicked");
            spins += 1;
            if spins.is_multiple_of(SPINS) {
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.gate.is_abandoned.store(true, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_passes_before_all_have_arrived() {
        const THREADS: usize = 3;
        let gate = Gate::new(THREADS);
        let marks = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut party = gate.join();
                    for round in 1..=1_000 {
                        marks.fetch_add(1, Relaxed);
                        party.meet();
                        assert_eq!(marks.load(Relaxed), round * THREADS as u64);
                        party.meet();
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_frees_those_who_wait() {
        let gate = Gate::new(2);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| gate.join().meet());
            let panicking = scope.spawn(|| {
                let _party = gate.join();
                panic!("on purpose");
            });
            assert!(panicking.join().is_err());
            assert!(waiter.join().is_err());
        });
    }
}
