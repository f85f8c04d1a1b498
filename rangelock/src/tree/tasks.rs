//! Tasks that were granted their range and have not been told.
//!
//! Why not the list of threads (`wake_list.rs`). A thread sleeps until it is woken, and its node
//! stays until then; so that list needs no mutex, and the wake-up may be the last use of the node.
//! A task may be polled or dropped at any time, and must neither wait for whoever is going to tell
//! it nor leave it with a node that is gone. So tasks to be told are listed under the tree's mutex,
//! where a node can be taken off again, and whoever tells them takes some of the wakers out, lets
//! go of the mutex, and only then calls them: code of a waker may come back to the lock.
//!
//! The list runs through the nodes and allocates nothing. Guarded by the tree's mutex; takes no
//! lock.

use std::ptr::NonNull;
use std::task::Waker;

use super::node::{Link, Node, Waiter};

/// Granted nodes with a waker (Invariant 7 of the tree).
pub(super) struct TaskList {
    head: Link,
}

/// How many wakers are taken under one hold of the mutex. Models take one, to explore the rest.
const BATCH: usize = if cfg!(loom) { 1 } else { 16 };

impl TaskList {
    pub(super) const fn new() -> Self {
        Self { head: None }
    }

    /// Lists a node that was granted just now and has a waker.
    pub(super) fn push(&mut self, node: &Node) {
        debug_assert!(!node.is_waiting() && node.waiter.get() == Waiter::Task);
        let link = Some(NonNull::from(node));
        node.back.set(None);
        node.chain.set(self.head);
        if let Some(next) = self.head {
            // SAFETY: listed nodes are linked into the tree, so alive.
            unsafe { next.as_ref() }.back.set(link);
        }
        self.head = link;
    }

    /// Forgets about telling `node`: takes it off the list, if it is there, and its waker out.
    ///
    /// # Safety
    ///
    /// The node is alive and belongs to this lock.
    pub(super) unsafe fn forget(&mut self, node: NonNull<Node>) -> Option<Waker> {
        // SAFETY: the caller keeps the node alive.
        let request = unsafe { node.as_ref() };
        let waker = request.waker.take()?;
        if !request.is_waiting() {
            self.unlink(request);
        }
        Some(waker)
    }

    fn unlink(&mut self, node: &Node) {
        let (back, next) = (node.back.get(), node.chain.get());
        match back {
            // SAFETY: listed nodes are linked into the tree, so alive.
            Some(back) => unsafe { back.as_ref() }.chain.set(next),
            None => self.head = next,
        }
        if let Some(next) = next {
            // SAFETY: as above.
            unsafe { next.as_ref() }.back.set(back);
        }
    }

    /// Takes the wakers of some listed nodes, which leave the list: from here on their owners may
    /// do with them what they want.
    pub(super) fn take_batch(&mut self) -> Wakers {
        let mut wakers = Wakers::NONE;
        while let Some(node) = self.head {
            if wakers.count == BATCH {
                break;
            }
            // SAFETY: listed nodes are linked into the tree, so alive.
            let node = unsafe { node.as_ref() };
            self.unlink(node);
            let waker = node.waker.take();
            debug_assert!(
                waker.is_some(),
                "a node was left on the list without a waker"
            );
            wakers.batch[wakers.count] = waker;
            wakers.count += 1;
        }
        wakers
    }
}

/// Some wakers, to be called without the mutex.
pub(super) struct Wakers {
    batch: [Option<Waker>; BATCH],
    /// How many there were at first.
    count: usize,
}

impl Wakers {
    pub(super) const NONE: Self = Self {
        batch: [const { None }; BATCH],
        count: 0,
    };

    /// Whether there may be more where these came from.
    pub(super) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    pub(super) fn next(&mut self) -> Option<Waker> {
        self.batch.iter_mut().find_map(Option::take)
    }
}
