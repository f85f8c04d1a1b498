//! Who waits for whom, over all files of a filesystem: a wait that closes a circle is refused.
//!
//! Each wait of a process has one edge, to an owner whose lock is in its way, as in Linux: when
//! that lock goes and another one is in the way, the edge moves, and is looked at again. So of
//! those who would wait for each other for ever one is refused at the latest when nothing else is
//! in the way of any of them. A process may wait in several threads at once. Open file descriptions
//! belong to nobody who could be said to wait, so they have no edges, also as in Linux. Other than
//! there, the length of a circle has no limit.
//!
//! # Locking
//! Its own latch, taken inside the latch of a file. Edges change under both, so that the graph and
//! the files agree whenever no latch is held.

use std::collections::{BTreeMap, BTreeSet};

use super::owner::Owner;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// The waits of all files.
#[derive(Default)]
pub(crate) struct WaitGraph {
    edges: Mutex<Edges>,
}

#[derive(Default)]
struct Edges {
    blocked_by: BTreeMap<Wait, Owner>,
    begun: u64,
}

/// One wait of one process. Ordered so that all waits of a process are beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wait {
    process: u64,
    number: u64,
}

/// Somebody on the way from the blocker waits for who wants to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WouldDeadlock;

impl WaitGraph {
    /// Notes that a request of `owner` waits for `blocker`. `None` for owners without edges.
    pub(super) fn begin(
        &self,
        owner: Owner,
        blocker: Owner,
    ) -> Result<Option<Wait>, WouldDeadlock> {
        let Owner::Process(process) = owner else {
            return Ok(None);
        };
        let mut edges = self.latch();
        edges.check(process, blocker)?;
        edges.begun += 1;
        let wait = Wait {
            process,
            number: edges.begun,
        };
        edges.blocked_by.insert(wait, blocker);
        Ok(Some(wait))
    }

    /// Whom a wait is for.
    pub(super) fn blocker(&self, wait: Wait) -> Option<Owner> {
        self.latch().blocked_by.get(&wait).copied()
    }

    /// Notes that a wait goes on, for `blocker` now.
    pub(super) fn continue_behind(&self, wait: Wait, blocker: Owner) -> Result<(), WouldDeadlock> {
        let mut edges = self.latch();
        edges.check(wait.process, blocker)?;
        edges.blocked_by.insert(wait, blocker);
        Ok(())
    }

    /// Forgets a wait.
    pub(super) fn end(&self, wait: Wait) {
        self.latch().blocked_by.remove(&wait);
    }

    fn latch(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.latch().blocked_by.is_empty()
    }
}

impl Edges {
    /// Whether `process` may wait for `blocker`.
    fn check(&self, process: u64, blocker: Owner) -> Result<(), WouldDeadlock> {
        let mut seen = BTreeSet::new();
        let mut next = vec![blocker];
        while let Some(owner) = next.pop() {
            let Owner::Process(other) = owner else {
                continue;
            };
            if other == process {
                return Err(WouldDeadlock);
            }
            if seen.insert(other) {
                next.extend(self.blockers_of(other));
            }
        }
        Ok(())
    }

    fn blockers_of(&self, process: u64) -> impl Iterator<Item = Owner> {
        let wait = |number| Wait { process, number };
        let waits = self.blocked_by.range(wait(0)..=wait(u64::MAX));
        waits.map(|(_, blocker)| *blocker)
    }
}
