//! What the tree asks of holders it does not know.
//!
//! A request can be served above the tree, where no mutex is taken. The tree then must neither
//! grant what such an outsider holds, nor be overtaken by outsiders that arrive later. It knows
//! nothing of how they are kept: it asks the questions below. Every call is made under the
//! tree's mutex. Takes no lock itself.
//!
//! # Invariants
//!
//! 1. From the return of [`Outside::close`] to the call of the matching [`Outside::reopen`], no
//!    request for a byte of that span becomes an outsider, except by [`Outside::settle`], or if it
//!    had been announced before `close`, and then [`Outside::blocks`] sees it; or, between
//!    [`Outside::list`] and [`Outside::unlist`], if it does not conflict with what was listed.
//! 2. If `blocks` said yes to [`Notice::Leave`], then one outsider that conflicts will, on leaving,
//!    call [`TreeLock::reconsider`](super::TreeLock::reconsider) with its span and mode. An
//!    outsider that gives up a part of its range, or its exclusive use, does so with what it was
//!    before, and is rid of the duty; the tree asks again, and if need be lays it on once more.
//! 3. An outsider may be taken over by a node that nobody asked about
//!    ([`TreeLock::adopt_pooled`](super::TreeLock::adopt_pooled)), after `close`. Whoever announced
//!    himself before, and finds the outsider gone from its place, does not become an outsider as
//!    long as that node is linked.

use std::convert::Infallible;

use crate::mode::Mode;
use crate::span::Span;

/// Whether an outsider that is in the way shall tell the tree when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody is going to wait for it.
    Leave,
    /// Nobody will.
    None,
}

/// Holders of ranges that are not linked into the tree.
pub(crate) trait Outside {
    /// Names an outsider.
    type Place;

    /// Sends newcomers that want a byte of `span` through the tree's mutex.
    fn close(&self, span: Span);

    /// Ends one `close` of the same span.
    fn reopen(&self, span: Span);

    /// Whether an outsider holds a part of `span` in a mode that conflicts, or is about to find out
    /// that it may not.
    fn blocks(&self, span: Span, mode: Mode, notice: Notice) -> bool;

    /// Makes an outsider of a request that conflicts with nobody, if there is a place for it.
    fn settle(&self, span: Span, mode: Mode) -> Option<Self::Place>;

    /// Whether newcomers were sent through the mutex often enough by granted nodes that were not in
    /// their way, so that those should be [listed](Self::list).
    fn is_listing_due(&self) -> bool;

    /// Lets newcomers see for themselves whether a granted node with this span, which is closed, is
    /// in their way. Says whether it does; the node must not change then before `unlist`.
    fn list(&self, span: Span, mode: Mode) -> bool;

    /// Ends one `list` of the same span and mode: newcomers are sent through the mutex again. Those
    /// who have seen what the list said find out, as long as the span stays closed and unlisted, or
    /// else are seen by `blocks`.
    fn unlist(&self, span: Span, mode: Mode);

    /// Takes away who stands in outside for a holder that was moved; `false` if nobody does.
    fn dismiss(&self, span: Span, mode: Mode) -> bool;
}

/// There are no outsiders: all requests go through the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody;

impl Outside for Nobody {
    type Place = Infallible;

    #[inline(always)]
    fn close(&self, _span: Span) {}

    #[inline(always)]
    fn reopen(&self, _span: Span) {}

    #[inline(always)]
    fn blocks(&self, _span: Span, _mode: Mode, _notice: Notice) -> bool {
        false
    }

    #[inline(always)]
    fn settle(&self, _span: Span, _mode: Mode) -> Option<Infallible> {
        None
    }

    #[inline(always)]
    fn is_listing_due(&self) -> bool {
        false
    }

    #[inline(always)]
    fn list(&self, _span: Span, _mode: Mode) -> bool {
        false
    }

    #[inline(always)]
    fn unlist(&self, _span: Span, _mode: Mode) {}

    #[inline(always)]
    fn dismiss(&self, _span: Span, _mode: Mode) -> bool {
        false
    }
}
