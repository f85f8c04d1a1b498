//! Which of the states that a crash could leave are built, where there are too many for all.
//!
//! Touches memory alone; takes no locks.

use std::collections::HashSet;

use super::unit::{Set, Unit, Units};
use crate::fixture::Numbers;

/// When the machine may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoints {
    /// Before each fence, and at the end. A crash between two fences leaves a state that one just
    /// before the second could leave, too.
    Fences,
    /// Also right after each operation returned: what had to be durable by then must be.
    FencesAndReturns,
}

/// How many states are built.
#[derive(Clone, Debug)]
pub struct Limits {
    /// When the machine may stop.
    pub points: CrashPoints,
    /// The first event before which it may: what comes before is taken for granted.
    pub from_event: usize,
    /// With at most this many states possible, all are built.
    pub all_up_to_states: usize,
    /// With more states but at most this many units: all sets of at most two units, and all but at
    /// most two. With more units: of at most one, and all but one.
    pub pairs_up_to_units: usize,
    /// Never more sets than this for one point, random ones not counted: beyond, some are chosen
    /// at random, and [`Counts::left_out`](super::Counts::left_out) says how many are not.
    pub most_sets: usize,
    /// How many random states come on top.
    pub random_states: usize,
    /// What the random ones follow from.
    pub seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            points: CrashPoints::FencesAndReturns,
            from_event: 0,
            all_up_to_states: 256,
            pairs_up_to_units: 16,
            most_sets: 512,
            random_states: 24,
            seed: 1,
        }
    }
}

/// A state to be built.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// What is there; with each unit all that it needs.
    pub(super) set: Set,
    /// Tears units of several chunks that nothing else of the set needs, by these numbers.
    pub(super) tear: Option<u64>,
}

/// The states to be built, and how many sets were left out.
pub(super) fn choices(units: &Units, limits: &Limits, numbers: &mut Numbers) -> (Vec<Choice>, u64) {
    let whole = |set| Choice { set, tear: None };
    let mut left_out = 0;
    let all = all_sets(units, limits.all_up_to_states);
    let is_all = all.is_some();
    let mut sets = all.unwrap_or_else(|| some_sets(units, limits));
    if !is_all && sets.len() > limits.most_sets {
        left_out = (sets.len() - limits.most_sets) as u64;
        shorten(&mut sets, limits.most_sets, numbers);
    }
    let mut choices: Vec<Choice> = sets.into_iter().map(whole).collect();
    let is_exhaustive = is_all && units.units.iter().all(Unit::is_one_chunk);
    if !is_exhaustive {
        choices.extend((0..limits.random_states).map(|_| random(units, numbers)));
    }
    (choices, left_out)
}

/// All sets that have what they need, or nothing when there are more than `most`.
fn all_sets(units: &Units, most: usize) -> Option<Vec<Set>> {
    let mut sets = vec![Set::default()];
    for unit in 0..units.len() {
        let can_have_it = |set: &&Set| set.includes(&units.needs[unit]);
        let with: Vec<Set> = sets
            .iter()
            .filter(can_have_it)
            .map(|set| {
                let mut set = set.clone();
                set.insert(unit);
                set
            })
            .collect();
        sets.extend(with);
        if sets.len() > most {
            return None;
        }
    }
    Some(sets)
}

fn some_sets(units: &Units, limits: &Limits) -> Vec<Set> {
    let count = units.len();
    let mut sets: Vec<Set> = (0..=count).map(prefix).collect();
    for one in 0..count {
        sets.extend([with(units, &[one]), without(units, &[one])]);
    }
    if count <= limits.pairs_up_to_units {
        for (one, other) in (0..count).flat_map(|one| (0..one).map(move |other| (one, other))) {
            sets.extend([with(units, &[one, other]), without(units, &[one, other])]);
        }
    }
    let mut seen = HashSet::new();
    sets.retain(|set| seen.insert(set.clone()));
    sets
}

/// The first units of the trace.
fn prefix(end: usize) -> Set {
    let mut set = Set::default();
    for unit in 0..end {
        set.insert(unit);
    }
    set
}

/// Nothing but these, and what they need.
fn with(units: &Units, wanted: &[usize]) -> Set {
    let mut set = Set::default();
    for unit in wanted {
        set.insert_all(&units.needs[*unit]);
        set.insert(*unit);
    }
    set
}

/// All but these, and what needs them.
fn without(units: &Units, unwanted: &[usize]) -> Set {
    let mut set = prefix(units.len());
    for unit in (0..units.len()).rev() {
        let is_gone = |gone: &usize| *gone == unit || units.needs[unit].has(*gone);
        if unwanted.iter().any(is_gone) {
            set.remove(unit);
        }
    }
    set
}

/// Each unit with even odds, or with odds that favour few or many; torn as often as not.
fn random(units: &Units, numbers: &mut Numbers) -> Choice {
    let odds = 1 + numbers.below(7);
    let mut set = Set::default();
    for unit in 0..units.len() {
        if numbers.below(8) < odds && set.includes(&units.needs[unit]) {
            set.insert(unit);
        }
    }
    let tear = (numbers.below(2) == 0).then(|| numbers.next_number());
    Choice { set, tear }
}

/// Keeps `most` of the sets, the first (nothing is there) among them.
fn shorten(sets: &mut Vec<Set>, most: usize, numbers: &mut Numbers) {
    for at in 1..most.min(sets.len()) {
        let other = at + numbers.below((sets.len() - at) as u64) as usize;
        sets.swap(at, other);
    }
    sets.truncate(most);
}
