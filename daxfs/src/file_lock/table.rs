//! The locks that are held on one file: one kind, or none, for each owner and byte.
//!
//! Kept as the longest runs of bytes of one kind, as Linux keeps them, so that who looks is told
//! the same ranges. Plain data under the file's latch; takes no lock.

use std::collections::BTreeMap;

use rangelock::{IntervalKey, IntervalMap};

use super::Request;
use super::owner::{LockKind, Owner};
use super::range::LockRange;

/// What is held.
#[derive(Default)]
pub(super) struct Table {
    locks: IntervalMap<Lock>,
    owners: BTreeMap<Owner, Holding>,
    /// How often somebody who had no lock got one.
    arrivals: u64,
}

#[derive(Clone, Copy)]
struct Lock {
    owner: Owner,
    kind: LockKind,
}

/// What one owner has.
struct Holding {
    /// Its place among those who have locks, by when it got the first of those it has.
    arrival: u64,
    locks: usize,
}

/// A lock that is in a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) owner: Owner,
    pub(super) kind: LockKind,
    pub(super) range: LockRange,
}

/// Whether a change of an owner's locks took away what can be in others' way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    FreesOthers,
    FreesNobody,
}

impl Table {
    /// The first lock that is in a request's way, in Linux's order: those who have had locks for
    /// longest come first, and of one owner's the one with the lowest bytes.
    pub(super) fn first_conflict(&self, request: &Request) -> Option<Conflict> {
        let first = self.conflicts(request).min_by_key(|(_, lock, range)| {
            let arrival = self.owners.get(&lock.owner).map(|holding| holding.arrival);
            (arrival, range.first())
        });
        first.map(|(_, lock, range)| Conflict {
            owner: lock.owner,
            kind: lock.kind,
            range,
        })
    }

    /// Whether a lock of this owner is in a request's way.
    pub(super) fn is_in_the_way(&self, owner: Owner, request: &Request) -> bool {
        let mut conflicts = self.conflicts(request);
        conflicts.any(|(_, lock, _)| lock.owner == owner)
    }

    /// Gives the owner this lock in place of what it has on these bytes. It must conflict with
    /// nothing.
    pub(super) fn grant(&mut self, request: &Request) -> Change {
        self.set(request.owner, Some(request.kind), request.range)
    }

    /// Takes these bytes out of an owner's locks.
    pub(super) fn release(&mut self, owner: Owner, range: LockRange) -> Change {
        match self.owners.contains_key(&owner) {
            true => self.set(owner, None, range),
            false => Change::FreesNobody,
        }
    }

    fn set(&mut self, owner: Owner, kind: Option<LockKind>, range: LockRange) -> Change {
        let mut change = Change::FreesNobody;
        let mut merged = range;
        for (key, lock, held) in self.near(owner, range) {
            if Some(lock.kind) == kind {
                self.remove(key, owner);
                merged = merged.joined(held);
            } else if held.overlaps(range) {
                self.remove(key, owner);
                for rest in held.without(range) {
                    self.insert(rest, lock);
                }
                // An exclusive lock in the place of a shared one frees nobody.
                if kind != Some(LockKind::Exclusive) {
                    change = Change::FreesOthers;
                }
            }
        }
        if let Some(kind) = kind {
            self.insert(merged, Lock { owner, kind });
        }
        if self
            .owners
            .get(&owner)
            .is_some_and(|holding| holding.locks == 0)
        {
            self.owners.remove(&owner);
        }
        change
    }

    /// An owner's locks that overlap a range or touch it.
    fn near(&self, owner: Owner, range: LockRange) -> Vec<(IntervalKey, Lock, LockRange)> {
        let near = self.overlapping(range.with_neighbours());
        near.filter(|(_, lock, _)| lock.owner == owner).collect()
    }

    fn conflicts(&self, request: &Request) -> impl Iterator<Item = (IntervalKey, Lock, LockRange)> {
        let Request { owner, kind, range } = *request;
        self.overlapping(range)
            .filter(move |(_, lock, _)| lock.owner != owner && lock.kind.conflicts_with(kind))
    }

    fn overlapping(
        &self,
        range: LockRange,
    ) -> impl Iterator<Item = (IntervalKey, Lock, LockRange)> {
        let locks = self.locks.overlapping(range.bytes());
        locks.map(|(key, bytes, lock)| (key, *lock, LockRange::of_entry(&bytes)))
    }

    fn insert(&mut self, range: LockRange, lock: Lock) {
        let arrivals = &mut self.arrivals;
        let holding = self.owners.entry(lock.owner).or_insert_with(|| {
            *arrivals += 1;
            Holding {
                arrival: *arrivals,
                locks: 0,
            }
        });
        holding.locks += 1;
        self.locks.insert(range.bytes(), lock);
    }

    /// Takes a lock out. Its owner keeps its place until the change is complete.
    fn remove(&mut self, key: IntervalKey, owner: Owner) {
        self.locks.remove(key);
        if let Some(holding) = self.owners.get_mut(&owner) {
            holding.locks -= 1;
        }
    }

    /// Everything that is held, for tests.
    #[cfg(all(test, not(loom)))]
    pub(super) fn all(&self) -> Vec<Conflict> {
        self.overlapping(LockRange::ALL)
            .map(|(_, lock, range)| Conflict {
                owner: lock.owner,
                kind: lock.kind,
                range,
            })
            .collect()
    }
}
