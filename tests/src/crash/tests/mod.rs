//! The states that are built, beside those that a naive model allows.

use std::collections::BTreeSet;

use daxfs_pmem::{Action, Device, Event, ThreadNumber};
use proptest::prelude::*;

use super::damage::see_again;
use super::{
    Counts, CrashPoints, Damage, LINE_BYTES, Limits, MOST_LINES_BY_CHUNK, damaged,
    for_each_crash_state,
};
use crate::fixture::bytes_of;

mod naive;
mod selection;
mod walk;

/// So few that the naive model can multiply them.
const LINES: usize = 2;
const IMAGE_BYTES: usize = LINES * LINE_BYTES;
/// A device has whole pages; the rest of one is left alone.
const DEVICE_BYTES: usize = 4096;

fn event(thread: u32, action: Action) -> Event {
    let thread = ThreadNumber(thread);
    Event { thread, action }
}

fn store(offset: usize, bytes: &[u8]) -> Action {
    Action::Store {
        offset_bytes: offset as u64,
        bytes: bytes.into(),
    }
}

fn stream(line: usize, byte: u8) -> Action {
    Action::Stream {
        offset_bytes: (line * LINE_BYTES) as u64,
        bytes: [byte; LINE_BYTES].into(),
    }
}

/// A flush that is made to see what is stored.
fn flush(line: usize) -> Action {
    Action::Flush {
        offset_bytes: (line * LINE_BYTES) as u64,
        bytes: [0; LINE_BYTES].into(),
    }
}

/// Flushes see what is stored before them.
fn with_flushes_that_see(mut trace: Vec<Event>) -> Vec<Event> {
    see_again(&[0; IMAGE_BYTES], &mut trace);
    trace
}

/// Everything, whatever it takes.
fn everything() -> Limits {
    Limits {
        points: CrashPoints::Fences,
        all_up_to_states: usize::MAX,
        pairs_up_to_units: usize::MAX,
        random_states: 0,
        ..Limits::default()
    }
}

/// All images that are built, and the counts.
fn built(trace: &[Event], limits: &Limits) -> (BTreeSet<Vec<u8>>, Counts) {
    let mut images = BTreeSet::new();
    let counts = for_each_crash_state(&[0; DEVICE_BYTES], trace, limits, |state| {
        let mut image = bytes_of(state.device());
        assert!(image[IMAGE_BYTES..].iter().all(|byte| *byte == 0));
        image.truncate(IMAGE_BYTES);
        images.insert(image);
    });
    assert_eq!(counts.images, images.len() as u64);
    (images, counts)
}

/// All images that the naive model allows at the fences and at the end.
fn allowed(trace: &[Event]) -> BTreeSet<Vec<u8>> {
    let fences = (0..trace.len()).filter(|at| trace[*at].action == Action::Fence);
    let points = fences.chain([trace.len()]);
    let images = points.flat_map(|at| naive::images(&[0; IMAGE_BYTES], trace, at));
    images.collect()
}

fn actions() -> impl Strategy<Value = Action> {
    let small = (0..IMAGE_BYTES - 20, 1..20usize, 1..4u8)
        .prop_map(|(at, len, byte)| store(at, &vec![byte; len]));
    let word = (0..LINES * 2, 1..4u8).prop_map(|(at, byte)| store(at * 8, &[byte; 8]));
    prop_oneof![
        3 => small,
        3 => word,
        1 => (0..LINES, 1..4u8).prop_map(|(line, byte)| stream(line, byte)),
        3 => (0..LINES).prop_map(flush),
        3 => Just(Action::Fence),
    ]
}

fn traces(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let events = (1..3u32, actions()).prop_map(|(thread, action)| event(thread, action));
    prop::collection::vec(events, 0..most).prop_map(with_flushes_that_see)
}

/// The naive model multiplies; beyond this it takes too long.
fn is_small(trace: &[Event]) -> bool {
    let bytes = trace.iter().map(|event| match &event.action {
        Action::Store { bytes, .. } | Action::Stream { bytes, .. } => bytes.len(),
        _ => 0,
    });
    bytes.sum::<usize>() <= 128
}

