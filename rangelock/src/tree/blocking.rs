//! Requests of threads: they come, wait if they must, hold, and leave.
//!
//! Each in two forms: with a node of the caller's, and with one of the pool. Takes the tree's
//! mutex.

use std::ptr::NonNull;

use super::node::{Node, Standing, Waiter};
use super::outside::Outside;
use super::state::Admission;
use super::{Holding, TreeLock};
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::{Spin, Stopwatch, WaitWord};
use crate::watch::{Asker, Deadlock, Outcome, Waiting, Woken};

/// What became of a request that may wait.
pub(super) enum Entry<P> {
    Held(Holding<P>),
    /// It waits behind so many nodes.
    Waiting(NonNull<Node>, u32, Waiting),
}

impl TreeLock {
    /// Waits until the range requested in `node` is granted. Locks: the tree's mutex.
    ///
    /// # Panics
    ///
    /// If observers know that it never would be. Nothing is left of the request.
    ///
    /// # Safety
    ///
    /// The node is alive and not linked; it stays where it is, untouched by the caller, until
    /// [`unlock`](Self::unlock) was called for it, unless the request ends up outside.
    #[inline]
    pub(crate) unsafe fn lock<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        asker: Asker,
    ) -> Holding<O::Place> {
        // SAFETY: passed on from the caller.
        match unsafe { self.enter(outside, node, asker) } {
            Ok(Entry::Held(holding)) => holding,
            Ok(Entry::Waiting(node, ahead, waiting)) => {
                // SAFETY: the caller keeps the node alive.
                self.wait_for_grant(&unsafe { node.as_ref() }.wait, ahead);
                waiting.over(Outcome::Granted);
                Holding::Linked(node)
            }
            Err(deadlock) => deadlock.report(),
        }
    }

    /// Grants the range requested in `node` if that needs no wait. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock); without a result the node was left alone.
    #[inline]
    pub(crate) unsafe fn try_lock<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
    ) -> Option<Holding<O::Place>> {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        let mut state = self.state.lock();
        match state.admit_at_once(outside, request.span(), request.mode())? {
            Admission::Outside(place) => Some(Holding::Outside(place)),
            Admission::Link(standing, ahead) => {
                // SAFETY: passed on from the caller.
                unsafe { state.enter(node, standing, ahead, Waiter::Nobody) };
                Some(Holding::Linked(node))
            }
        }
    }

    /// Gives the range back and wakes those who waited for it only. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node's range was granted by this lock and not given back since.
    #[inline]
    pub(crate) unsafe fn unlock<O: Outside>(&self, outside: &O, node: NonNull<Node>) {
        let mut state = self.state.lock();
        // SAFETY: passed on from the caller.
        let unblocked = unsafe { state.leave(outside, node) };
        self.tell(state, unblocked);
    }

    /// Grants and wakes those who waited only for an outsider that held `span` in `mode` and has
    /// just left. Observers are left to the caller. Locks: the tree's mutex.
    #[cold]
    pub(crate) fn reconsider<O: Outside>(&self, outside: &O, span: Span, mode: Mode) -> Woken {
        let mut state = self.state.lock();
        let unblocked = state.reconsider(outside, span, mode);
        self.tell_quietly(state, unblocked)
    }

    /// Like [`lock`](Self::lock), with a node of the pool.
    #[inline]
    pub(crate) fn lock_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
        asker: Asker,
    ) -> Holding<O::Place> {
        match self.enter_pooled(outside, span, mode, Waiter::Thread, asker) {
            Ok(Entry::Held(holding)) => holding,
            Ok(Entry::Waiting(node, ahead, waiting)) => {
                // SAFETY: nodes of the pool live as long as the lock.
                self.wait_for_grant(&unsafe { node.as_ref() }.wait, ahead);
                waiting.over(Outcome::Granted);
                Holding::Linked(node)
            }
            Err(deadlock) => deadlock.report(),
        }
    }

    /// Like [`try_lock`](Self::try_lock), with a node of the pool.
    #[inline]
    pub(crate) fn try_lock_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Option<Holding<O::Place>> {
        let mut state = self.state.lock();
        let (node, standing, ahead) = loop {
            let (standing, ahead) = match state.admit_at_once(outside, span, mode)? {
                Admission::Outside(place) => return Some(Holding::Outside(place)),
                Admission::Link(standing, ahead) => (standing, ahead),
            };
            if let Some(node) = state.pool.take() {
                break (node, standing, ahead);
            }
            outside.reopen(span);
            state = self.grow(state);
        };
        // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
        unsafe { node.as_ref() }.request(span, mode);
        // SAFETY: the node is not linked, and goes back to the pool only after it was unlinked.
        unsafe { state.enter(node, standing, ahead, Waiter::Nobody) };
        Some(Holding::Linked(node))
    }

    /// Like [`unlock`](Self::unlock); the node goes back to the pool.
    ///
    /// # Safety
    ///
    /// The node is one of this lock's pool, its range was granted and not given back since, and it
    /// is not used afterwards.
    #[inline]
    pub(crate) unsafe fn unlock_pooled<O: Outside>(&self, outside: &O, node: NonNull<Node>) {
        let mut state = self.state.lock();
        // SAFETY: passed on from the caller.
        let unblocked = unsafe { state.leave(outside, node) };
        // SAFETY: it came from this pool and was unlinked just now.
        unsafe { state.pool.give_back(node) };
        self.tell(state, unblocked);
    }

    /// Gives the request in `node` its place in the order; a thread will wait for it.
    ///
    /// # Errors
    ///
    /// The wait would never end; nothing is left of the request.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock).
    #[inline(always)]
    pub(super) unsafe fn enter<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        asker: Asker,
    ) -> Result<Entry<O::Place>, Deadlock> {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        let (span, mode) = (request.span(), request.mode());
        let mut state = self.state.lock();
        match state.admit(outside, span, mode) {
            Admission::Outside(place) => Ok(Entry::Held(Holding::Outside(place))),
            Admission::Link(standing, ahead) => {
                let waiting =
                    note_wait(standing, span, mode, asker).inspect_err(|_| outside.reopen(span))?;
                // SAFETY: passed on from the caller.
                unsafe { state.enter(node, standing, ahead, Waiter::Thread) };
                Ok(Entry::linked(node, standing, ahead, waiting))
            }
        }
    }

    /// The same with a node of the pool, for a `waiter` of any kind.
    #[inline(always)]
    pub(super) fn enter_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
        waiter: Waiter,
        asker: Asker,
    ) -> Result<Entry<O::Place>, Deadlock> {
        let mut state = self.state.lock();
        let (node, standing, ahead) = loop {
            let (standing, ahead) = match state.admit(outside, span, mode) {
                Admission::Outside(place) => return Ok(Entry::Held(Holding::Outside(place))),
                Admission::Link(standing, ahead) => (standing, ahead),
            };
            if let Some(node) = state.pool.take() {
                break (node, standing, ahead);
            }
            outside.reopen(span);
            state = self.grow(state);
        };
        // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
        unsafe { node.as_ref() }.request(span, mode);
        let waiting = note_wait(standing, span, mode, asker).inspect_err(|_| {
            // SAFETY: it came from this pool just now, and was not linked.
            unsafe { state.pool.give_back(node) };
            outside.reopen(span);
        })?;
        // SAFETY: the node is not linked, and goes back to the pool only after it was unlinked.
        unsafe { state.enter(node, standing, ahead, waiter) };
        Ok(Entry::linked(node, standing, ahead, waiting))
    }

    /// Sleeps until granted.
    #[cold]
    pub(super) fn wait_for_grant(&self, word: &WaitWord, ahead: u32) {
        let stopwatch = Stopwatch::start();
        word.wait(spin_behind(ahead));
        self.note_wait(stopwatch);
    }
}

impl<P> Entry<P> {
    #[inline(always)]
    fn linked(node: NonNull<Node>, standing: Standing, ahead: u32, waiting: Waiting) -> Self {
        match standing {
            Standing::Granted | Standing::Proxy => Self::Held(Holding::Linked(node)),
            Standing::Waiting => Self::Waiting(node, ahead, waiting),
        }
    }
}

/// Tells observers of a request that is to be linked, if it is going to wait.
#[inline(always)]
fn note_wait(
    standing: Standing,
    span: Span,
    mode: Mode,
    asker: Asker,
) -> Result<Waiting, Deadlock> {
    match standing {
        Standing::Granted | Standing::Proxy => Ok(Waiting::NONE),
        Standing::Waiting => asker.waits(&[(span, mode)]),
    }
}

/// Only the next in line spins before it sleeps: for anybody else at least two releases are still
/// to come, and on few processors a spinning thread keeps the holder from running. Who has no node
/// ahead waits for outsiders, and most often for one.
pub(super) fn spin_behind(ahead: u32) -> Spin {
    if ahead <= 1 { Spin::Briefly } else { Spin::No }
}
