//! What the tree's mutex guards: the order of requests, and who must be woken when it changes.
//!
//! The invariants it keeps are numbered in the head of `tree/mod.rs`. Touches nodes; every function
//! runs under the mutex; takes no lock itself.

use std::ptr::NonNull;

use super::interval::IntervalTree;
use super::node::{Node, Standing};
use super::outside::{Notice, Outside};
use super::pool::Pool;
use super::wake_list::WakeList;
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
    pub(super) tree: IntervalTree,
    next_sequence: u64,
    pub(super) waiting: u32,
    pub(super) probe: Probe,
    pub(super) pool: Pool,
}

// SAFETY: the pointers inside lead to nodes that are owned by the pool, or lent by a caller for as
// long as they are linked; whoever holds the state may use them from any thread.
unsafe impl Send for State {}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            tree: IntervalTree::new(),
            next_sequence: 0,
            waiting: 0,
            probe: Probe::new(),
            pool: Pool::new(),
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
    fn is_contested(&self, span: Span, mode: Mode) -> bool {
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
    /// it leaves (Invariant 7).
    #[inline]
    pub(super) fn admit<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Admission<O::Place> {
        outside.close(span);
        let ahead = self.count_ahead(span, mode);
        if ahead != 0 || outside.blocks(span, mode, Notice::Leave) {
            return Admission::Link(Standing::Waiting, ahead);
        }
        place(outside, span, mode)
    }

    /// Decides about a new request that does not want to wait: nothing means no.
    #[inline]
    pub(super) fn admit_at_once<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> Option<Admission<O::Place>> {
        outside.close(span);
        if self.is_contested(span, mode) || outside.blocks(span, mode, Notice::None) {
            outside.reopen(span);
            return None;
        }
        Some(place(outside, span, mode))
    }

    /// Gives a request its place in the order, behind the `ahead` others it must wait for.
    ///
    /// # Safety
    ///
    /// As for [`TreeLock::lock`](super::TreeLock::lock).
    #[inline]
    pub(super) unsafe fn enter(&mut self, node: NonNull<Node>, standing: Standing, ahead: u32) {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        request.ahead.set(ahead);
        request.standing.set(standing);
        request.sequence.set(self.next_sequence);
        self.next_sequence += 1;
        if standing == Standing::Waiting {
            request.wait.arm();
            self.waiting += 1;
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
        outside.reopen(gone.span());
        if self.waiting == 0 {
            return WakeList::EMPTY;
        }
        self.unblock(outside, gone)
    }

    /// Lowers the count of every node that counted `gone` (Invariant 3).
    fn unblock<O: Outside>(&mut self, outside: &O, gone: &Node) -> WakeList {
        debug_assert!(!gone.is_waiting(), "only a granted request can be released");
        if self.probe.injects(Fault::LostWake) {
            return WakeList::EMPTY;
        }
        let mut grants = Grants::new(&mut self.waiting, &mut self.probe);
        for other in self.tree.overlapping(gone.span()) {
            let wrongly_counted =
                other.ahead.get() != 0 && grants.probe.injects(Fault::ReaderReleasesReaders);
            if !gone.mode().conflicts_with(other.mode()) && !wrongly_counted {
                continue;
            }
            // `gone` was granted, so whatever conflicts with it came later and counted it.
            debug_assert!(other.sequence.get() > gone.sequence.get());
            other.ahead.set(other.ahead.get() - 1);
            if other.ahead.get() == 0 {
                grants.consider(outside, other);
            }
        }
        grants.unblocked
    }

    /// Grants those who waited only for an outsider that held `span` in `mode` and is gone. No two
    /// of them exclude each other: the later one would count the earlier.
    pub(super) fn reconsider<O: Outside>(
        &mut self,
        outside: &O,
        span: Span,
        mode: Mode,
    ) -> WakeList {
        let mut grants = Grants::new(&mut self.waiting, &mut self.probe);
        for other in self.tree.overlapping(span) {
            let waits_for_outsiders = other.is_waiting() && other.ahead.get() == 0;
            if waits_for_outsiders && mode.conflicts_with(other.mode()) {
                grants.consider(outside, other);
            }
        }
        grants.unblocked
    }
}

/// Where to put a request that conflicts with nobody: outside if there is room, for then the span
/// need not stay closed.
#[inline]
fn place<O: Outside>(outside: &O, span: Span, mode: Mode) -> Admission<O::Place> {
    match outside.settle(span, mode) {
        Some(place) => {
            outside.reopen(span);
            Admission::Outside(place)
        }
        None => Admission::Link(Standing::Granted, 0),
    }
}

/// The grants of one release.
struct Grants<'state> {
    waiting: &'state mut u32,
    probe: &'state mut Probe,
    unblocked: WakeList,
}

impl<'state> Grants<'state> {
    fn new(waiting: &'state mut u32, probe: &'state mut Probe) -> Self {
        Self {
            waiting,
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
        if self.unblocked.is_empty() || !self.probe.injects(Fault::WakeOnlyOne) {
            self.unblocked.push(node);
        }
    }
}
