//! Deadlines, tasks, and several requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Instant;

use super::{
    Enqueued, Holding, Mode, Node, NonNull, Read, Setting, Shared, Span, Write, models, span,
    spawn, three_threads, two_threads,
};
use crate::watch::Asker;

models! {
    a_deadline_and_a_grant_race
    a_callers_node_may_go_after_its_deadline
    an_expired_request_lets_those_behind_it_pass
    an_expired_request_in_a_queue_upsets_nobody
    an_enqueued_request_may_wait_for_a_deadline
    a_task_is_woken
    a_task_is_woken_by_its_last_waker
    tasks_that_were_granted_together_are_all_woken
    a_task_is_dropped_while_it_is_granted
    a_node_is_used_again_at_once
    a_task_dropped_in_the_middle_of_a_queue_upsets_nobody
    a_dropped_task_lets_those_behind_it_pass
    requests_made_together_never_wait_in_a_circle
    all_or_none
}

/// How often each of two things happened, in all schedules of a model.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<[AtomicUsize; 2]>);

impl Tally {
    pub(super) fn count(&self, happened: bool) {
        self.0[usize::from(happened)].fetch_add(1, Relaxed);
    }

    /// A race that always ends the same way has not been run.
    pub(super) fn assert_both_happened(&self) {
        let counts = [0, 1].map(|which| self.0[which].load(Relaxed));
        assert!(
            !counts.contains(&0),
            "one of two outcomes is missing: {counts:?}"
        );
    }
}

impl Shared {
    /// Waits until a deadline, which comes when the schedule says so.
    fn hold_before_deadline(&self, span: Span, mode: Mode) -> bool {
        // A model has no clock.
        let deadline = Instant::now();
        let holding =
            self.tree
                .lock_pooled_until(&self.outsiders, span, mode, deadline, Asker::of_a_test());
        if let Some(holding) = holding {
            self.use_bytes(span, mode);
            self.give_back(holding);
        }
        holding.is_some()
    }

    /// Waits as a task does.
    fn hold_as_task(&self, span: Span, mode: Mode) {
        let holding = match self.enqueue(span, mode) {
            Enqueued::Held(holding) => holding,
            Enqueued::Waiting(node) => {
                self.block_on(node);
                Holding::Linked(node)
            }
        };
        self.use_bytes(span, mode);
        self.give_back(holding);
    }

    /// Makes a request and drops it, polled or not.
    fn drop_task(&self, span: Span, mode: Mode, polled: Polled) {
        match self.enqueue(span, mode) {
            Enqueued::Held(holding) => self.give_back(holding),
            Enqueued::Waiting(node) => {
                if polled == Polled::Once {
                    let _ = self.poll(node, Waker::noop());
                }
                self.cancel(node);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Polled {
    Once,
    Never,
}

pub(super) fn a_deadline_and_a_grant_race(setting: Setting) {
    let tally = Tally::default();
    let counted = tally.clone();
    two_threads(setting, move |shared| {
        let tally = counted.clone();
        let holding = shared.take(span(0, 0), Write);
        let other = spawn(shared, move |shared| {
            tally.count(shared.hold_before_deadline(span(0, 0), Write));
        });
        shared.use_bytes(span(0, 0), Write);
        shared.give_back(holding);
        other.join().unwrap();
    });
    tally.assert_both_happened();
}

/// The wait word of a node tells loom when it goes, so a later use by whoever granted is found.
pub(super) fn a_callers_node_may_go_after_its_deadline(setting: Setting) {
    two_threads(setting, |shared| {
        let holding = shared.take(span(0, 0), Write);
        let other = spawn(shared, |shared| {
            let node = Box::new(Node::new());
            node.request(span(0, 0), Write);
            let (link, deadline) = (NonNull::from(&*node), Instant::now());
            // SAFETY: the node stays in its box until it is not in use any more.
            match unsafe {
                shared
                    .tree
                    .lock_until(&shared.outsiders, link, deadline, Asker::of_a_test())
            } {
                Some(Holding::Linked(node)) => {
                    shared.use_bytes(span(0, 0), Write);
                    // SAFETY: held, and not used any more.
                    unsafe { shared.tree.unlock(&shared.outsiders, node) };
                }
                Some(outside) => shared.give_back(outside),
                None => {}
            }
            drop(node);
        });
        shared.use_bytes(span(0, 0), Write);
        shared.give_back(holding);
        other.join().unwrap();
    });
}

/// The first holder leaves only after the second reader, which stands behind a writer with a
/// deadline.
pub(super) fn an_expired_request_lets_those_behind_it_pass(setting: Setting) {
    three_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Read);
        let writer = spawn(shared, |shared| {
            assert!(!shared.hold_before_deadline(span(0, 0), Write));
        });
        let reader = spawn(shared, |shared| shared.hold(span(0, 1), Read));
        writer.join().unwrap();
        reader.join().unwrap();
        shared.give_back(holding);
    });
}

pub(super) fn an_expired_request_in_a_queue_upsets_nobody(setting: Setting) {
    three_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Write);
        let expiring = spawn(shared, |shared| {
            shared.hold_before_deadline(span(0, 0), Read);
        });
        let reader = spawn(shared, |shared| shared.hold(span(0, 1), Read));
        shared.let_others_run();
        shared.use_bytes(span(0, 1), Write);
        shared.give_back(holding);
        expiring.join().unwrap();
        reader.join().unwrap();
    });
}

