//! Deadlines, tasks and several requests at once on a real clock, and what the counters say.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::outsiders::Outsiders;
use super::{Census, Enqueued, Holding, Node, Standing, TreeLock};
use crate::mode::Mode::{self, Read, Write};
use crate::span::Span;
use crate::watch::Asker;

pub(super) const fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_micros(200)
}

fn in_an_hour() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// A lock and whoever is outside.
pub(super) struct Lock {
    pub(super) tree: TreeLock,
    pub(super) outsiders: Outsiders,
}

impl Lock {
    pub(super) fn every_kind() -> [Self; 2] {
        [Outsiders::NOBODY, Outsiders::new()].map(|outsiders| Self {
            tree: TreeLock::new(),
            outsiders,
        })
    }

    pub(super) fn take(&self, span: Span, mode: Mode) -> Holding<usize> {
        match self.outsiders.attempt(&self.tree, span, mode) {
            Some(place) => Holding::Outside(place),
            None => self
                .tree
                .lock_pooled(&self.outsiders, span, mode, Asker::of_a_test()),
        }
    }

    pub(super) fn take_until(
        &self,
        span: Span,
        mode: Mode,
        deadline: Instant,
    ) -> Option<Holding<usize>> {
        self.tree
            .lock_pooled_until(&self.outsiders, span, mode, deadline, Asker::of_a_test())
    }

    pub(super) fn give_back(&self, holding: Holding<usize>) {
        match holding {
            Holding::Outside(place) => self.outsiders.release(&self.tree, place),
            // SAFETY: held by the test, which forgets it.
            Holding::Linked(node) => unsafe { self.tree.unlock_pooled(&self.outsiders, node) },
        }
    }

    /// The node of a request that has to wait.
    fn enqueue(&self, span: Span, mode: Mode) -> NonNull<Node> {
        let enqueued = (self.tree).enqueue_pooled(&self.outsiders, span, mode, Asker::of_a_test());
        match enqueued.expect("nobody observes").0 {
            Enqueued::Waiting(node) => node,
            Enqueued::Held(holding) => panic!("nothing to wait for, so it got {holding:?}"),
        }
    }

    pub(super) fn poll(&self, node: NonNull<Node>, waker: &Waker) -> Poll<()> {
        // SAFETY: enqueued by the test, on this thread.
        unsafe { self.tree.poll(node, waker) }
    }

    pub(super) fn cancel(&self, node: NonNull<Node>) {
        // SAFETY: enqueued by the test, which forgets it.
        unsafe { self.tree.cancel_pooled(&self.outsiders, node) };
    }

    fn until_waiting(&self, count: usize) {
        while self.tree.census().waiting != count {
            thread::yield_now();
        }
    }

    pub(super) fn assert_unused(&self) {
        let nobody = Census {
            granted: 0,
            waiting: 0,
        };
        assert_eq!(self.tree.census(), nobody);
        assert_eq!(self.outsiders.closings_and_taken(), (0, 0));
    }
}

#[test]
fn a_deadline_that_has_passed_is_a_try() {
    for lock in Lock::every_kind() {
        let past = Instant::now();
        let holding = lock.take_until(span(0, 9), Write, past).unwrap();
        assert!(lock.take_until(span(9, 20), Read, past).is_none());
        lock.give_back(holding);
        let holding = lock.take_until(span(9, 20), Read, past).unwrap();
        lock.give_back(holding);
        lock.assert_unused();
    }
}

#[test]
fn a_request_gives_up_at_its_deadline_and_leaves_nothing() {
    for lock in Lock::every_kind() {
        let holding = lock.take(span(0, 9), Write);
        lock.tree.reserve(1);
        // How many of so many nodes are in use, or do not exist.
        let missing = || lock.tree.with_state(|state| state.pool.missing(1_000));
        let before = missing();
        for _ in 0..20 {
            assert!(lock.take_until(span(5, 5), Read, soon()).is_none());
            assert_eq!(missing(), before, "the node came back");
        }
        lock.give_back(holding);
        lock.assert_unused();
    }
}

#[test]
fn a_request_with_a_callers_node_gives_up_too() {
    let lock = TreeLock::new();
    let held = Node::new();
    held.request(span(0, 9), Write);
    let wanted = Node::new();
    wanted.request(span(3, 4), Write);
    let (held, wanted) = (NonNull::from(&held), NonNull::from(&wanted));
    let take = |node| {
        // SAFETY: the nodes stay here, are used by this lock only, and each is taken while free.
        unsafe { lock.lock_until(&super::Nobody, node, soon(), Asker::of_a_test()) }.is_some()
    };
    // SAFETY: as above, and held.
    let give_back = |node| unsafe { lock.unlock(&super::Nobody, node) };
    assert!(take(held));
    assert!(!take(wanted));
    give_back(held);
    assert!(take(wanted));
    give_back(wanted);
    assert_eq!(lock.census().granted, 0);
}

