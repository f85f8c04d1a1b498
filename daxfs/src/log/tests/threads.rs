//! Several threads at once: each record whole, in one order, each with its fence.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use daxfs_pmem::Persistence;

use super::fixture::{Medium, record_of};
use crate::format::record::{Lsn, Record};
use crate::log::{Log, Reservation};

const RECORDS: u64 = 400;
/// Between two releases that leave one thread without room, the others have appended a good part of
/// the smallest ring. They have not so many records that this could happen so often.
const MOST_VAIN_WAITS: u32 = 1000;

/// Somebody who makes room until nobody needs any, or one of the others has panicked.
#[derive(Default)]
struct Releases {
    made: AtomicU64,
    ended: AtomicBool,
}

/// Ends the releases also by a panic, so that nobody waits for nothing.
struct EndsReleases<'releases>(&'releases Releases);

impl Drop for EndsReleases<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Releases {
    fn go_on(&self) -> bool {
        self.made.fetch_add(1, Ordering::Relaxed);
        !self.ended.load(Ordering::Relaxed)
    }

    fn reserve<'log>(&self, log: &'log Log, bytes: u64) -> Reservation<'log> {
        for _ in 0..MOST_VAIN_WAITS {
            let made = self.made.load(Ordering::Relaxed);
            if let Some(reservation) = log.try_reserve(bytes) {
                return reservation;
            }
            // Two more, since one may be in the middle.
            while self.made.load(Ordering::Relaxed) < made + 2 {
                assert!(!self.ended.load(Ordering::Relaxed), "no room");
                thread::yield_now();
            }
        }
        panic!("no room in spite of {MOST_VAIN_WAITS} releases");
    }
}

/// Appends records whose inode numbers tell the thread and the turn.
fn append_all(log: &Log, thread: u64, releases: &Releases) -> Vec<(Lsn, Record)> {
    let append = |turn: u64| {
        let record = record_of(1 + turn % 7, thread * RECORDS + turn);
        let mut reservation = releases.reserve(log, record.encoded_len());
        (log.append(&mut reservation, &record).unwrap(), record)
    };
    (0..RECORDS).map(append).collect()
}

fn run_threads(log: &Log, releases: &Releases) -> Vec<(Lsn, Record)> {
    let _end = EndsReleases(releases);
    let mut appended: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| scope.spawn(move || append_all(log, thread, releases)))
            .collect();
        let appended = threads.into_iter().map(|thread| thread.join().unwrap());
        appended
            .inspect(|of_one| assert!(of_one.is_sorted_by_key(|(lsn, _)| *lsn)))
            .flatten()
            .collect()
    });
    appended.sort_by_key(|(lsn, _)| *lsn);
    for (before, after) in appended.iter().zip(&appended[1..]) {
        assert!(before.0.plus(before.1.encoded_len()) <= after.0);
    }
    appended
}

/// Runs the threads while another one does `meanwhile` again and again.
fn run_threads_while(log: &Log, meanwhile: impl Fn() + Sync) -> Vec<(Lsn, Record)> {
    let releases = Releases::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _end = EndsReleases(&releases);
            while releases.go_on() {
                meanwhile();
            }
        });
        run_threads(log, &releases)
    })
}

#[test]
fn records_of_several_threads_replay_whole_in_the_order_of_their_positions() {
    let medium = Medium::new(256);
    let log = medium.log_from(0);
    let fences = medium.device.counts().fences;
    let nobody = Releases::default();
    drop(EndsReleases(&nobody));
    let appended = run_threads(&log, &nobody);
    assert_eq!(medium.device.counts().fences - fences, 3 * RECORDS);
    let replayed = medium.replay_from(0).unwrap();
    assert_eq!(replayed.records, appended);
    assert_eq!(replayed.tail, log.tail());
    assert_eq!(
        log.room.free_bytes(),
        log.capacity_bytes() - log.used_bytes()
    );
}

/// A ring that is much too small, and somebody who makes room.
fn with_releases(persistence: Persistence) {
    let medium = Medium::with(2, persistence);
    let log = medium.log_from(0);
    let appended = run_threads_while(&log, || {
        log.sync().unwrap();
        log.release_before(log.tail());
    });
    log.sync().unwrap();
    let first = log.state().first;
    let live: Vec<_> = appended
        .into_iter()
        .filter(|(lsn, _)| *lsn >= first)
        .collect();
    let replayed = medium.replay_from(first.get()).unwrap();
    assert_eq!(replayed.records, live);
    log.release_before(log.tail());
    assert_eq!(log.room.free_bytes(), log.capacity_bytes());
}

#[test]
fn a_log_goes_round_under_several_threads() {
    with_releases(Persistence::Hardware);
}

#[test]
fn a_log_that_is_synced_goes_round_under_several_threads() {
    with_releases(Persistence::Msync);
}
