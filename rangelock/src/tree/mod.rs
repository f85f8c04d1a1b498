//! The tree lock: one mutex, one interval tree of granted and waiting requests.
//!
//! # Why
//!
//! The obvious range lock keeps granted ranges only and lets those who lose a conflict try again
//! when somebody leaves. It wakes threads that cannot go on, and a wide request starves behind a
//! stream of narrow ones. This one keeps the waiting requests in the tree too, each with the number
//! of conflicting requests that it must wait for. The idea is Jan Kara's (2013), the reader/writer
//! form Davidlohr Bueso's ("locking: Introduce range reader/writer lock", linux-kernel, 2018 and
//! 2019). In short:
//!
//! * First come, first served among requests that conflict; all others pass.
//! * A release wakes exactly those it unblocks, and hands them the range: who wakes up holds it.
//! * O((1 + overlaps) log n) under the mutex; nothing allocates, the nodes are the callers'.
//!
//! | File | What it does to the order |
//! |---|---|
//! | `blocking.rs`, `timed.rs` | a thread comes, waits, to a deadline or without one, and leaves |
//! | `queue.rs` | requests come now and wait later: tasks, and several at once |
//! | `change.rs` | what is held becomes less, more, two, or comes in from outside |
//! | `state.rs` | the order itself: who comes, who leaves, who is granted by that |
//! | `wake_list.rs`, `tasks.rs` | telling those who were granted |
//! | `node.rs`, `pool.rs` | where the nodes are; `interval` finds them |
//! | `outside.rs` | holders that are no nodes |
//! | `inspect.rs` | what can be seen of all this |
//!
//! # States of a node
//!
//! ```text
//!              enter, nobody conflicts; adopt; the upper part of a split
//!   unlinked ────────────────────────────────────────────────────────────▶ granted─┐ downgrade,
//!    ▲ ▲ │                                                                ▲   │  ▲ │ try_upgrade,
//!    │ │ │ enter, somebody conflicts         the last one ahead leaves or │   │  └─┘ shrink, split
//!    │ │ └─────────────────────────▶ waiting ─────────────────────────────┘   │
//!    │ │    cancel, or a deadline       │      gives up, or is no longer      │
//!    │ └────────────────────────────────┘      in the way after a change      │
//!    └────────────────────────────────────────────────────────────────────────┘
//!                                    leave, or cancel
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
//! 2. `sequence` of those that entered grows with arrival, and arrival is the moment the request
//!    holds the mutex. Requests made in one call arrive together: no other comes between.
//! 3. A linked node comes before another if it is granted and the other waits, or if both wait and
//!    its `sequence` is lower. `ahead` of a waiting node is the number of linked nodes that overlap
//!    it, conflict with it and come before it. `ahead` of a granted node is zero.
//! 4. A linked request holds its range exactly while it is `Granted`. It is `Waiting` if
//!    `ahead > 0`, and also if `ahead == 0` and an outsider is in its way that will tell.
//! 5. `waiting` is the number of linked nodes that are `Waiting`.
//! 6. A waiting node is granted at most once, and its owner is then told exactly once, after the
//!    mutex is free again, if there is somebody to tell: a thread that sleeps or is about to, or a
//!    task that has left its waker. An owner that is neither looks, under the mutex, before it
//!    becomes one of them.
//! 7. A granted node has a waker exactly while it is on the list of tasks to be told. Whoever
//!    grants uses the node of a task under the mutex only, and the node of a thread until it has
//!    written the wait word; so does the owner, who gives up a thread's node only after that word.
//! 8. The span of every linked node is closed to outsiders (`outside.rs`).
//!
//! *Exclusion.* Of two linked nodes that overlap and conflict, not both are granted: whichever was
//! granted second, by entering or after a wait, had counted the other, which came before it
//! (Invariant 3). The changes keep this: only an upgrade adds conflicts, and it is refused if
//! another holds; adopting moves what is held already.
//!
//! *Progress.* Among the waiting nodes the one with the lowest sequence counts granted ones only.
//! Whoever holds leaves some day, and lowers every node that counted it, or has it reconsidered;
//! who comes to zero is granted unless outsiders are in its way, who were there before it or leave
//! at once (Invariant 8), and will tell.
//!
//! # Why each step keeps Invariant 3
//!
//! The question is always whom to lower and whom to raise; `X` is the node that changes.
//!
//! | Step | Waiting nodes that overlap `X` and |
//! |---|---|
//! | enter | none: what waits came before; `X` counts all that are here |
//! | grant | none: see below |
//! | leave (granted) | conflict: lowered |
//! | cancel, deadline (waiting) | conflict and have a higher sequence: lowered |
//! | downgrade | read: lowered, for two readers do not conflict |
//! | upgrade | read: raised, whatever their sequence, for what is granted comes before them |
//! | shrink | conflict, and do not overlap what is kept: lowered |
//! | split | conflict, and overlap both parts: raised |
//! | adopt | conflict: raised |
//!
//! A grant changes no count. Those behind `X` have counted it while it waited and go on counting
//! it. One that waits with a lower sequence and conflicts would have been counted by `X`, so `X`
//! would not have been granted.
//!
//! # Two ways to be told
//!
//! A thread sleeps until its word is written, so its node stays, and the granting thread may use it
//! until then without the mutex. At a deadline the thread asks under the mutex whether it still
//! waits. If it does, nobody is about to grant it, and it leaves. If it does not, the grant is
//! on its way; the thread waits for the word, which is a few steps off, and keeps the grant.
//!
//! A task must not be made to wait for anything, neither when it is polled nor when it is dropped,
//! and that may happen at any time. So wakers are taken out of their nodes under the mutex, a batch
//! at a time, and called without it. A task that finds itself granted takes its node off the list,
//! and nobody has a pointer to it any more.
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
//! An outsider can be moved into the tree ([`TreeLock::adopt_pooled`]), for a change that can only
//! be made there. Its span is closed, a granted node is linked for it, and only then is its place
//! given up.
//!
//! * *Nobody gets in meanwhile.* Newcomers announced after the closing find all closed. One that
//!   was announced before may have looked at the closing too early, and looks at the places next;
//!   so the place is kept until no such announcement is left (Invariant 3 of `outside.rs`).
//! * *No wake-up is lost.* With its place the outsider loses its duty to tell those who asked it
//!   to. But they asked because they conflict with it, and a request asks and is linked under one
//!   hold of the mutex. So they are all linked when the node is, and count it from then on: they
//!   are lowered when it leaves, and ask again who is in their way when they come to zero. Those
//!   that come later count it from the start.
//! * *Nobody is overtaken.* Whoever waits for the outsider now waits for a granted node, which
//!   comes before all that wait (Invariant 3); its sequence, 0, is of no account.
//!
//! # Three mistakes of the kernel patch, and where they are avoided
//!
//! 1. It forgets that a departing request was a reader before it has looked at all the others, so
//!    readers are credited with a departure they never waited for, and can join a writer. It does
//!    so when a wait is broken off. Here modes change only by a downgrade or an upgrade, which look
//!    after those concerned at once; and [`State::leave`] and [`State::abandon`] ask the same
//!    question of each overlapping node that [`State::count_ahead`] asked when it counted.
//! 2. `range_is_locked` takes its spinlock twice. Here the mutex is released by dropping its guard.
//! 3. Its write-trylock fails if the request lies between the first and the last held byte, even in
//!    a hole. Here a try asks the tree.
//!
//! # Locks and memory orderings
//!
//! The mutex is a leaf: nothing else is locked, nothing is allocated and no code of a waker runs
//! under it. Data in the range is handed over twice: by the mutex (each release, and each request
//! that need not wait, pass through it) and by the wait word (Release in `grant`, Acquire in
//! `wait`). A task sees under the mutex that it was granted.

