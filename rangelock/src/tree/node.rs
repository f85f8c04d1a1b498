//! One request, granted or waiting: what the tree and the waiter know about it.
//!
//! A node is linked into the tree by address, so it stays where it is from insertion to removal,
//! and while it is linked only shared references to it exist: all fields are cells.
//!
//! The owner is the thread or task whose request it is.
//!
//! | Fields | Written by | Read by | Guarded by |
//! |---|---|---|---|
//! | range in `anchor`, `mode` | owner | any thread | the tree's mutex; the owner may read without |
//! | `waiter` | owner | any thread | the tree's mutex; the owner may read without |
//! | links and sequence in `anchor`, `ahead`, `standing`, `listing` | any thread | any thread | the tree's mutex |
//! | `waker`, `back` | any thread | any thread | the tree's mutex |
//! | `chain` | see the field | see the field | see the field |
//! | `wait` | atomics | atomics | its own protocol |
//! | `since` | owner | owner | nothing |

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::Waker;

use crate::interval::{self, Anchor, Anchored};
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::{Stopwatch, WaitWord};

/// A pointer to another node.
pub(super) type Link = interval::Link<Node>;

/// Whether a linked request holds its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Granted,
    /// It stands in for a holder outside who was moved, and who does not know of it.
    Proxy,
    /// It waits for the nodes it counted as `ahead`, or, if there are none, for an outsider.
    Waiting,
}

/// Whether those outside may know of a granted request without asking the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Not yet.
    Possible,
    /// They do.
    Listed,
    /// Not any more, or never: what they know would be out of date, or they may still be looking
    /// for it where it was before.
    Barred,
}

/// Who has to be told when a waiting request is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// Nobody yet: its owner will look at the standing, under the mutex, before it waits.
    Nobody,
    /// A thread that sleeps on the wait word, or is about to. Who grants touches the node until it
    /// has written that word.
    Thread,
    /// A task that has left its waker. Who grants touches the node under the mutex only.
    Task,
}

/// A request for a range.
///
/// In this order in memory, so that a pair of lock and unlock that meets nobody uses as few cache
/// lines as can be; what only those use who wait is last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    /// Range and links; its sequence is the place in the order of arrival.
    anchor: Anchor<Node>,
    /// The next node of the free list or of the tasks to be told (both under the tree's mutex), or
    /// of a list of threads to wake (owned by the thread that releases). A node is free, or about
    /// to be told, or about to be woken: never two.
    pub(super) chain: Cell<Link>,
    /// Conflicting linked requests that this one, while it waits, must wait for.
    pub(super) ahead: Cell<u32>,
    pub(super) wait: WaitWord,
    pub(super) standing: Cell<Standing>,
    pub(super) waiter: Cell<Waiter>,
    pub(super) listing: Cell<Listing>,
    mode: Cell<Mode>,
    /// The node before this one among the tasks to be told.
    pub(super) back: Cell<Link>,
    /// Of a [`Waiter::Task`]. A granted node has one as long as it is to be told, and no longer.
    pub(super) waker: WakerCell,
    /// When it began to wait, if its owner waits by other means than by blocking at once.
    pub(super) since: Cell<Option<Stopwatch>>,
}

// Every pinned request has one in its frame, and every movable one that finds no slot in the pool.
#[cfg(all(not(any(loom, shuttle)), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Node>() <= 128);

// SAFETY: always the same field, which only its own methods write.
unsafe impl Anchored for Node {
    #[inline]
    fn anchor(&self) -> &Anchor<Self> {
        &self.anchor
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            anchor: Anchor::new(),
            chain: Cell::new(None),
            back: Cell::new(None),
            waker: WakerCell::new(),
            since: Cell::new(None),
            ahead: Cell::new(0),
            wait: WaitWord::new(),
            standing: Cell::new(Standing::Granted),
            waiter: Cell::new(Waiter::Nobody),
            listing: Cell::new(Listing::Possible),
            mode: Cell::new(Mode::Read),
        }
    }

    /// Says what to ask for. The node must not be linked.
    #[inline]
    pub(crate) fn request(&self, span: Span, mode: Mode) {
        self.set_span(span);
        self.mode.set(mode);
    }

    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.anchor.span()
    }

    /// The node must not be linked: the tree is ordered by it.
    #[inline]
    pub(super) fn set_span(&self, span: Span) {
        self.anchor.set_span(span);
    }

    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.standing.get() == Standing::Waiting
    }

    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.anchor.first()
    }

    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.anchor.last()
    }

    #[inline]
    pub(super) fn sequence(&self) -> u64 {
        self.anchor.sequence()
    }

    /// The node must not be linked: the tree is ordered by it.
    #[inline]
    pub(super) fn set_sequence(&self, sequence: u64) {
        self.anchor.set_sequence(sequence);
    }

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        self.mode.get()
    }

    /// Under the mutex if the node is linked; those who counted the old mode are the caller's care.
    #[inline]
    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.set(mode);
    }

    /// One more to wait for.
    #[inline]
    pub(super) fn wait_for_one_more(&self) {
        self.ahead.set(self.ahead.get() + 1);
    }
}

/// A place for a node that is filled in when it is first needed: a node is two cache lines, and a
/// request that does not get as far as the tree should not pay for writing them.
#[derive(Debug)]
pub(crate) struct LazyNode {
    node: UnsafeCell<MaybeUninit<Node>>,
    is_filled_in: Cell<bool>,
}

impl LazyNode {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            node: UnsafeCell::new(MaybeUninit::uninit()),
            is_filled_in: Cell::new(false),
        }
    }

    /// The node, with what to ask for filled in. It must not be linked.
    pub(crate) fn request(&self, span: Span, mode: Mode) -> NonNull<Node> {
        let node: *mut Node = self.node.get().cast();
        if !self.is_filled_in.get() {
            // SAFETY: the cell is as large as a node, and nobody has a reference into it before it
            // is filled in; `&self` is not shared between threads, because `self` is not `Sync`.
            unsafe { node.write(Node::new()) };
            self.is_filled_in.set(true);
        }
        // SAFETY: it is filled in, and only ever shared from then on.
        unsafe { &*node }.request(span, mode);
        NonNull::from(&self.node).cast()
    }
}

impl Drop for LazyNode {
    #[inline]
    fn drop(&mut self) {
        if self.is_filled_in.get() {
            // SAFETY: it is filled in, and nobody uses it after this.
            unsafe { self.node.get_mut().assume_init_drop() };
        }
    }
}

/// A place for a waker.
///
/// Its functions run no code of the waker's, so they may be called under the mutex.
pub(super) struct WakerCell(Cell<Option<Waker>>);

impl WakerCell {
    const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Whether the waker here, if any, wakes the same task as `other`.
    pub(super) fn will_wake(&self, other: &Waker) -> bool {
        let waker = self.0.take();
        let will_wake = waker.as_ref().is_some_and(|waker| waker.will_wake(other));
        self.set(waker);
        will_wake
    }

    /// Gives the waker out, to be dropped or called without the mutex.
    #[inline]
    pub(super) fn take(&self) -> Option<Waker> {
        self.0.take()
    }

    #[must_use = "the old waker is to be dropped without the mutex"]
    pub(super) fn replace(&self, waker: Waker) -> Option<Waker> {
        self.0.replace(Some(waker))
    }

    /// Puts back what was there: `Cell::set` would drop the nothing that is there meanwhile.
    fn set(&self, waker: Option<Waker>) {
        let nothing = self.0.replace(waker);
        debug_assert!(nothing.is_none());
    }
}

impl std::fmt::Debug for WakerCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WakerCell").finish_non_exhaustive()
    }
}
