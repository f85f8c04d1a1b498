//! Nobody watches: every type is empty and every function is nothing. Takes no lock.

use crate::mode::Mode;
use crate::span::Span;
use crate::watch::identity::{LockNumber, Place};

/// Empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience;

/// Empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket;

/// Empty.
#[derive(Debug)]
pub(crate) struct Waits;

/// Cannot be.
#[derive(Debug)]
pub(crate) enum Deadlock {}

impl Deadlock {
    #[inline(always)]
    pub(crate) fn report(self) -> ! {
        match self {}
    }
}

impl Patience {
    pub(crate) const ENDLESS: Self = Self;
    pub(crate) const LIMITED: Self = Self;
}

impl Ticket {
    pub(crate) const NOBODY: Self = Self;

    #[inline(always)]
    pub(crate) fn changes_span(self, _: Span) {}

    #[inline(always)]
    pub(crate) fn changes_mode(self, _: Mode) {}

    #[inline(always)]
    pub(crate) fn splits(self, _kept: Span, _parted: Span) -> Self {
        self
    }

    #[inline(always)]
    pub(crate) fn disowned(self) {}

    #[inline(always)]
    pub(crate) fn released(self) {}
}

impl Waits {
    pub(crate) const NONE: Self = Self;

    #[inline(always)]
    pub(crate) fn end(self) {}
}

#[inline(always)]
pub(crate) fn waits(
    _: LockNumber,
    _: &[(Span, Mode)],
    _: Place,
    _: Patience,
) -> Result<Waits, Deadlock> {
    Ok(Waits)
}

#[inline(always)]
pub(crate) fn holds(_: LockNumber, _: Span, _: Mode, _: Place) -> Ticket {
    Ticket
}

/// Called by locks that have a number, for the other feature's sake.
#[cfg(all(not(any(loom, shuttle)), feature = "tracing"))]
#[inline(always)]
pub(crate) fn lock_is_gone(_: LockNumber) {}

/// There are none.
#[cfg(all(test, not(any(loom, shuttle)), feature = "tracing"))]
pub(crate) fn claims_on(_: LockNumber) -> (usize, usize) {
    (0, 0)
}