#[test]
fn a_request_is_granted_before_its_deadline() {
    for lock in Lock::every_kind() {
        let holding = lock.take(span(0, 9), Write);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let holding = lock.take_until(span(0, 20), Write, in_an_hour());
                lock.give_back(holding.expect("an hour has not passed"));
            });
            lock.until_waiting(1);
            lock.give_back(holding);
            waiter.join().unwrap();
        });
        lock.assert_unused();
    }
}

/// Calls back into the lock whenever any of its code runs, which would deadlock under the mutex.
struct Intruder {
    lock: Arc<Lock>,
    calls: AtomicUsize,
}

impl Wake for Intruder {
    fn wake(self: Arc<Self>) {
        self.calls.fetch_add(1, Relaxed);
        self.lock.tree.census();
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.lock.tree.census();
    }
}

#[test]
fn code_of_a_waker_may_use_the_lock() {
    for lock in Lock::every_kind() {
        let lock = Arc::new(lock);
        let intruder = || {
            Arc::new(Intruder {
                lock: Arc::clone(&lock),
                calls: AtomicUsize::new(0),
            })
        };
        let holding = lock.take(span(0, 9), Write);
        let (kept, dropped) = (
            lock.enqueue(span(0, 4), Write),
            lock.enqueue(span(5, 9), Write),
        );
        assert!(lock.poll(kept, &Waker::from(intruder())).is_pending());
        assert!(lock.poll(dropped, &Waker::from(intruder())).is_pending());
        // The last use of the first waker is its replacement, that of the other the cancellation.
        let called = intruder();
        assert!(
            lock.poll(kept, &Waker::from(Arc::clone(&called)))
                .is_pending()
        );
        lock.cancel(dropped);
        lock.give_back(holding);
        assert_eq!(called.calls.load(Relaxed), 1);
        assert!(lock.poll(kept, Waker::noop()).is_ready());
        lock.give_back(Holding::Linked(kept));
        lock.assert_unused();
    }
}

/// Counts, and panics if it is the first of all.
struct Panicking {
    told: Arc<AtomicUsize>,
}

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        if self.told.fetch_add(1, Relaxed) == 0 {
            panic!("a waker that panics");
        }
    }
}

/// More than any batch.
const MANY: usize = 100;

#[test]
fn a_waker_that_panics_keeps_nobody_from_being_told() {
    for lock in Lock::every_kind() {
        let holding = lock.take(span(0, 9), Write);
        let told = Arc::new(AtomicUsize::new(0));
        let nodes: Vec<_> = (0..MANY).map(|_| lock.enqueue(span(0, 9), Read)).collect();
        for &node in &nodes {
            let told = Arc::clone(&told);
            let waker = Waker::from(Arc::new(Panicking { told }));
            assert!(lock.poll(node, &waker).is_pending());
        }
        let release = catch_unwind(AssertUnwindSafe(|| lock.give_back(holding)));
        assert!(release.is_err(), "the panic comes out");
        assert_eq!(told.load(Relaxed), MANY);
        for node in nodes {
            assert!(lock.poll(node, Waker::noop()).is_ready());
            lock.give_back(Holding::Linked(node));
        }
        lock.assert_unused();
    }
}

/// Between its grant and the call of its waker a task may be polled, or dropped. The first waker
/// that is called does so to all others.
struct Meddler {
    lock: Arc<Lock>,
    nodes: Vec<usize>,
    wakes: AtomicUsize,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        if self.wakes.fetch_add(1, Relaxed) != 0 {
            return;
        }
        for (at, &address) in self.nodes.iter().enumerate() {
            let node = NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap();
            if at % 3 == 0 {
                self.lock.cancel(node);
            } else {
                assert!(self.lock.poll(node, Waker::noop()).is_ready());
                self.lock.give_back(Holding::Linked(node));
            }
        }
    }
}

#[test]
fn tasks_about_to_be_told_can_be_polled_and_dropped() {
    for lock in Lock::every_kind() {
        let lock = Arc::new(lock);
        let holding = lock.take(span(0, 9), Write);
        let nodes: Vec<_> = (0..MANY).map(|_| lock.enqueue(span(0, 9), Read)).collect();
        let meddler = Arc::new(Meddler {
            lock: Arc::clone(&lock),
            nodes: nodes
                .iter()
                .map(|node| node.as_ptr().expose_provenance())
                .collect(),
            wakes: AtomicUsize::new(0),
        });
        let waker = Waker::from(Arc::clone(&meddler));
        for node in nodes {
            assert!(lock.poll(node, &waker).is_pending());
        }
        lock.give_back(holding);
        let wakes = meddler.wakes.load(Relaxed);
        assert!(
            (1..MANY).contains(&wakes),
            "{wakes} wakers called: the rest was off the list"
        );
        lock.assert_unused();
    }
}

