//! The rules of the lock, written as simply as can be: one list, walked from end to end.
//!
//! A request holds its range if no held request conflicts with it and no earlier one that waits
//! does. That is all there is to say about grants; everything else changes the list and asks again.
//! Touches nothing; takes no lock.

use std::ops::Bound;

use crate::operation::{Bounds, Use};

/// Names a request, and what became of it.
pub(crate) type Name = usize;

/// First byte, last byte, and what for.
pub(crate) type Part = (u64, u64, Use);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    Waiting,
}

/// Mistakes to be made on purpose, to see that the comparison finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    Right,
    /// A newcomer passes those who wait.
    ForgetOrder,
    /// A request that is cancelled keeps others waiting.
    KeepCancelled,
    /// What a guard gives up stays held.
    KeepTrimmed,
    /// Who waited only for a writer goes on waiting when it becomes a reader.
    KeepDowngraded,
    /// A reader becomes a writer beside other readers.
    UpgradeBesideReaders,
}

#[derive(Clone, Debug)]
struct Request {
    name: Name,
    parts: Vec<Part>,
    state: State,
}

/// All requests in order of arrival.
pub(crate) struct Oracle {
    rules: Rules,
    requests: Vec<Request>,
    /// Held by nobody that could give it back: what wrong rules leave behind.
    ghosts: Vec<Part>,
}

/// The bytes that `bounds` names.
pub(crate) fn bytes(bounds: Bounds) -> Option<(u64, u64)> {
    let first = match bounds.0 {
        Bound::Included(first) => i128::from(first),
        Bound::Excluded(before) => i128::from(before) + 1,
        Bound::Unbounded => 0,
    };
    let last = match bounds.1 {
        Bound::Included(last) => i128::from(last),
        Bound::Excluded(after) => i128::from(after) - 1,
        Bound::Unbounded => i128::from(u64::MAX),
    };
    let first = u64::try_from(first).ok()?;
    let last = u64::try_from(last).ok()?;
    (first <= last).then_some((first, last))
}

/// The parts of a request for one range: one, or none if it has no byte.
pub(crate) fn parts(bounds: Bounds, purpose: Use) -> Vec<Part> {
    let part = bytes(bounds).map(|(first, last)| (first, last, purpose));
    part.into_iter().collect()
}

/// The parts of several ranges: each byte once, to write if any of them wants to write.
pub(crate) fn union(ranges: &[(Bounds, Use)]) -> Vec<Part> {
    let wanted: Vec<Part> = ranges
        .iter()
        .flat_map(|&(bounds, purpose)| parts(bounds, purpose))
        .collect();
    let mut cuts: Vec<u128> = wanted
        .iter()
        .flat_map(|&(first, last, _)| [u128::from(first), u128::from(last) + 1])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let piece = |cut: &[u128]| {
        let (first, last) = (cut[0] as u64, (cut[1] - 1) as u64);
        let uses = wanted
            .iter()
            .filter(|part| part.0 <= first && last <= part.1);
        uses.map(|part| part.2)
            .max()
            .map(|use_| (first, last, use_))
    };
    cuts.windows(2).filter_map(piece).collect()
}

fn overlap(one: Part, other: Part) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

fn conflict(some: &[Part], others: &[Part]) -> bool {
    some.iter().any(|&one| {
        let conflicts = |&other| overlap(one, other) && (one.2, other.2) != (Use::Read, Use::Read);
        others.iter().any(conflicts)
    })
}

