//! Holders outside who are moved: nodes that stand in for them.
//!
//! When those outside are rearranged, not everybody finds a new place there. For such a holder a
//! node is linked, granted, which he does not know of; he finds out when he leaves, and then has it
//! dismissed. Takes the tree's mutex.

use std::ptr::NonNull;

use super::TreeLock;
use super::node::{Node, Standing};
use super::outside::Outside;
use super::state::State;
use super::wake_list::WakeList;
use crate::mode::Mode;
use crate::span::Span;
use crate::watch::Woken;

/// So many holders are likely to find no slot in another level.
pub(crate) const FEW_STAND_INS: usize = 8;

impl TreeLock {
    /// Runs `change` while nobody can enter or leave the tree, and then links a stand-in for each
    /// holder that `change` passes on to its second argument, and whose span it has closed for that
    /// node before it let anybody in. The first argument is the spans of all linked nodes. If there
    /// are more than `spare` stand-ins, and the pool has no more nodes either, they are allocated
    /// under the mutex. Locks: the tree's mutex.
    pub(crate) fn while_frozen<O: Outside>(
        &self,
        outside: &O,
        spare: usize,
        change: impl FnOnce(&mut dyn Iterator<Item = Span>, &mut dyn FnMut(Span, Mode)),
    ) {
        // Most often these are enough, so that a table that changes to and fro allocates nothing.
        let (mut few, mut count) = ([None; FEW_STAND_INS], 0);
        let mut more = Vec::with_capacity(spare.saturating_sub(FEW_STAND_INS));
        let mut state = self.lock_with_nodes(spare);
        state.unlist_all(outside);
        change(&mut state.tree.iter().map(Node::span), &mut |span, mode| {
            match few.get_mut(count) {
                Some(place) => *place = Some((span, mode)),
                None => more.push((span, mode)),
            }
            count += 1;
        });
        for (span, mode) in few.into_iter().flatten().chain(more) {
            let node = state.pool.take_or_grow();
            // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
            unsafe { node.as_ref() }.request(span, mode);
            // SAFETY: not linked, and goes back to the pool only after it was unlinked.
            unsafe { state.adopt(node, Standing::Proxy) };
        }
    }

    /// Ends what somebody who was moved held: dismisses his stand-in, here or outside, and tells
    /// those who waited only for that. Observers are left to the caller. Locks: the tree's mutex.
    #[cold]
    pub(crate) fn dismiss<O: Outside>(&self, outside: &O, span: Span, mode: Mode) -> Woken {
        let mut state = self.state.lock();
        let unblocked = match outside.dismiss(span, mode) {
            true => state.reconsider(outside, span, mode),
            false => state.dismiss(outside, span, mode),
        };
        self.tell_quietly(state, unblocked)
    }
}

impl State {
    /// Takes one stand-in that says this out of the order, and returns those it unblocks. All that
    /// say the same are alike.
    fn dismiss<O: Outside>(&mut self, outside: &O, span: Span, mode: Mode) -> WakeList {
        let says_this = |node: &&Node| {
            node.standing.get() == Standing::Proxy && node.span() == span && node.mode() == mode
        };
        let stand_in = self
            .tree
            .overlapping(span)
            .find(says_this)
            .map(NonNull::from)
            .expect("whoever was moved is stood in for until dismissed");
        // SAFETY: it was found in the tree, and does not wait.
        let unblocked = unsafe { self.leave(outside, stand_in) };
        // SAFETY: stand-ins come from the pool, and this one was unlinked just now.
        unsafe { self.pool.give_back(stand_in) };
        unblocked
    }
}
