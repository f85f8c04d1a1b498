//! Requests that wait for what is held on one file, and who may go on after a change.
//!
//! Who waits is in nobody's way. Under the file's latch; takes the wait graph's inside it.

use std::collections::BTreeMap;

use rangelock::{IntervalKey, IntervalMap};

use super::Request;
use super::owner::{LockKind, Owner};
use super::range::LockRange;
use super::table::{Change, Table};
use super::ticket::{Ticket, Verdict};
use super::wait_graph::{Wait, WaitGraph, WouldDeadlock};
use crate::sync::Arc;

/// The requests that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: IntervalMap<Waiting>,
    /// How many requests have ever waited.
    arrivals: u64,
}

pub(super) struct Waiting {
    /// Place in the order of arrival.
    arrival: u64,
    owner: Owner,
    kind: LockKind,
    /// Its edge in the wait graph; descriptions have none.
    wait: Option<Wait>,
    ticket: Arc<Ticket>,
}

/// Those whose wait is over, to be told without the latch.
#[derive(Default)]
#[must_use = "whose wait is over must be told"]
pub(super) struct Told(Vec<(Arc<Ticket>, Verdict)>);

impl Told {
    pub(super) fn tell(self) {
        for (ticket, verdict) in self.0 {
            ticket.settle(verdict);
        }
    }
}

impl Queue {
    pub(super) fn enter(
        &mut self,
        request: &Request,
        wait: Option<Wait>,
        ticket: Arc<Ticket>,
    ) -> IntervalKey {
        self.arrivals += 1;
        let waiting = Waiting {
            arrival: self.arrivals,
            owner: request.owner,
            kind: request.kind,
            wait,
            ticket,
        };
        let key = self.waiting.insert(request.range.bytes(), waiting);
        key.expect("a lock range has at least one byte")
    }

    /// Takes a request out, and ends its wait. `None` when that has been done.
    pub(super) fn leave(&mut self, key: IntervalKey, waits: &WaitGraph) -> Option<Waiting> {
        let (_, waiting) = self.waiting.remove(key)?;
        if let Some(wait) = waiting.wait {
            waits.end(wait);
        }
        Some(waiting)
    }

    /// Grants what can be granted after something in `range` was let go or became shared, and then
    /// refuses who would wait for ever. What stays is blocked, and the wait graph knows by whom.
    pub(super) fn reconsider(
        &mut self,
        table: &mut Table,
        range: LockRange,
        waits: &WaitGraph,
    ) -> Told {
        let mut told = Told::default();
        let mut blocked = BTreeMap::new();
        let mut candidates = BTreeMap::new();
        self.add_candidates(&mut candidates, range);
        while let Some((arrival, candidate)) = candidates.pop_first() {
            if table.first_conflict(&candidate.request).is_some() {
                blocked.insert(arrival, candidate);
                continue;
            }
            // One that was blocked, and then was not, is there twice.
            blocked.remove(&arrival);
            self.end(&candidate, Verdict::Granted, waits, &mut told);
            if table.grant(&candidate.request) == Change::FreesOthers {
                self.add_candidates(&mut candidates, candidate.request.range);
            }
        }
        self.move_edges(blocked.into_values(), table, waits, &mut told);
        told
    }

    /// Finds those that stay blocked somebody else to wait for, or refuses them. As in Linux, only
    /// those whose blocker went; and none waits for anybody until all have let go of theirs, so an
    /// edge to who is not in the way any more refuses nobody.
    fn move_edges(
        &mut self,
        blocked: impl Iterator<Item = Candidate>,
        table: &Table,
        waits: &WaitGraph,
        told: &mut Told,
    ) {
        let moving: Vec<_> = blocked
            .filter(|candidate| candidate.has_lost_blocker(table, waits))
            .collect();
        for wait in moving.iter().filter_map(|candidate| candidate.wait) {
            waits.end(wait);
        }
        for candidate in &moving {
            if candidate.waits_for_ever(table, waits) {
                self.end(candidate, Verdict::Deadlock, waits, told);
            }
        }
    }

    fn end(&mut self, over: &Candidate, verdict: Verdict, waits: &WaitGraph, told: &mut Told) {
        if let Some(waiting) = self.leave(over.key, waits) {
            told.0.push((waiting.ticket, verdict));
        }
    }

    /// Adds the requests that ask for bytes of `range`, by their places in the order of arrival.
    fn add_candidates(&self, candidates: &mut BTreeMap<u64, Candidate>, range: LockRange) {
        for (key, bytes, waiting) in self.waiting.overlapping(range.bytes()) {
            let request = Request {
                owner: waiting.owner,
                kind: waiting.kind,
                range: LockRange::of_entry(&bytes),
            };
            let wait = waiting.wait;
            candidates.insert(waiting.arrival, Candidate { key, request, wait });
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// A request that may be granted after a change.
struct Candidate {
    key: IntervalKey,
    request: Request,
    wait: Option<Wait>,
}

impl Candidate {
    /// Whether who was noted as in the way of this request is not any more.
    fn has_lost_blocker(&self, table: &Table, waits: &WaitGraph) -> bool {
        let blocker = self.wait.and_then(|wait| waits.blocker(wait));
        blocker.is_some_and(|owner| !table.is_in_the_way(owner, &self.request))
    }

    /// Whether a request that has no edge would wait for ever. Else it has one now.
    fn waits_for_ever(&self, table: &Table, waits: &WaitGraph) -> bool {
        let (Some(wait), Some(conflict)) = (self.wait, table.first_conflict(&self.request)) else {
            return false;
        };
        waits.continue_behind(wait, conflict.owner) == Err(WouldDeadlock)
    }
}
