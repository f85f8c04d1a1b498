//! Events through the public interface. Takes ranges of locks of its own.

use std::sync::Arc;
use std::thread;

use rangelock::RangeLock;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};

mod collector;

use collector::Collector;

/// Runs `work` on another thread, whose events go to `subscriber`, and gives the range that it
/// waits for back only when it waits.
fn while_it_is_held<S>(lock: &RangeLock, subscriber: S, work: impl FnOnce() + Send)
where
    S: Subscriber + Send + Sync + 'static,
{
    thread::scope(|scope| {
        let held = lock.write(0..10);
        let worker = scope.spawn(|| with_default(subscriber, work));
        while !format!("{lock:?}").contains("waiting: 1") {
            thread::yield_now();
        }
        drop(held);
        worker.join().expect("no panic");
    });
}

#[test]
fn a_wait_is_told_of_with_the_place_of_the_call() {
    let lock = RangeLock::new();
    let collector = Collector::default();
    while_it_is_held(&lock, collector.clone(), || {
        drop(lock.read(100..200)); // does not wait
        drop(lock.read(5..20));
    });
    let line = line!() - 2;
    let events = collector.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let parts = [
        "message=a wait is over lock=",
        "first=5 last=19 access=\"read\" requests=1 wait_ns=",
        "outcome=\"granted\"",
        &format!("tests/tracing.rs:{line}:"),
    ];
    for part in parts {
        assert!(events[0].contains(part), "no {part:?} in {events:?}");
    }
}

/// Calls a closure for each event.
struct Calls<F>(F);

impl<F: Fn() + 'static> Subscriber for Calls<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "rangelock"
    }

    fn event(&self, _: &Event<'_>) {
        (self.0)();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_subscriber_may_use_the_lock_it_is_told_of() {
    let lock = Arc::new(RangeLock::new());
    let same = Arc::clone(&lock);
    let (send, told) = std::sync::mpsc::channel();
    let subscriber = Calls(move || {
        drop(same.write(1_000..));
        send.send(format!("{same:?}")).expect("the test waits");
    });
    while_it_is_held(&lock, subscriber, || drop(lock.write(5..20)));
    assert_eq!(
        told.recv().as_deref(),
        Ok("RangeLock { granted: 1, waiting: 0 }")
    );
}

#[test]
fn a_subscriber_that_panics_leaves_no_range_behind() {
    let lock = RangeLock::new();
    while_it_is_held(&lock, Calls(|| panic!("a bad subscriber")), || {
        let held = lock.write(5..20);
        assert_eq!(held.range(), Some(5..=19));
        assert!(lock.try_read(5..6).is_none());
    });
    assert!(lock.try_write(..).is_some());
}
