//! What the tree's mutex guards: the order of requests, and who must be told when it changes.
//!
//! The invariants it keeps are numbered in the head of `tree/mod.rs`. Here requests come and go;
//! what changes those that hold is in `change.rs`. Touches nodes; every function runs under the
//! mutex; takes no lock itself.

use std::ptr::NonNull;

use super::node::{Listing, Node, Standing, Waiter};
use super::outside::{Notice, Outside};
use super::pool::Pool;
use super::tasks::TaskList;
use super::wake_list::WakeList;
use crate::interval::IntervalTree;
use crate::mode::Mode;
use crate::probe::{Fault, Probe};
use crate::span::Span;

/// What becomes of a new request.
pub(super) enum Admission<P> {
    /// It holds its range as an outsider; there is nothing to link.
    Outside(P),
    /// It is to be linked, granted or waiting behind so many nodes (none means: for an outsider).
    Link(Standing, u32),
}

/// All requests of one lock, granted and waiting, but those outside.
pub(super) struct State {
    pub(super) tree: IntervalTree<Node>,
    /// Requests that came here so far, granted or not; also the source of their sequences.
    pub(super) entered: u64,
    pub(super) waiting: u32,
    pub(super) probe: Probe,
    pub(super) pool: Pool,
    /// Granted tasks that are to be told.
    pub(super) tasks: TaskList,
    /// How many requests that came here had to wait.
    pub(super) waits: u64,
}

