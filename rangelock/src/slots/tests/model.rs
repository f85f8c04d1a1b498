//! Words and granules against plain ranges, and the promises of a closed shard.

use std::collections::HashSet;

use proptest::prelude::*;

use super::granule::Granule;
use super::shard::{Attempt, Shard};
use super::word::Word;
use super::{SHARD_BITS, SLOTS};
use crate::mode::Mode;
use crate::probe::Probe;
use crate::span::Span;
use crate::tree::Notice;

const NUMBERS: u64 = 1 << 23;

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Read), Just(Mode::Write)]
}

/// A granule, and two ranges that often share one.
fn granule_and_spans() -> impl Strategy<Value = (Granule, Span, Span)> {
    let number = prop_oneof![2 => 0..3_u64, 1 => 0..NUMBERS, 1 => NUMBERS - 2..NUMBERS + 2];
    let step = prop_oneof![8 => Just(0_u64), 1 => 1..40_u64];
    (0..=21_u32, number, step).prop_flat_map(|(shift, number, step)| {
        let len = 1_u64 << shift;
        let granule = Granule::from_len(len).unwrap();
        let span = move |number: u64| {
            let longest = prop_oneof![8 => 1..=len, 1 => 1..=20 * len];
            (0..len, longest).prop_map(move |(offset, wanted)| {
                let first = number * len + offset;
                let room = if wanted <= len {
                    (number + 1) * len - first
                } else {
                    wanted
                };
                Span {
                    first,
                    last: first + wanted.min(room) - 1,
                }
            })
        };
        (Just(granule), span(number), span(number + step))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_narrow_request_is_read_back_from_its_word(
        (granule, span, _) in granule_and_spans(),
        mode in mode(),
    ) {
        let (first, last) = (span.first / granule.len(), span.last / granule.len());
        match granule.locate(span, mode) {
            Some((shard, word)) => {
                prop_assert!(first == last && first < NUMBERS);
                prop_assert_eq!(granule.span_of(shard, word), span);
                prop_assert_eq!(granule.span_of(shard, word.contended()), span);
                prop_assert_eq!(word.mode(), mode);
                prop_assert!(!word.is_free() && !word.is_contended());
                prop_assert!(word.contended().is_contended());
                prop_assert_eq!(granule.shards_of(span).collect::<Vec<_>>(), vec![shard]);
            }
            None => prop_assert!(first != last || first >= NUMBERS),
        }
    }

    #[test]
    fn words_conflict_exactly_if_their_requests_do(
        (granule, one, other) in granule_and_spans(),
        one_mode in mode(),
        other_mode in mode(),
    ) {
        let located = (granule.locate(one, one_mode), granule.locate(other, other_mode));
        if let (Some((one_shard, one_word)), Some((other_shard, other_word))) = located {
            let expected = one.overlaps(other) && one_mode.conflicts_with(other_mode);
            let found = one_shard == other_shard && one_word.conflicts_with(other_word);
            prop_assert_eq!(found, expected);
            let marked = one_word.contended();
            prop_assert_eq!(marked.conflicts_with(other_word), one_word.conflicts_with(other_word));
            prop_assert_eq!(other_word.conflicts_with(marked), one_word.conflicts_with(other_word));
            prop_assert!(!one_word.conflicts_with(Word::FREE));
        }
    }

    /// A wide request looks into every shard where a narrow one could be that overlaps it.
    #[test]
    fn the_shards_of_a_range_are_those_of_its_granules(
        (granule, span, _) in granule_and_spans(),
    ) {
        let found: HashSet<_> = granule.shards_of(span).collect();
        let numbers = span.first / granule.len()..=span.last / granule.len();
        let expected: HashSet<_> = numbers
            .map(|number| number * granule.len())
            .filter_map(|start| granule.locate(Span { first: start, last: start }, Mode::Read))
            .map(|(shard, _)| shard)
            .collect();
        prop_assert!(found.is_superset(&expected), "{:?} lacks some of {:?}", found, expected);
        let shards = 1_usize << SHARD_BITS;
        prop_assert!(found == expected || found.len() == shards);
    }
}

#[test]
fn the_whole_range_concerns_every_shard_and_what_lies_beyond_the_table_none() {
    let granule = Granule::from_len(1 << 10).unwrap();
    let all = Span {
        first: 0,
        last: u64::MAX,
    };
    assert_eq!(granule.shards_of(all).count(), 1 << SHARD_BITS);
    let beyond = Span {
        first: NUMBERS << 10,
        last: u64::MAX,
    };
    assert_eq!(granule.shards_of(beyond).count(), 0);
    let across = Span {
        first: (NUMBERS << 10) - 1,
        last: u64::MAX,
    };
    assert_eq!(granule.shards_of(across).count(), 1);
}

#[test]
fn neighbouring_granules_have_different_shards() {
    let granule = Granule::from_len(Granule::MAX_LEN).unwrap();
    for first in (0..NUMBERS - 8).step_by(997) {
        let shards: HashSet<_> = (first..first + 8)
            .map(|number| number * Granule::MAX_LEN)
            .map(|start| {
                granule
                    .locate(
                        Span {
                            first: start,
                            last: start,
                        },
                        Mode::Read,
                    )
                    .unwrap()
                    .0
            })
            .collect();
        assert_eq!(shards.len(), 8, "from granule {first}");
    }
}

#[test]
fn a_granule_is_a_power_of_two_of_at_most_the_offsets_of_a_word() {
    assert_eq!(Granule::from_len(0), None);
    assert_eq!(Granule::from_len(3), None);
    assert_eq!(Granule::from_len(1 << 22), None);
    for shift in 0..=21 {
        assert_eq!(
            Granule::from_len(1 << shift).map(Granule::len),
            Some(1 << shift)
        );
    }
}

fn word(at: u64) -> Word {
    Word::new(Mode::Write, at, at, 0)
}

/// At most so many can overtake a request that waits, in each shard: those in a slot when it
/// closed.
#[test]
fn a_closed_shard_admits_nobody_until_it_is_open_again() {
    let (shard, probe) = (Shard::new(), Probe::new());
    assert_eq!(shard.attempt(word(0), &probe), Attempt::Held(0));
    shard.close();
    shard.close();
    assert_eq!(shard.attempt(word(1), &probe), Attempt::Refused);
    shard.reopen();
    assert_eq!(shard.attempt(word(1), &probe), Attempt::Refused);
    assert_eq!(shard.taken(), 1, "a refused request leaves nothing behind");
    shard.reopen();
    assert_eq!(shard.attempt(word(1), &probe), Attempt::Held(1));
}

#[test]
fn a_full_shard_refuses_and_a_conflict_is_withdrawn() {
    let (shard, probe) = (Shard::new(), Probe::new());
    assert_eq!(shard.attempt(word(0), &probe), Attempt::Held(0));
    assert_eq!(shard.attempt(word(0), &probe), Attempt::Refused);
    for at in 1..SLOTS {
        assert_eq!(shard.attempt(word(at as u64), &probe), Attempt::Held(at));
    }
    assert_eq!(shard.attempt(word(99), &probe), Attempt::Refused);
    assert_eq!(shard.taken(), SLOTS);
    assert_eq!(shard.release(2), word(2));
    assert_eq!(shard.attempt(word(99), &probe), Attempt::Held(2));
}

#[test]
fn only_a_request_that_will_wait_marks_the_word_in_its_way() {
    let (shard, probe) = (Shard::new(), Probe::new());
    shard.attempt(word(0), &probe);
    shard.attempt(word(1), &probe);
    let conflicts = |found: Word| found.conflicts_with(word(1));
    assert!(shard.blocks(conflicts, Notice::None, &probe));
    assert_eq!(shard.word(1), word(1));
    assert!(shard.blocks(conflicts, Notice::Leave, &probe));
    assert!(
        shard.blocks(conflicts, Notice::Leave, &probe),
        "marked already"
    );
    assert_eq!(shard.release(1), word(1).contended());
    assert_eq!(shard.release(0), word(0), "was not in the way");
    assert!(!shard.blocks(conflicts, Notice::Leave, &probe));
}
