//! File locks against arrays of bytes, and requests that wait against a list, step by step and
//! without threads.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::table::Conflict;
use super::ticket::{Ticket, Verdict, WokenBy};
use super::*;

/// Bytes that are told apart; the last one stands for all that follow.
const BYTES: usize = 16;
const FILES: usize = 2;
const OWNERS: [Owner; 5] = [
    Owner::Process(1),
    Owner::Process(2),
    Owner::Process(3),
    // Their numbers may be those of processes.
    Owner::Description(1),
    Owner::Description(2),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    TryLock(Request),
    /// Like `lock`, but nobody sleeps.
    Wait(Request),
    /// The request at this position of those that wait, counted round.
    Withdraw(usize),
    Unlock(Owner, LockRange),
    Release(Owner),
}

fn owner() -> impl Strategy<Value = Owner> {
    prop::sample::select(&OWNERS)
}

fn range() -> impl Strategy<Value = LockRange> {
    (0..BYTES, 0..BYTES).prop_map(|(one, other)| run(one.min(other), one.max(other)))
}

fn run(first: usize, last: usize) -> LockRange {
    let last = match last == BYTES - 1 {
        true => u64::MAX,
        false => last as u64,
    };
    LockRange::between(first as u64, last).unwrap()
}

fn bytes(range: LockRange) -> impl Iterator<Item = usize> {
    range.first() as usize..=(range.last() as usize).min(BYTES - 1)
}

fn request() -> impl Strategy<Value = Request> {
    let kind = prop_oneof![Just(LockKind::Shared), Just(LockKind::Exclusive)];
    (owner(), kind, range()).prop_map(|(owner, kind, range)| Request { owner, kind, range })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => request().prop_map(Step::TryLock),
        3 => (owner(), range()).prop_map(|(owner, range)| Step::Unlock(owner, range)),
        1 => owner().prop_map(Step::Release),
    ]
}

fn waiting_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => step(),
        4 => request().prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Withdraw),
    ]
}

type Bytes = [Option<LockKind>; BYTES];

/// What each owner has, byte by byte, in the order of who got its first lock first.
#[derive(Default)]
struct NaiveTable(Vec<(Owner, Bytes)>);

