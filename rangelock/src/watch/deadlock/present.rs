//! The one registry of the process, and what guards and waiting requests keep of it.
//!
//! Takes the registry's mutex, briefly, in every function.

use std::ops::Range;
use std::thread;

use super::registry::{Claim, ClaimId, Registry};
use super::report;
use crate::mode::Mode;
use crate::span::Span;
use crate::sync::Mutex;
use crate::watch::identity::{LockNumber, Place};

/// A leaf: taken under any other lock of the crate, and nothing is taken under it. It is the
/// crate's own and cannot be poisoned.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Whether a wait can end otherwise than by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// No: a thread sleeps until it is granted.
    Endless,
    /// Yes: it has a deadline, or is a future, which can be dropped.
    Limited,
}

/// What a guard carries: its claim, or nothing if it belongs to nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(Option<ClaimId>);

/// The claims of one call that waits, or nothing; struck out when dropped.
#[derive(Debug)]
pub(crate) struct Waits(Option<(LockNumber, Range<u64>)>);

/// A wait that would never end.
#[derive(Debug)]
pub(crate) struct Deadlock {
    report: String,
}

impl Deadlock {
    /// Panics, and says who waits for whom. The caller holds no mutex: the program's panic hook is
    /// the code of others, and so are the destructors of the frames that unwind.
    #[cold]
    #[track_caller]
    pub(crate) fn report(self) -> ! {
        panic!("{}", self.report)
    }
}

impl Patience {
    pub(crate) const ENDLESS: Self = Self::Endless;
    pub(crate) const LIMITED: Self = Self::Limited;
}

impl Ticket {
    /// For a range that belongs to no thread.
    pub(crate) const NOBODY: Self = Self(None);

    /// Notes that the range held is now another one.
    pub(crate) fn changes_span(self, span: Span) {
        self.change(|claim| claim.span = span);
    }

    /// Notes that the range is now held in another mode.
    pub(crate) fn changes_mode(self, mode: Mode) {
        self.change(|claim| claim.mode = mode);
    }

    fn change(self, change: impl FnOnce(&mut Claim)) {
        if let Some(id) = self.0 {
            REGISTRY.lock().change_hold(id, change);
        }
    }

    /// Notes that the range held is now held by two guards, and returns the second one's ticket.
    pub(crate) fn splits(self, kept: Span, parted: Span) -> Self {
        Self(
            self.0
                .and_then(|id| REGISTRY.lock().split_hold(id, kept, parted)),
        )
    }

    /// Notes that the range belongs to nobody from now on.
    pub(crate) fn disowned(self) {
        self.released();
    }

    /// Notes that the range is about to be given back.
    pub(crate) fn released(self) {
        if let Some(id) = self.0 {
            REGISTRY.lock().release(id);
        }
    }
}

impl Waits {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn end(self) {}
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some((lock, numbers)) = self.0.take() {
            REGISTRY.lock().end_waits(lock, numbers);
        }
    }
}

/// Enters the claims of a call that is about to wait, unless it would wait for ever.
pub(crate) fn waits(
    lock: LockNumber,
    requests: &[(Span, Mode)],
    place: Place,
    patience: Patience,
) -> Result<Waits, Deadlock> {
    if patience == Patience::Limited {
        return Ok(Waits::NONE);
    }
    let thread = thread::current();
    let claims = requests.iter().map(|&(span, mode)| Claim {
        owner: thread.clone(),
        lock,
        span,
        mode,
        place,
    });
    let mut registry = REGISTRY.lock();
    let numbers = registry.wait(lock, claims);
    let Some(circle) = registry.circle(thread.id()) else {
        return Ok(Waits(Some((lock, numbers))));
    };
    let report = report::of(&circle);
    registry.end_waits(lock, numbers);
    Err(Deadlock { report })
}

/// Enters a claim of the calling thread.
pub(crate) fn holds(lock: LockNumber, span: Span, mode: Mode, place: Place) -> Ticket {
    let claim = Claim {
        owner: thread::current(),
        lock,
        span,
        mode,
        place,
    };
    Ticket(Some(REGISTRY.lock().hold(claim)))
}

/// Strikes out what is left of a lock: the claims of guards that were forgotten.
pub(crate) fn lock_is_gone(lock: LockNumber) {
    REGISTRY.lock().forget(lock);
}

/// How many claims on a lock are on record, held and waited for.
#[cfg(test)]
pub(crate) fn claims_on(lock: LockNumber) -> (usize, usize) {
    REGISTRY.lock().count(lock)
}
