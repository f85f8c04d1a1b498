//! Requests that were granted by a release and whose threads are still asleep.
//!
//! Built under the tree's mutex from nodes that were waiting, used after it was released. The list
//! runs through the `chain` of the nodes, so it allocates nothing. Takes no lock.

use std::ptr::NonNull;

use super::node::{Link, Node};
use crate::sync::WaitWord;

/// Granted requests whose threads must still be woken (Invariant 6 of the tree).
#[must_use = "requests on it sleep until they are woken"]
pub(super) struct WakeList {
    pub(super) head: Link,
}

impl WakeList {
    pub(super) const EMPTY: Self = Self { head: None };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(super) fn push(&mut self, node: &Node) {
        node.chain.set(self.head);
        self.head = Some(NonNull::from(node));
    }

    /// Wakes them all. The mutex must be free: a woken thread may want it at once.
    #[inline]
    pub(super) fn wake_all(self) {
        if let Some(first) = self.head {
            wake_chain(first);
        }
    }
}

#[cold]
fn wake_chain(first: NonNull<Node>) {
    let mut next = Some(first);
    while let Some(node) = next {
        let node = node.as_ptr();
        // The link is read first: once granted, the node may be gone.
        // SAFETY: the request sleeps until it is granted below, which keeps its node alive, and
        // nobody but this thread uses the chain of a node on its wake list.
        next = unsafe { (*node).chain.get() };
        // SAFETY: as above; a place inside a live node.
        let word = unsafe { &raw const (*node).wait };
        // SAFETY: the request waits, so its word is armed, and this is its only grant (Invariant 6
        // of the tree).
        unsafe { WaitWord::grant(word) };
    }
}
