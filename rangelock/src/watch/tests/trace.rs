//! Which events are made, by the calls that the lock makes.

use tracing::subscriber::with_default;

use crate::mode::Mode::{Read, Write};
use crate::span::Span;
use crate::watch::{Asker, LockId, Outcome, Shapes, Woken, place};

#[path = "../../../tests/collector/mod.rs"]
mod collector;

use self::collector::Collector;

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

/// The events of `work`, with the time waited left out.
fn events(work: impl FnOnce()) -> Vec<String> {
    let collector = Collector::default();
    with_default(collector.clone(), work);
    let without_time = |event: &String| {
        let words = event
            .split(' ')
            .filter(|word| !word.starts_with("wait_ns="));
        words.collect::<Vec<_>>().join(" ")
    };
    collector.events().iter().map(without_time).collect()
}

#[test]
fn a_wait_is_told_of_when_it_is_over_and_how() {
    let lock = LockId::new();
    let place = place();
    let number = lock.number().get();
    let outcomes = [
        (Outcome::Granted, "granted"),
        (Outcome::TimedOut, "timed out"),
        (Outcome::Cancelled, "cancelled"),
    ];
    for (outcome, name) in outcomes {
        let told = events(|| {
            let request = [(span(5, 19), Read)];
            let waiting = Asker::new(&lock, place).limited().waits(&request);
            waiting.expect("no deadlock").over(outcome);
        });
        let expected = format!(
            "DEBUG message=a wait is over lock={number} first=5 last=19 access=\"read\" requests=1 \
             outcome=\"{name}\" place={place}"
        );
        assert_eq!(told, [expected]);
    }
}

#[test]
fn several_requests_of_one_call_make_one_event_that_covers_all() {
    let lock = LockId::new();
    let told = events(|| {
        let requests = [
            (span(20, 29), Read),
            (span(50, 59), Read),
            (span(0, 9), Write),
            (span(40, 49), Read),
        ];
        let waiting = Asker::new(&lock, place()).waits(&requests);
        waiting.expect("no deadlock").over(Outcome::Granted);
    });
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("first=0 last=59 access=\"write\" requests=4"),
        "{told:?}"
    );
}

#[test]
fn a_table_of_another_shape_is_told_of() {
    let lock = LockId::new();
    let number = lock.number().get();
    let told = events(|| {
        let mut shapes = Shapes::UNSEEN;
        shapes.tell(&lock);
        shapes.before(|| (1, 4096));
        shapes.tell(&lock);
        shapes.after(|| (1, 4096));
        shapes.tell(&lock); // as it was
        shapes.after(|| (8, 512));
        shapes.tell(&lock);
    });
    let expected = format!(
        "DEBUG message=the table was rebuilt lock={number} shards_before=1 shards_after=8 \
         granule_before=4096 granule_after=512"
    );
    assert_eq!(told, [expected]);
}

#[test]
fn wake_ups_are_counted_and_none_is_not_told_of() {
    let lock = LockId::new();
    let number = lock.number().get();
    let told = events(|| {
        let mut woken = Woken::NOBODY;
        woken.tell(&lock);
        woken.add_one();
        woken.add_one();
        woken.tell(&lock);
    });
    let expected = format!("TRACE message=others were woken lock={number} woken=2");
    assert_eq!(told, [expected]);
}

#[test]
fn a_wait_that_is_given_up_in_a_panic_is_not_told_of() {
    let lock = LockId::new();
    let told = events(|| {
        drop(Asker::new(&lock, place()).waits(&[(span(0, 0), Write)]));
    });
    assert!(told.is_empty(), "{told:?}");
}
