//! Who shares a round of syncing, and who must not: each round is held up until all have come.
//!
//! The test itself does a round by hand, and within it starts the threads that come too late for
//! it and waits until they sleep. So nothing is left to luck. A round writes back the whole device
//! once, so the device's count of flushes is that of rounds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use daxfs_pmem::{DeviceError, Persistence};

use super::fixture::{Medium, append, record_of};
use crate::error::Error;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::header::ALIGNMENT_BYTES;
use crate::format::record::{Lsn, Record};
use crate::log::rounds::Rounds;

const THREADS: u64 = 6;

fn medium() -> Medium {
    Medium::with(16, Persistence::Msync)
}

fn has_record(medium: &Medium, lsn: Lsn, record: &Record) -> bool {
    let replayed = medium.replay_from(0).unwrap();
    replayed.records.contains(&(lsn, record.clone()))
}

/// Starts threads that each do `come`, and returns when all of them sleep until a round ends.
fn late_comers<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    rounds: &Rounds,
    come: &'scope (impl Fn(u64) -> T + Sync),
) -> Vec<ScopedJoinHandle<'scope, T>> {
    let before = rounds.sleeps();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| scope.spawn(move || come(thread)))
        .collect();
    // Whoever has ended will never sleep: it was served too early, and its own assertion says so.
    let ended = || threads.iter().filter(|thread| thread.is_finished()).count() as u64;
    while rounds.sleeps() - before + ended() < THREADS {
        thread::yield_now();
    }
    threads
}

fn join_all<T>(threads: Vec<ScopedJoinHandle<'_, T>>) -> Vec<T> {
    let joined = threads.into_iter().map(ScopedJoinHandle::join);
    joined
        .map(|outcome| outcome.unwrap_or_else(|panic| resume_unwind(panic)))
        .collect()
}

#[test]
fn all_who_come_during_a_round_share_the_next() {
    let medium = medium();
    let log = medium.log_from(0);
    let before = medium.device.counts();
    let sync_own_record = |thread| {
        let record = record_of(1, thread);
        let lsn = append(&log, &record);
        log.sync().unwrap();
        assert!(has_record(&medium, lsn, &record), "not in the ring");
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let first = log.rounds.join(|| {
            let done = log.sync_round();
            threads = late_comers(scope, &log.rounds, &sync_own_record);
            done
        });
        first.unwrap();
        join_all(threads);
    });
    let after = medium.device.counts();
    assert_eq!(after.flushes - before.flushes, 2, "rounds");
    // The data of the first round, then the data and the records of the second.
    assert_eq!(after.fences - before.fences, 3);
    assert_eq!(medium.replay_from(0).unwrap().tail, log.tail());
}

/// Its data must be synced after it came; what the round that runs has synced is older.
#[test]
fn a_round_does_not_serve_whoever_comes_while_it_runs() {
    let medium = medium();
    let log = medium.log_from(0);
    let write_and_sync = |thread: u64| {
        let cell = (thread * 8, thread.to_le_bytes());
        medium.device.copy(cell.0, &cell.1).unwrap().defer();
        let flushes = medium.device.counts().flushes;
        log.sync().unwrap();
        assert!(medium.device.counts().flushes > flushes, "not synced since");
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let first = log.rounds.join(|| {
            log.sync_round()?;
            threads = late_comers(scope, &log.rounds, &write_and_sync);
            Ok::<_, Error>(())
        });
        first.unwrap();
        join_all(threads);
    });
}

#[test]
fn syncs_one_after_the_other_have_a_round_each() {
    let medium = medium();
    let log = medium.log_from(0);
    let flushes = medium.device.counts().flushes;
    for round in 1..=5 {
        log.sync().unwrap();
        assert_eq!(medium.device.counts().flushes - flushes, round);
    }
}

