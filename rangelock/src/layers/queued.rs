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

impl Layers {
    /// Gives a request its place in the order without waiting for the range.
    pub(crate) fn enqueue(&self, span: Span, mode: Mode) -> Enqueued {
        if let Some(holding) = self.lock_without_tree(span, mode) {
            return Enqueued::Held(holding);
        }
        match self.way {
            Way::SlotsFirst => self.tree.enqueue_pooled(&self.slots, span, mode).into(),
            Way::TreeOnly => self.tree.enqueue_pooled(&Nobody, span, mode).into(),
        }
    }

    /// Waits for exclusive use of what `find_span` says, if that is any byte. No two calls of it
    /// overlap, and requests take their places in the order in which it was called.
    pub(crate) fn append(&self, find_span: impl FnOnce() -> Option<Span>) -> Option<Holding> {
        let appending = self.appending.lock();
        let enqueued = self.enqueue(find_span()?, Mode::Write);
        drop(appending);
        // SAFETY: the request was made just now.
        Some(unsafe { self.wait_for(enqueued) })
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
    pub(crate) fn lock_many(&self, requests: &[(Span, Mode)]) -> Vec<Holding> {
        match self.way {
            Way::SlotsFirst => self.lock_many_in_tree(&self.slots, requests),
            Way::TreeOnly => self.lock_many_in_tree(&Nobody, requests),
        }
    }

    /// Like [`lock_many`](Self::lock_many), but gives all of them up at `deadline`.
    pub(crate) fn lock_many_until(
        &self,
        requests: &[(Span, Mode)],
        deadline: Instant,
    ) -> Option<Vec<Holding>> {
        match self.way {
            Way::SlotsFirst => self.lock_many_in_tree_until(&self.slots, requests, deadline),
            Way::TreeOnly => self.lock_many_in_tree_until(&Nobody, requests, deadline),
        }
    }

    fn lock_many_in_tree_until<O: Outside>(
        &self,
        outside: &O,
        requests: &[(Span, Mode)],
        deadline: Instant,
    ) -> Option<Vec<Holding>>
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let mut enqueued = Vec::new();
        self.tree
            .enqueue_many_pooled(outside, requests, &mut enqueued);
        let mut enqueued = enqueued.into_iter().map(Enqueued::from);
        let mut granted = Vec::with_capacity(requests.len());
        for request in &mut enqueued {
            match request {
                Enqueued::Held(holding) => granted.push(holding),
                Enqueued::Waiting(node) => {
                    // SAFETY: the request was made by this call and waits.
                    if !unsafe { self.tree.wait_until(outside, node, deadline) } {
                        self.give_up(granted.into_iter().map(Enqueued::Held).chain(enqueued));
                        return None;
                    }
                    granted.push(Holding::node(node));
                }
            }
        }
        Some(granted)
    }

    /// Ends requests that their maker does not want any more.
    fn give_up(&self, requests: impl Iterator<Item = Enqueued>) {
        for request in requests {
            match request {
                // SAFETY: the caller made the request, and does not use it any more.
                Enqueued::Held(holding) => unsafe { self.unlock_pooled(holding) },
                // SAFETY: as above.
                Enqueued::Waiting(node) => unsafe { self.cancel(node) },
            }
        }
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

    fn lock_many_in_tree<O: Outside>(&self, outside: &O, requests: &[(Span, Mode)]) -> Vec<Holding>
    where
        Holding: From<tree::Holding<O::Place>>,
    {
        let mut enqueued = Vec::new();
        self.tree
            .enqueue_many_pooled(outside, requests, &mut enqueued);
        enqueued
            .into_iter()
            // SAFETY: the requests were made by this call.
            .map(|request| unsafe { self.wait_for(request.into()) })
            .collect()
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
