//! Who holds what, who waits for what, and the search for a circle.
//!
//! Plain data: what may be on record, and why every circle is a deadlock, is in the head of
//! `deadlock`. Takes no lock itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread::{Thread, ThreadId};

use crate::mode::Mode;
use crate::span::Span;
use crate::watch::identity::{LockNumber, Place};

/// A range that a thread holds or waits for.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) owner: Thread,
    pub(crate) lock: LockNumber,
    pub(crate) span: Span,
    pub(crate) mode: Mode,
    /// Where it was asked for.
    pub(crate) place: Place,
}

impl Claim {
    /// Of two claims on one lock: whether they exclude each other.
    fn conflicts_with(&self, other: &Self) -> bool {
        self.span.overlaps(other.span) && self.mode.conflicts_with(other.mode)
    }
}

/// Orders claims by lock, and those of one lock by the time they were entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClaimId {
    lock: LockNumber,
    number: u64,
}

impl ClaimId {
    fn all_of(lock: LockNumber) -> Range<Self> {
        let at = |number| Self { lock, number };
        at(0)..at(u64::MAX)
    }
}

/// Why one thread waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The other holds what this one wants.
    Holds,
    /// The other wants it too and was there earlier.
    CameEarlier,
}

/// One thread waits for another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge<'registry> {
    pub(crate) waiter: &'registry Claim,
    pub(crate) blocker: &'registry Claim,
    pub(crate) cause: Cause,
}

/// The claims of all threads on all locks.
#[derive(Debug)]
pub(crate) struct Registry {
    holds: BTreeMap<ClaimId, Claim>,
    waits: BTreeMap<ClaimId, Claim>,
    next_number: u64,
}

impl Registry {
    pub(crate) const fn new() -> Self {
        Self {
            holds: BTreeMap::new(),
            waits: BTreeMap::new(),
            next_number: 0,
        }
    }

    pub(crate) fn hold(&mut self, claim: Claim) -> ClaimId {
        let id = self.next_id(claim.lock);
        self.holds.insert(id, claim);
        id
    }

    /// Nothing if the range was disowned.
    pub(crate) fn change_hold(&mut self, id: ClaimId, change: impl FnOnce(&mut Claim)) {
        if let Some(claim) = self.holds.get_mut(&id) {
            change(claim);
        }
    }

    /// Makes two claims of one. Nothing if the range was disowned.
    pub(crate) fn split_hold(&mut self, id: ClaimId, kept: Span, parted: Span) -> Option<ClaimId> {
        let claim = self.holds.get_mut(&id)?;
        claim.span = kept;
        let parted = Claim {
            span: parted,
            ..claim.clone()
        };
        Some(self.hold(parted))
    }

    /// Nothing if the range was disowned.
    pub(crate) fn release(&mut self, id: ClaimId) {
        self.holds.remove(&id);
    }

    /// Enters the claims of one call, and returns their numbers.
    pub(crate) fn wait(
        &mut self,
        lock: LockNumber,
        claims: impl Iterator<Item = Claim>,
    ) -> Range<u64> {
        let first = self.next_number;
        for claim in claims {
            let id = self.next_id(lock);
            self.waits.insert(id, claim);
        }
        first..self.next_number
    }

    pub(crate) fn end_waits(&mut self, lock: LockNumber, numbers: Range<u64>) {
        for number in numbers {
            self.waits.remove(&ClaimId { lock, number });
        }
    }

    /// Strikes out all that is held of a lock. Nobody waits for it: it has no users any more.
    pub(crate) fn forget(&mut self, lock: LockNumber) {
        let all = ClaimId::all_of(lock);
        while let Some((&id, _)) = self.holds.range(all.clone()).next() {
            self.holds.remove(&id);
        }
    }

    /// The shortest circle of threads that wait for each other in which `closing` has a place, from
    /// it and back to it.
    pub(crate) fn circle(&self, closing: ThreadId) -> Option<Vec<Edge<'_>>> {
        // Breadth first: how each thread was reached, and by way of which earlier entry.
        let mut reached: Vec<(Edge<'_>, Option<usize>)> = Vec::new();
        let (mut thread, mut way) = (closing, None);
        let mut looked_at = 0;
        loop {
            for edge in self.edges_from(thread) {
                let blocker = edge.blocker.owner.id();
                if blocker == closing {
                    return Some(follow_back(&reached, edge, way));
                }
                if !reached.iter().any(|(known, _)| leads_to(known, blocker)) {
                    reached.push((edge, way));
                }
            }
            let (edge, _) = reached.get(looked_at)?;
            (thread, way) = (edge.blocker.owner.id(), Some(looked_at));
            looked_at += 1;
        }
    }

    /// Everything that a thread waits for.
    fn edges_from(&self, thread: ThreadId) -> impl Iterator<Item = Edge<'_>> {
        self.waits
            .iter()
            .filter(move |(_, waiter)| waiter.owner.id() == thread)
            .flat_map(|(&id, waiter)| {
                let all = ClaimId::all_of(id.lock);
                let holders = self.holds.range(all.clone());
                let earlier = self.waits.range(all.start..id);
                let holders = holders.map(|(_, blocker)| (blocker, Cause::Holds));
                let earlier = earlier.map(|(_, blocker)| (blocker, Cause::CameEarlier));
                holders
                    .chain(earlier)
                    .filter(|(blocker, _)| waiter.conflicts_with(blocker))
                    .map(move |(blocker, cause)| Edge {
                        waiter,
                        blocker,
                        cause,
                    })
            })
    }

    fn next_id(&mut self, lock: LockNumber) -> ClaimId {
        let number = self.next_number;
        self.next_number += 1;
        ClaimId { lock, number }
    }

    #[cfg(test)]
    pub(crate) fn count(&self, lock: LockNumber) -> (usize, usize) {
        let all = ClaimId::all_of(lock);
        (
            self.holds.range(all.clone()).count(),
            self.waits.range(all).count(),
        )
    }
}

fn leads_to(edge: &Edge<'_>, thread: ThreadId) -> bool {
    edge.blocker.owner.id() == thread
}

/// The edges from the start of the search to `last`, in order.
fn follow_back<'registry>(
    reached: &[(Edge<'registry>, Option<usize>)],
    last: Edge<'registry>,
    mut way: Option<usize>,
) -> Vec<Edge<'registry>> {
    let mut circle = vec![last];
    while let Some(entry) = way {
        let (edge, before) = reached[entry];
        circle.push(edge);
        way = before;
    }
    circle.reverse();
    circle
}