fn first_error(result: Result<(), Error>) -> Arc<DeviceError> {
    match result {
        Err(Error::LogFailed { source }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_who_wait_get_the_error_of_a_round_that_fails() {
    // A log of eight blocks on a device that has only two for it.
    let mut medium = Medium::with(1, Persistence::Msync);
    medium.region.blocks = 8;
    let log = medium.log_from(0);
    for seed in 0..9 {
        append(&log, &record_of(16, seed));
    }
    let before = medium.device.counts();
    let sync = |_| first_error(log.sync());
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let failed = log.rounds.join(|| {
            threads = late_comers(scope, &log.rounds, &sync);
            log.sync_round()
        });
        let first = first_error(failed);
        for error in join_all(threads) {
            assert!(Arc::ptr_eq(&first, &error), "{error}");
        }
        assert!(Arc::ptr_eq(&first, &first_error(log.sync())));
    });
    // Nobody has tried again.
    assert_eq!(medium.device.counts().flushes - before.flushes, 1);
}

/// The round that should have served all fails: one has the error, the others go on to the next.
#[test]
fn a_round_that_fails_serves_nobody() {
    let rounds = Rounds::default();
    let begun = AtomicU64::new(0);
    let fail_once = |_| {
        rounds.join(|| {
            if begun.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(());
            }
            // All but this one and the one with the error sleep a second time.
            while rounds.sleeps() + 2 < 2 * THREADS {
                thread::yield_now();
            }
            Ok(())
        })
    };
    let outcomes = thread::scope(|scope| {
        let mut threads = Vec::new();
        let first = rounds.join(|| {
            threads = late_comers(scope, &rounds, &fail_once);
            Ok::<_, ()>(())
        });
        first.unwrap();
        join_all(threads)
    });
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_err()).count(),
        1
    );
    assert_eq!(begun.into_inner(), 2);
}

#[test]
fn a_round_that_panics_leaves_nobody_asleep() {
    let medium = medium();
    let log = medium.log_from(0);
    let sync_own_record = |thread| {
        let record = record_of(1, thread);
        let lsn = append(&log, &record);
        log.sync().unwrap();
        assert!(has_record(&medium, lsn, &record));
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            log.rounds.join(|| -> Result<(), Error> {
                threads = late_comers(scope, &log.rounds, &sync_own_record);
                resume_unwind(Box::new("in the middle of a round"))
            })
        }));
        assert!(panicked.is_err());
        join_all(threads);
    });
}

/// The records of the ring, copied while other threads go on writing. From the end to the start:
/// then the copy has all that came before anything it has, as a medium would.
fn copy_of(medium: &Medium, until: Lsn) -> Medium {
    let copy = Medium::with(medium.region.blocks, Persistence::Volatile);
    let start = medium.region.start_block * BLOCK_BYTES;
    let mut line = [0; ALIGNMENT_BYTES as usize];
    for at in (0..until.get() as usize).step_by(line.len()).rev() {
        medium.device.read(start + at as u64, &mut line).unwrap();
        copy.set_bytes_at(at, &line);
    }
    copy
}

#[test]
fn what_was_synced_is_in_a_copy_of_the_image() {
    const SYNCS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    // In a file, where a round takes long enough for others to come.
    let medium = Medium::of_file(&folder.path().join("image"), 64);
    let log = medium.log_from(0);
    let flushes = medium.device.counts().flushes;
    let sync_and_copy = |thread: u64, turn: u64| {
        let record = record_of(1 + turn % 2, thread * SYNCS + turn);
        let lsn = append(&log, &record);
        log.sync().unwrap();
        let copy = copy_of(&medium, log.tail());
        assert!(has_record(&copy, lsn, &record), "{thread}, {turn}");
    };
    let sync_and_copy = &sync_and_copy;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..SYNCS).for_each(|turn| sync_and_copy(thread, turn)));
        }
    });
    assert_eq!(medium.replay_from(0).unwrap().tail, log.tail());
    // A thread that comes twice needs two rounds.
    let rounds = medium.device.counts().flushes - flushes;
    assert!((SYNCS..=THREADS * SYNCS).contains(&rounds), "{rounds}");
}
