//! Events through the public interface. Takes ranges of locks of its own.

use std::ops::Range;
use std::panic::Location;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rangelock::{Access, Granule, RangeLock};
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
    assert_says(&events[0], &parts);
}

fn assert_says(event: &str, parts: &[&str]) {
    for part in parts {
        assert!(event.contains(part), "no {part:?} in {event:?}");
    }
}

/// `file:line:` of the call above.
#[track_caller]
fn line_above() -> String {
    format!("tests/tracing.rs:{}:", Location::caller().line() - 1)
}

/// The events of `work`, on this thread.
fn events_of(work: impl FnOnce()) -> Vec<String> {
    let collector = Collector::default();
    with_default(collector.clone(), work);
    collector.events()
}

#[test]
fn who_does_not_wait_is_not_told_of() {
    let lock = RangeLock::new();
    let events = events_of(|| {
        let held = lock.write(0..10);
        assert!(lock.try_write(0..1).is_none());
        let many = lock.lock_many([(10..20, Access::Read), (30..40, Access::Write)]);
        drop(lock.lock_many([(0..0, Access::Read)]));
        drop(lock.append(10, || 100));
        drop((held, many));
    });
    assert_eq!(events, [] as [String; 0]);
}

#[test]
fn a_wait_for_several_ranges_is_one() {
    let lock = RangeLock::tree_only();
    let collector = Collector::default();
    let wanted = [(50..60, Access::Read), (0..5, Access::Write)];
    while_it_is_held(&lock, collector.clone(), || drop(lock.lock_many(wanted)));
    let line = line_above();
    let parts = [
        "first=0 last=59 access=\"write\" requests=2",
        "outcome=\"granted\"",
        &line,
    ];
    assert_eq!(collector.events().len(), 1);
    assert_says(&collector.events()[0], &parts);
}

#[test]
fn an_appender_that_waits_is_told_of() {
    let lock = RangeLock::new();
    let collector = Collector::default();
    while_it_is_held(&lock, collector.clone(), || drop(lock.append(3, || 8)));
    let line = line_above();
    assert_eq!(collector.events().len(), 1);
    let parts = ["first=8 last=10 access=\"write\"", "\"granted\"", &line];
    assert_says(&collector.events()[0], &parts);
}

#[test]
fn a_wait_that_was_in_vain_is_told_of() {
    let lock = RangeLock::new();
    let held = lock.write(0..10);
    let short = Duration::from_millis(2);
    let check = |events: &[String], line: &str| {
        assert_eq!(events.len(), 1);
        let parts = [
            "first=9 last=19 access=\"read\"",
            "outcome=\"timed out\"",
            line,
        ];
        assert_says(&events[0], &parts);
    };
    let events = events_of(|| assert!(lock.try_read_for(9..20, short).is_none()));
    check(&events, &line_above());
    let deadline = Instant::now() + short;
    let mut node = pin!(lock.node());
    let events = events_of(|| assert!(node.as_mut().try_read_until(9..20, deadline).is_none()));
    check(&events, &line_above());
    let wanted = [(9..20, Access::Read)];
    let events = events_of(|| assert!(lock.try_lock_many_until(wanted, deadline).is_none()));
    check(&events, &line_above());
    drop(held);
}

#[test]
fn a_future_is_told_of_with_the_place_where_it_was_made() {
    let lock = RangeLock::new();
    let mut context = Context::from_waker(Waker::noop());
    for outcome in ["granted", "cancelled"] {
        let held = lock.write(0..10);
        let events = events_of(|| {
            let mut future = Box::pin(lock.write_async(5..20));
            assert!(future.as_mut().poll(&mut context).is_pending());
            if outcome == "granted" {
                drop(held);
                assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(_)));
            }
        });
        let (told, line) = (format!("outcome={outcome:?}"), line!() - 7);
        let waits: Vec<_> = events
            .iter()
            .filter(|event| event.contains("wait"))
            .collect();
        assert_eq!(waits.len(), 1, "{events:?}");
        let at = format!("tests/tracing.rs:{line}:");
        assert_says(waits[0], &["first=5 last=19", &told, &at]);
    }
}

#[test]
fn who_lets_others_in_tells_how_many() {
    let lock = RangeLock::new();
    let mut context = Context::from_waker(Waker::noop());
    let held = lock.write(0..10);
    let mut tasks = [5, 6, 7].map(|first| Box::pin(lock.read_async(first..20)));
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.read(9..10)));
        while !format!("{lock:?}").contains("waiting: 1") {
            thread::yield_now();
        }
        for task in &mut tasks {
            assert!(task.as_mut().poll(&mut context).is_pending());
        }
        let events = events_of(|| drop(held));
        assert_eq!(events.len(), 1, "{events:?}");
        assert_says(
            &events[0],
            &["TRACE message=others were woken lock=", "woken=4"],
        );
    });
}

