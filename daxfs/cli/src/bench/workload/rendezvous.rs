//! A barrier for threads that must leave it within nanoseconds of each other.
//!
//! Why not the standard one: it puts waiters to sleep, and they wake microseconds apart, which is
//! longer than the race windows that DWFM wants to hit. Why not only spin: there may be more
//! threads than cores, so a waiter that has spun for a while yields its core.
//!
//! ```text
//! arrived: 0 -> 1 -> ... -> parties - 1 -> 0     the last to arrive resets it, and then
//! round:   r ---------------------------> r + 1  lets the others go
//! ```
//!
//! Invariant 1: `arrived` is reset before `round` changes, so that nobody can arrive for the next
//! round before the count is that of the next round.
//! Invariant 2: `round` changes only when every party has arrived; so the round that a party
//! reads before it arrives is the one that it then waits to see the end of.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};
use crossbeam_utils::CachePadded;

const SPINS_BEFORE_YIELD: u32 = 2_000;

/// A barrier that can be broken.
pub(super) struct Rendezvous {
    parties: usize,
    arrived: CachePadded<AtomicUsize>,
    round: CachePadded<AtomicUsize>,
    broken: AtomicBool,
}

impl Rendezvous {
    /// A barrier for `parties` threads.
    pub(super) fn new(parties: usize) -> Self {
        Self {
            parties,
            arrived: CachePadded::default(),
            round: CachePadded::default(),
            broken: AtomicBool::new(false),
        }
    }

    /// Waits until all parties have arrived.
    ///
    /// What any party did before it arrived happens before what every party does afterwards.
    ///
    /// # Errors
    /// If a party left for good ([`Rendezvous::break_on_drop`]).
    pub(super) fn wait(&self) -> Result<()> {
        let round = self.round.load(Ordering::Relaxed);
        // Release hands on what this party did, Acquire takes what the earlier ones did; partner:
        // the other parties' additions. Without them the last would not see all the others' work.
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.parties {
            self.arrived.store(0, Ordering::Relaxed); // Invariant 1, by the Release below.
            // Partner: the Acquire below. Without it a waiter could go on with old data.
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return Ok(());
        }
        let mut spins = 0;
        // Partner: the Release above.
        while self.round.load(Ordering::Acquire) == round {
            if self.broken.load(Ordering::Relaxed) {
                bail!("another thread of the workload failed");
            }
            spins += 1;
            if spins > SPINS_BEFORE_YIELD {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
        Ok(())
    }

    /// Breaks the barrier when the guard goes, so that nobody waits for a thread that panicked.
    pub(super) fn break_on_drop(&self) -> BreakOnDrop<'_> {
        BreakOnDrop(self)
    }
}

/// See [`Rendezvous::break_on_drop`].
pub(super) struct BreakOnDrop<'a>(&'a Rendezvous);

impl Drop for BreakOnDrop<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_a_round_ahead_and_everybody_sees_what_was_done_before() {
        const PARTIES: usize = 4;
        const ROUNDS: usize = 500;
        let rendezvous = Rendezvous::new(PARTIES);
        let done: Vec<AtomicUsize> = (0..PARTIES).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|scope| {
            for own in &done {
                scope.spawn(|| {
                    for round in 1..=ROUNDS {
                        own.store(round, Ordering::Relaxed);
                        rendezvous.wait().expect("nobody broke it");
                        for other in &done {
                            assert_eq!(other.load(Ordering::Relaxed), round);
                        }
                        rendezvous.wait().expect("nobody broke it");
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_releases_those_who_wait() {
        let rendezvous = Rendezvous::new(2);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| rendezvous.wait());
            let panicking = scope.spawn(|| {
                let _guard = rendezvous.break_on_drop();
                panic!("on purpose");
            });
            assert!(panicking.join().is_err());
            assert!(waiter.join().expect("no panic here").is_err());
        });
    }
}
