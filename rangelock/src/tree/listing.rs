//! Letting those outside know of granted requests.
//!
//! A granted node closes its span to newcomers, and they have to ask here whether it is in their
//! way. If that happens again and again, the nodes that those outside can represent are listed
//! there. What a listed node says must not change: it is taken off the list before, and not listed
//! again. Runs under the tree's mutex; takes no lock.

use super::node::{Listing, Node};
use super::outside::Outside;
use super::state::State;
use crate::probe::Fault;

/// So many nodes are looked at: those that send many newcomers here are few.
const LOOKED_AT: usize = 32;

#[cfg(all(test, loom))]
impl super::TreeLock {
    /// Lists what can be listed. Locks: the tree's mutex.
    pub(crate) fn list<O: Outside>(&self, outside: &O) {
        self.state.lock().list(outside);
    }
}

impl State {
    /// Lists what can be listed.
    #[cold]
    pub(super) fn list<O: Outside>(&self, outside: &O) {
        for node in self.tree.iter().take(LOOKED_AT) {
            let can_be = !node.is_waiting() && node.listing.get() == Listing::Possible;
            if can_be && outside.list(node.span(), node.mode()) {
                node.listing.set(Listing::Listed);
            }
        }
    }

    /// Takes a node off the list for good, before it changes or leaves.
    #[inline]
    pub(super) fn unlist<O: Outside>(&self, outside: &O, node: &Node) {
        if node.listing.get() == Listing::Listed {
            outside.unlist(node.span(), node.mode());
        }
        node.listing
            .set(match self.probe.injects(Fault::RelistsAtOnce) {
                true => Listing::Possible,
                false => Listing::Barred,
            });
    }

    /// Takes all nodes off the list, because those outside are about to be rearranged.
    pub(super) fn unlist_all<O: Outside>(&self, outside: &O) {
        for node in self.tree.iter() {
            if node.listing.get() == Listing::Listed {
                outside.unlist(node.span(), node.mode());
                node.listing.set(Listing::Possible);
            }
        }
    }
}
