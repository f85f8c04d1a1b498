//! Requests that take their place in the order first and wait later, if at all: several at once,
//! and those of tasks.
//!
//! A request is made by [`enqueue_pooled`](TreeLock::enqueue_pooled) or one of its relatives. If it
//! has to wait, it is up to its owner how: [`wait`](TreeLock::wait) and
//! [`wait_until`](TreeLock::wait_until) block the thread, [`poll`](TreeLock::poll) leaves a waker,
//! and [`cancel_pooled`](TreeLock::cancel_pooled) ends it in whatever state it is. Takes the tree's
//! mutex; code of wakers runs without it.

use std::ptr::NonNull;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::blocking::Entry;
use super::node::{Node, Standing, Waiter};
use super::outside::{Notice, Outside};
use super::state::{Admission, State};
use super::timed::Home;
use super::{Holding, TreeLock};
use crate::mode::Mode;
use crate::probe::Fault;
use crate::span::Span;
use crate::sync::{Spin, Stopwatch};
use crate::watch::{Asker, Deadlock, Waiting};

/// What became of a request that did not wait to see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Enqueued<P> {
    /// It holds its range.
    Held(Holding<P>),
    /// It waits; the node is of the pool.
    Waiting(NonNull<Node>),
}

impl TreeLock {
    /// Gives a request its place in the order without waiting for the range. Observers take it for
    /// waiting as long as the second part of the result lives. Locks: the tree's mutex.
    ///
    /// # Errors
    ///
    /// The wait would never end; nothing is left of the request.
    pub(crate) fn enqueue_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
        asker: Asker,
    ) -> Result<(Enqueued<O::Place>, Waiting), Deadlock> {
        let entry = self.enter_pooled(outside, span, mode, Waiter::Nobody, asker)?;
        Ok(match entry {
            Entry::Held(holding) => (Enqueued::Held(holding), Waiting::NONE),
            Entry::Waiting(node, _, waiting) => {
                start_stopwatch(node);
                (Enqueued::Waiting(node), waiting)
            }
        })
    }

    /// Gives all `requests` their places in the order before any other request gets one, and
    /// appends what became of each to `out`. They share no byte with each other. Two threads that
    /// do so with the same ranges in different orders do not wait for each other in a circle: one
    /// was first with all of them. Observers take them for waiting as long as the result lives.
    /// Locks: the tree's mutex.
    ///
    /// # Errors
    ///
    /// The wait would never end; no request was made.
    pub(crate) fn enqueue_many_pooled<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        asker: Asker,
        out: &mut Vec<Enqueued<O::Place>>,
    ) -> Result<Waiting, Deadlock> {
        assert_disjoint(requests);
        let first_new = out.len();
        out.reserve(requests.len());
        let mut state = self.lock_with_nodes(requests.len());
        // Before it is known whether one has to wait: none may be linked yet.
        let mut waiting = asker.waits(requests)?;
        for &(span, mode) in requests {
            if state.probe.injects(Fault::ManyOneByOne) {
                drop(state);
                state = self.lock_with_nodes(1);
            }
            out.push(match state.admit(outside, span, mode) {
                Admission::Outside(place) => Enqueued::Held(Holding::Outside(place)),
                Admission::Link(standing, ahead) => {
                    let node = state.enter_reserved(span, mode, standing, ahead);
                    match standing {
                        Standing::Granted | Standing::Proxy => {
                            Enqueued::Held(Holding::Linked(node))
                        }
                        Standing::Waiting => Enqueued::Waiting(node),
                    }
                }
            });
        }
        drop(state);
        let mut has_to_wait = false;
        for enqueued in &out[first_new..] {
            if let Enqueued::Waiting(node) = *enqueued {
                start_stopwatch(node);
                has_to_wait = true;
            }
        }
        if !has_to_wait {
            waiting = Waiting::NONE;
        }
        Ok(waiting)
    }

    /// Grants all `requests`, which share no byte with each other, or none. If none has to wait, it
    /// appends where they stand to `out` and returns true. Locks: the tree's mutex.
    pub(crate) fn try_all_pooled<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        out: &mut Vec<Holding<O::Place>>,
    ) -> bool {
        assert_disjoint(requests);
        out.reserve(requests.len());
        let mut state = self.lock_with_nodes(requests.len());
        if !state.close_all_if_free(outside, requests) {
            return false;
        }
        for &(span, mode) in requests {
            out.push(match state.place(outside, span, mode) {
                Admission::Outside(place) => Holding::Outside(place),
                Admission::Link(standing, ahead) => {
                    Holding::Linked(state.enter_reserved(span, mode, standing, ahead))
                }
            });
        }
        true
    }

    /// Blocks the thread until an enqueued request is granted. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node is that of an [`Enqueued::Waiting`] request of this lock, and belongs to the
    /// caller; nobody has given it back.
    pub(crate) unsafe fn wait(&self, node: NonNull<Node>) {
        let since = take_stopwatch(node);
        // SAFETY: passed on from the caller.
        if let Some(ahead) = unsafe { self.begin_to_block(node) } {
            // SAFETY: nodes of the pool live as long as the lock.
            self.wait_for_grant(&unsafe { node.as_ref() }.wait, ahead);
        }
        self.note_wait_since(since);
    }

    /// The same, but gives up after `deadline`: if the result is false, the request has left the
    /// order and the node has gone back to the pool. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// As for [`wait`](Self::wait).
    pub(crate) unsafe fn wait_until<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        deadline: Instant,
    ) -> bool {
        let since = take_stopwatch(node);
        // SAFETY: passed on from the caller.
        let is_granted = match unsafe { self.begin_to_block(node) } {
            // SAFETY: it waits for the calling thread, as just declared, and its node is pooled.
            Some(ahead) => unsafe { self.sleep_until(outside, node, ahead, deadline, Home::Pool) },
            None => true,
        };
        self.note_wait_since(since);
        is_granted
    }

    /// Whether an enqueued request is granted. If not, `waker` is called once it is; every call
    /// replaces the waker of the last. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// As for [`wait`](Self::wait), and no thread has begun to wait for the request.
    pub(crate) unsafe fn poll(&self, node: NonNull<Node>, waker: &Waker) -> Poll<()> {
        // SAFETY: nodes of the pool live as long as the lock.
        let request = unsafe { node.as_ref() };
        debug_assert_ne!(request.waiter.get(), Waiter::Thread);
        // Only the owner, which is the caller, writes `waiter`.
        let is_first = request.waiter.get() == Waiter::Nobody;
        let mut fresh = is_first.then(|| waker.clone());
        loop {
            let mut state = self.state.lock();
            if !request.is_waiting() {
                // SAFETY: a node of this lock.
                let stale = unsafe { state.tasks.forget(node) };
                drop(state);
                drop(stale);
                self.note_wait_since(take_stopwatch(node));
                return Poll::Ready(());
            }
            let keeps_stale = !is_first && state.probe.injects(Fault::StaleWaker);
            if keeps_stale || request.waker.will_wake(waker) {
                return Poll::Pending;
            }
            if let Some(fresh) = fresh.take() {
                request.waiter.set(Waiter::Task);
                let stale = request.waker.replace(fresh);
                drop(state);
                drop(stale);
                return Poll::Pending;
            }
            drop(state);
            fresh = Some(waker.clone());
        }
    }

    /// Ends an enqueued request, whether it waits or was granted meanwhile; its node goes back to
    /// the pool. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// As for [`wait`](Self::wait), and no thread is waiting for the request now. The node is not
    /// used afterwards.
    #[cold]
    pub(crate) unsafe fn cancel_pooled<O: Outside>(&self, outside: &O, node: NonNull<Node>) {
        // SAFETY: nodes of the pool live as long as the lock.
        let request = unsafe { node.as_ref() };
        take_stopwatch(node);
        let mut state = self.state.lock();
        if !request.is_waiting() && request.waiter.get() == Waiter::Thread {
            drop(state);
            // Who granted it is about to write its word, and uses the node until then.
            request.wait.wait(Spin::Briefly);
            state = self.state.lock();
        }
        // SAFETY: a node of this lock.
        let stale = unsafe { state.tasks.forget(node) };
        let unblocked = if request.is_waiting() {
            // SAFETY: linked and waiting.
            unsafe { state.abandon(outside, node) }
        } else if state.probe.injects(Fault::CancelForgetsGrant) {
            return;
        } else {
            // SAFETY: linked and granted; the last use by whoever granted it was under the mutex,
            // or is behind us.
            unsafe { state.leave(outside, node) }
        };
        // SAFETY: unlinked just now, and of the pool.
        unsafe { state.pool.give_back(node) };
        self.tell(state, unblocked);
        drop(stale);
    }

    /// Declares that the calling thread is going to sleep on the request's word. Returns how many
    /// are ahead, or nothing if it is granted.
    ///
    /// # Safety
    ///
    /// As for [`wait`](Self::wait).
    unsafe fn begin_to_block(&self, node: NonNull<Node>) -> Option<u32> {
        // SAFETY: nodes of the pool live as long as the lock.
        let request = unsafe { node.as_ref() };
        let mut state = self.state.lock();
        // SAFETY: a node of this lock.
        let stale = unsafe { state.tasks.forget(node) };
        let ahead = request.is_waiting().then(|| {
            request.waiter.set(Waiter::Thread);
            request.ahead.get()
        });
        drop(state);
        drop(stale);
        ahead
    }

    fn note_wait_since(&self, since: Option<Stopwatch>) {
        if let Some(stopwatch) = since {
            self.note_wait(stopwatch);
        }
    }
}