mod blocking;
mod change;
mod inspect;
mod listing;
mod moved;
mod node;
mod outside;
mod pool;
mod queue;
mod state;
mod tasks;
mod timed;
mod wake_list;

#[cfg(all(test, loom))]
#[path = "tests/loom/mod.rs"]
mod loom_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/operations.rs"]
mod operations_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/order/mod.rs"]
mod order_model_tests;
#[cfg(test)]
#[path = "tests/outsiders.rs"]
mod outsiders;
#[cfg(all(test, not(any(loom, shuttle)), feature = "deadlock_detection"))]
#[path = "tests/refused.rs"]
mod refused_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/storm.rs"]
mod storm_tests;

use std::ptr::NonNull;

use self::pool::Chunk;
use self::state::State;
use self::tasks::Wakers;
use self::wake_list::WakeList;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, Stopwatch, const_unless_modelled};
use crate::watch::{LockId, Woken};

pub(crate) use self::inspect::{Census, TreeCounters};
pub(crate) use self::moved::FEW_STAND_INS;
pub(crate) use self::node::{LazyNode, Node, Standing};
pub(crate) use self::outside::{Nobody, Notice, Outside};
pub(crate) use self::queue::Enqueued;

/// The lock without its guards: callers keep track of nodes themselves.
///
/// Every call on one lock is given the same outsiders, and names of places outside that it returns
/// are theirs.
pub(crate) struct TreeLock {
    state: Mutex<State>,
    /// The longest wait so far. Beside the mutex, so that who has waited need not take it again.
    longest_wait_ns: AtomicU64,
    id: LockId,
}