proptest! {
    #[test]
    fn the_states_built_are_those_the_model_allows(trace in traces(9)) {
        prop_assume!(is_small(&trace));
        let (images, counts) = built(&trace, &everything());
        prop_assert_eq!(images, allowed(&trace));
        prop_assert_eq!(counts.left_out, 0);
    }

    #[test]
    fn with_limits_no_state_is_built_that_the_model_forbids(
        trace in traces(12),
        all_up_to_states in 1..10usize,
        pairs_up_to_units in 0..12usize,
        most_sets in 1..30usize,
        seed: u64,
    ) {
        prop_assume!(is_small(&trace));
        let points = CrashPoints::Fences;
        let limits = Limits {
            points, all_up_to_states, pairs_up_to_units, most_sets, seed, ..Limits::default()
        };
        let (images, _) = built(&trace, &limits);
        let forbidden = images.difference(&allowed(&trace)).count();
        prop_assert_eq!(forbidden, 0);
    }
}

#[test]
fn without_pressure_nothing_else_is_left() {
    let trace = [
        event(1, store(0, &[1; 8])),
        event(1, flush_of(0, &[1; 8])),
        event(1, Action::Fence),
        event(1, store(64, &[2; 8])),
    ];
    let (images, counts) = built(&trace, &everything());
    // Before the fence the first word or not; at the end the second or not.
    assert_eq!((images.len(), counts.points, counts.states), (3, 2, 4));
}

/// A flush that sees these bytes at the start of its line, and zeroes after them.
fn flush_of(line: usize, bytes: &[u8]) -> Action {
    let mut seen = [0; LINE_BYTES];
    seen[..bytes.len()].copy_from_slice(bytes);
    Action::Flush {
        offset_bytes: (line * LINE_BYTES) as u64,
        bytes: seen.into(),
    }
}

#[test]
fn a_line_keeps_the_order_of_its_stores_and_lines_have_none() {
    let one_line = [event(1, store(0, &[1; 8])), event(1, store(8, &[2; 8]))];
    assert_eq!(built(&one_line, &everything()).0.len(), 3);
    let two_lines = [event(1, store(0, &[1; 8])), event(1, store(64, &[2; 8]))];
    assert_eq!(built(&two_lines, &everything()).0.len(), 4);
    let one_store = [event(1, store(0, &[3; 16]))];
    assert_eq!(
        built(&one_store, &everything()).0.len(),
        4,
        "a copy has no order inside"
    );
}

#[test]
fn a_store_that_nobody_recorded_is_pending_once_a_flush_has_seen_it() {
    let trace = [event(1, flush_of(1, &[7; 16])), event(1, Action::Fence)];
    let (images, _) = built(&trace, &everything());
    assert_eq!(images.len(), 4);
}

#[test]
fn a_fence_of_another_thread_makes_nothing_durable() {
    let trace = |fencing| {
        let trace = vec![
            event(1, store(0, &[1; 8])),
            event(1, flush(0)),
            event(fencing, Action::Fence),
            event(1, store(64, &[2; 8])),
        ];
        with_flushes_that_see(trace)
    };
    let is_reordered = |image: &Vec<u8>| image[0] == 0 && image[64] == 2;
    assert!(!built(&trace(1), &everything()).0.iter().any(is_reordered));
    assert!(built(&trace(2), &everything()).0.iter().any(is_reordered));
}

#[test]
fn a_streaming_store_waits_for_its_own_processor() {
    let trace = |streaming_fences: bool| {
        let mut trace = vec![event(1, stream(0, 1))];
        trace.extend(streaming_fences.then(|| event(1, Action::Fence)));
        trace.extend([
            event(2, flush(0)),
            event(2, Action::Fence),
            event(2, store(64, &[2; 8])),
        ]);
        with_flushes_that_see(trace)
    };
    let is_reordered = |image: &Vec<u8>| image[0] == 0 && image[64] == 2;
    assert!(
        !built(&trace(true), &everything())
            .0
            .iter()
            .any(is_reordered)
    );
    assert!(
        built(&trace(false), &everything())
            .0
            .iter()
            .any(is_reordered)
    );
}

