//! Requests that take their place in the order first and wait later, if at all: those of futures,
//! of appenders, and several at once.
//!
//! Takes the tree's mutex, if the slots refuse; then whatever range is waited for.

use std::ptr::NonNull;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::{Enqueued, Holding, Layers, Way};
use crate::mode::Mode;
use crate::span::Span;
use crate::tree::{self, Nobody, Node, Outside};
use crate::watch::{Asker, Deadlock, Outcome, Waiting, Woken};

impl Layers {
    /// Gives a request its place in the order without waiting for the range. Observers take it for
    /// waiting as long as the second part of the result lives. No wait of a task is endless: it can
    /// be cancelled.
    pub(crate) fn enqueue(&self, span: Span, mode: Mode, asker: Asker) -> (Enqueued, Waiting) {
        if let Some(holding) = self.lock_without_tree(span, mode) {
            return (Enqueued::Held(holding), Waiting::NONE);
        }
        let enqueued = self.enqueue_in_tree(span, mode, asker.limited());
        // Never: a wait with a limit ends.
        enqueued.unwrap_or_else(|deadlock| deadlock.report())
    }

    fn enqueue_in_tree(
        &self,
        span: Span,
        mode: Mode,
        asker: Asker,
    ) -> Result<(Enqueued, Waiting), Deadlock> {
        Ok(match self.way {
            Way::SlotsFirst => {
                let (enqueued, waiting) =
                    (self.tree).enqueue_pooled(&self.slots, span, mode, asker)?;
                (enqueued.into(), waiting)
            }
            Way::TreeOnly => {
                let (enqueued, waiting) = self.tree.enqueue_pooled(&Nobody, span, mode, asker)?;
                (enqueued.into(), waiting)
            }
        })
    }

    /// Waits for exclusive use of what `find_span` says, if that is any byte. Returns that too. No
    /// two calls of it overlap, and requests take their places in the order in which it was called.
    ///
    /// An announcement that had to be withdrawn is settled, which may wake others, only after the
    /// request has its place in the tree: code of wakers must not run under the mutex of the
    /// appenders. Those who wait for the withdrawal wait that much longer, and are then ahead of
    /// this request.
    pub(crate) fn append(
        &self,
        find_span: impl FnOnce() -> Option<Span>,
        asker: Asker,
    ) -> Option<(Holding, Span)> {
        let appending = self.appending.lock();
        let (span, mode) = (find_span()?, Mode::Write);
        if let Some(place) = self.slots.alone(span, mode) {
            return Some((Holding::place(place), span));
        }
        let mut withdrawn = None;
        let place = match self.way {
            Way::SlotsFirst => (self.slots).attempt(span, mode, |departure| {
                withdrawn = Some(departure);
            }),
            Way::TreeOnly => None,
        };
        let enqueued = match place {
            Some(place) => Ok((Enqueued::Held(Holding::place(place)), Waiting::NONE)),
            None => self.enqueue_in_tree(span, mode, asker),
        };
        drop(appending);
        let woken = withdrawn.map_or(Woken::NOBODY, |departure| {
            self.settle_departure(departure, span, mode)
        });
        let (enqueued, waiting) = enqueued.unwrap_or_else(|deadlock| deadlock.report());
        // SAFETY: the request was made just now.
        let holding = unsafe { self.wait_for(enqueued) };
        waiting.over(Outcome::Granted);
        woken.tell(self.id());
        self.rebuild_if_wished_for();
        Some((holding, span))
    }

    /// Waits until an enqueued request is granted.
    ///
    /// # Safety
    ///
    /// The request is one of this lock, and was not cancelled nor given back.
    pub(crate) unsafe fn wait_for(&self, enqueued: Enqueued) -> Holding {
        match enqueued {
            Enqueued::Held(holding) => holding,
            Enqueued::Waiting(node) => {
                // SAFETY: passed on from the caller.
                unsafe { self.tree.wait(node) };
                Holding::node(node)
            }
        }
    }

    /// Gives all requests, which share no byte, their places in the order at one moment, and waits
    /// until all are granted.
    pub(crate) fn lock_many(&self, requests: &[(Span, Mode)], asker: Asker) -> Vec<Holding> {
        match self.way {
            Way::SlotsFirst => self.lock_many_in_tree(&self.slots, requests, asker),
            Way::TreeOnly => self.lock_many_in_tree(&Nobody, requests, asker),
        }
    }

    /// Like [`lock_many`](Self::lock_many), but gives all of them up at `deadline`.
    pub(crate) fn lock_many_until(
        &self,
        requests: &[(Span, Mode)],
        deadline: Instant,
        asker: Asker,
    ) -> Option<Vec<Holding>> {
        match self.way {
            Way::SlotsFirst => self.lock_many_in_tree_until(&self.slots, requests, deadline, asker),
            Way::TreeOnly => self.lock_many_in_tree_until(&Nobody, requests, deadline, asker),
        }
    }