impl State {
    /// Closes the spans of all requests, if none of them would have to wait.
    fn close_all_if_free<O: Outside>(&mut self, outside: &O, requests: &[(Span, Mode)]) -> bool {
        for (index, &(span, mode)) in requests.iter().enumerate() {
            outside.close(span);
            if self.is_contested(span, mode) || outside.blocks(span, mode, Notice::None) {
                self.entered += requests.len() as u64;
                for &(span, _) in &requests[..=index] {
                    outside.reopen(span);
                }
                return false;
            }
        }
        true
    }

    /// Links a request by way of a node of the pool, which must have one.
    fn enter_reserved(
        &mut self,
        span: Span,
        mode: Mode,
        standing: Standing,
        ahead: u32,
    ) -> NonNull<Node> {
        let node = self.take_reserved();
        // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
        unsafe { node.as_ref() }.request(span, mode);
        // SAFETY: the node is not linked, and goes back to the pool only after it was unlinked.
        unsafe { self.enter(node, standing, ahead, Waiter::Nobody) };
        node
    }
}

fn start_stopwatch(node: NonNull<Node>) {
    // SAFETY: nodes of the pool live as long as the lock, and only the owner uses this field.
    unsafe { node.as_ref() }.since.set(Some(Stopwatch::start()));
}

fn take_stopwatch(node: NonNull<Node>) -> Option<Stopwatch> {
    // SAFETY: as above.
    unsafe { node.as_ref() }.since.take()
}

fn assert_disjoint(requests: &[(Span, Mode)]) {
    let overlaps = |index: usize, span: Span| {
        let mut earlier = requests[..index].iter();
        earlier.any(|(other, _)| other.overlaps(span))
    };
    debug_assert!(
        !(requests.iter().enumerate()).any(|(index, (span, _))| overlaps(index, *span)),
        "two requests of one call overlap"
    );
}
