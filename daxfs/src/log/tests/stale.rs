//! What an earlier lap or an earlier mount has left in the ring is never taken for a record.

use daxfs_pmem::Persistence;

use super::fixture::{EPOCH, Medium, append, record_of};
use crate::format::record::Lsn;

#[test]
fn records_of_earlier_laps_are_not_replayed() {
    let medium = Medium::new(1);
    let older = medium.log_from(0);
    for seed in 0..63 {
        append(&older, &record_of(1, seed));
    }
    // The same epoch, one lap later: each place holds a valid record of the lap before.
    for lap in 1..4 {
        let first = lap * 4096;
        let replayed = medium.replay_from(first).unwrap();
        assert_eq!((replayed.records, replayed.tail), (vec![], Lsn::new(first)));
    }
    let log = medium.log_from(4096);
    let appended = vec![
        (append(&log, &record_of(2, 100)), record_of(2, 100)),
        (append(&log, &record_of(1, 101)), record_of(1, 101)),
    ];
    assert_eq!(medium.replay_from(4096).unwrap().records, appended);
}

#[test]
fn records_of_earlier_epochs_are_not_replayed() {
    let medium = Medium::new(1);
    let older = medium.log_of(0, EPOCH - 1);
    for seed in 0..4 {
        append(&older, &record_of(2, seed));
    }
    let replayed = medium.replay_of(0, EPOCH).unwrap();
    assert_eq!((replayed.records, replayed.tail), (vec![], Lsn::new(0)));
}

/// No crash leaves them: a mount writes no record before the superblocks name it. So the superblock
/// is out of date, and the next mount would write records of their epoch before them.
#[test]
fn records_of_a_mount_that_the_superblock_does_not_know_are_refused() {
    for at in [0, 64, 640] {
        let medium = Medium::new(1);
        let known = medium.log_of(0, EPOCH);
        append(&known, &record_of(1, 1));
        let later = medium.log_of(64 + at, EPOCH + 1);
        append(&later, &record_of(2, 2));
        let error = medium.replay_of(0, EPOCH).unwrap_err();
        assert!(error.to_string().contains("mount 8"), "{error}");
        // What only looks like one is what a crash left of an earlier one, or content.
        medium.set_bytes_at(64 + at as usize + 70, &[0xff]);
        assert_eq!(medium.replay_of(0, EPOCH).unwrap().records.len(), 1);
    }
}

/// The case that the epoch is there for. Of three records in one batch a crash keeps the first and
/// the third. The next mount writes another record of the same length in the place of the second,
/// and the third fits behind it by position, length and checksum.
#[test]
fn an_old_record_that_fits_behind_a_new_one_is_not_replayed() {
    let medium = Medium::with(1, Persistence::Msync);
    let crashed = medium.log_of(0, EPOCH);
    for seed in 0..3 {
        append(&crashed, &record_of(2, seed));
    }
    crashed.sync().unwrap();
    medium.set_bytes_at(128, &[0; 128]);
    let replayed = medium.replay_of(0, EPOCH).unwrap();
    assert_eq!(
        replayed.tail,
        Lsn::new(128),
        "the batch is torn, not damaged"
    );

    let next = medium.log_of(128, EPOCH + 1);
    let record = record_of(2, 77);
    append(&next, &record);
    next.sync().unwrap();
    let replayed = medium.replay_of(128, EPOCH + 1).unwrap();
    assert_eq!(replayed.records, [(Lsn::new(128), record)]);
    // Had the second mount not changed the epoch, the third record would have come back.
    let careless = medium.log_of(128, EPOCH);
    append(&careless, &record_of(2, 77));
    careless.sync().unwrap();
    assert_eq!(medium.replay_of(128, EPOCH).unwrap().records.len(), 2);
}

#[test]
fn a_crash_in_the_middle_of_a_recovery_changes_nothing() {
    let medium = Medium::new(1);
    let crashed = medium.log_of(0, EPOCH);
    append(&crashed, &record_of(2, 1));
    let image = medium.bytes();
    let replayed = medium.replay_of(0, EPOCH).unwrap();
    assert_eq!(medium.bytes(), image, "a replay writes nothing");
    assert_eq!(medium.replay_of(0, EPOCH).unwrap(), replayed);
}
