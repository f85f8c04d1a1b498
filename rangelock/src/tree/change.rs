//! Changes to what is held: to another mode, to less, to two, and from outside into the tree.
//!
//! Each is one step under the tree's mutex, and keeps Invariant 3: who no longer conflicts with
//! what is held is lowered by one, who does so from now on is raised by one. First what they do to
//! the order (`State`), then the calls. Takes the tree's mutex.

use std::ptr::NonNull;

use super::TreeLock;
use super::node::{Listing, Node, Standing};
use super::outside::{Notice, Outside};
use super::state::State;
use super::wake_list::WakeList;
use crate::mode::Mode;
use crate::probe::Fault;
use crate::span::Span;

impl State {
    /// A writer becomes a reader. Readers that wait have counted it, and need not any more.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree and granted to a writer.
    pub(super) unsafe fn downgrade<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
    ) -> WakeList {
        // SAFETY: linked, so alive.
        let held = unsafe { node.as_ref() };
        debug_assert!(!held.is_waiting() && held.mode() == Mode::Write);
        self.unlist(outside, held);
        held.set_mode(Mode::Read);
        let admits_writers = self.probe.injects(Fault::DowngradeAdmitsWriters);
        self.lower(outside, held.span(), |other| {
            other.mode() == Mode::Read || admits_writers
        })
    }

    /// A reader becomes a writer, if it is alone. Readers that wait count it from now on, also
    /// those that came before it: what is granted comes before what waits.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree and granted to a reader.
    pub(super) unsafe fn try_upgrade<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
    ) -> bool {
        // SAFETY: linked, so alive.
        let held = unsafe { node.as_ref() };
        debug_assert!(!held.is_waiting() && held.mode() == Mode::Read);
        self.unlist(outside, held);
        let mut others = self.tree.overlapping(held.span());
        let is_shared = others.any(|other| !std::ptr::eq(other, held) && !other.is_waiting());
        if is_shared && !self.probe.injects(Fault::UpgradeIgnoresReaders)
            || outside.blocks(held.span(), Mode::Write, Notice::None)
        {
            return false;
        }
        held.set_mode(Mode::Write);
        if !self.probe.injects(Fault::UpgradeUncounted) {
            self.raise(held.span(), |other| other.mode() == Mode::Read);
        }
        true
    }

    /// Gives back all of a range but `part`. Who waited for what is given back, and not for `part`,
    /// has counted it and need not any more.
    ///
    /// # Safety
    ///
    /// The node is linked into this tree and granted, and its range contains `part`.
    pub(super) unsafe fn shrink<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
        part: Span,
    ) -> WakeList {
        // SAFETY: linked, so alive.
        let held = unsafe { node.as_ref() };
        let (whole, mode) = (held.span(), held.mode());
        debug_assert!(!held.is_waiting());
        debug_assert!(whole.first <= part.first && part.first <= part.last);
        debug_assert!(part.last <= whole.last);
        self.unlist(outside, held);
        outside.close(part);
        // SAFETY: linked into this tree.
        unsafe { self.tree.remove(node) };
        held.set_span(part);
        // SAFETY: unlinked just now, and alive as before.
        unsafe { self.tree.insert(node) };
        outside.reopen(whole);
        let releases_all = self.probe.injects(Fault::ShrinkReleasesAll);
        self.lower(outside, whole, |other| {
            mode.conflicts_with(other.mode()) && (!part.overlaps(other.span()) || releases_all)
        })
    }

    /// Moves the part of a range from `at` on to a node of its own. Who waits for both parts counts
    /// both.
    ///
    /// # Safety
    ///
    /// `node` is linked into this tree and granted, and `at` is one of its bytes but not the first.
    /// `rest` is not linked, and may be from here on, as for [`TreeLock::lock`].
    pub(super) unsafe fn split<O: Outside>(
        &mut self,
        outside: &O,
        node: NonNull<Node>,
        rest: NonNull<Node>,
        at: u64,
    ) {
        // SAFETY: linked, so alive.
        let held = unsafe { node.as_ref() };
        // SAFETY: the caller keeps it alive.
        let second = unsafe { rest.as_ref() };
        let whole = held.span();
        debug_assert!(!held.is_waiting());
        debug_assert!(whole.first < at && at <= whole.last);
        self.unlist(outside, held);
        let below = Span {
            last: at - 1,
            ..whole
        };
        let above = Span { first: at, ..whole };
        outside.close(below);
        outside.close(above);
        // SAFETY: linked into this tree.
        unsafe { self.tree.remove(node) };
        held.set_span(below);
        // SAFETY: unlinked just now, and alive as before.
        unsafe { self.tree.insert(node) };
        second.request(above, held.mode());
        second.set_sequence(held.sequence());
        // SAFETY: passed on from the caller.
        unsafe { self.link_held(rest, Standing::Granted) };
        outside.reopen(whole);
        if !self.probe.injects(Fault::SplitUncounted) {
            let middle = Span {
                first: at - 1,
                last: at,
            };
            let mode = held.mode();
            self.raise(middle, |other| {
                mode.conflicts_with(other.mode()) && other.first() < at && at <= other.last()
            });
        }
    }

    /// Links a node for a range that an outsider holds, and whose span is closed for this node.
    ///
    /// # Safety
    ///
    /// As for [`TreeLock::lock`].
    pub(super) unsafe fn adopt(&mut self, node: NonNull<Node>, standing: Standing) {
        // SAFETY: the caller keeps it alive.
        let held = unsafe { node.as_ref() };
        held.set_sequence(0);
        // SAFETY: passed on from the caller.
        unsafe { self.link_held(node, standing) };
        if !self.probe.injects(Fault::AdoptUncounted) {
            let mode = held.mode();
            self.raise(held.span(), |other| mode.conflicts_with(other.mode()));
        }
    }

    /// # Safety
    ///
    /// As for [`TreeLock::lock`]. The node's range, mode and sequence are set.
    unsafe fn link_held(&mut self, node: NonNull<Node>, standing: Standing) {
        // SAFETY: the caller keeps it alive.
        let held = unsafe { node.as_ref() };
        held.ahead.set(0);
        held.standing.set(standing);
        // A newcomer may have looked for an outsider where it was before it was taken over; whoever
        // could miss a proxy finds the way to it closed for another reason.
        held.listing.set(match standing {
            Standing::Proxy => Listing::Possible,
            _ => Listing::Barred,
        });
        // SAFETY: passed on from the caller.
        unsafe { self.tree.insert(node) };
    }

    /// Raises the count of every waiting node that overlaps `span` and conflicts from now on.
    fn raise(&mut self, span: Span, conflicts: impl Fn(&Node) -> bool) {
        if self.waiting == 0 {
            return;
        }
        for other in self.tree.overlapping(span) {
            if other.is_waiting() && conflicts(other) {
                other.wait_for_one_more();
            }
        }
    }
}

