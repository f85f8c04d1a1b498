//! A power failure in the middle of an append: the log is what was acknowledged before, or that and
//! the record, and nothing else.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Medium, append, record_of};
use crate::format::record::tests::strategies::record;
use crate::format::record::{Lsn, Record};

/// A log with some records on a medium that has gone round before, and the images before and after
/// the last append.
struct Append {
    medium: Medium,
    first: u64,
    appended: Vec<(Lsn, Record)>,
    before: Vec<u8>,
    after: Vec<u8>,
}

fn append_last(first: u64, records: &[Record]) -> Append {
    let medium = Medium::new(16);
    fill_with_an_older_lap(&medium, first);
    let log = medium.log_from(first);
    let mut appended = Vec::new();
    let mut before = Vec::new();
    for record in records {
        before = medium.bytes();
        appended.push((append(&log, record), record.clone()));
    }
    let after = medium.bytes();
    Append {
        medium,
        first,
        appended,
        before,
        after,
    }
}

/// Records of the lap before lie where the new ones go.
fn fill_with_an_older_lap(medium: &Medium, first: u64) {
    let Some(older) = first.checked_sub(16 * 4096) else {
        return;
    };
    let log = medium.log_from(older);
    for seed in 0..200 {
        let record = record_of(1 + seed % 5, seed);
        if log.try_reserve(record.encoded_len()).is_none() {
            break;
        }
        append(&log, &record);
    }
}

impl Append {
    /// Replays `image`, of which the last append is durable in part.
    fn check(&self, image: &[u8]) -> Result<(), TestCaseError> {
        self.medium.set_bytes(image);
        let replayed = self.medium.replay_from(self.first).unwrap();
        let (last, acknowledged) = self.appended.split_last().unwrap();
        if image == self.after {
            prop_assert_eq!(&replayed.records[..], &self.appended[..]);
        } else {
            prop_assert_eq!(&replayed.records[..], acknowledged);
            prop_assert!(replayed.tail <= last.0);
        }
        Ok(())
    }
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_record_replays_what_came_before() {
    for first in [0, 64 * 4096 - 2 * 64, 64 * 4096 + 640] {
        let records = [record_of(2, 1), record_of(1, 2), record_of(5, 3)];
        let append = append_last(first, &records);
        for cut in 0..append.after.len() {
            if append.before[cut] == append.after[cut] {
                continue;
            }
            // Bytes up to the cut are new, all others are as before.
            let mut image = append.after[..cut].to_vec();
            image.extend_from_slice(&append.before[cut..]);
            append.check(&image).unwrap();
            // And the other way round.
            let mut image = append.before[..=cut].to_vec();
            image.extend_from_slice(&append.after[cut + 1..]);
            append.check(&image).unwrap();
        }
        append.check(&append.after).unwrap();
        append.check(&append.before).unwrap();
    }
}

proptest! {
    #[test]
    fn any_words_of_the_last_append_may_be_lost(
        records in vec(record(), 1..6),
        first in prop_oneof![Just(0_u64), 16 * 4096 / 64..40 * 4096 / 64_u64],
        lost in vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let append = append_last(first * 64, &records);
        let mut image = append.after.clone();
        let words: Vec<usize> = (0..image.len() / 8)
            .filter(|word| append.before[word * 8..][..8] != append.after[word * 8..][..8])
            .collect();
        for word in lost {
            let at = words[word.index(words.len())] * 8;
            image[at..at + 8].copy_from_slice(&append.before[at..at + 8]);
        }
        append.check(&image)?;
    }
}
