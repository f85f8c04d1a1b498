//! What can be seen of a tree lock from outside.
//!
//! Each function takes the tree's mutex, for as long as it takes to walk what it looks at.

#[cfg(all(test, not(loom)))]
use super::State;
use super::TreeLock;
use super::node::Standing;
use super::outside::{Notice, Outside};
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::Ordering;

/// A count of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) granted: usize,
    pub(crate) waiting: usize,
}

/// What a tree lock has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeCounters {
    /// Requests that took the mutex, whether they were granted or not.
    pub(crate) entered: u64,
    /// Those of them that had to wait.
    pub(crate) waits: u64,
    /// The longest wait that has ended, by a grant or at a deadline.
    pub(crate) longest_wait_ns: u64,
}

impl TreeLock {
    /// How many requests are granted and how many wait, as of now, outsiders not included.
    #[cfg(test)]
    pub(crate) fn census(&self) -> Census {
        let state = self.state.lock();
        let waiting = state.waiting as usize;
        Census {
            granted: state.tree.iter().count() - waiting,
            waiting,
        }
    }

    pub(crate) fn counters(&self) -> TreeCounters {
        let state = self.state.lock();
        TreeCounters {
            entered: state.entered,
            waits: state.waits,
            // Relaxed: a statistic, which orders nothing.
            longest_wait_ns: self.longest_wait_ns.load(Ordering::Relaxed),
        }
    }

    /// What the nodes of the pool take. Locks: the mutex.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.state.lock().pool.heap_bytes()
    }

    /// Runs `first`, and shows every linked request to `look`, by ascending first byte, as they are
    /// at one moment. Outsiders are not among them: they are for `first` to look at, while nobody
    /// rearranges them. Both run under the mutex, so they must not use this lock.
    pub(crate) fn visit<L: FnMut(Span, Mode, Standing)>(
        &self,
        look: &mut L,
        first: impl FnOnce(&mut L),
    ) {
        let state = self.state.lock();
        first(look);
        for node in state.tree.iter() {
            look(node.span(), node.mode(), node.standing.get());
        }
    }

    /// Whether a request, made now, would have to wait for a linked one or for an outsider.
    pub(crate) fn contested<O: Outside>(&self, outside: &O, span: Span, mode: Mode) -> bool {
        let state = self.state.lock();
        state.is_contested(span, mode) || outside.blocks(span, mode, Notice::None)
    }

    #[cfg(test)]
    pub(crate) fn with_probe<R>(&self, look: impl FnOnce(&mut crate::probe::Probe) -> R) -> R {
        look(&mut self.state.lock().probe)
    }

    /// The state, for a test to look into.
    #[cfg(all(test, not(loom)))]
    pub(super) fn with_state<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }
}
