//! Requests that observers refuse: nothing is left of them, in the tree or outside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use super::operations_tests::{Lock, span};
use super::{Holding, Node};
use crate::mode::Mode::{self, Read, Write};
use crate::span::Span;
use crate::watch::{Asker, place};

/// A request of each kind, in its own way.
type Request = fn(&Lock, Asker, Span, Mode);

const EVERY_WAY_TO_WAIT: [Request; 4] = [
    |lock, asker, span, mode| {
        lock.tree.lock_pooled(&lock.outsiders, span, mode, asker);
    },
    |lock, asker, span, mode| {
        let node = Node::new();
        node.request(span, mode);
        // SAFETY: the tree does not know of the node when this ends, or the test fails.
        unsafe { lock.tree.lock(&lock.outsiders, NonNull::from(&node), asker) };
    },
    |lock, asker, span, mode| {
        let enqueued = lock.tree.enqueue_pooled(&lock.outsiders, span, mode, asker);
        let _ = enqueued.unwrap_or_else(|deadlock| deadlock.report());
    },
    // With others that could be granted at once, before and after the one that could not.
    |lock, asker, span, mode| {
        let others = [100, 110].map(|first| Span {
            first,
            last: first + 4,
        });
        let requests = [(others[0], Write), (span, mode), (others[1], Read)];
        let mut out = Vec::new();
        let result = (lock.tree).enqueue_many_pooled(&lock.outsiders, &requests, asker, &mut out);
        assert!(result.is_err() && out.is_empty());
        let _ = result.unwrap_or_else(|deadlock| deadlock.report());
    },
];

#[test]
fn nothing_is_left_of_a_refused_request() {
    for lock in Lock::every_kind() {
        for request in EVERY_WAY_TO_WAIT {
            lock.tree.reserve(4);
            // How many of so many nodes are in use, or do not exist.
            let missing = || lock.tree.with_state(|state| state.pool.missing(1_000));
            let held = lock.take(span(0, 9), Read);
            let asker = Asker::new(lock.tree.id(), place());
            let ticket = asker.holds(span(0, 9), Read);
            let (before, entered) = (missing(), lock.tree.counters().entered);
            for _ in 0..20 {
                let refused = catch_unwind(AssertUnwindSafe(|| {
                    request(&lock, asker, span(5, 14), Write);
                }));
                assert!(refused.is_err(), "it waits for itself");
                assert_eq!(missing(), before, "the node came back");
            }
            assert_eq!(lock.tree.id().claims(), (1, 0));
            assert_eq!(lock.tree.counters().entered, entered);
            // Those whom a queue, or a closing, would keep out.
            let now = Instant::now();
            let shared = lock.take_until(span(9, 9), Read, now).expect("shared");
            let beside = lock.take_until(span(10, 120), Write, now).expect("free");
            lock.give_back(shared);
            lock.give_back(beside);
            ticket.released();
            lock.give_back(held);
            lock.assert_unused();
        }
    }
}

#[test]
fn what_observers_do_not_know_of_is_waited_for() {
    for lock in Lock::every_kind() {
        let held = lock.take(span(0, 9), Write);
        let asker = Asker::new(lock.tree.id(), place());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let holding = (lock.tree).lock_pooled(&lock.outsiders, span(9, 9), Read, asker);
                assert!(matches!(holding, Holding::Linked(_)));
                lock.give_back(holding);
            });
            while lock.tree.id().claims() != (0, 1) {
                std::thread::yield_now();
            }
            lock.give_back(held);
            waiter.join().expect("no report");
        });
        assert_eq!(lock.tree.id().claims(), (0, 0));
        lock.assert_unused();
    }
}