#[test]
fn a_table_that_grows_or_shrinks_tells_of_it_once() {
    let granule = Granule::from_len(4096).expect("a power of two");
    let lock = RangeLock::with_granule(granule);
    let events = events_of(|| lock.reserve(1000));
    assert_eq!(events.len(), 1, "{events:?}");
    let parts = [
        "DEBUG message=the table was rebuilt lock=",
        "shards_before=1 shards_after=512 granule_before=4096 granule_after=4096",
    ];
    assert_says(&events[0], &parts);
    assert_eq!(events_of(|| lock.reserve(1000)).len(), 0, "there is room");
    let crowded = RangeLock::new();
    let mut guards = Vec::new();
    let events = events_of(|| guards.extend((0..100).map(|at| crowded.read(at..=at))));
    assert!(!events.is_empty(), "a hundred find no room in one shard");
    for event in events {
        assert_says(
            &event,
            &["the table was rebuilt", "shards_before=", "shards_after="],
        );
    }
    guards.clear();
    let events = events_of(|| (0..100).for_each(|_| drop(crowded.write(..))));
    let shrunk = events.last().expect("wide requests make it shrink");
    assert_says(shrunk, &["the table was rebuilt", "shards_after=1 "]);
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
    let (send, told) = mpsc::channel();
    let subscriber = Calls(move || {
        drop(same.write(1_000..));
        drop(same.append(10, || 500));
        send.send(format!("{same:?}")).expect("the test waits");
    });
    while_it_is_held(&lock, subscriber, || drop(lock.write(5..20)));
    assert_eq!(
        told.recv().as_deref(),
        Ok("RangeLock { granted: 1, waiting: 0 }")
    );
}

/// Gives a part of 0..20 back to another thread while a subscriber waits for that part, too.
fn give_back_under_a_subscriber(lock: Arc<RangeLock>, part: Range<u64>, give_back: impl FnOnce()) {
    let (same, wanted) = (Arc::clone(&lock), part.clone());
    let (send, told) = mpsc::channel();
    let subscriber = Calls(move || {
        drop(same.write(wanted.clone()));
        send.send(()).expect("the test waits");
    });
    let is_over = AtomicBool::new(false);
    let somebody_waits = || format!("{lock:?}").contains("waiting: 1");
    thread::scope(|scope| {
        scope.spawn(|| {
            let _next = lock.write(part);
            // Until the subscriber waits, if it comes to that.
            while !somebody_waits() && !is_over.load(Relaxed) {
                thread::yield_now();
            }
        });
        while !somebody_waits() {
            thread::yield_now();
        }
        with_default(subscriber, give_back);
        is_over.store(true, Relaxed);
    });
    assert!(told.try_recv().is_ok(), "the subscriber did not get it");
}

/// With deadlocks watched for as well: what is given back is off the record before others get it.
#[test]
fn a_subscriber_may_wait_for_what_its_thread_has_given_back() {
    let locks = || [RangeLock::new(), RangeLock::tree_only()].map(Arc::new);
    for lock in locks() {
        let guard = lock.write(0..20);
        give_back_under_a_subscriber(Arc::clone(&lock), 5..10, || drop(guard));
    }
    for lock in locks() {
        let mut guard = lock.write(0..20);
        let shrink = || guard.shrink_to(10..);
        give_back_under_a_subscriber(Arc::clone(&lock), 5..10, shrink);
    }
    for lock in locks() {
        let mut node = pin!(lock.node());
        let guard = node.as_mut().write(0..20);
        give_back_under_a_subscriber(Arc::clone(&lock), 5..10, || drop(guard));
    }
}

/// Growth is noticed in the middle of many a call. A mutex that were held then would hang this.
#[test]
fn a_subscriber_may_use_a_lock_that_grows() {
    let lock = Arc::new(RangeLock::new());
    let same = Arc::clone(&lock);
    let (send, told) = mpsc::channel();
    let subscriber = Calls(move || {
        drop(same.append(10, || 1 << 40));
        drop(same.write(1 << 50..));
        send.send(()).expect("the test waits");
    });
    let mut guards = Vec::new();
    with_default(subscriber, || {
        guards.extend((0..20).map(|at| lock.append(1, || at)));
        guards.extend((20..40).map(|at| lock.write(at..=at)));
    });
    assert!(told.try_recv().is_ok(), "it has grown");
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