pub(super) fn an_enqueued_request_may_wait_for_a_deadline(setting: Setting) {
    let tally = Tally::default();
    let counted = tally.clone();
    two_threads(setting, move |shared| {
        let tally = counted.clone();
        let holding = shared.take(span(0, 0), Write);
        let other = spawn(shared, move |shared| {
            let holding = match shared.enqueue(span(0, 0), Write) {
                Enqueued::Held(holding) => holding,
                Enqueued::Waiting(node) => {
                    let (tree, deadline) = (&shared.tree, Instant::now());
                    // SAFETY: enqueued on this thread, and not used if it is given up.
                    let granted = unsafe { tree.wait_until(&shared.outsiders, node, deadline) };
                    tally.count(granted);
                    if !granted {
                        return;
                    }
                    Holding::Linked(node)
                }
            };
            shared.use_bytes(span(0, 0), Write);
            shared.give_back(holding);
        });
        shared.use_bytes(span(0, 0), Write);
        shared.give_back(holding);
        other.join().unwrap();
    });
    tally.assert_both_happened();
}

pub(super) fn a_task_is_woken(setting: Setting) {
    two_threads(setting, |shared| {
        let other = spawn(shared, |shared| shared.hold_as_task(span(0, 1), Write));
        shared.hold(span(1, 1), Write);
        other.join().unwrap();
    });
}

/// Between two polls a task may have moved to another executor.
pub(super) fn a_task_is_woken_by_its_last_waker(setting: Setting) {
    two_threads(setting, |shared| {
        let holding = shared.take(span(0, 0), Write);
        let other = spawn(shared, |shared| {
            let holding = match shared.enqueue(span(0, 0), Write) {
                Enqueued::Held(holding) => holding,
                Enqueued::Waiting(node) => {
                    if shared.poll(node, Waker::noop()).is_pending() {
                        shared.block_on(node);
                    }
                    Holding::Linked(node)
                }
            };
            shared.use_bytes(span(0, 0), Write);
            shared.give_back(holding);
        });
        shared.use_bytes(span(0, 0), Write);
        shared.give_back(holding);
        other.join().unwrap();
    });
}

/// More than one batch of wakers: in a model a batch is one.
pub(super) fn tasks_that_were_granted_together_are_all_woken(setting: Setting) {
    three_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Write);
        let tasks = [0, 1].map(|byte| {
            spawn(shared, move |shared| {
                shared.hold_as_task(span(byte, byte), Write);
            })
        });
        shared.use_bytes(span(0, 1), Write);
        shared.give_back(holding);
        for task in tasks {
            task.join().unwrap();
        }
    });
}

