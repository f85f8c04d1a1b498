//! What an append costs, returns and refuses.

use daxfs_pmem::Persistence;

use super::fixture::{EPOCH, Medium, append, record_of};
use crate::error::Error;
use crate::format::record::{Lsn, Record};

#[test]
fn appended_records_replay_in_order_from_anywhere() {
    let medium = Medium::new(4);
    let log = medium.log_from(640);
    let records: Vec<_> = (0..5).map(|seed| record_of(seed + 1, seed)).collect();
    let appended: Vec<_> = records
        .iter()
        .map(|record| (append(&log, record), record.clone()))
        .collect();
    assert_eq!(appended[0].0, Lsn::new(640));
    let replayed = medium.replay_from(640).unwrap();
    assert_eq!(replayed.records, appended);
    assert_eq!(replayed.tail, log.tail());
    assert_eq!(log.tail(), Lsn::new(640 + (1 + 2 + 3 + 4 + 5) * 64));

    let later = medium.replay_from(appended[3].0.get()).unwrap();
    assert_eq!(later.records, appended[3..]);
    assert_eq!(medium.replay_from(640).unwrap(), replayed);
}

#[test]
fn an_append_is_one_fence_with_a_skip_or_without() {
    let medium = Medium::new(1);
    // Two lines are left before the end of the ring.
    let log = medium.log_from(4096 - 128);
    let mut reservation = log.try_reserve(10 * 64).unwrap();
    for (lines, expected) in [(1, 4096 - 128), (4, 4096), (1, 4096 + 256)] {
        let before = medium.device.counts().fences;
        let lsn = log
            .append(&mut reservation, &record_of(lines, lines))
            .unwrap();
        assert_eq!(lsn, Lsn::new(expected));
        assert_eq!(medium.device.counts().fences, before + 1);
    }
}

#[test]
fn reserving_releasing_and_giving_back_need_no_fence() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    append(&log, &record_of(2, 0));
    let before = medium.device.counts();
    drop(log.try_reserve(640));
    log.release_before(log.tail());
    log.sync().unwrap();
    assert_eq!(medium.device.counts(), before);
}

#[test]
fn a_volatile_log_replays_too() {
    let medium = Medium::with(1, Persistence::Volatile);
    let log = medium.log_from(0);
    append(&log, &record_of(2, 0));
    assert_eq!(medium.replay_from(0).unwrap().tail, log.tail());
}

#[test]
fn a_record_of_more_than_a_quarter_of_the_ring_is_refused() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    assert_eq!(log.max_record_bytes(), 1024);
    let mut reservation = log.try_reserve(2048).unwrap();
    let refused = log.append(&mut reservation, &record_of(17, 0));
    let Err(Error::LogRecordTooLarge {
        len_bytes: 1088,
        max_bytes: 1024,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(log.tail(), Lsn::new(0));
    log.append(&mut reservation, &record_of(16, 0)).unwrap();
}

#[test]
fn a_record_of_more_than_was_reserved_is_refused_and_harms_nobody() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    let mut reservation = log.try_reserve(129).unwrap();
    assert_eq!(reservation.left_bytes(), 192, "whole lines");
    log.append(&mut reservation, &record_of(2, 0)).unwrap();
    let refused = log.append(&mut reservation, &record_of(2, 1));
    assert!(
        matches!(refused, Err(Error::LogRecordTooLarge { max_bytes: 64, .. })),
        "{refused:?}"
    );
    log.append(&mut reservation, &record_of(1, 2)).unwrap();
    assert_eq!(medium.replay_from(0).unwrap().records.len(), 2);
}

#[test]
fn a_record_that_could_not_be_read_back_is_refused() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    let mut reservation = log.try_reserve(128).unwrap();
    let refused = log.append(&mut reservation, &Record::RemoveInode { inode: 0 });
    assert!(
        matches!(refused, Err(Error::Corrupt { block: 2, .. })),
        "{refused:?}"
    );
    let bytes = medium.bytes();
    assert!(bytes.iter().all(|byte| *byte == 0), "nothing was written");
    append(&log, &Record::RemoveInode { inode: 1 });
    assert_eq!(medium.replay_of(0, EPOCH).unwrap().records.len(), 1);
}

#[test]
fn used_bytes_count_records_skips_and_releases() {
    let medium = Medium::new(1);
    let log = medium.log_from(4096 - 64);
    assert_eq!((log.used_bytes(), log.capacity_bytes()), (0, 4096));
    let first = append(&log, &record_of(2, 0));
    assert_eq!(first, Lsn::new(4096));
    assert_eq!(log.used_bytes(), 64 + 128);
    let second = append(&log, &record_of(3, 0));
    log.release_before(second);
    assert_eq!(log.used_bytes(), 192);
    log.release_before(first);
    assert_eq!(log.used_bytes(), 192, "an older checkpoint frees nothing");
    log.release_before(log.tail());
    assert_eq!(log.used_bytes(), 0);
}

#[test]
fn half_full_counts_what_is_used_and_what_is_promised() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    assert!(!log.is_half_full());
    let promised = log.try_reserve(1024 + 128).unwrap();
    assert!(log.is_half_full(), "a promise counts twice, less 64");
    drop(promised);
    assert!(!log.is_half_full());
    while log.used_bytes() <= 2048 {
        assert!(!log.is_half_full());
        append(&log, &record_of(2, 0));
    }
    assert!(log.is_half_full());
}
