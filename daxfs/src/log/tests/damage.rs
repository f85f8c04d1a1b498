//! A damaged medium: reported where it can be known, and never worse than an end.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{EPOCH, Medium, append, record_of};
use crate::error::Error;
use crate::format::record::header::HEADER_LEN;
use crate::format::record::{Lsn, Record, Stamp};
use crate::log::LogRegion;

fn records(medium: &Medium, first: u64, count: u64) -> Vec<(Lsn, Record)> {
    let log = medium.log_from(first);
    let record = |seed| {
        let record = record_of(1 + seed % 4, seed);
        (append(&log, &record), record)
    };
    (0..count).map(record).collect()
}

fn flip(medium: &Medium, at: usize, mask: u8) {
    let byte = medium.bytes()[at];
    medium.set_bytes_at(at, &[byte ^ mask]);
}

#[test]
fn damage_in_the_middle_is_reported_and_at_the_end_is_the_end() {
    let medium = Medium::new(1);
    // The second half lies at the start of the ring, behind a skip.
    for first in [0, 4096 * 8 - 640] {
        let appended = records(&medium, first, 8);
        let good = medium.bytes();
        for (nth, (lsn, record)) in appended.iter().enumerate() {
            for byte in 0..record.encoded_len() {
                flip(&medium, ((lsn.get() + byte) % 4096) as usize, 0x10);
                let replayed = medium.replay_from(first);
                medium.set_bytes(&good);
                if nth + 1 < appended.len() {
                    let Err(Error::Corrupt { block, problem, .. }) = replayed else {
                        panic!("record {nth}, byte {byte}: {replayed:?}");
                    };
                    assert_eq!(block, 2);
                    let place = format!("no valid record at log position {lsn},");
                    assert!(problem.starts_with(&place), "{problem}");
                } else {
                    // Nothing shows that the last record was ever whole.
                    let replayed = replayed.unwrap();
                    assert_eq!(replayed.records, appended[..nth]);
                    assert_eq!(replayed.tail, *lsn);
                }
            }
        }
    }
}

#[test]
fn a_damaged_skip_is_reported() {
    let medium = Medium::new(1);
    let log = medium.log_from(4096 - 64);
    append(&log, &record_of(2, 0));
    append(&log, &record_of(2, 1));
    flip(&medium, 4096 - 64, 1);
    let replayed = medium.replay_from(4096 - 64);
    assert!(
        matches!(replayed, Err(Error::Corrupt { .. })),
        "{replayed:?}"
    );
}

#[test]
fn the_line_after_a_damaged_line_is_looked_at() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    append(&log, &record_of(1, 0));
    append(&log, &record_of(1, 1));
    flip(&medium, 0, 1);
    let replayed = medium.replay_from(0);
    assert!(
        matches!(replayed, Err(Error::Corrupt { .. })),
        "{replayed:?}"
    );
}

#[test]
fn records_that_no_log_would_have_taken_are_none() {
    let medium = Medium::new(1);
    let encoded = |lines, lsn| {
        let stamp = Stamp {
            lsn: Lsn::new(lsn),
            epoch: EPOCH,
            durable_lsn: Lsn::new(0),
        };
        let mut bytes = Vec::new();
        record_of(lines, 0).encode(stamp, &mut bytes);
        bytes
    };
    // Longer than a quarter of the ring.
    medium.set_bytes(&encoded(17, 0));
    assert_eq!(medium.replay_from(0).unwrap().records, []);
    medium.set_bytes(&encoded(16, 0));
    assert_eq!(medium.replay_from(0).unwrap().records.len(), 1);
    // Going on behind the end of the ring, in somebody else's block.
    medium.set_bytes_at(4096 - 64, &encoded(2, 4096 - 64));
    assert_eq!(medium.replay_from(4096 - 64).unwrap().records, []);
}

#[test]
fn later_records_of_another_epoch_or_lap_prove_nothing() {
    let medium = Medium::new(1);
    records(&medium, 0, 8);
    for (first, epoch) in [(0, EPOCH + 1), (4096, EPOCH)] {
        let replayed = medium.replay_of(first, epoch).unwrap();
        assert_eq!(replayed.tail, Lsn::new(first));
    }
}

