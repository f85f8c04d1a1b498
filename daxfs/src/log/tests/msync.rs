//! The back end that cannot fence single records: they wait in memory for a sync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use daxfs_pmem::Persistence;

use super::fixture::{Medium, append, record_of};
use crate::format::record::Lsn;

fn medium() -> Medium {
    Medium::with(1, Persistence::Msync)
}

#[test]
fn records_are_stored_by_a_sync_and_not_before() {
    let medium = medium();
    let log = medium.log_from(4096 - 256);
    let before = (medium.bytes(), medium.device.counts());
    let records: Vec<_> = (0..5).map(|seed| record_of(1 + seed % 3, seed)).collect();
    let appended: Vec<_> = records
        .iter()
        .map(|record| (append(&log, record), record.clone()))
        .collect();
    assert_eq!((medium.bytes(), medium.device.counts()), before);
    assert_eq!(log.used_bytes(), log.tail().get() - (4096 - 256));

    log.sync().unwrap();
    let replayed = medium.replay_from(4096 - 256).unwrap();
    assert_eq!(replayed.records, appended);
    assert_eq!(replayed.tail, log.tail());
    // The data, then the records: two pieces, since the ring ends between them.
    assert_eq!(medium.device.counts().fences, before.1.fences + 3);
}

#[test]
fn a_sync_without_records_syncs_the_data() {
    let medium = medium();
    let log = medium.log_from(0);
    append(&log, &record_of(1, 0));
    log.sync().unwrap();
    let fences = medium.device.counts().fences;
    log.sync().unwrap();
    assert_eq!(medium.device.counts().fences, fences + 1);
}

#[test]
fn each_sync_adds_to_the_last() {
    let medium = medium();
    let log = medium.log_from(0);
    let mut appended = Vec::new();
    for seed in 0..20 {
        for record in [record_of(1, seed), record_of(2 + seed % 3, seed)] {
            appended.push((append(&log, &record), record));
        }
        log.sync().unwrap();
        let replayed = medium.replay_from(appended[0].0.get()).unwrap();
        assert_eq!(replayed.records, appended);
        if appended.len() > 8 {
            appended.drain(..5);
            log.release_before(appended[0].0);
        }
    }
    assert!(log.tail() > Lsn::new(4096));
}

/// On a file, where a sync takes long enough for others to append meanwhile.
#[test]
fn records_that_come_during_a_sync_wait_for_the_next() {
    const SYNCS: u64 = 30;
    let folder = tempfile::tempdir().unwrap();
    let medium = Medium::of_file(&folder.path().join("image"), 4096);
    let log = medium.log_from(0);
    let syncs = AtomicU64::new(0);
    let appended = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..SYNCS {
                // An error stays, so that the last sync reports it.
                let _ = log.sync();
                syncs.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut appended = Vec::new();
        while syncs.load(Ordering::Relaxed) < SYNCS {
            let record = record_of(1, appended.len() as u64);
            if let Some(mut reservation) = log.try_reserve(64) {
                appended.push((log.append(&mut reservation, &record).unwrap(), record));
            }
            thread::yield_now();
        }
        appended
    });
    log.sync().unwrap();
    assert_eq!(medium.replay_from(0).unwrap().records, appended);
}

#[test]
fn what_a_checkpoint_holds_is_not_written_any_more() {
    let medium = medium();
    let log = medium.log_from(0);
    let empty = medium.bytes();
    append(&log, &record_of(2, 0));
    log.release_before(log.tail());
    log.sync().unwrap();
    assert_eq!(medium.bytes(), empty);

    let first = log.tail();
    append(&log, &record_of(3, 1));
    log.sync().unwrap();
    let replayed = medium.replay_from(first.get()).unwrap();
    assert_eq!(replayed.records, [(first, record_of(3, 1))]);
}

#[test]
fn damage_before_the_last_sync_is_reported() {
    let medium = medium();
    let log = medium.log_from(0);
    for seed in 0..3 {
        append(&log, &record_of(1, seed));
        append(&log, &record_of(1, seed));
        log.sync().unwrap();
    }
    // The records of the last batch say that the first two batches were durable, and no more.
    for damaged in 0..6 {
        let image = medium.bytes();
        medium.set_bytes_at(damaged * 64, &[0; 64]);
        let replayed = medium.replay_from(0);
        assert_eq!(replayed.is_err(), damaged < 4, "{damaged}: {replayed:?}");
        medium.set_bytes(&image);
    }
}
