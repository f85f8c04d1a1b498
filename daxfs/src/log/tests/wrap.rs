//! The end of the ring: no record is cut by it, wherever it comes.

use super::fixture::{Medium, append, record_of};
use crate::format::record::{Lsn, Record};

#[test]
fn records_of_every_length_meet_the_end_at_every_distance() {
    let medium = Medium::new(1);
    let mut epoch = 0;
    for lap in 0..2 {
        for line in 0..64 {
            for lines in 1..=16 {
                epoch += 1;
                let first = lap * 4096 + line * 64;
                let log = medium.log_of(first, epoch);
                let records = [
                    record_of(1, line),
                    record_of(lines, lap),
                    record_of(2, lines),
                ];
                let appended = records.map(|record| (append(&log, &record), record));
                check_places(&appended, first);
                let replayed = medium.replay_of(first, epoch).unwrap();
                assert_eq!(replayed.records, appended, "from {first}, {lines} lines");
                assert_eq!(replayed.tail, log.tail());
            }
        }
    }
}

/// Each follows the one before, or begins the next lap where that would cut it.
fn check_places(appended: &[(Lsn, Record)], first: u64) {
    let mut expected = first;
    for (lsn, record) in appended {
        let len = record.encoded_len();
        if expected % 4096 + len > 4096 {
            expected = (expected / 4096 + 1) * 4096;
        }
        assert_eq!(lsn.get(), expected);
        expected += len;
    }
}

#[test]
fn a_log_goes_round_many_times() {
    let medium = Medium::new(2);
    let log = medium.log_from(0);
    let mut first = Lsn::new(0);
    let mut live: Vec<(Lsn, Record)> = Vec::new();
    for seed in 0..2000 {
        let record = record_of(1 + seed * 7 % 31, seed);
        while log.try_reserve(record.encoded_len()).is_none() {
            // A checkpoint of the older half, at least one.
            assert!(!live.is_empty(), "an empty log has room");
            live.drain(..live.len().div_ceil(2));
            first = live.first().map_or(log.tail(), |(lsn, _)| *lsn);
            log.release_before(first);
        }
        live.push((append(&log, &record), record));
        if seed % 16 == 0 {
            let replayed = medium.replay_from(first.get()).unwrap();
            assert_eq!(replayed.records, live);
            assert_eq!(replayed.tail, log.tail());
        }
    }
    assert!(log.tail() > Lsn::new(2 * 4096 * 50));
}

#[test]
fn a_log_that_ends_with_a_skip_is_whole() {
    let medium = Medium::new(1);
    let log = medium.log_from(4096 - 128);
    append(&log, &record_of(3, 0));
    // A crash lost the record and kept the skip.
    medium.set_bytes_at(0, &[0; 192]);
    let replayed = medium.replay_from(4096 - 128).unwrap();
    assert_eq!((replayed.records, replayed.tail), (vec![], Lsn::new(4096)));

    // Or kept the record and lost the skip.
    let log = medium.log_from(4096 - 128);
    append(&log, &record_of(3, 0));
    medium.set_bytes_at(4096 - 128, &[0; 64]);
    let replayed = medium.replay_from(4096 - 128).unwrap();
    assert_eq!(replayed.tail, Lsn::new(4096 - 128));
}
