//! Byte-range locks of files, for programs: `fcntl`'s, as Linux has them.
//!
//! Nothing in daxfs waits for one of these (reads and writes have `dax::io_lock`), nothing of them
//! is on the medium, and they go with the last handle of the file.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`range`] | which bytes, in `fcntl`'s numbers |
//! | [`owner`] | shared or exclusive, and whose |
//! | [`table`] | what is held: replaced, split, merged; who is in whose way |
//! | [`queue`] | who waits for what is held, and who may go on after a change |
//! | [`wait_graph`] | who waits for whom over all files, to refuse a wait that would never end |
//! | [`ticket`] | where one thread sleeps |
//! | [`cancellation`] | a handle that ends waits |
//! | this file | the locks of one file: ask, wait, let go, look |
//!
//! # Why not the range lock itself
//! [`rangelock::RangeLock`] serves in order of arrival, so who waits is in the way of who comes
//! later; here only what is held is in anybody's way. A guard is one range of one mode; here an
//! owner's locks are a set of bytes, of which any part may be converted or let go. So what is held
//! and who waits are two maps on the range lock's interval tree ([`rangelock::IntervalMap`]).
//!
//! # Invariants
//! All hold whenever the latch is free.
//! 1. Locks of one owner on one file never overlap, and two of one kind do not touch.
//! 2. Locks of two owners overlap only if both are shared.
//! 3. Each request in the queue conflicts with a lock of the owner that it is `blocked_by`.
//! 4. The wait graph has an edge for each request of a process in the queue, to that owner, and
//!    the edges form no circle.
//!
//! *No wake-up is lost.* A request stops being blocked only when a lock that it conflicts with goes
//! or becomes shared, in bytes that it asks for. Whoever does that looks at all requests that ask
//! for such bytes, under the same hold of the latch (Invariant 3), and grants those that are free,
//! on their behalf: who wakes up holds its lock. A grant that turns an exclusive lock into a shared
//! one is such a change too.
//!
//! *Order.* Those that a change leaves free are granted in order of arrival, each if it still is
//! free after those before it. So of several that exclude each other one is woken, the first.
//!
//! *Leaving.* A thread that is cancelled, or out of time, takes its request out of the queue under
//! the latch. If it is not there any more, the verdict is on its way, and counts.
//!
//! # Locking
//! A latch for each file, and inside it the wait graph's. A thread waits with no lock of daxfs held
//! ([`Rank::FileLock`] is the outermost), and is told without the latch. No fault comes here.

mod cancellation;
mod owner;
mod queue;
mod range;
mod table;
mod ticket;
mod wait_graph;

#[cfg(all(test, not(loom)))]
#[path = "tests/blocking.rs"]
mod blocking_tests;
#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/oracle.rs"]
mod oracle_tests;
#[cfg(all(test, not(loom)))]
#[path = "tests/stress.rs"]
mod stress_tests;

use std::time::{Duration, Instant};

pub use cancellation::LockCancellation;
pub(crate) use owner::Owner;
pub use owner::{HeldLock, LockKind, LockOwner};
pub use range::LockRange;
pub(crate) use wait_graph::WaitGraph;

use crate::error::{Error, LockWaitEnd, Result};
use crate::lock_order::{self, Rank};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use queue::{Queue, Told};
use rangelock::IntervalKey;
use table::{Change, Conflict, Table};
use ticket::{Ticket, Verdict, WokenBy};
use wait_graph::WouldDeadlock;

/// A lock that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) owner: Owner,
    pub(crate) kind: LockKind,
    pub(crate) range: LockRange,
}

/// How long a request may wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'handle> {
    /// Until it is granted.
    Unlimited,
    /// So long.
    For(Duration),
    /// Until somebody cancels it.
    UntilCancelled(&'handle LockCancellation),
}

/// The locks of one file, held and waited for.
pub(crate) struct FileLocks {
    state: Mutex<State>,
    /// Shared by all files of a filesystem.
    waits: Arc<WaitGraph>,
}

#[derive(Default)]
struct State {
    table: Table,
    queue: Queue,
}

impl FileLocks {
    /// None yet. Files whose locks may be waited for by the same owners share `waits`.
    pub(crate) fn new(waits: Arc<WaitGraph>) -> Self {
        Self {
            state: Mutex::new(State::default()),
            waits,
        }
    }

