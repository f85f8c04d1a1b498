//! The tree lock: one mutex, one interval tree of granted and waiting requests.
//!
//! # Why
//!
//! The obvious range lock keeps granted ranges only and lets those who lose a conflict try again
//! when somebody leaves. It wakes threads that cannot go on, and a wide request starves behind a
//! stream of narrow ones. This one keeps the waiting requests in the tree too, each with the number
//! of conflicting requests that came before it. The idea is Jan Kara's (2013), the reader/writer
//! form Davidlohr Bueso's ("locking: Introduce range reader/writer lock", linux-kernel, 2018 and
//! 2019). In short:
//!
//! * First come, first served among requests that conflict; all others pass.
//! * A release wakes exactly those it unblocks, and hands them the range: who wakes up holds it.
//! * O((1 + overlaps) log n) under the mutex; nothing allocates, the nodes are the callers'.
//!
//! # States of a node
//!
//! ```text
//!               enter, nobody conflicts
//!   unlinked ───────────────────────────────────────▶ granted
//!     ▲   │                                            ▲   │
//!     │   │ enter, somebody conflicts last conflicting │   │
//!     │   └─────────────────▶ waiting ─────────────────┘   │
//!     │                              earlier one leaves    │
//!     └────────────────────────────────────────────────────┘
//!                              leave
//! ```
//!
//! `granted` and `waiting` are both linked, and without outsiders they differ only in `ahead`. For
//! example, with time running down, `W` for a writer and `R` for a reader:
//!
//! ```text
//!   bytes  0    1    2    3    4    5        ahead
//!   W1     [──────────]                      0       granted
//!   R2          [──────────]                 1 (W1)  waiting
//!   R3                [──────────]           0       granted: nobody ahead of it writes here
//!   W4                  [────]               2 (R2, R3)
//! ```
//!
//! # Invariants
//!
//! All hold whenever the mutex is free.
//!
//! 1. A node is linked from the moment its request takes its place in the order until it leaves.
//! 2. `sequence` grows with arrival, and arrival is the moment the request holds the mutex.
//! 3. `ahead` of a linked node is the number of linked nodes that overlap it, conflict with it and
//!    have a lower `sequence`.
//! 4. A linked request holds its range exactly while it is `Granted`. It is `Waiting` if
//!    `ahead > 0`, and also if `ahead == 0` and an outsider is in its way that will tell.
//! 5. `waiting` is the number of linked nodes that are `Waiting`.
//! 6. A node becomes granted by a release exactly once for each time it waited, and is then woken
//!    exactly once, after the mutex is free again.
//! 7. The span of every linked node is closed to outsiders (`outside.rs`).
//!
//! Exclusion: of two linked nodes that conflict, the later one counts the earlier (Invariant 3), so
//! it is not granted (Invariant 4). Progress: the linked node with the lowest sequence counts
//! nobody and so is granted, unless outsiders are in its way, who were there before it or leave at
//! once (Invariant 7); and whoever leaves lowers the count of every node that counted it, or has it
//! reconsidered.
//!
//! # Outsiders
//!
//! Where requests can be served above the tree (`slots`), those holders are no nodes, and the tree
//! asks about them through the trait [`Outside`]. A request that conflicts with no node and no
//! outsider becomes an outsider itself if there is room. One that was granted by a release stays
//! linked until it leaves: those behind it have counted it, and to move it outside would mean to
//! look for all of them once more. Where there are no outsiders ([`Nobody`]), nothing is left of
//! this in the machine code.
//!
//! # Three mistakes of the kernel patch, and where they are avoided
//!
//! 1. It forgets that a departing request was a reader before it has looked at all the others, so
//!    readers are credited with a release they never waited for, and can join a writer. Here the
//!    modes are constant while a node is linked, and [`State::leave`] asks the same question of
//!    each overlapping node that [`State::count_ahead`] asked when it counted.
//! 2. `range_is_locked` takes its spinlock twice. Here the mutex is released by dropping its guard.
//! 3. Its write-trylock fails if the request lies between the first and the last held byte, even in
//!    a hole. Here a try asks the tree.
//!
//! # Locks and memory orderings
//!
//! The mutex is a leaf: nothing else is locked and nothing is allocated or woken under it. Data in
//! the range is handed over twice: by the mutex (each release, and each request that need not wait,
//! pass through it) and by the wait word (Release in `grant`, Acquire in `wait`).

mod interval;
mod links;
mod node;
mod outside;
mod pool;
mod state;
mod wake_list;

#[cfg(all(test, not(loom)))]
#[path = "tests/interval_model.rs"]
mod interval_model_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/order_model.rs"]
mod order_model_tests;

use std::convert::Infallible;
use std::ptr::NonNull;

use self::node::Standing;
use self::pool::Chunk;
use self::state::{Admission, State};
use crate::mode::Mode;
#[cfg(test)]
use crate::probe::Probe;
use crate::span::Span;
use crate::sync::{Mutex, MutexGuard, Spin, WaitWord, const_unless_modelled};

pub(crate) use self::node::Node;
pub(crate) use self::outside::{Nobody, Notice, Outside};

/// The lock without its guards: callers keep track of nodes themselves.
///
/// Every call on one lock is given the same outsiders, and names of places outside that it returns
/// are theirs.
pub(crate) struct TreeLock {
    state: Mutex<State>,
}