impl Oracle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            requests: Vec::new(),
            ghosts: Vec::new(),
        }
    }

    /// Whether a newcomer would have to wait.
    pub(crate) fn would_wait(&self, parts: &[Part]) -> bool {
        self.is_blocked(parts, self.requests.len())
    }

    /// Whether a request that stands at `place` in the order has to wait.
    fn is_blocked(&self, parts: &[Part], place: usize) -> bool {
        let in_the_way = |(index, other): (usize, &Request)| {
            let counts = match other.state {
                State::Held => true,
                State::Waiting => index < place && self.rules != Rules::ForgetOrder,
            };
            index != place && counts && conflict(parts, &other.parts)
        };
        conflict(parts, &self.ghosts) || self.requests.iter().enumerate().any(in_the_way)
    }

    /// Grants what can be granted, in order.
    fn settle(&mut self) {
        for place in 0..self.requests.len() {
            let request = &self.requests[place];
            if request.state == State::Waiting && !self.is_blocked(&request.parts, place) {
                self.requests[place].state = State::Held;
            }
        }
    }

    pub(crate) fn request(&mut self, name: Name, parts: Vec<Part>) -> State {
        let state = if self.would_wait(&parts) {
            State::Waiting
        } else {
            State::Held
        };
        self.requests.push(Request { name, parts, state });
        state
    }

    pub(crate) fn state(&self, name: Name) -> State {
        self.requests[self.place(name)].state
    }

    fn place(&self, name: Name) -> usize {
        let named = |request: &Request| request.name == name;
        self.requests.iter().position(named).expect("a known name")
    }

    /// The range of a request for one range.
    pub(crate) fn range(&self, name: Name) -> Option<(u64, u64)> {
        let parts = &self.requests[self.place(name)].parts;
        parts.first().map(|&(first, last, _)| (first, last))
    }

    /// Gives back what is held, or cancels the wait.
    pub(crate) fn leave(&mut self, name: Name) {
        let gone = self.requests.remove(self.place(name));
        if self.rules == Rules::KeepCancelled && gone.state == State::Waiting {
            self.ghosts.extend(gone.parts);
        }
        self.settle();
    }

    pub(crate) fn downgrade(&mut self, name: Name) {
        let place = self.place(name);
        for part in &mut self.requests[place].parts {
            part.2 = Use::Read;
        }
        if self.rules != Rules::KeepDowngraded {
            self.settle();
        }
    }

    /// Succeeds if nobody else holds any of it. Who waits goes on waiting.
    pub(crate) fn upgrade(&mut self, name: Name) -> bool {
        let place = self.place(name);
        let mut wanted = self.requests[place].parts.clone();
        for part in &mut wanted {
            part.2 = Use::Write;
        }
        let others = self.requests.iter().filter(|other| other.name != name);
        let beside_readers = self.rules == Rules::UpgradeBesideReaders;
        let is_held = others
            .filter(|other| other.state == State::Held)
            .any(|other| conflict(&wanted, &other.parts));
        if is_held && !beside_readers {
            return false;
        }
        self.requests[place].parts = wanted;
        true
    }

    /// The bytes from `at` on get a name of their own.
    pub(crate) fn split(&mut self, name: Name, at: u64, upper_name: Name) {
        let place = self.place(name);
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for &(first, last, purpose) in &self.requests[place].parts {
            if first < at {
                lower.push((first, last.min(at - 1), purpose));
            }
            if last >= at {
                upper.push((first.max(at), last, purpose));
            }
        }
        self.requests[place].parts = lower;
        self.requests.push(Request {
            name: upper_name,
            parts: upper,
            state: State::Held,
        });
    }

    pub(crate) fn shrink(&mut self, name: Name, to: Bounds) {
        let place = self.place(name);
        let old = std::mem::take(&mut self.requests[place].parts);
        if let Some((from, until)) = bytes(to) {
            let common =
                |&(first, last, purpose): &Part| (first.max(from), last.min(until), purpose);
            let kept = old.iter().map(common).filter(|part| part.0 <= part.1);
            self.requests[place].parts = kept.collect();
        }
        if self.rules == Rules::KeepTrimmed {
            self.ghosts.extend(old);
        }
        self.settle();
    }

    /// Whether a request to write `bounds` would have to wait.
    pub(crate) fn is_locked(&self, bounds: Bounds) -> bool {
        self.would_wait(&parts(bounds, Use::Write))
    }

    /// Every part of every request.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Part, State)> {
        let of = |request: &'_ Request| {
            let state = request.state;
            let parts = request.parts.clone();
            parts.into_iter().map(move |part| (part, state))
        };
        self.requests.iter().flat_map(of)
    }
}
