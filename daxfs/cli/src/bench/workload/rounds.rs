//! Workloads in rounds: DWFM, DWPM, DTRF, DWAM. All threads meet, act at once, meet again, and one
//! of them judges what came of it while nobody else touches the file.
//!
//! ```text
//! thread 0          rendezvous    all threads     rendezvous    thread 0
//! sets the stage   ------|------  act, stag-   ------|-------  judges
//!                        |        gered              |
//! ```
//!
//! Thread 0 alone decides whether there is another round, so that all leave together. Each thread
//! waits for a short random time before it acts, so that the windows of a race meet in every order.
//! Only what the threads do in between is counted.
//!
//! With one thread, that thread acts in every part in turn, and then judges.
//!
//! Touches nothing itself. Its own synchronisation is the [`Rendezvous`], and a mutex for the first
//! error.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result};

use super::random::Random;
use super::rendezvous::Rendezvous;
use super::stamp;
use crate::bench::harness::{Coherence, Recorder, Workload};

/// The longest random wait before an operation, in spins: a few microseconds, about as long as a
/// fault takes.
const STAGGER_SPINS_MAX: u64 = 256;

/// What is done in a round.
pub(super) trait Contest: Sync {
    /// How many stamps a round of `threads` threads needs.
    fn stamps(&self, threads: usize) -> u64;

    /// How many parts there are to play when one thread must play all.
    fn parts_alone(&self) -> usize;

    /// Thread 0, before a round.
    fn set_stage(&self, stamps: Stamps) -> Result<()>;

    /// One thread's part of a round: part 0 in thread 0 and so on. What it counts are the
    /// operations.
    fn act(&self, part: usize, stamps: Stamps, recorder: &mut Recorder<'_>) -> Result<Coherence>;

    /// Thread 0, after a round.
    fn judge(&self, stamps: Stamps) -> Result<Coherence>;

    /// See [`Workload::page_table_operations`].
    fn page_table_operations(&self) -> Option<u64>;
}

/// The numbers that mark what is written in a round; no other round has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    /// The first of them.
    pub(super) first: u64,
    /// How many threads act.
    pub(super) threads: usize,
}

/// A contest, round after round.
pub(super) struct Rounds<C> {
    threads: usize,
    contest: C,
    rendezvous: Rendezvous,
    /// Written by thread 0 before the first rendezvous of a round, read by all after it.
    another_round: AtomicBool,
    /// Written and read as `another_round`.
    first_stamp: AtomicU64,
    failure: Mutex<Option<Error>>,
    found: Mutex<Coherence>,
}

impl<C: Contest> Rounds<C> {
    /// Rounds of `contest` for `threads` threads.
    pub(super) fn new(contest: C, threads: usize) -> Self {
        Self {
            threads,
            contest,
            rendezvous: Rendezvous::new(threads),
            another_round: AtomicBool::new(true),
            first_stamp: AtomicU64::new(0),
            failure: Mutex::new(None),
            found: Mutex::new(Coherence::Coherent),
        }
    }

    fn run_alone(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        while recorder.running() {
            let parts = self.contest.parts_alone();
            let stamps = Stamps {
                first: stamp::fresh_run(self.contest.stamps(1)),
                threads: 1,
            };
            self.contest.set_stage(stamps)?;
            // The last part first: the fault, and then what it may not hide.
            for part in (0..parts).rev() {
                self.found(self.contest.act(part, stamps, recorder)?);
            }
            self.found(self.contest.judge(stamps)?);
        }
        Ok(())
    }

    /// Thread 0, before a round: sets the stage and says whether there is a round.
    fn prepare(&self, recorder: &Recorder<'_>) -> Result<()> {
        let failed = lock(&self.failure).is_some();
        let another_round = recorder.running() && !failed;
        self.another_round.store(another_round, Ordering::Relaxed);
        if another_round {
            let first = stamp::fresh_run(self.contest.stamps(self.threads));
            self.first_stamp.store(first, Ordering::Relaxed);
            self.contest.set_stage(self.stamps())?;
        }
        Ok(())
    }

    fn stamps(&self) -> Stamps {
        Stamps {
            first: self.first_stamp.load(Ordering::Relaxed),
            threads: self.threads,
        }
    }

    fn found(&self, coherence: Coherence) {
        let mut found = lock(&self.found);
        *found = found.and(coherence);
    }

    /// Keeps the first failure; the others follow from it.
    fn note(&self, result: Result<Coherence>) {
        match result {
            Ok(Coherence::Coherent) => {}
            Ok(incoherent) => self.found(incoherent),
            Err(error) => {
                lock(&self.failure).get_or_insert(error);
            }
        }
    }
}

impl<C: Contest> Workload for Rounds<C> {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        if self.threads == 1 {
            return self.run_alone(recorder);
        }
        let _guard = self.rendezvous.break_on_drop();
        let mut random = Random::seeded(thread as u64);
        loop {
            if thread == 0 {
                self.note(self.prepare(recorder).map(|()| Coherence::Coherent));
            }
            self.rendezvous.wait()?;
            if !self.another_round.load(Ordering::Relaxed) {
                break;
            }
            for _ in 0..random.below(STAGGER_SPINS_MAX) {
                hint::spin_loop();
            }
            // A failure is told at the next round, so that nobody is left waiting.
            self.note(self.contest.act(thread, self.stamps(), recorder));
            self.rendezvous.wait()?;
            if thread == 0 && lock(&self.failure).is_none() {
                self.note(self.contest.judge(self.stamps()));
            }
        }
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(*lock(&self.found))
    }

    fn page_table_operations(&self) -> Option<u64> {
        self.contest.page_table_operations()
    }
}

/// The mutexes here guard values that are whole at all times, even when a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
