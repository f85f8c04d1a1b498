//! One request, granted or waiting: what the tree and the waiter know about it.
//!
//! A node is linked into the tree by address, so it stays where it is from insertion to removal,
//! and while it is linked only shared references to it exist: all fields are cells.
//!
//! | Fields | Written by | Read by | Guarded by |
//! |---|---|---|---|
//! | `first`, `last`, `mode` | owner, while unlinked | any thread | constant while linked |
//! | `left` .. `max_last`, `sequence`, `ahead`, `standing` | any thread | any thread | the tree's mutex |
//! | `chain` | see the field | see the field | see the field |
//! | `wait` | atomics | atomics | its own protocol |

use std::cell::Cell;
use std::ptr::NonNull;

use crate::mode::Mode;
use crate::span::Span;
use crate::sync::WaitWord;

/// A pointer to a neighbour in the tree.
pub(super) type Link = Option<NonNull<Node>>;

/// Whether a linked request holds its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    Granted,
    /// It waits for the nodes it counted as `ahead`, or, if there are none, for an outsider.
    Waiting,
}

/// A request for a range.
///
/// At least two bytes of alignment are needed by `parent_color`; the pointers give eight.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) left: Cell<Link>,
    pub(super) right: Cell<Link>,
    /// The parent's address with the colour in bit 0; zero while the node is not linked.
    pub(super) parent_color: Cell<*mut Node>,
    first: Cell<u64>,
    last: Cell<u64>,
    /// The largest `last` in the subtree below and including this node.
    pub(super) max_last: Cell<u64>,
    /// Place in the order of arrival.
    pub(super) sequence: Cell<u64>,
    /// The next node of the free list (under the tree's mutex) or of a list of nodes to wake (owned
    /// by the thread that releases). A node is free, or granted, or about to be woken: never two.
    pub(super) chain: Cell<Link>,
    /// Conflicting linked requests that arrived earlier and have not released.
    pub(super) ahead: Cell<u32>,
    pub(super) standing: Cell<Standing>,
    pub(super) wait: WaitWord,
    mode: Cell<Mode>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(None),
            right: Cell::new(None),
            parent_color: Cell::new(std::ptr::null_mut()),
            first: Cell::new(0),
            last: Cell::new(0),
            max_last: Cell::new(0),
            sequence: Cell::new(0),
            chain: Cell::new(None),
            ahead: Cell::new(0),
            standing: Cell::new(Standing::Granted),
            wait: WaitWord::new(),
            mode: Cell::new(Mode::Read),
        }
    }

    /// Says what to ask for. The node must not be linked.
    #[inline]
    pub(crate) fn request(&self, span: Span, mode: Mode) {
        self.first.set(span.first);
        self.last.set(span.last);
        self.mode.set(mode);
    }

    #[inline]
    pub(crate) fn span(&self) -> Span {
        Span {
            first: self.first.get(),
            last: self.last.get(),
        }
    }

    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.standing.get() == Standing::Waiting
    }

    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.first.get()
    }

    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last.get()
    }

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        self.mode.get()
    }
}
