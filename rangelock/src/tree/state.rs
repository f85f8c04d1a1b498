//! What the tree's mutex guards: the order of requests, and who must be woken when it changes.
//!
//! The invariants it keeps are numbered in the head of `tree/mod.rs`. Touches nodes; every function
//! runs under the mutex; takes no lock itself.

use std::ptr::NonNull;

use super::interval::IntervalTree;
use super::node::Node;
use super::pool::Pool;
use super::wake_list::WakeList;
use crate::mode::Mode;
use crate::probe::{Fault, Probe};
use crate::span::Span;

/// All requests of one lock, granted and waiting.
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
            let overtakes = other.ahead.get() != 0 && self.probe.injects(Fault::Barging);
            if mode.conflicts_with(other.mode()) && !overtakes {
                ahead += 1;
            }
        }
        ahead
    }

    /// Whether a new request would have to wait.
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

    /// Gives a request its place in the order, behind the `ahead` others it must wait for.
    ///
    /// # Safety
    ///
    /// As for [`TreeLock::lock`](super::TreeLock::lock).
    #[inline]
    pub(super) unsafe fn enter(&mut self, node: NonNull<Node>, ahead: u32) {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        request.ahead.set(ahead);
        request.sequence.set(self.next_sequence);
        self.next_sequence += 1;
        if ahead != 0 {
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
    pub(super) unsafe fn leave(&mut self, node: NonNull<Node>) -> WakeList {
        // SAFETY: passed on from the caller.
        unsafe { self.tree.remove(node) };
        if self.waiting == 0 {
            return WakeList::EMPTY;
        }
        // SAFETY: a node that was linked until now is alive.
        self.unblock(unsafe { node.as_ref() })
    }

    /// Lowers the count of every node that counted `gone` (Invariant 3).
    fn unblock(&mut self, gone: &Node) -> WakeList {
        debug_assert_eq!(
            gone.ahead.get(),
            0,
            "only a granted request can be released"
        );
        let mut unblocked = WakeList::EMPTY;
        if self.probe.injects(Fault::LostWake) {
            return unblocked;
        }
        for other in self.tree.overlapping(gone.span()) {
            let wrongly_counted =
                other.ahead.get() != 0 && self.probe.injects(Fault::ReaderReleasesReaders);
            if !gone.mode().conflicts_with(other.mode()) && !wrongly_counted {
                continue;
            }
            // `gone` was granted, so whatever conflicts with it came later and counted it.
            debug_assert!(other.sequence.get() > gone.sequence.get());
            other.ahead.set(other.ahead.get() - 1);
            if other.ahead.get() != 0 {
                continue;
            }
            self.waiting -= 1;
            self.probe.count_wake();
            if unblocked.is_empty() || !self.probe.injects(Fault::WakeOnlyOne) {
                unblocked.push(other);
            }
        }
        unblocked
    }
}
