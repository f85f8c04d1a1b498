//! Schedules for proptest: many conflicts, and the ends of the number range. Touches nothing.

use std::ops::Bound;

use proptest::prelude::*;

use crate::operation::{Bounds, Kind, Make, Operation, Patience, Use};

pub(crate) fn make() -> impl Strategy<Value = Make> {
    prop_oneof![
        Just(Make::TreeOnly),
        Just(Make::Adaptive),
        (0..40_usize).prop_map(Make::Capacity),
        // The small ones divide the cluster at the bottom; 2^12 and 2^21 are those of real users.
        prop_oneof![0..=6_u32, Just(12), Just(21)].prop_map(Make::Granule),
    ]
}

pub(crate) fn schedule() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..150)
}

fn operation() -> impl Strategy<Value = Operation> {
    let any = any::<usize>;
    prop_oneof![
        8 => (bounds(), purpose()).prop_map(|(bounds, purpose)| {
            Operation::Request(bounds, purpose)
        }),
        6 => (bounds(), purpose(), kind()).prop_map(|(bounds, purpose, kind)| {
            Operation::Hold(bounds, purpose, kind)
        }),
        4 => (bounds(), purpose(), kind(), patience()).prop_map(
            |(bounds, purpose, kind, patience)| {
                Operation::Attempt(bounds, purpose, kind, patience)
            }
        ),
        9 => any().prop_map(|any| Operation::Drop { any }),
        4 => Just(Operation::Collect),
        2 => any().prop_map(|future| Operation::Poll { future }),
        2 => prop::collection::vec((bounds(), purpose()), 0..5).prop_map(Operation::Many),
        2 => append(),
        3 => any().prop_map(|writer| Operation::Downgrade { writer }),
        3 => any().prop_map(|reader| Operation::Upgrade { reader }),
        3 => (any(), 0..40_u64).prop_map(|(guard, after)| Operation::Split { guard, after }),
        2 => (any(), 0..9_u64, 0..9_u64).prop_map(|(guard, front, back)| {
            Operation::Trim { guard, front, back }
        }),
        1 => (any(), bounds()).prop_map(|(guard, to)| Operation::Shrink { guard, to }),
        1 => (bounds(), purpose()).prop_map(|(bounds, purpose)| {
            Operation::Abandon(bounds, purpose)
        }),
        1 => bounds().prop_map(Operation::IsLocked),
        1 => (0..20_usize).prop_map(Operation::Reserve),
    ]
}

fn purpose() -> impl Strategy<Value = Use> {
    prop_oneof![Just(Use::Read), Just(Use::Write)]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![2 => Just(Kind::Guard), 1 => Just(Kind::Owned), 1 => Just(Kind::Node)]
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![
        3 => Just(Patience::Try),
        1 => Just(Patience::Zero),
        1 => Just(Patience::Short),
        1 => Just(Patience::Past),
    ]
}

fn append() -> impl Strategy<Value = Operation> {
    (
        0..20_u64,
        prop_oneof![4 => 0..80_u64, 1 => u64::MAX - 30..=u64::MAX],
    )
        .prop_map(|(len, end)| Operation::Append { len, end })
}

/// Mostly a few bytes in one place, where they meet.
fn bounds() -> impl Strategy<Value = Bounds> {
    const MIDDLE: u64 = 1 << 63;
    let close = |place: u64| {
        let first = place.saturating_sub(12)..place.saturating_add(12);
        (first, 0..10_u64).prop_map(|(first, more)| closed(first, first.saturating_add(more)))
    };
    prop_oneof![
        10 => (0..64_u64, 0..12_u64).prop_map(|(first, more)| closed(first, first + more)),
        3 => (0..64_u64, 0..64_u64).prop_map(|(first, more)| closed(first, first + more)),
        3 => (0..64_u64).prop_map(|byte| closed(byte, byte)),
        2 => prop_oneof![Just(1_u64 << 12), Just(1 << 21), Just(3 << 21)].prop_flat_map(close),
        1 => prop_oneof![Just(1_u64 << 23), Just(1 << 44), Just(MIDDLE)].prop_flat_map(close),
        2 => (0..20_u64, 0..20_u64).prop_map(|(first, more)| {
            closed(u64::MAX - first, (u64::MAX - first).saturating_add(more))
        }),
        1 => (0..64_u64).prop_map(|first| closed(first, first + MIDDLE)),
        1 => (bound(), bound()),
    ]
}

/// Any form of bound, so that empty, reversed and unbounded ranges come too.
fn bound() -> impl Strategy<Value = Bound<u64>> {
    let at = || prop_oneof![0..64_u64, Just(u64::MAX - 1), Just(u64::MAX)];
    prop_oneof![
        at().prop_map(Bound::Included),
        at().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn closed(first: u64, last: u64) -> Bounds {
    (Bound::Included(first), Bound::Included(last))
}
