//! Requests that were granted by a release and whose owners do not know yet.
//!
//! Built under the tree's mutex from nodes that were waiting, used after it was released. The
//! threads among them are listed here, through the `chain` of their nodes, so it allocates nothing;
//! the tasks are on a list of the lock's own (`tasks.rs`). Takes no lock.

use std::ptr::NonNull;

use super::node::{Link, Node};
use crate::sync::WaitWord;
use crate::watch::Woken;

/// Granted requests whose owners must still be told (Invariant 6 of the tree).
#[must_use = "requests on it sleep until they are woken"]
pub(super) struct WakeList {
    pub(super) threads: Link,
    /// Whether there is somebody on the list of tasks too.
    pub(super) has_tasks: bool,
    /// How many, for observers.
    pub(super) woken: Woken,
}

impl WakeList {
    pub(super) const EMPTY: Self = Self {
        threads: None,
        has_tasks: false,
        woken: Woken::NOBODY,
    };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_none() && !self.has_tasks
    }

    pub(super) fn push_thread(&mut self, node: &Node) {
        node.chain.set(self.threads);
        self.threads = Some(NonNull::from(node));
        self.woken.add_one();
    }

    /// Notes that a task was put on the list of tasks.
    pub(super) fn note_task(&mut self) {
        self.has_tasks = true;
        self.woken.add_one();
    }

    /// Wakes the threads. The mutex must be free: a woken thread may want it at once.
    pub(super) fn wake_threads(self) {
        let mut next = self.threads;
        while let Some(node) = next {
            let node = node.as_ptr();
            // The link is read first: once granted, the node may be gone.
            // SAFETY: the request sleeps until it is granted below, which keeps its node alive, and
            // nobody but this thread uses the chain of a node on its wake list.
            next = unsafe { (*node).chain.get() };
            // SAFETY: as above; a place inside a live node.
            let word = unsafe { &raw const (*node).wait };
            // SAFETY: the request waits, so its word is armed, and this is its only grant
            // (Invariant 6 of the tree).
            unsafe { WaitWord::grant(word) };
        }
    }
}