#[test]
fn a_whole_record_of_nonsense_is_reported() {
    let medium = Medium::new(1);
    let log = medium.log_from(0);
    append(&log, &record_of(1, 0));
    let mut bytes = medium.bytes();
    // Kind 99, with a checksum that fits.
    bytes[32..34].copy_from_slice(&99_u16.to_le_bytes());
    bytes[36..HEADER_LEN].fill(0);
    let len = u32::from_le_bytes(*bytes[4..].first_chunk().unwrap()) as usize;
    let checksum = crc32c::crc32c(&bytes[..len]);
    bytes[36..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
    medium.set_bytes(&bytes);
    let replayed = medium.replay_from(0);
    let Err(Error::Corrupt { problem, .. }) = replayed else {
        panic!("{replayed:?}");
    };
    assert!(problem.contains("kind"), "{problem}");
}

#[test]
fn a_record_that_vouches_for_itself_is_none() {
    let medium = Medium::new(1);
    let mut bytes = Vec::new();
    let stamp = |lsn, durable_lsn| Stamp {
        lsn: Lsn::new(lsn),
        epoch: EPOCH,
        durable_lsn: Lsn::new(durable_lsn),
    };
    record_of(1, 0).encode(stamp(0, 64), &mut bytes);
    record_of(1, 0).encode(stamp(64, 65), &mut bytes);
    medium.set_bytes(&bytes);
    assert_eq!(medium.replay_from(0).unwrap().tail, Lsn::new(0));
    assert_eq!(medium.replay_from(64).unwrap().tail, Lsn::new(64));
}

#[test]
fn a_superblock_of_nonsense_is_reported() {
    let medium = Medium::new(1);
    for first in [1, 63, 1 << 63, u64::MAX, u64::MAX - 63] {
        let replayed = medium.replay_from(first);
        assert!(
            matches!(replayed, Err(Error::Corrupt { .. })),
            "{first}: {replayed:?}"
        );
    }
    let mut beyond = medium.clone();
    beyond.region.start_block = 100;
    let replayed = beyond.replay_from(0);
    assert!(
        matches!(replayed, Err(Error::Truncated { .. })),
        "{replayed:?}"
    );
    for region in [
        LogRegion {
            start_block: u64::MAX,
            blocks: 1,
        },
        LogRegion {
            start_block: 2,
            blocks: u64::MAX,
        },
    ] {
        beyond.region = region;
        assert!(beyond.replay_from(0).is_err(), "{region:?}");
    }
    beyond.region = LogRegion {
        start_block: 2,
        blocks: 0,
    };
    assert_eq!(beyond.replay_from(0).unwrap().records, []);
}

#[test]
fn the_error_of_a_visitor_ends_the_replay() {
    let medium = Medium::new(1);
    records(&medium, 0, 3);
    let mut visits = 0;
    let replayed = crate::log::replay(
        &medium.device,
        medium.region,
        Lsn::new(0),
        EPOCH,
        &mut |_, _| {
            visits += 1;
            Err(Error::AlreadyFormatted)
        },
    );
    assert!(matches!(replayed, Err(Error::AlreadyFormatted)));
    assert_eq!(visits, 1);
}

proptest! {
    #[test]
    fn any_damage_gives_a_prefix_or_an_error(
        line in 0..64_u64,
        damage in vec((0..4096_usize, any::<u8>()), 0..200),
        reach in 1..4096_usize,
    ) {
        let medium = Medium::new(1);
        let first = 4096 * 3 + line * 64;
        let appended = records(&medium, first, 20);
        let good = medium.bytes();
        for (at, byte) in damage {
            medium.set_bytes_at(at % reach, &[byte]);
        }
        let bytes = medium.bytes();
        match medium.replay_from(first) {
            Ok(replayed) => {
                prop_assert!(appended.starts_with(&replayed.records));
                // Nobody is left who knows better.
                for (lsn, record) in appended.iter().skip(replayed.records.len()) {
                    let start = (lsn.get() % 4096) as usize;
                    let place = start..start + record.encoded_len() as usize;
                    prop_assert!(bytes[place.clone()] != good[place]);
                }
            }
            Err(Error::Corrupt { .. }) => prop_assert!(bytes != good),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn any_bytes_replay_without_a_panic(bytes in vec(any::<u8>(), 4096), first in 0..200_u64) {
        let medium = Medium::new(1);
        medium.set_bytes(&bytes);
        prop_assert_eq!(medium.replay_from(first * 64).unwrap().records, vec![]);
    }
}