impl TreeLock {
    /// Turns exclusive use into shared use, and lets those readers in who waited only for that. No
    /// writer comes between. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node is held by the caller by way of this lock, and for writing.
    #[cold]
    pub(crate) unsafe fn downgrade<O: Outside>(&self, outside: &O, node: NonNull<Node>) {
        let mut state = self.state.lock();
        // SAFETY: passed on from the caller.
        let unblocked = unsafe { state.downgrade(outside, node) };
        self.tell(state, unblocked);
    }

    /// Turns shared use into exclusive use if nobody shares any of it now; else changes nothing. It
    /// passes requests that wait: they wait for this one in any case. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node is held by the caller by way of this lock, and for reading.
    #[cold]
    pub(crate) unsafe fn try_upgrade<O: Outside>(&self, outside: &O, node: NonNull<Node>) -> bool {
        // SAFETY: passed on from the caller.
        unsafe { self.state.lock().try_upgrade(outside, node) }
    }

    /// Gives back all of a range but `part`. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node is held by the caller by way of this lock, and its range contains `part`.
    #[cold]
    pub(crate) unsafe fn shrink<O: Outside>(&self, outside: &O, node: NonNull<Node>, part: Span) {
        let mut state = self.state.lock();
        // SAFETY: passed on from the caller.
        let unblocked = unsafe { state.shrink(outside, node, part) };
        self.tell(state, unblocked);
    }

    /// Moves the part of a range from `at` on to the node returned, which is of the pool; each part
    /// is then held, changed and given back for itself. Locks: the tree's mutex.
    ///
    /// # Safety
    ///
    /// The node is held by the caller by way of this lock, and `at` is one of its bytes but not the
    /// first.
    #[cold]
    pub(crate) unsafe fn split_pooled<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        at: u64,
    ) -> NonNull<Node> {
        let mut state = self.lock_with_nodes(1);
        let rest = state.take_reserved();
        // SAFETY: passed on from the caller; the second node came from the pool just now.
        unsafe { state.split(outside, node, rest, at) };
        rest
    }

    /// Takes over a range that the caller holds as an outsider: links a granted node for it, which
    /// is of the pool, and calls `withdraw`, under the mutex, to free the outsider's place.
    ///
    /// The span is closed before. A newcomer that looked before that, and finds the place free,
    /// does not hold as long as the node is linked (Invariant 3 of `outside.rs`). A request that
    /// has asked for notice of the outsider's leave counts the node instead. Locks: the tree's
    /// mutex.
    #[cold]
    pub(crate) fn adopt_pooled<O: Outside>(
        &self,
        outside: &O,
        span: Span,
        mode: Mode,
        withdraw: impl FnOnce(),
    ) -> NonNull<Node> {
        let mut state = self.lock_with_nodes(1);
        let node = state.take_reserved();
        // SAFETY: nodes of the pool live as long as the lock, and this one is not in use.
        unsafe { node.as_ref() }.request(span, mode);
        outside.close(span);
        // SAFETY: not linked, and goes back to the pool only after it was unlinked.
        unsafe { state.adopt(node, Standing::Granted) };
        withdraw();
        node
    }

    /// Like [`adopt_pooled`](Self::adopt_pooled), for the range requested in a node of the
    /// caller's.
    ///
    /// # Safety
    ///
    /// As for [`lock`](Self::lock).
    #[cold]
    pub(crate) unsafe fn adopt<O: Outside>(
        &self,
        outside: &O,
        node: NonNull<Node>,
        withdraw: impl FnOnce(),
    ) {
        let mut state = self.state.lock();
        // SAFETY: the caller keeps the node alive.
        outside.close(unsafe { node.as_ref() }.span());
        // SAFETY: passed on from the caller.
        unsafe { state.adopt(node, Standing::Granted) };
        withdraw();
    }
}
