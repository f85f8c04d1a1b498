//! The map against a plain vector, and what becomes of its values.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;

use proptest::prelude::*;

use super::{IntervalKey, IntervalMap};

#[derive(Clone, Debug)]
enum Step {
    Insert(RangeInclusive<u64>),
    /// The entry at this position of those there have been, counted round: it may be gone.
    Remove(usize),
    Overlapping(RangeInclusive<u64>),
}

fn range() -> impl Strategy<Value = RangeInclusive<u64>> {
    let bounds = prop_oneof![
        8 => (0..48_u64, 0..12_u64),
        1 => (u64::MAX - 20..=u64::MAX, 0..40_u64),
    ];
    bounds.prop_map(|(first, more)| first..=first.saturating_add(more))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => range().prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Remove),
        3 => range().prop_map(Step::Overlapping),
    ]
}

type Known = (IntervalKey, RangeInclusive<u64>, usize);

fn sorted(known: impl Iterator<Item = Known>) -> Vec<Known> {
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|(_, range, number)| (*range.start(), *number));
    known
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn holds_what_a_vector_holds(steps in prop::collection::vec(step(), 1..200)) {
        let mut map = IntervalMap::new();
        let mut there: Vec<Known> = Vec::new();
        let mut been: Vec<IntervalKey> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(range) => {
                    let key = map.insert(range.clone(), been.len()).unwrap();
                    there.push((key, range, been.len()));
                    been.push(key);
                }
                Step::Remove(_) if been.is_empty() => {}
                Step::Remove(position) => {
                    let key = been[position % been.len()];
                    let at = there.iter().position(|known| known.0 == key);
                    let expected = at.map(|at| there.remove(at));
                    let expected = expected.map(|(_, range, number)| (range, number));
                    let found = map.get(key).map(|(range, number)| (range, *number));
                    prop_assert_eq!(found, expected.clone());
                    prop_assert_eq!(map.remove(key), expected);
                }
                Step::Overlapping(span) => {
                    let shares = |known: &&Known| {
                        known.1.start() <= span.end() && span.start() <= known.1.end()
                    };
                    let expected = sorted(there.iter().filter(shares).cloned());
                    let found = map.overlapping(span.clone());
                    let found: Vec<_> = found.map(|(key, range, n)| (key, range, *n)).collect();
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(map.len(), there.len());
            prop_assert_eq!(map.is_empty(), there.is_empty());
        }
        let all: Vec<_> = map.iter().map(|(key, range, number)| (key, range, *number)).collect();
        prop_assert_eq!(all, sorted(there.into_iter()));
    }
}

/// Counts how often it is dropped.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn every_value_is_dropped_once() {
    let dropped = Rc::new(Cell::new(0));
    let mut map = IntervalMap::new();
    let keys: Vec<_> = (0..100_u64)
        .filter_map(|first| map.insert(first % 7..=first, Counted(Rc::clone(&dropped))))
        .collect();
    assert_eq!(keys.len(), 100);
    drop(map.remove(keys[40]));
    assert_eq!(dropped.get(), 1);
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
    let refused = map.insert(5..3, Counted(Rc::clone(&dropped)));
    assert_eq!((refused, dropped.get()), (None, 2));
    drop(map);
    assert_eq!(dropped.get(), 101);
}

#[test]
fn a_map_is_sent_and_shared_as_its_values_are() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let mut map = IntervalMap::new();
    map.insert(.., String::from("all"));
    is_send_and_sync(&map);
    let map = std::thread::spawn(move || map).join().unwrap();
    assert_eq!(format!("{map:?}"), "{0..=18446744073709551615: \"all\"}");
}
