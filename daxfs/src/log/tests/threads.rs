//! Several threads at once: each record whole, in one order, each with its fence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxfs_pmem::Persistence;

use super::fixture::{Medium, record_of};
use crate::format::record::{Lsn, Record};
use crate::log::Log;

const RECORDS: u64 = 400;

/// Whether room is being made: until this is dropped, also by a panic, so that nobody waits for
/// nothing.
struct RoomIsMade<'flag>(&'flag AtomicBool);

impl Drop for RoomIsMade<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Appends records whose inode numbers tell the thread and the turn; waits for room.
fn append_all(log: &Log, thread: u64, room_is_made: &AtomicBool) -> Vec<(Lsn, Record)> {
    let append = |turn: u64| {
        let record = record_of(1 + turn % 7, thread * RECORDS + turn);
        let mut reservation = loop {
            match log.try_reserve(record.encoded_len()) {
                Some(reservation) => break reservation,
                None => assert!(room_is_made.load(Ordering::Relaxed), "no room"),
            }
            thread::yield_now();
        };
        (log.append(&mut reservation, &record).unwrap(), record)
    };
    (0..RECORDS).map(append).collect()
}

fn run_threads(log: &Log, room_is_made: &AtomicBool) -> Vec<(Lsn, Record)> {
    let mut appended: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| scope.spawn(move || append_all(log, thread, room_is_made)))
            .collect();
        let appended = threads.into_iter().map(|thread| thread.join().unwrap());
        appended
            .inspect(|of_one| assert!(of_one.is_sorted_by_key(|(lsn, _)| *lsn)))
            .flatten()
            .collect()
    });
    appended.sort_by_key(|(lsn, _)| *lsn);
    appended
}

#[test]
fn records_of_several_threads_replay_whole_in_the_order_of_their_positions() {
    let medium = Medium::new(256);
    let log = medium.log_from(0);
    let fences = medium.device.counts().fences;
    let appended = run_threads(&log, &AtomicBool::new(false));
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
    let goes_on = AtomicBool::new(true);
    let appended = thread::scope(|scope| {
        scope.spawn(|| {
            let _made = RoomIsMade(&goes_on);
            while goes_on.load(Ordering::Relaxed) {
                log.sync().unwrap();
                log.release_before(log.tail());
            }
        });
        let _wanted = RoomIsMade(&goes_on);
        run_threads(&log, &goes_on)
    });
    assert_eq!(appended.len() as u64, 3 * RECORDS);
    for (before, after) in appended.iter().zip(&appended[1..]) {
        assert!(before.0.plus(before.1.encoded_len()) <= after.0);
    }
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
