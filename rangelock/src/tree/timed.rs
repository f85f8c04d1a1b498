//! Requests that wait no longer than to a deadline.
//!
//! A thread whose deadline passes has to find out, under the tree's mutex, whether it was granted
//! at the last moment. If it was, it keeps the grant. If not, it gives up its place (`abandon`).
//! Takes the tree's mutex.

use std::ptr::NonNull;
use std::time::Instant;

use super::blocking::{Entry, spin_behind};
use super::node::{Node, Waiter};
use super::outside::Outside;
use super::{Holding, TreeLock};
use crate::mode::Mode;
use crate::probe::Fault;
use crate::span::Span;
use crate::sync::{Spin, Stopwatch};
use crate::watch::{Asker, Outcome};

/// Where a node goes after its request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Caller,
    Pool,
}

impl TreeLock {
    /// Like [`lock`](Self::lock), but gives up after `deadline`. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock); without a result the node is not in use.
    pub(crate) unsafe fn lock_until<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        deadline: Instant,
        asker: Asker,
    ) -> Option<Holding<O::Place>> {
        // SAFETY: passed on from the caller.
        let entry = unsafe { self.enter(outside, node, asker.limited()) };
        // Never: a wait with a limit ends.
        match entry.unwrap_or_else(|deadlock| deadlock.report()) {
            Entry::Held(holding) => Some(holding),
            Entry::Waiting(node, ahead, waiting) => {
                let is_granted =
                    // SAFETY: it waits for this thread, and the caller keeps it alive.
                    unsafe { self.sleep_until(outside, node, ahead, deadline, Home::Caller) };
                waiting.over(match is_granted {
                    true => Outcome::Granted,
                    false => Outcome::TimedOut,
                });
                is_granted.then_some(Holding::Linked(node))
            }
        }
    }

    /// Like [`lock_pooled`](Self::lock_pooled), but gives up after `deadline`. Locks: the tree's
    /// mutex.
    pub(crate) fn lock_pooled_until<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
        deadline: Instant,
        asker: Asker,
    ) -> Option<Holding<O::Place>> {
        let entry = self.enter_pooled(outside, span, mode, Waiter::Thread, asker.limited());
        // Never: a wait with a limit ends.
        match entry.unwrap_or_else(|deadlock| deadlock.report()) {
            Entry::Held(holding) => Some(holding),
            Entry::Waiting(node, ahead, waiting) => {
                let is_granted =
                    // SAFETY: it waits for this thread, and comes from the pool.
                    unsafe { self.sleep_until(outside, node, ahead, deadline, Home::Pool) };
                waiting.over(match is_granted {
                    true => Outcome::Granted,
                    false => Outcome::TimedOut,
                });
                is_granted.then_some(Holding::Linked(node))
            }
        }
    }

    /// Sleeps until granted, which is true, or until the deadline has passed and the request has
    /// left the order.
    ///
    /// # Safety
    ///
    /// The request entered with [`Waiter::Thread`] for the calling thread,
    /// and its node is alive; `home` says whose it is. If the result is false it is not used
    /// afterwards.
    #[cold]
    pub(super) unsafe fn sleep_until<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        ahead: u32,
        deadline: Instant,
        home: Home,
    ) -> bool {
        let stopwatch = Stopwatch::start();
        // SAFETY: the caller keeps the node alive.
        let word = &unsafe { node.as_ref() }.wait;
        let is_granted = word.wait_until(spin_behind(ahead), deadline)
            // SAFETY: passed on from the caller.
            || unsafe { self.is_granted_at_last(outside, node, home) };
        self.note_wait(stopwatch);
        is_granted
    }

    /// # Safety
    ///
    /// As for [`sleep_until`](Self::sleep_until).
    unsafe fn is_granted_at_last<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        home: Home,
    ) -> bool {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        let mut state = self.state.lock();
        if !request.is_waiting() {
            let forgets_grant = state.probe.injects(Fault::ExpiryForgetsGrant);
            drop(state);
            // Who granted it is about to write its word, and uses the node until then.
            request.wait.wait(Spin::Briefly);
            return !forgets_grant;
        }
        // SAFETY: linked and waiting, as seen under this hold of the mutex.
        let unblocked = unsafe { state.abandon(outside, node) };
        if home == Home::Pool {
            // SAFETY: unlinked just now, and the caller does not use it any more.
            unsafe { state.pool.give_back(node) };
        }
        self.tell(state, unblocked);
        false
    }
}
