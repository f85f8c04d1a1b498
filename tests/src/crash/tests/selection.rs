//! Which states are built where there are too many for all.

use std::collections::BTreeSet;

use super::*;

/// Words in lines of their own, hence in no order.
const WORDS: usize = 12;

fn independent() -> Vec<Event> {
    let stores = (0..WORDS).map(|word| event(1, store(word * LINE_BYTES, &[1; 8])));
    stores.collect()
}

/// The sets of words that are there, one bit each, in the states built.
fn sets(limits: &Limits) -> (BTreeSet<u32>, Counts) {
    let mut sets = BTreeSet::new();
    let counts = for_each_crash_state(&[0; DEVICE_BYTES], &independent(), limits, |state| {
        let image = bytes_of(state.device());
        let words = (0..WORDS).map(|word| u32::from(image[word * LINE_BYTES]) << word);
        sets.insert(words.sum());
    });
    (sets, counts)
}

fn none_random() -> Limits {
    Limits {
        random_states: 0,
        pairs_up_to_units: WORDS,
        ..Limits::default()
    }
}

#[test]
fn few_words_and_all_but_few_are_there_in_every_way() {
    let (sets, counts) = sets(&none_random());
    let is_prefix = |set: u32| (set + 1).is_power_of_two();
    let is_chosen = |set: &u32| {
        let there = set.count_ones() as usize;
        there <= 2 || there >= WORDS - 2 || is_prefix(*set)
    };
    let expected: BTreeSet<u32> = (0..1 << WORDS).filter(is_chosen).collect();
    assert_eq!(sets, expected);
    assert_eq!((counts.states, counts.left_out), (expected.len() as u64, 0));
}

#[test]
fn of_more_words_one_and_all_but_one_are_there() {
    let limits = Limits {
        pairs_up_to_units: WORDS - 1,
        ..none_random()
    };
    let (sets, _) = sets(&limits);
    let is_prefix = |set: u32| (set + 1).is_power_of_two();
    let is_chosen = |set: &u32| {
        let there = set.count_ones() as usize;
        there <= 1 || there >= WORDS - 1 || is_prefix(*set)
    };
    assert_eq!(sets, (0..1 << WORDS).filter(is_chosen).collect());
}

#[test]
fn random_states_follow_from_the_seed() {
    let with = |seed| {
        let random_states = 50;
        let limits = Limits {
            seed,
            random_states,
            ..none_random()
        };
        sets(&limits).0
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    let beyond = with(1).difference(&sets(&none_random()).0).count();
    assert!(beyond > 20, "{beyond} that are in no other set");
}

#[test]
fn all_are_built_up_to_the_limit() {
    let limits = Limits {
        all_up_to_states: 1 << WORDS,
        ..none_random()
    };
    assert_eq!(sets(&limits).0.len(), 1 << WORDS);
}