// SAFETY: the pointers inside lead to nodes that are owned by the pool, or lent by a caller for as
// long as they are linked; whoever holds the state may use them from any thread.
unsafe impl Send for State {}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            tree: IntervalTree::new(),
            entered: 0,
            waiting: 0,
            probe: Probe::new(),
            pool: Pool::new(),
            tasks: TaskList::new(),
            waits: 0,
        }
    }

    /// How many requests that are here already a new one must wait for (Invariant 3).
    #[inline]
    pub(super) fn count_ahead(&self, span: Span, mode: Mode) -> u32 {
        if self.tree.is_empty() {
            return 0;
        }
        let mut ahead = 0;
        for other in self.tree.overlapping(span) {
            let overtakes = other.is_waiting() && self.probe.injects(Fault::Barging);
            if mode.conflicts_with(other.mode()) && !overtakes {
                ahead += 1;
            }
        }
        ahead
    }

    /// Whether a new request would have to wait for a linked one.
    #[inline]
    pub(super) fn is_contested(&self, span: Span, mode: Mode) -> bool {
        if self.tree.is_empty() {
            return false;
        }
        let overlooks = |other: &Node| {
            other.mode() == Mode::Read && self.probe.injects(Fault::TryIgnoresReaders)
        };
        self.tree
            .overlapping(span)
            .any(|other| mode.conflicts_with(other.mode()) && !overlooks(other))
    }

    /// Decides about a new request. If it is to be linked, its span stays closed to outsiders until
    /// it leaves (Invariant 8).
    #[inline]
    pub(super) fn admit<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Admission<O::Place> {
        outside.close(span);
        let ahead = self.count_ahead(span, mode);
        if ahead != 0 || outside.blocks(span, mode, Notice::Leave) {
            return Admission::Link(Standing::Waiting, ahead);
        }
        self.place(outside, span, mode)
    }

    /// Decides about a new request that does not want to wait: nothing means no.
    #[inline]
    pub(super) fn admit_at_once<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Option<Admission<O::Place>> {
        outside.close(span);
        if self.is_contested(span, mode) || outside.blocks(span, mode, Notice::None) {
            self.entered += 1;
            outside.reopen(span);
            return None;
        }
        Some(self.place(outside, span, mode))
    }

    /// Where to put a request that conflicts with nobody, and whose span is closed: outside if
    /// there is room, for then the span need not stay closed.
    #[inline]
    pub(super) fn place<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Admission<O::Place> {
        match outside.settle(span, mode) {
            Some(place) => {
                self.entered += 1;
                outside.reopen(span);
                if outside.is_listing_due() {
                    self.list(outside);
                }
                Admission::Outside(place)
            }
            None => Admission::Link(Standing::Granted, 0),
        }
    }

    /// Gives a request its place in the order, behind the `ahead` others it must wait for. If it
    /// waits, `waiter` says who will have to be told of the end.
    ///
    /// # Safety
    ///
    /// As for [`TreeLock::lock`](super::TreeLock::lock).
    #[inline]
    pub(super) unsafe fn enter(
        &mut self,
        node: NonNull<Node>,
        standing: Standing,
        ahead: u32,
        waiter: Waiter,
    ) {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        request.ahead.set(ahead);
        request.standing.set(standing);
        request.listing.set(Listing::Possible);
        self.entered += 1;
        request.set_sequence(self.entered);
        if standing == Standing::Waiting {
            request.wait.arm();
            request.waiter.set(waiter);
            self.waiting += 1;
            self.waits += 1;
            self.probe.count_wait();
        }
        // SAFETY: passed on from the caller.
        unsafe { self.tree.insert(node) };
    }

    /// Takes a granted request out of the order and returns those it unblocks.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree and granted.
    #[inline]
    pub(super) unsafe fn leave<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
    ) -> WakeList {
        // SAFETY: passed on from the caller.
        unsafe { self.tree.remove(node) };
        // SAFETY: a node that was linked until now is alive.
        let gone = unsafe { node.as_ref() };
        self.unlist(outside, gone);
        outside.reopen(gone.span());
        if self.waiting == 0 {
            return WakeList::EMPTY;
        }
        self.unblock(outside, gone)
    }

    fn unblock<O: Outside>(&mut self, outside: &O, gone: &Node) -> WakeList {
        debug_assert!(!gone.is_waiting(), "only a granted request can be released");
        let credits_readers = self.probe.injects(Fault::ReaderReleasesReaders);
        // All that wait and conflict have counted it: it was granted.
        self.lower(outside, gone.span(), |other| {
            gone.mode().conflicts_with(other.mode()) || credits_readers
        })
    }

    /// Takes a waiting request out of the order and returns those it unblocks: only requests that
    /// came later have counted it.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree and waiting.
    pub(super) unsafe fn abandon<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
    ) -> WakeList {
        // SAFETY: passed on from the caller.
        unsafe { self.tree.remove(node) };
        // SAFETY: a node that was linked until now is alive.
        let gone = unsafe { node.as_ref() };
        debug_assert!(gone.is_waiting(), "a granted request is released");
        self.waiting -= 1;
        outside.reopen(gone.span());
        let forgets_mode = self.probe.injects(Fault::CancelForgetsMode);
        let forgets_order = self.probe.injects(Fault::CancelForgetsOrder);
        self.lower(outside, gone.span(), |other| {
            (gone.mode().conflicts_with(other.mode()) || forgets_mode)
                && (other.sequence() > gone.sequence() || forgets_order)
        })
    }

    /// Lowers the count of every waiting node that overlaps `span` and had `counted` what has gone
    /// from there (Invariant 3), and grants those that come to zero.
    pub(super) fn lower<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        counted: impl Fn(&Node) -> bool,
    ) -> WakeList {
        if self.waiting == 0 || self.probe.injects(Fault::LostWake) {
            return WakeList::EMPTY;
        }
        let mut grants = Grants::new(&mut self.waiting, &mut self.tasks, &mut self.probe);
        for other in self.tree.overlapping(span) {
            // Who has counted somebody has a count; only an injected fault says otherwise.
            let is_miscounted = other.ahead.get() == 0 && grants.probe.is_faulty();
            if !other.is_waiting() || !counted(other) || is_miscounted {
                continue;
            }
            other.ahead.set(other.ahead.get() - 1);
            if other.ahead.get() == 0 {
                grants.consider(outside, other);
            }
        }
        grants.unblocked
    }

    /// A free node, after the mutex was taken by `TreeLock::lock_with_nodes`.
    pub(super) fn take_reserved(&mut self) -> NonNull<Node> {
        self.pool
            .take()
            .expect("the mutex was taken with as many free nodes as are used under it")
    }

    /// Grants those who waited only for an outsider that held `span` in `mode` and is gone. No two
    /// of them exclude each other: the later one would count the earlier.
    pub(super) fn reconsider<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> WakeList {
        let mut grants = Grants::new(&mut self.waiting, &mut self.tasks, &mut self.probe);
        for other in self.tree.overlapping(span) {
            let waits_for_outsiders = other.is_waiting() && other.ahead.get() == 0;
            if waits_for_outsiders && mode.conflicts_with(other.mode()) {
                grants.consider(outside, other);
            }
        }
        grants.unblocked
    }
}

/// The grants of one release.
struct Grants<'state> {
    waiting: &'state mut u32,
    tasks: &'state mut TaskList,
    probe: &'state mut Probe,
    unblocked: WakeList,
}

impl<'state> Grants<'state> {
    fn new(
        waiting: &'state mut u32,
        tasks: &'state mut TaskList,
        probe: &'state mut Probe,
    ) -> Self {
        Self {
            waiting,
            tasks,
            probe,
            unblocked: WakeList::EMPTY,
        }
    }

    /// Grants a request that waits for no linked one, unless an outsider is still in its way.
    fn consider<O: Outside>(&mut self, outside: &O, node: &Node) {
        if outside.blocks(node.span(), node.mode(), Notice::Leave) {
            return;
        }
        node.standing.set(Standing::Granted);
        *self.waiting -= 1;
        self.probe.count_wake();
        if !self.unblocked.is_empty() && self.probe.injects(Fault::WakeOnlyOne) {
            return;
        }
        match node.waiter.get() {
            Waiter::Thread => self.unblocked.push_thread(node),
            Waiter::Task => {
                self.tasks.push(node);
                self.unblocked.note_task();
            }
            // It will look before it waits.
            Waiter::Nobody => {}
        }
    }
}
