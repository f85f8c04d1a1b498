//! Rounds of syncing in every order of steps: nobody is served too early or sleeps for ever (loom
//! fails a model whose threads all sleep).
//!
//! What a sync would make durable is a number here: the work of a round looks at what was written,
//! and then makes that durable, as two steps that others may come between.

use std::sync::Arc;

use ::loom::model::Builder;
use ::loom::sync::atomic::{AtomicU64, Ordering};
use ::loom::thread;

use crate::log::rounds::Rounds;

#[derive(Default)]
struct Stage {
    rounds: Rounds,
    /// A bit for each thread.
    written: AtomicU64,
    durable: AtomicU64,
    /// How many rounds are to fail yet.
    failures: AtomicU64,
}

impl Stage {
    fn write_and_sync(&self, thread: u64) -> Result<(), ()> {
        let own = 1 << thread;
        self.written.fetch_or(own, Ordering::Relaxed);
        self.rounds.join(|| self.work())?;
        let durable = self.durable.load(Ordering::Relaxed);
        assert_eq!(durable & own, own, "served too early");
        Ok(())
    }

    fn work(&self) -> Result<(), ()> {
        let written = self.written.load(Ordering::Relaxed);
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(());
        }
        self.durable.store(written, Ordering::Relaxed);
        Ok(())
    }
}

/// This thread and `others` each write and sync `turns` times; of these syncs, exactly `failures`
/// fail.
fn explore(others: u64, preemptions: usize, turns: u64, failures: u64) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let stage = Arc::new(Stage::default());
        stage.failures.store(failures, Ordering::Relaxed);
        let come = move |stage: &Stage, thread: u64| {
            let syncs = (0..turns).map(|turn| stage.write_and_sync(thread * turns + turn));
            syncs.filter(Result::is_err).count() as u64
        };
        let spawn = |thread| {
            let stage = Arc::clone(&stage);
            thread::spawn(move || come(&stage, thread))
        };
        let threads: Vec<_> = (1..=others).map(spawn).collect();
        let own = come(&stage, 0);
        let failed = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(own + failed.sum::<u64>(), failures);
    });
}

#[test]
fn loom_nobody_is_served_too_early_or_sleeps_for_ever() {
    explore(2, 3, 1, 0);
}

#[test]
fn loom_threads_that_come_again_find_their_rounds() {
    explore(2, 2, 2, 0);
}

#[test]
fn loom_all_who_share_a_round_are_woken() {
    explore(3, 1, 1, 0);
}

#[test]
fn loom_a_round_that_fails_serves_nobody_and_wakes_all() {
    explore(2, 2, 2, 2);
    explore(3, 1, 1, 1);
}
