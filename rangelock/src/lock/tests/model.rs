//! The lock against a naive one: a vector of held ranges, compared pair by pair.

use std::ops::RangeInclusive;
use std::pin::Pin;

use proptest::prelude::*;

use super::RangeLock;
use crate::mode::Mode;
use crate::probe::Fault;
use crate::{Granule, RangeNode, ReadGuard, WriteGuard};

/// One step of a test. No step waits: what is tested is who is let in.
#[derive(Clone, Debug)]
enum Step {
    Try {
        mode: Mode,
        range: RangeInclusive<u64>,
        kind: Kind,
    },
    /// Releases the held range at this position, counted round.
    Release { position: usize },
    /// Makes room, and so moves the holders.
    Reserve { ranges: usize },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Movable,
    Pinned,
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![2 => Just(Mode::Read), 1 => Just(Mode::Write)];
    let kind = prop_oneof![Just(Kind::Movable), Just(Kind::Pinned)];
    let range = prop_oneof![
        6 => (0..200_u64, 0..12_u64).prop_map(|(first, len)| first..=first + len),
        1 => (0..200_u64, 0..100_u64).prop_map(|(first, len)| first..=first + len),
        1 => (0..3_u64).prop_map(|back| u64::MAX - back..=u64::MAX),
        1 => (0..200_u64).prop_map(|first| first..=u64::MAX),
        // A range without a byte.
        1 => (1..200_u64).prop_map(|first| first..=first - 1),
    ];
    prop_oneof![
        3 => (mode, range, kind).prop_map(|(mode, range, kind)| Step::Try { mode, range, kind }),
        1 => any::<usize>().prop_map(|position| Step::Release { position }),
    ]
}

/// A range held on the real lock.
enum Guard<'lock> {
    Read(#[expect(dead_code, reason = "held, not used")] ReadGuard<'lock>),
    Write(#[expect(dead_code, reason = "held, not used")] WriteGuard<'lock>),
    /// The guard was forgotten, so the node holds the range until it is dropped.
    Node(#[expect(dead_code, reason = "held, not used")] Pin<Box<RangeNode<'lock>>>),
}

fn try_lock<'lock>(
    lock: &'lock RangeLock,
    mode: Mode,
    range: RangeInclusive<u64>,
    kind: Kind,
) -> Option<Guard<'lock>> {
    match (kind, mode) {
        (Kind::Movable, Mode::Read) => lock.try_read(range).map(Guard::Read),
        (Kind::Movable, Mode::Write) => lock.try_write(range).map(Guard::Write),
        (Kind::Pinned, mode) => {
            let mut node = Box::pin(lock.node());
            match mode {
                Mode::Read => node.as_mut().try_read(range).map(std::mem::forget)?,
                Mode::Write => node.as_mut().try_write(range).map(std::mem::forget)?,
            }
            Some(Guard::Node(node))
        }
    }
}

/// Runs the steps on both locks and compares every answer.
fn compare(lock: &RangeLock, steps: Vec<Step>) {
    let mut held: Vec<(Mode, RangeInclusive<u64>, Guard<'_>)> = Vec::new();
    for step in steps {
        match step {
            Step::Try { mode, range, kind } => {
                let free = range.is_empty()
                    || !held.iter().any(|(other_mode, other, _)| {
                        !other.is_empty()
                            && range.start() <= other.end()
                            && other.start() <= range.end()
                            && (mode == Mode::Write || *other_mode == Mode::Write)
                    });
                let guard = try_lock(lock, mode, range.clone(), kind);
                assert_eq!(guard.is_some(), free, "{mode:?} {range:?}");
                held.extend(guard.map(|guard| (mode, range, guard)));
            }
            Step::Release { position } if !held.is_empty() => {
                let position = position % held.len();
                held.swap_remove(position);
            }
            Step::Release { .. } => {}
            Step::Reserve { ranges } => lock.reserve(ranges),
        }
    }
    let count = held
        .iter()
        .filter(|(_, range, _)| !range.is_empty())
        .count();
    assert_eq!(lock.layers.census().granted, count);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn grants_exactly_what_a_naive_lock_grants(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        for lock in [RangeLock::new(), RangeLock::tree_only(), RangeLock::with_capacity(100)] {
            compare(&lock, steps.clone());
            lock.assert_unused();
        }
    }

    /// With granules from one byte to all of those that occur, so that requests are narrow, wide,
    /// and too many for the slots.
    #[test]
    fn and_so_it_does_with_granules_of_any_length(
        shift in 0..=8_u32,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let lock = RangeLock::with_granule(Granule::from_len(1 << shift).unwrap());
        compare(&lock, steps);
        lock.assert_unused();
    }

    /// Wherever the table grows, everybody who holds and everybody who comes later sees the same.
    #[test]
    fn and_so_it_does_if_it_grows_at_any_moment(
        shift in 0..=8_u32,
        chunks in prop::collection::vec((prop::collection::vec(step(), 1..40), 0..200_usize), 1..6),
    ) {
        let granule = Granule::from_len(1 << shift).unwrap();
        for lock in [RangeLock::with_granule(granule), RangeLock::new()] {
            let steps = chunks.iter().flat_map(|(steps, ranges)| {
                steps.iter().cloned().chain([Step::Reserve { ranges: *ranges }])
            });
            compare(&lock, steps.collect());
            lock.assert_unused();
        }
    }
}

#[test]
#[should_panic(expected = "left == right")]
fn canary_try_ignores_readers() {
    let try_all = |mode| Step::Try {
        mode,
        range: 0..=9,
        kind: Kind::Movable,
    };
    let lock = RangeLock::tree_only().with_fault(Fault::TryIgnoresReaders);
    compare(&lock, vec![try_all(Mode::Read), try_all(Mode::Write)]);
}