#[test]
fn a_fence_covers_what_the_line_held_when_it_was_flushed() {
    let trace = with_flushes_that_see(vec![
        event(1, store(0, &[1; 8])),
        event(1, flush(0)),
        event(2, flush(0)),
        event(1, store(8, &[2; 8])),
        event(1, Action::Fence),
        event(2, Action::Fence),
        event(3, store(64, &[3; 8])),
    ]);
    let (images, _) = built(&trace, &everything());
    assert!(images.iter().any(|image| image[8] == 0 && image[64] == 3));
    assert!(!images.iter().any(|image| image[0] == 0 && image[64] == 3));
}

/// A flush that was made too early has not seen what only the right order stores before it.
#[test]
fn steps_that_change_places_in_one_line_do_so_for_flushes_too() {
    let trace = with_flushes_that_see(vec![
        event(1, store(0, &[1; 8])),
        event(1, flush(0)),
        event(1, Action::Fence),
        event(1, store(8, &[2; 8])),
        event(1, flush(0)),
        event(1, Action::Fence),
    ]);
    let is_early = |image: &Vec<u8>| image[0] == 0 && image[8] == 2;
    assert!(!built(&trace, &everything()).0.iter().any(is_early));
    let swapped = damaged(&[0; DEVICE_BYTES], &trace, Damage::StepsSwapped(0)).unwrap();
    let at_the_second_fence = Limits {
        from_event: 5,
        ..everything()
    };
    let (images, _) = built(&swapped, &at_the_second_fence);
    assert!(images.iter().any(is_early));
}

/// Payload, fence, commit: a commit without its payload must be seen as soon as a fence or a flush
/// is left out, or the two steps change places.
#[test]
fn mistakes_leave_states_that_were_not_there() {
    let (device, recording) = Device::create_recording(DEVICE_BYTES as u64).unwrap();
    for (offset_bytes, byte) in [(64, 1), (0, 2)] {
        let dirty = device.store(offset_bytes, &[byte; 8]).unwrap();
        device.fence(device.flush(dirty)).unwrap();
    }
    let trace = recording.take();
    let is_early = |image: &Vec<u8>| image[0] == 2 && image[64] == 0;
    let (right, _) = built(&trace, &everything());
    assert_eq!(right.iter().filter(|image| is_early(image)).count(), 0);
    for damage in [
        Damage::WithoutFence(0),
        Damage::WithoutFlush(0),
        Damage::StepsSwapped(0),
    ] {
        let trace = damaged(&[0; DEVICE_BYTES], &trace, damage).unwrap();
        let (wrong, _) = built(&trace, &everything());
        assert!(wrong.iter().any(is_early), "{damage:?}");
        let default = built(&trace, &Limits::default()).0;
        assert!(default.iter().any(is_early), "{damage:?}");
    }
    for damage in [
        Damage::WithoutFence(2),
        Damage::WithoutFlush(2),
        Damage::StepsSwapped(1),
    ] {
        assert_eq!(damaged(&[0; DEVICE_BYTES], &trace, damage), None);
    }
    let unfenced = damaged(&[0; DEVICE_BYTES], &trace, Damage::WithoutFence(0)).unwrap();
    assert!(built(&unfenced, &everything()).0.len() > right.len());
}

#[test]
fn a_bulk_copy_is_taken_apart_at_its_edges_and_torn_at_random() {
    let lines = MOST_LINES_BY_CHUNK + 4;
    let bytes = vec![9; lines * LINE_BYTES];
    let trace = [event(1, store(1024, &bytes))];
    let random_states = 40;
    let limits = Limits {
        random_states,
        ..Limits::default()
    };
    let mut whole = BTreeSet::new();
    let mut torn = 0;
    let counts = for_each_crash_state(&[0; DEVICE_BYTES], &trace, &limits, |state| {
        let image = bytes_of(state.device());
        let there: Vec<bool> = image[1024..][..lines * LINE_BYTES]
            .chunks_exact(8)
            .map(|chunk| chunk == [9; 8])
            .collect();
        let parts = [
            &there[..8],
            &there[8..there.len() - 8],
            &there[there.len() - 8..],
        ];
        if parts
            .iter()
            .all(|part| part.iter().all(|is| *is == part[0]))
        {
            whole.insert(parts.map(|part| part[0]));
        } else {
            torn += 1;
        }
    });
    assert_eq!(whole.len(), 8, "every subset of first, middle and last");
    assert_eq!(counts.states, 8 + random_states as u64);
    assert!(torn > random_states / 4, "{torn} torn");
}
