//! The walk: where it stops, what a visitor may do, what is put back.

use daxfs_pmem::{Mark, Moment};

use super::*;

fn mark(operation: u64, moment: Moment) -> Event {
    event(1, Action::Mark(Mark { operation, moment }))
}

/// One operation that is durable when it returns, and one that is not.
fn two_operations() -> Vec<Event> {
    with_flushes_that_see(vec![
        mark(0, Moment::Begins),
        event(1, store(0, &[1; 8])),
        event(1, flush(0)),
        event(1, Action::Fence),
        mark(0, Moment::Returned),
        mark(1, Moment::Begins),
        event(1, store(64, &[2; 8])),
        mark(1, Moment::Returned),
    ])
}

#[test]
fn a_state_knows_what_had_returned() {
    let mut seen = Vec::new();
    for_each_crash_state(
        &[0; DEVICE_BYTES],
        &two_operations(),
        &Limits::default(),
        |state| {
            let image = bytes_of(state.device());
            let mark = state
                .progress
                .values()
                .next()
                .expect("the trace begins with one");
            seen.push((mark.operation, mark.moment, image[0], image[64]));
        },
    );
    use Moment::{Begins, Returned};
    let expected = [
        (0, Begins, 0, 0),
        (0, Begins, 1, 0),
        (0, Returned, 1, 0),
        // The second operation returned, and is not durable for all that.
        (1, Returned, 1, 0),
        (1, Returned, 1, 2),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_walk_begins_where_it_is_told() {
    let trace = two_operations();
    let limits = Limits {
        points: CrashPoints::Fences,
        from_event: 4,
        ..Limits::default()
    };
    let (images, counts) = built(&trace, &limits);
    assert_eq!((counts.points, images.len()), (1, 2));
    assert!(images.iter().all(|image| image[0] == 1));
}

#[test]
fn what_a_visitor_changes_is_put_back() {
    let trace = two_operations();
    let expected = built(&trace, &everything());
    let mut images = BTreeSet::new();
    let counts = for_each_crash_state(&[0; DEVICE_BYTES], &trace, &everything(), |state| {
        let mut image = bytes_of(state.device());
        image.truncate(IMAGE_BYTES);
        images.insert(image);
        let device = state.device();
        device
            .fence(device.copy(3, &[0xee; 2000]).unwrap())
            .unwrap();
        let trace = state.take_trace();
        assert_eq!(trace.len(), 6, "a head, lines, a tail, a fence: {trace:?}");
        device
            .flush(device.store(2100, &[0xdd; 5]).unwrap())
            .defer();
    });
    assert_eq!((images, counts), expected);
}

#[test]
fn a_crash_in_the_visit_can_be_looked_at_in_turn() {
    let trace = two_operations();
    let mut nested = Counts::default();
    for_each_crash_state(&[0; DEVICE_BYTES], &trace, &everything(), |state| {
        let base = bytes_of(state.device());
        let dirty = state.device().store(128, &[4; 16]).unwrap();
        state.device().fence(state.device().flush(dirty)).unwrap();
        nested += for_each_crash_state(&base, &state.take_trace(), &everything(), |inner| {
            let image = bytes_of(inner.device());
            assert_eq!(image[..128], base[..128]);
        });
    });
    // Four visits, each with two words there or not, and at the end for certain.
    assert_eq!((nested.images, nested.points), (16, 8));
}

#[test]
#[should_panic(expected = "used after the visit")]
fn a_visitor_that_keeps_the_device_is_found_out() {
    let mut kept = None;
    for_each_crash_state(
        &[0; DEVICE_BYTES],
        &two_operations(),
        &everything(),
        |state| {
            kept = Some(state.device().clone());
        },
    );
}

#[test]
fn a_state_says_what_is_lost() {
    let mut texts = Vec::new();
    for_each_crash_state(
        &[0; DEVICE_BYTES],
        &two_operations(),
        &everything(),
        |state| {
            texts.push(state.to_string());
        },
    );
    assert!(texts[0].contains("lost: 0..8 of event 1"), "{}", texts[0]);
    assert!(texts[1].contains("there: 0..8 of event 1"), "{}", texts[1]);
}

#[test]
fn what_the_limits_leave_out_is_counted() {
    let stores = (0..40).map(|word| {
        event(
            1,
            store(
                word % LINES * 64 + word / LINES * 8 % 64,
                &[word as u8 + 1; 8],
            ),
        )
    });
    let trace: Vec<Event> = stores.collect();
    let most_sets = 10;
    let limits = Limits {
        most_sets,
        random_states: 0,
        ..Limits::default()
    };
    let (_, counts) = built(&trace, &limits);
    assert_eq!(counts.states, most_sets as u64);
    assert!(counts.left_out > 50, "{counts}");
    assert!(counts.to_string().contains("left out"));
}