/// Where a granted request stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holding<P> {
    /// This node of it is linked into the tree, and is to be given back to the tree.
    Linked(NonNull<Node>),
    /// Outside: the tree knows nothing of it, and no node is in use.
    Outside(P),
}

impl Holding<Infallible> {
    /// The same where there are outsiders: this one is linked.
    #[inline]
    pub(crate) fn inside<P>(self) -> Holding<P> {
        match self {
            Self::Linked(node) => Holding::Linked(node),
            Self::Outside(nowhere) => match nowhere {},
        }
    }
}

impl TreeLock {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            Self { state: Mutex::new(State::new()) }
        }
    }

    /// Makes sure that `nodes` pooled nodes can be in use at once without another allocation.
    pub(crate) fn reserve(&mut self, nodes: usize) {
        if nodes != 0 {
            self.state.get_mut().pool.add(Chunk::new(nodes));
        }
    }

    /// Waits until the range requested in `node` is granted. Locks: the tree's mutex.
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
    ) -> Holding<O::Place> {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        let mut state = self.state.lock();
        match state.admit(outside, request.span(), request.mode()) {
            Admission::Outside(place) => Holding::Outside(place),
            Admission::Link(standing, ahead) => {
                // SAFETY: passed on from the caller.
                unsafe { state.enter(node, standing, ahead) };
                drop(state);
                if standing == Standing::Waiting {
                    wait_for_grant(&request.wait, ahead);
                }
                Holding::Linked(node)
            }
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
                unsafe { state.enter(node, standing, ahead) };
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
        drop(state);
        unblocked.wake_all();
    }

    /// Grants and wakes those who waited only for an outsider that held `span` in `mode` and has
    /// just left. Locks: the tree's mutex.
    #[cold]
    pub(crate) fn reconsider<O: Outside>(&self, outside: &O, span: Span, mode: Mode) {
        let mut state = self.state.lock();
        let unblocked = state.reconsider(outside, span, mode);
        drop(state);
        unblocked.wake_all();
    }

    /// Like [`lock`](Self::lock), with a node of the pool.
    #[inline]
    pub(crate) fn lock_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Holding<O::Place> {
        let mut state = self.state.lock();
        let (node, standing, ahead) = loop {
            let (standing, ahead) = match state.admit(outside, span, mode) {
                Admission::Outside(place) => return Holding::Outside(place),
                Admission::Link(standing, ahead) => (standing, ahead),
            };
            if let Some(node) = state.pool.take() {
                break (node, standing, ahead);
            }
            outside.reopen(span);
            state = self.grow(state);
        };
        // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
        let request = unsafe { node.as_ref() };
        request.request(span, mode);
        // SAFETY: the node is not linked, and goes back to the pool only after it was unlinked.
        unsafe { state.enter(node, standing, ahead) };
        drop(state);
        if standing == Standing::Waiting {
            wait_for_grant(&request.wait, ahead);
        }
        Holding::Linked(node)
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
        unsafe { state.enter(node, standing, ahead) };
        Some(Holding::Linked(node))
    }

    /// Like [`unlock`](Self::unlock); the node goes back to the pool.
    ///
    /// # Safety
    ///
    /// The node came from [`lock_pooled`](Self::lock_pooled) or
    /// [`try_lock_pooled`](Self::try_lock_pooled) of this lock, and is not used afterwards.
    #[inline]
    pub(crate) unsafe fn unlock_pooled<O: Outside>(&self, outside: &O, node: NonNull<Node>) {
        let mut state = self.state.lock();
        // SAFETY: passed on from the caller.
        let unblocked = unsafe { state.leave(outside, node) };
        // SAFETY: it came from this pool and was unlinked just now.
        unsafe { state.pool.give_back(node) };
        drop(state);
        unblocked.wake_all();
    }

    /// Adds free nodes, allocating them without the mutex. Returns with the mutex held, as it came.
    #[cold]
    fn grow<'lock>(&'lock self, state: MutexGuard<'lock, State>) -> MutexGuard<'lock, State> {
        let nodes = state.pool.next_chunk_nodes();
        drop(state);
        let chunk = Chunk::new(nodes);
        let mut state = self.state.lock();
        state.pool.add(chunk);
        state
    }

    /// How many requests are granted and how many wait, as of now. Locks: the tree's mutex, for as
    /// long as it takes to walk the whole tree.
    pub(crate) fn census(&self) -> Census {
        let state = self.state.lock();
        let waiting = state.waiting as usize;
        Census {
            granted: state.tree.iter().count() - waiting,
            waiting,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_probe<R>(&self, look: impl FnOnce(&mut Probe) -> R) -> R {
        look(&mut self.state.lock().probe)
    }
}

/// A count of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) granted: usize,
    pub(crate) waiting: usize,
}

/// Sleeps until granted. Only the next in line spins first: for anybody else at least two releases
/// are still to come, and on few processors a spinning thread keeps the holder from running. Who
/// has no node ahead waits for outsiders, and most often for one.
#[cold]
fn wait_for_grant(word: &WaitWord, ahead: u32) {
    word.wait(if ahead <= 1 { Spin::Briefly } else { Spin::No });
}