/// Where a granted request stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holding<P> {
    /// This node of it is linked into the tree, and is to be given back to the tree.
    Linked(NonNull<Node>),
    /// Outside: the tree knows nothing of it, and no node is in use.
    Outside(P),
}

impl TreeLock {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            Self {
                state: Mutex::new(State::new()),
                longest_wait_ns: AtomicU64::new(0),
                id: LockId::new(),
            }
        }
    }

    /// What observers know the lock by.
    #[inline(always)]
    pub(crate) fn id(&self) -> &LockId {
        &self.id
    }

    /// Makes sure that `nodes` more pooled nodes can be in use at once before there is another
    /// allocation. Locks: the tree's mutex, but not while it allocates.
    pub(crate) fn reserve(&self, nodes: usize) {
        drop(self.lock_with_nodes(nodes));
    }

    /// Lets go of the mutex and tells those who were granted under it (Invariant 6), and observers.
    #[inline]
    fn tell(&self, state: MutexGuard<'_, State>, unblocked: WakeList) {
        if !unblocked.is_empty() {
            self.tell_all(state, unblocked).tell(&self.id);
        }
    }

    /// The same, but leaves observers to the caller, who may have to let go of something else.
    #[inline]
    fn tell_quietly(&self, state: MutexGuard<'_, State>, unblocked: WakeList) -> Woken {
        match unblocked.is_empty() {
            true => Woken::NOBODY,
            false => self.tell_all(state, unblocked),
        }
    }

    #[cold]
    fn tell_all(&self, mut state: MutexGuard<'_, State>, unblocked: WakeList) -> Woken {
        let batch = match unblocked.has_tasks {
            true => state.tasks.take_batch(),
            false => Wakers::NONE,
        };
        drop(state);
        let woken = unblocked.woken;
        unblocked.wake_threads();
        Telling { lock: self, batch }.finish();
        woken
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

    /// The mutex, with so many free nodes in the pool.
    fn lock_with_nodes(&self, nodes: usize) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        loop {
            let missing = state.pool.missing(nodes);
            if missing == 0 {
                return state;
            }
            let nodes = missing.max(state.pool.next_chunk_nodes());
            drop(state);
            let chunk = Chunk::new(nodes);
            state = self.state.lock();
            state.pool.add(chunk);
        }
    }

    fn note_wait(&self, stopwatch: Stopwatch) {
        let wait_ns = stopwatch.elapsed_ns();
        if wait_ns == 0 {
            return; // As always in a model, which is spared two operations.
        }
        // Relaxed: a statistic, which orders nothing. The load spares most waits the write.
        if wait_ns > self.longest_wait_ns.load(Ordering::Relaxed) {
            self.longest_wait_ns.fetch_max(wait_ns, Ordering::Relaxed);
        }
    }
}

/// Calls the wakers of granted tasks, without the mutex, batch by batch.
struct Telling<'lock> {
    lock: &'lock TreeLock,
    batch: Wakers,
}

impl Telling<'_> {
    fn finish(&mut self) {
        while let Some(waker) = self.next() {
            waker.wake();
        }
    }

    fn next(&mut self) -> Option<std::task::Waker> {
        if let Some(waker) = self.batch.next() {
            return Some(waker);
        }
        if !self.batch.is_full() {
            return None;
        }
        self.batch = self.lock.state.lock().tasks.take_batch();
        self.batch.next()
    }
}

/// A waker that panics does not keep the others from being told.
impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