#[test]
fn a_dropped_lock_drops_the_wakers_of_forgotten_tasks() {
    let bell = Arc::new(Panicking {
        told: Arc::new(AtomicUsize::new(0)),
    });
    for lock in Lock::every_kind() {
        lock.take(span(0, 9), Write);
        let node = lock.enqueue(span(0, 9), Write);
        assert!(
            lock.poll(node, &Waker::from(Arc::clone(&bell)))
                .is_pending()
        );
        assert_eq!(Arc::strong_count(&bell), 2);
        drop(lock);
        assert_eq!(Arc::strong_count(&bell), 1);
    }
}

#[test]
fn the_counters_count() {
    for lock in Lock::every_kind() {
        let at_first = lock.tree.counters();
        assert_eq!(
            (at_first.entered, at_first.waits, at_first.longest_wait_ns),
            (0, 0, 0)
        );
        let holding =
            (lock.tree).lock_pooled(&lock.outsiders, span(0, 9), Write, Asker::of_a_test());
        let tried = lock.tree.try_lock_pooled(&lock.outsiders, span(0, 9), Read);
        assert!(tried.is_none());
        assert!(lock.take_until(span(3, 3), Read, soon()).is_none());
        let node = lock.enqueue(span(3, 3), Read);
        lock.give_back(holding);
        assert!(lock.poll(node, Waker::noop()).is_ready());
        lock.give_back(Holding::Linked(node));
        let counters = lock.tree.counters();
        assert_eq!((counters.entered, counters.waits), (4, 2));
        assert_ne!(counters.longest_wait_ns, 0);
    }
}

#[test]
fn all_linked_requests_can_be_seen() {
    let lock = &Lock::every_kind()[0];
    let low = lock.take(span(0, 9), Read);
    let high = lock.take(span(20, 29), Write);
    let waiting = lock.enqueue(span(5, 24), Write);
    let mut seen = Vec::new();
    let mut look = |span, mode, standing| seen.push((span, mode, standing));
    (lock.tree).visit(&mut look, |_| {});
    let expected = [
        (span(0, 9), Read, Standing::Granted),
        (span(5, 24), Write, Standing::Waiting),
        (span(20, 29), Write, Standing::Granted),
    ];
    assert_eq!(seen, expected);
    lock.cancel(waiting);
    lock.give_back(low);
    lock.give_back(high);
}

#[test]
fn a_range_is_contested_if_a_request_would_have_to_wait() {
    for lock in Lock::every_kind() {
        let is_contested = |span, mode| lock.tree.contested(&lock.outsiders, span, mode);
        let holding = lock.take(span(0, 9), Read);
        assert!(!is_contested(span(5, 15), Read));
        assert!(is_contested(span(5, 15), Write));
        assert!(!is_contested(span(10, 15), Write));
        let waiting = lock.enqueue(span(9, 12), Write);
        assert!(is_contested(span(12, 12), Read));
        lock.cancel(waiting);
        lock.give_back(holding);
        lock.assert_unused();
    }
}

#[test]
fn several_requests_are_all_waited_for() {
    for lock in Lock::every_kind() {
        let holding = lock.take(span(0, 9), Write);
        let requests = [
            (span(20, 29), Write),
            (span(5, 14), Write),
            (span(40, 49), Read),
        ];
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut out = Vec::new();
                let asker = Asker::of_a_test();
                let _waiting =
                    (lock.tree).enqueue_many_pooled(&lock.outsiders, &requests, asker, &mut out);
                for enqueued in out {
                    lock.give_back(match enqueued {
                        Enqueued::Held(holding) => holding,
                        Enqueued::Waiting(node) => {
                            // SAFETY: enqueued on this thread.
                            unsafe { lock.tree.wait(node) };
                            Holding::Linked(node)
                        }
                    });
                }
            });
            lock.until_waiting(1);
            let mut out = Vec::new();
            for requests in [&requests[..], &requests[1..], &requests[1..2]] {
                assert!(!(lock.tree).try_all_pooled(&lock.outsiders, requests, &mut out));
            }
            lock.give_back(holding);
            waiter.join().unwrap();
        });
        let mut out = Vec::new();
        assert!((lock.tree).try_all_pooled(&lock.outsiders, &requests, &mut out));
        assert_eq!(out.len(), requests.len());
        for holding in out {
            lock.give_back(holding);
        }
        lock.assert_unused();
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "two requests of one call overlap")]
fn requests_of_one_call_must_not_overlap() {
    let requests = [(span(0, 9), Read), (span(9, 12), Read)];
    let (lock, asker) = (TreeLock::new(), Asker::of_a_test());
    let _ = lock.enqueue_many_pooled(&super::Nobody, &requests, asker, &mut Vec::new());
}