    /// Gives the owner this lock on these bytes, in place of what it has there, or fails.
    pub(crate) fn try_lock(&self, request: &Request) -> Result<()> {
        let mut state = self.latch();
        if let Some(conflict) = state.table.first_conflict(request) {
            return Err(Error::LockConflict {
                first_byte: conflict.range.first(),
                last_byte: conflict.range.last(),
            });
        }
        let told = state.grant(request, &self.waits);
        drop(state);
        told.tell();
        Ok(())
    }

    /// The same, but waits for those that are in the way. What the owner has stays as it is until
    /// all can be granted at once.
    pub(crate) fn lock(&self, request: &Request, patience: Patience<'_>) -> Result<()> {
        lock_order::check(Rank::FileLock);
        let (key, ticket) = {
            let mut state = self.latch();
            let Some(conflict) = state.table.first_conflict(request) else {
                let told = state.grant(request, &self.waits);
                drop(state);
                told.tell();
                return Ok(());
            };
            self.enqueue(&mut state, request, &conflict)?
        };
        match self.wait(key, &ticket, patience)? {
            Verdict::Granted => Ok(()),
            Verdict::Deadlock => Err(deadlock(request)),
        }
    }

    /// Takes these bytes out of the owner's locks, if it has any there.
    pub(crate) fn unlock(&self, owner: Owner, range: LockRange) {
        let mut state = self.latch();
        let change = state.table.release(owner, range);
        let told = state.after(change, range, &self.waits);
        drop(state);
        told.tell();
    }

    /// Lets go of everything that an owner has on this file.
    pub(crate) fn release(&self, owner: Owner) {
        self.unlock(owner, LockRange::ALL);
    }

    /// What [`try_lock`](Self::try_lock) would fail for now.
    pub(crate) fn conflict(&self, request: &Request) -> Option<HeldLock> {
        let conflict = self.latch().table.first_conflict(request)?;
        Some(HeldLock {
            kind: conflict.kind,
            range: conflict.range,
            owner: conflict.owner.into(),
        })
    }

    fn latch(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(
        &self,
        state: &mut State,
        request: &Request,
        conflict: &Conflict,
    ) -> Result<(IntervalKey, Arc<Ticket>)> {
        let wait = self
            .waits
            .begin(request.owner, conflict.owner)
            .map_err(|WouldDeadlock| deadlock(request))?;
        let ticket = Arc::new(Ticket::new());
        let key = state.queue.enter(request, wait, Arc::clone(&ticket));
        Ok((key, ticket))
    }

    fn wait(
        &self,
        key: IntervalKey,
        ticket: &Arc<Ticket>,
        patience: Patience<'_>,
    ) -> Result<Verdict> {
        let (mut deadline, mut watched) = (None, None);
        match patience {
            Patience::Unlimited => {}
            // What is too far off for the clock never comes.
            Patience::For(timeout) => deadline = Instant::now().checked_add(timeout),
            Patience::UntilCancelled(handle) => watched = Some(handle.watch(ticket)),
        }
        let reason = match ticket.wait(deadline) {
            WokenBy::Verdict(verdict) => return Ok(verdict),
            WokenBy::Cancellation => LockWaitEnd::Cancelled,
            WokenBy::Deadline => LockWaitEnd::TimedOut,
        };
        drop(watched);
        match self.withdraw(key) {
            Withdrawn::InTime => Err(Error::LockInterrupted { reason }),
            Withdrawn::TooLate => Ok(ticket.wait_for_verdict()),
        }
    }

    fn withdraw(&self, key: IntervalKey) -> Withdrawn {
        match self.latch().queue.leave(key, &self.waits) {
            Some(_) => Withdrawn::InTime,
            None => Withdrawn::TooLate,
        }
    }
}

/// Whether a request was still waiting when its thread gave up.
enum Withdrawn {
    InTime,
    TooLate,
}

impl State {
    /// Gives a request that conflicts with nothing its lock.
    fn grant(&mut self, request: &Request, waits: &WaitGraph) -> Told {
        let change = self.table.grant(request);
        self.after(change, request.range, waits)
    }

    fn after(&mut self, change: Change, range: LockRange, waits: &WaitGraph) -> Told {
        match change {
            Change::FreesOthers => self.queue.reconsider(&mut self.table, range, waits),
            Change::FreesNobody => Told::default(),
        }
    }
}

fn deadlock(request: &Request) -> Error {
    Error::LockDeadlock {
        first_byte: request.range.first(),
        last_byte: request.range.last(),
    }
}
