//! Rounds of syncing: whoever comes during one shares the next (group commit).
//!
//! # Why
//! A sync of the `msync` back end makes everything durable, whoever asks for it. Threads that sync
//! at the same time and one after the other would pay for the same thing each, and the last wait
//! for all. So one of them works for all: that is a *round*.
//!
//! # States
//! ```text
//!                    the first comes            work ended
//!          resting ------------------> running ------------> resting
//!                                         |                     |
//!                                         | others come, wait   | one of them begins the next
//!                                         v                     v
//!
//!      A   |==== round 1 ====|
//!      B      come  . . . . .|==== round 2 ====|      B works
//!      C           come  . . . . . . . . . . . |      and C is served
//!      D                         come  . . . . |==== round 3 ====|
//! ```
//! Rounds have numbers. A caller *wants* the first round that has not begun when it comes. Where
//! none runs it begins that round and does the work. Else it waits until that round has been done,
//! or until none runs, and then begins one. So however many come during a round, one round serves
//! them all; and nobody waits for more than what is left of one round and the whole of the next.
//!
//! # Why nobody is served too early
//! What a caller wants to be durable was written before it came. A round that runs by then may have
//! looked already: it has chosen up to which record it writes, and synced some of the pages. So
//! only a round that begins later will do, and the first such has the number that is wanted. The
//! numbers change under the mutex: whoever begins that round takes it after the caller has, and
//! sees what the caller did before. No caller is served by a round that began before it came,
//! not even where that would have been enough: to prove it would need to know which pages were
//! written when.
//!
//! # When a round fails
//! By an error, or by a panic of who does the work, it ends and serves nobody. Each of those who
//! wait begins a round of its own, one after the other, and gets what comes of it: a log that has
//! failed says so at once.
//!
//! # Invariants
//! 1. At most one round runs.
//! 2. `done` is at most `begun`, and less while a round runs: `done` is set as that round ends.
//! 3. Who waits for the end of round `n`, to be served or for want of a better one, sleeps in
//!    queue `n % 2`; who waits to begin round `n` sleeps there, too. While `n` runs, others come
//!    for `n + 1` only: so the end of `n` wakes one queue whole, and of the other one sleeper.
//! 4. Where no round runs and somebody sleeps, somebody who was woken is on the way.
//!
//! # Locking
//! `progress`, a latch: nothing is taken inside it, and the work is done without it. It is `std`'s,
//! as all of the log's, and loom's in a model, which explores this file. Touches no device.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who comes at the same time shares a round.
#[derive(Default)]
pub(super) struct Rounds {
    progress: Mutex<Progress>,
    /// One queue for even rounds, one for odd ones.
    queues: [Condvar; 2],
}

/// How far the rounds are.
#[derive(Default)]
struct Progress {
    /// The newest round; 0 before the first.
    begun: u64,
    /// The newest round that did what it was to do.
    done: u64,
    is_running: bool,
    /// How often a caller went to sleep; only tests ask.
    sleeps: u64,
}

/// The round that runs: it ends when this is dropped.
struct Round<'rounds> {
    rounds: &'rounds Rounds,
    outcome: Outcome,
}

/// What a round has come to.
enum Outcome {
    Unfinished,
    Done,
}

impl Rounds {
    /// Returns when `work` was done from beginning to end after the call: by this thread, or by
    /// another that gave the same. Waits while a round runs.
    ///
    /// # Errors
    /// Those of `work`, if this thread did it.
    pub(super) fn join<E>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let Some(mut round) = self.wait_or_begin() else {
            return Ok(());
        };
        work()?;
        round.outcome = Outcome::Done;
        Ok(())
    }

    /// How often a caller went to sleep until a round ends.
    #[cfg(all(test, not(loom)))]
    pub(super) fn sleeps(&self) -> u64 {
        self.progress().sleeps
    }

    /// The round that the caller has to do, or nothing once another has served it.
    fn wait_or_begin(&self) -> Option<Round<'_>> {
        let mut progress = self.progress();
        let wanted = progress.begun + 1;
        while progress.is_running && progress.done < wanted {
            progress = self.wait(progress, wanted);
        }
        if progress.done >= wanted {
            return None;
        }
        progress.begun += 1;
        progress.is_running = true;
        Some(Round {
            rounds: self,
            outcome: Outcome::Unfinished,
        })
    }

    /// Sleeps until the round that runs has ended or, where a later one is wanted, that one.
    fn wait<'rounds>(
        &'rounds self,
        mut progress: MutexGuard<'rounds, Progress>,
        wanted: u64,
    ) -> MutexGuard<'rounds, Progress> {
        // A round that should have served the caller and failed makes it want what runs instead.
        let awaited = wanted.max(progress.begun);
        progress.sleeps += 1;
        let woken = self.queue(awaited).wait(progress);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the round that runs ends: those it served go, and one of the others goes on.
    fn end(&self, outcome: &Outcome) {
        let ended = {
            let mut progress = self.progress();
            progress.is_running = false;
            if let Outcome::Done = outcome {
                progress.done = progress.begun;
            }
            progress.begun
        };
        self.queue(ended).notify_all();
        self.queue(ended + 1).notify_one();
    }

    fn queue(&self, round: u64) -> &Condvar {
        &self.queues[(round % 2) as usize]
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // No panic leaves the numbers half changed: they change in one go.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.rounds.end(&self.outcome);
    }
}