impl NaiveTable {
    fn of(&mut self, owner: Owner) -> &mut Bytes {
        let at = self.0.iter().position(|(other, _)| *other == owner);
        let at = at.unwrap_or_else(|| {
            self.0.push((owner, [None; BYTES]));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn set(&mut self, owner: Owner, kind: Option<LockKind>, range: LockRange) {
        for byte in bytes(range) {
            self.of(owner)[byte] = kind;
        }
        let has_some = |(_, bytes): &(Owner, Bytes)| bytes.iter().any(Option::is_some);
        self.0.retain(has_some);
    }

    /// Everything, as the longest runs of one kind.
    fn runs(&self) -> Vec<Conflict> {
        let mut runs = Vec::new();
        for (owner, bytes) in &self.0 {
            let mut first = 0;
            for chunk in bytes.chunk_by(|one, other| one == other) {
                let last = first + chunk.len() - 1;
                if let Some(kind) = chunk[0] {
                    runs.push(Conflict {
                        owner: *owner,
                        kind,
                        range: run(first, last),
                    });
                }
                first = last + 1;
            }
        }
        runs
    }

    fn conflicts(&self, request: Request) -> impl Iterator<Item = Conflict> {
        self.runs().into_iter().filter(move |held| {
            held.owner != request.owner
                && (held.kind == LockKind::Exclusive || request.kind == LockKind::Exclusive)
                && bytes(held.range).any(|byte| bytes(request.range).any(|other| other == byte))
        })
    }
}

fn sorted(mut locks: Vec<Conflict>) -> Vec<Conflict> {
    locks.sort_by_key(|lock| (lock.range.first(), lock.owner));
    locks
}

struct Waiting {
    file: usize,
    request: Request,
    key: IntervalKey,
    ticket: Arc<Ticket>,
}

/// The locks of some files, and what they should be.
struct Pair {
    locks: [FileLocks; FILES],
    naive: [NaiveTable; FILES],
    /// In order of arrival.
    waiting: Vec<Waiting>,
    waits: Arc<WaitGraph>,
}

impl Pair {
    fn new() -> Self {
        let waits = Arc::new(WaitGraph::default());
        Self {
            locks: std::array::from_fn(|_| FileLocks::new(Arc::clone(&waits))),
            naive: Default::default(),
            waiting: Vec::new(),
            waits,
        }
    }

    fn apply(&mut self, file: usize, step: Step) {
        match step {
            Step::TryLock(request) => self.try_lock(file, request),
            Step::Wait(request) => self.wait(file, request),
            Step::Withdraw(_) if self.waiting.is_empty() => {}
            Step::Withdraw(position) => {
                let waiting = self.waiting.remove(position % self.waiting.len());
                let withdrawn = self.locks[waiting.file].withdraw(waiting.key);
                assert!(matches!(withdrawn, Withdrawn::InTime));
            }
            Step::Unlock(owner, range) => {
                self.naive[file].set(owner, None, range);
                self.locks[file].unlock(owner, range);
            }
            Step::Release(owner) => {
                self.naive[file].set(owner, None, LockRange::ALL);
                self.locks[file].release(owner);
            }
        }
        self.settle();
        self.check();
    }

    fn try_lock(&mut self, file: usize, request: Request) {
        let expected = self.naive[file].conflicts(request).next();
        let found = self.locks[file].conflict(&request);
        let told = |held: Conflict| (held.owner.into(), held.kind, held.range);
        assert_eq!(
            found.map(|held| (held.owner, held.kind, held.range)),
            expected.map(told)
        );
        match (self.locks[file].try_lock(&request), expected) {
            (Ok(()), None) => {
                self.naive[file].set(request.owner, Some(request.kind), request.range);
            }
            (
                Err(Error::LockConflict {
                    first_byte,
                    last_byte,
                }),
                Some(held),
            ) => {
                assert_eq!(
                    (first_byte, last_byte),
                    (held.range.first(), held.range.last())
                );
            }
            (outcome, expected) => panic!("{outcome:?}, in the way: {expected:?}"),
        }
    }

    fn wait(&mut self, file: usize, request: Request) {
        let mut state = self.locks[file].latch();
        let Some(conflict) = state.table.first_conflict(&request) else {
            drop(state);
            return self.try_lock(file, request);
        };
        match self.locks[file].enqueue(&mut state, &request, &conflict) {
            Ok((key, ticket)) => self.waiting.push(Waiting {
                file,
                request,
                key,
                ticket,
            }),
            Err(error) => {
                assert_eq!(error.errno(), 35, "{error}");
                assert!(self.would_wait_for_itself(file, request), "{request:?}");
            }
        }
    }

    /// Grants what can be granted now, one after the other: always the first in order of arrival
    /// that has nothing in its way. Then compares with what the waiting threads are told.
    fn settle(&mut self) {
        let is_free = |pair: &Self, waiting: &Waiting| {
            let mut conflicts = pair.naive[waiting.file].conflicts(waiting.request);
            conflicts.next().is_none()
        };
        let now = Some(Instant::now());
        while let Some(at) = self
            .waiting
            .iter()
            .position(|waiting| is_free(self, waiting))
        {
            let Waiting {
                file,
                request,
                ticket,
                ..
            } = self.waiting.remove(at);
            assert_eq!(
                ticket.wait(now),
                WokenBy::Verdict(Verdict::Granted),
                "{request:?}"
            );
            self.naive[file].set(request.owner, Some(request.kind), request.range);
        }
        let verdicts: Vec<_> = self
            .waiting
            .iter()
            .map(|one| one.ticket.wait(now))
            .collect();
        for at in (0..verdicts.len()).rev() {
            match verdicts[at] {
                WokenBy::Deadline => {}
                WokenBy::Verdict(Verdict::Deadlock) => {
                    let refused = self.waiting.remove(at);
                    let (file, request) = (refused.file, refused.request);
                    assert!(self.would_wait_for_itself(file, request), "{request:?}");
                }
                other => panic!("{:?}: {other:?}", self.waiting[at].request),
            }
        }
    }

    /// Whether somebody that a request would wait for waits, directly or over others, for its
    /// owner.
    fn would_wait_for_itself(&self, file: usize, request: Request) -> bool {
        self.reached(file, request).contains(&request.owner)
    }

    /// All owners that a request of a process waits for, directly or over other processes.
    fn reached(&self, file: usize, request: Request) -> BTreeSet<Owner> {
        let mut reached = BTreeSet::new();
        let mut next = vec![(file, request)];
        while let Some((file, request)) = next.pop() {
            for held in self.naive[file].conflicts(request) {
                if reached.insert(held.owner) && matches!(held.owner, Owner::Process(_)) {
                    let of_holder = |waiting: &&Waiting| waiting.request.owner == held.owner;
                    let waits = self.waiting.iter().filter(of_holder);
                    next.extend(waits.map(|waiting| (waiting.file, waiting.request)));
                }
            }
        }
        reached
    }

    fn check(&self) {
        for (locks, naive) in self.locks.iter().zip(&self.naive) {
            assert_eq!(sorted(locks.latch().table.all()), sorted(naive.runs()));
        }
        let queued: usize = self
            .locks
            .iter()
            .map(|locks| locks.latch().queue.len())
            .sum();
        assert_eq!(queued, self.waiting.len());
        self.check_that_waits_end();
    }

    /// Each wait of a process is for somebody who can go on, or for one who is for such a one.
    fn check_that_waits_end(&self) {
        let mut processes = BTreeSet::new();
        for waiting in &self.waiting {
            if let owner @ Owner::Process(_) = waiting.request.owner {
                processes.insert(owner);
                let reached = self.reached(waiting.file, waiting.request);
                let goes_on = |owner: &Owner| {
                    self.waiting
                        .iter()
                        .all(|other| other.request.owner != *owner)
                        || matches!(owner, Owner::Description(_))
                };
                assert!(
                    reached.iter().any(goes_on),
                    "{:?}: {reached:?}",
                    waiting.request
                );
            }
        }
        assert_eq!(self.waits.is_empty(), processes.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_held_is_what_an_array_of_bytes_holds(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.apply(0, step);
        }
    }

    #[test]
    fn who_waits_is_served_in_order_of_arrival_and_never_for_ever(
        steps in prop::collection::vec((0..FILES, waiting_step()), 1..80),
    ) {
        let mut pair = Pair::new();
        for (file, step) in steps {
            pair.apply(file, step);
        }
    }
}