pub(super) fn a_task_is_dropped_while_it_is_granted(setting: Setting) {
    for polled in [Polled::Once, Polled::Never] {
        two_threads(setting, move |shared| {
            let holding = shared.take(span(0, 0), Write);
            let other = spawn(shared, move |shared| {
                shared.drop_task(span(0, 0), Write, polled);
            });
            shared.use_bytes(span(0, 0), Write);
            shared.give_back(holding);
            other.join().unwrap();
            shared.hold(span(0, 0), Write);
        });
    }
}

/// A node that nobody waits with yet is granted and given back; the next request has the same node,
/// and a thread that sleeps on it.
pub(super) fn a_node_is_used_again_at_once(setting: Setting) {
    two_threads(setting, |shared| {
        let holding = shared.take(span(0, 0), Write);
        let other = spawn(shared, |shared| {
            shared.drop_task(span(0, 0), Write, Polled::Never);
            shared.hold(span(1, 1), Write);
        });
        let second = shared.take(span(1, 1), Write);
        shared.give_back(holding);
        shared.use_bytes(span(1, 1), Write);
        shared.give_back(second);
        other.join().unwrap();
    });
}

/// As in the kernel's patch: a reader gives up, another one behind it waits for the same writer.
pub(super) fn a_task_dropped_in_the_middle_of_a_queue_upsets_nobody(setting: Setting) {
    three_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Write);
        let dropped = spawn(shared, |shared| {
            shared.drop_task(span(0, 0), Read, Polled::Once);
        });
        let reader = spawn(shared, |shared| shared.hold(span(0, 1), Read));
        shared.let_others_run();
        shared.use_bytes(span(0, 1), Write);
        shared.give_back(holding);
        dropped.join().unwrap();
        reader.join().unwrap();
    });
}

/// The first holder leaves only after the second reader, which stands behind a writer that is
/// dropped.
pub(super) fn a_dropped_task_lets_those_behind_it_pass(setting: Setting) {
    three_threads(setting, |shared| {
        let holding = shared.take(span(0, 1), Read);
        let writer = spawn(shared, |shared| {
            shared.drop_task(span(0, 0), Write, Polled::Never);
        });
        let reader = spawn(shared, |shared| shared.hold_as_task(span(0, 1), Read));
        writer.join().unwrap();
        reader.join().unwrap();
        shared.give_back(holding);
    });
}

/// Two threads ask for the same two ranges in opposite orders, and wait for them in these orders.
pub(super) fn requests_made_together_never_wait_in_a_circle(setting: Setting) {
    let (low, high) = ((span(0, 0), Write), (span(1, 1), Write));
    two_threads(setting, move |shared| {
        let other = spawn(shared, move |shared| hold_all(shared, &[high, low]));
        hold_all(shared, &[low, high]);
        other.join().unwrap();
    });
}

fn hold_all(shared: &Shared, requests: &[(Span, Mode)]) {
    let mut out = Vec::new();
    let _waiting = shared
        .tree
        .enqueue_many_pooled(&shared.outsiders, requests, Asker::of_a_test(), &mut out)
        .expect("nobody observes");
    let wait = |node: NonNull<Node>| {
        // SAFETY: enqueued on this thread.
        unsafe { shared.tree.wait(node) };
        Holding::Linked(node)
    };
    let holdings: Vec<_> = out
        .into_iter()
        .map(|enqueued| match enqueued {
            Enqueued::Held(holding) => holding,
            Enqueued::Waiting(node) => wait(node),
        })
        .collect();
    for &(span, mode) in requests {
        shared.use_bytes(span, mode);
    }
    for holding in holdings {
        shared.give_back(holding);
    }
}

pub(super) fn all_or_none(setting: Setting) {
    let tally = Tally::default();
    let counted = tally.clone();
    two_threads(setting, move |shared| {
        let other = spawn(shared, |shared| shared.hold(span(1, 1), Write));
        let requests = [(span(0, 0), Read), (span(1, 1), Write)];
        let mut holdings = Vec::new();
        let granted = shared
            .tree
            .try_all_pooled(&shared.outsiders, &requests, &mut holdings);
        counted.count(granted);
        if granted {
            for (span, mode) in requests {
                shared.use_bytes(span, mode);
            }
        }
        for holding in holdings {
            shared.give_back(holding);
        }
        other.join().unwrap();
    });
    tally.assert_both_happened();
}
