//! The observer of the lock: what the cargo features `deadlock_detection` and `tracing` do.
//!
//! The lock tells the observer what happens to each request; the observer never tells the lock
//! anything but one thing: that a wait would never end. Callers use it without any conditional
//! compilation. In a build without the features every type in here is empty, every function is
//! nothing, so that nothing of them is left in the machine code.
//!
//! | Module | What it is | Exists with |
//! |---|---|---|
//! | `identity` | the number of a lock, the place of a call | either feature |
//! | `lock_id` | the part of a lock that keeps its number | either feature |
//! | `deadlock` | who waits for whom, over all locks; essay and invariants | `deadlock_detection` |
//! | `trace` | events for the `tracing` crate | `tracing` |
//!
//! A model checked by loom or shuttle is always built without: the observer's own mutex would be
//! part of every model, and prove nothing about the lock.
//!
//! # What the lock calls, and when
//!
//! ```text
//!   the request arrives          Asker::new(&lock_id, place())
//!   it has to wait               asker.waits(..)      the tree's mutex held, before it is linked
//!   the wait is over             waiting.over(..)     no mutex held
//!   it is granted, any way       asker.holds(..)      no mutex held, before the guard is returned
//!   the guard covers less        ticket.changes_..    before the lock is told
//!   the guard covers more        ticket.changes_..    after the lock has agreed
//!   the guard is given back      ticket.released()    before the lock is told
//!   others were woken            woken.tell(..)       no mutex held
//!   the table was rebuilt        Shapes               looked at under the mutex, told without
//! ```
//!
//! Why in this order: `deadlock`, Invariants 1 to 3. A request whose wait has a limit
//! ([`Asker::limited`]) has no place in that order, and may be told of when it suits.
//!
//! Takes the mutex of the registry in `deadlock`, a leaf: it may be taken under any other lock of
//! this crate. Events run the code of others, so they are made without any mutex, and never between
//! `waits` and `over` of a request that is on record as waiting.

mod deadlock;
mod identity;
mod lock_id;
mod trace;

#[cfg(all(test, not(any(loom, shuttle)), feature = "deadlock_detection"))]
#[path = "tests/deadlock.rs"]
mod deadlock_tests;
#[cfg(all(test, not(any(loom, shuttle)), feature = "tracing"))]
#[path = "tests/trace.rs"]
mod trace_tests;

use self::deadlock::Patience;
use self::identity::LockNumber;
use crate::mode::Mode;
use crate::span::Span;

pub(crate) use self::deadlock::{Deadlock, Ticket};
pub(crate) use self::identity::{Place, place};
pub(crate) use self::lock_id::LockId;
pub(crate) use self::trace::{Outcome, Shapes, Woken};

/// Who asks, as far as observers care: a call at some place, to some lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    lock: LockNumber,
    place: Place,
    patience: Patience,
}

impl Asker {
    /// A thread that is going to wait until it is granted what it asks for.
    #[inline(always)]
    pub(crate) fn new(lock: &LockId, place: Place) -> Self {
        Self {
            lock: lock.number(),
            place,
            patience: Patience::ENDLESS,
        }
    }

    /// The same, but its waits can end without a grant.
    #[inline(always)]
    pub(crate) fn limited(self) -> Self {
        Self {
            patience: Patience::LIMITED,
            ..self
        }
    }

    /// Notes that the calling thread is about to wait for one of `requests`, which are all those of
    /// one call, those included that will be granted at once. Of one lock's requests those that are
    /// linked later must come here later: so the tree's mutex is held, and none is linked yet.
    ///
    /// Locks: the registry's mutex.
    ///
    /// # Errors
    ///
    /// The wait would never end. Nothing was noted; the caller undoes what it did for the requests,
    /// leaves every mutex and calls [`Deadlock::report`]. Never for a limited wait.
    #[inline(always)]
    pub(crate) fn waits(self, requests: &[(Span, Mode)]) -> Result<Waiting, Deadlock> {
        Ok(Waiting {
            claims: deadlock::waits(self.lock, requests, self.place, self.patience)?,
            stretch: trace::Stretch::begin(self.lock, requests, self.place),
        })
    }

    /// Notes that the calling thread holds a range. Locks: the registry's mutex.
    #[inline(always)]
    pub(crate) fn holds(self, span: Span, mode: Mode) -> Ticket {
        deadlock::holds(self.lock, span, mode, self.place)
    }

    /// Somebody whom nobody observes: for tests of what is below the lock.
    #[cfg(test)]
    pub(crate) fn of_a_test() -> Self {
        Self::new(&LockId::new(), place()).limited()
    }
}

/// A wait in progress, or none. Dropping it ends it without an event.
#[derive(Debug)]
#[must_use = "the wait is over for observers when this is dropped"]
pub(crate) struct Waiting {
    claims: deadlock::Waits,
    stretch: trace::Stretch,
}

impl Waiting {
    /// Of those who need not wait.
    pub(crate) const NONE: Self = Self {
        claims: deadlock::Waits::NONE,
        stretch: trace::Stretch::NONE,
    };

    /// Notes that the wait is over. The caller holds no mutex: an event runs the code of others.
    /// Locks: the registry's mutex.
    #[inline(always)]
    pub(crate) fn over(self, outcome: Outcome) {
        self.claims.end();
        self.stretch.end(outcome);
    }
}

/// Without the features nothing is left.
#[cfg(any(
    loom,
    shuttle,
    not(any(feature = "deadlock_detection", feature = "tracing"))
))]
const _: () = {
    assert!(size_of::<LockId>() == 0);
    assert!(size_of::<Place>() == 0);
    assert!(size_of::<Asker>() == 0);
    assert!(size_of::<Waiting>() == 0);
};
#[cfg(any(loom, shuttle, not(feature = "deadlock_detection")))]
const _: () = {
    assert!(size_of::<Ticket>() == 0);
    assert!(size_of::<Result<deadlock::Waits, Deadlock>>() == 0);
};
#[cfg(any(loom, shuttle, not(feature = "tracing")))]
const _: () = {
    assert!(size_of::<trace::Stretch>() == 0);
    assert!(size_of::<Woken>() == 0);
    assert!(size_of::<Shapes>() == 0);
};