    fn lock_many_in_tree_until<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        deadline: Instant,
        asker: Asker,
    ) -> Option<Vec<Holding>>
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let (enqueued, waiting) = self.enqueue_many_in_tree(outside, requests, asker);
        let mut enqueued = enqueued.into_iter();
        let mut granted = Vec::with_capacity(requests.len());
        for request in &mut enqueued {
            match request {
                Enqueued::Held(holding) => granted.push(holding),
                Enqueued::Waiting(node) => {
                    // SAFETY: the request was made by this call and waits.
                    if !unsafe { self.tree.wait_until(outside, node, deadline) } {
                        let others = granted.into_iter().map(Enqueued::Held).chain(enqueued);
                        // SAFETY: they were made by this call, and are not used any more.
                        unsafe { self.give_up(others) };
                        waiting.over(Outcome::TimedOut);
                        return None;
                    }
                    granted.push(Holding::node(node));
                }
            }
        }
        waiting.over(Outcome::Granted);
        Some(granted)
    }

    /// Ends requests that their maker does not want any more.
    ///
    /// # Safety
    ///
    /// They are requests of this lock, were not given back, and are not used any more.
    pub(crate) unsafe fn give_up(&self, requests: impl Iterator<Item = Enqueued>) {
        for request in requests {
            match request {
                // SAFETY: passed on from the caller.
                Enqueued::Held(holding) => unsafe { self.unlock_pooled(holding) },
                // SAFETY: as above.
                Enqueued::Waiting(node) => unsafe { self.cancel(node) },
            }
        }
    }

    /// Gives all requests, which share no byte, their places in the order at one moment, without
    /// waiting for them. Observers take them for waiting as long as the second part of the result
    /// lives.
    pub(crate) fn enqueue_many(
        &self,
        requests: &[(Span, Mode)],
        asker: Asker,
    ) -> (Vec<Enqueued>, Waiting) {
        match self.way {
            Way::SlotsFirst => self.enqueue_many_in_tree(&self.slots, requests, asker),
            Way::TreeOnly => self.enqueue_many_in_tree(&Nobody, requests, asker),
        }
    }

    fn enqueue_many_in_tree<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        asker: Asker,
    ) -> (Vec<Enqueued>, Waiting)
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let mut enqueued = Vec::new();
        let waiting =
            (self.tree).enqueue_many_pooled(outside, requests, asker.limited(), &mut enqueued);
        // Never: a wait with a limit ends.
        let waiting = waiting.unwrap_or_else(|deadlock| deadlock.report());
        (enqueued.into_iter().map(Enqueued::from).collect(), waiting)
    }

    /// Takes all requests, which share no byte, if none of them has to wait.
    pub(crate) fn try_lock_many(&self, requests: &[(Span, Mode)]) -> Option<Vec<Holding>> {
        match self.way {
            Way::SlotsFirst => self.try_lock_many_in_tree(&self.slots, requests),
            Way::TreeOnly => self.try_lock_many_in_tree(&Nobody, requests),
        }
    }

    fn try_lock_many_in_tree<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
    ) -> Option<Vec<Holding>>
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let mut holdings = Vec::new();
        self.tree
            .try_all_pooled(outside, requests, &mut holdings)
            .then(|| holdings.into_iter().map(Holding::from).collect())
    }

    fn lock_many_in_tree<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        asker: Asker,
    ) -> Vec<Holding>
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let mut enqueued = Vec::new();
        let waiting = (self.tree).enqueue_many_pooled(outside, requests, asker, &mut enqueued);
        let waiting = waiting.unwrap_or_else(|deadlock| deadlock.report());
        let holdings = enqueued
            .into_iter()
            // SAFETY: the requests were made by this call.
            .map(|request| unsafe { self.wait_for(request.into()) })
            .collect();
        waiting.over(Outcome::Granted);
        holdings
    }

    /// Whether an enqueued request is granted; if not, `waker` is called once it is.
    ///
    /// # Safety
    ///
    /// The node is that of an [`Enqueued::Waiting`] request of this lock which was not cancelled,
    /// nor given back after it was granted.
    pub(crate) unsafe fn poll(&self, node: NonNull<Node>, waker: &Waker) -> Poll<Holding> {
        // SAFETY: passed on from the caller.
        unsafe { self.tree.poll(node, waker) }.map(|()| Holding::node(node))
    }

    /// Ends an enqueued request, whether it waits or was granted meanwhile.
    ///
    /// # Safety
    ///
    /// As for [`poll`](Self::poll).
    pub(crate) unsafe fn cancel(&self, node: NonNull<Node>) {
        match self.way {
            // SAFETY: passed on from the caller.
            Way::SlotsFirst => unsafe { self.tree.cancel_pooled(&self.slots, node) },
            // SAFETY: passed on from the caller.
            Way::TreeOnly => unsafe { self.tree.cancel_pooled(&Nobody, node) },
        }
    }
}
