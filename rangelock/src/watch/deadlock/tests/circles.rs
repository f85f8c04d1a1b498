//! The search for a circle against the definition, and what is said about one.

use std::sync::OnceLock;
use std::thread::{self, Thread};

use proptest::prelude::*;

use crate::mode::Mode;
use crate::span::Span;
use crate::watch::deadlock::registry::{Cause, Claim, Edge, Registry};
use crate::watch::deadlock::report;
use crate::watch::identity::{LockNumber, Place, place};

const THREADS: usize = 5;
static ALL: OnceLock<Vec<Thread>> = OnceLock::new();
const LOCKS: u64 = 3;

/// Threads that have ended, and are known apart all the same.
fn threads(names: &[&str]) -> Vec<Thread> {
    names
        .iter()
        .map(|&name| {
            let builder = thread::Builder::new().name(name.to_owned());
            let thread = builder.spawn(thread::current).expect("a thread");
            thread.join().expect("nothing to panic about")
        })
        .collect()
}

fn claim(owner: &Thread, lock: u64, mode: Mode, first: u64, last: u64, place: Place) -> Claim {
    Claim {
        owner: owner.clone(),
        lock: LockNumber::of(lock).expect("not zero"),
        span: Span { first, last },
        mode,
        place,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Holds,
    Waits,
}

type Entry = (Step, usize, u64, Mode, u64, u64);

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let step = prop_oneof![Just(Step::Holds), Just(Step::Waits)];
    let mode = prop_oneof![Just(Mode::Read), Just(Mode::Write)];
    let entry = (step, 0..THREADS, 1..=LOCKS, mode, 0..8_u64, 0..4_u64).prop_map(
        |(step, owner, lock, mode, first, more)| (step, owner, lock, mode, first, first + more),
    );
    prop::collection::vec(entry, 0..24)
}

/// Whether the second claim is in the way of the first, by the definition and nothing else.
fn is_behind(entries: &[Entry], waiter: usize, blocker: usize) -> bool {
    let (waiter_step, _, lock, mode, first, last) = entries[waiter];
    let (blocker_step, _, other_lock, other_mode, other_first, other_last) = entries[blocker];
    waiter_step == Step::Waits
        && lock == other_lock
        && (mode == Mode::Write || other_mode == Mode::Write)
        && (first.max(other_first) <= last.min(other_last))
        && (blocker_step == Step::Holds || blocker < waiter)
}

/// The length of the shortest way from each thread to each, at least one edge.
fn distances(entries: &[Entry]) -> [[Option<usize>; THREADS]; THREADS] {
    let mut shortest = [[None; THREADS]; THREADS];
    for waiter in 0..entries.len() {
        for blocker in 0..entries.len() {
            if is_behind(entries, waiter, blocker) {
                shortest[entries[waiter].1][entries[blocker].1] = Some(1);
            }
        }
    }
    for between in 0..THREADS {
        for from in 0..THREADS {
            for to in 0..THREADS {
                let (Some(there), Some(on)) = (shortest[from][between], shortest[between][to])
                else {
                    continue;
                };
                let way = there + on;
                shortest[from][to] = Some(shortest[from][to].map_or(way, |known| way.min(known)));
            }
        }
    }
    shortest
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_circle_is_found_exactly_if_there_is_one_and_it_is_a_shortest(entries in entries()) {
        let all = ALL.get_or_init(|| threads(&["a", "b", "c", "d", "e"]));
        let mut registry = Registry::new();
        for &(step, owner, lock, mode, first, last) in &entries {
            let claim = claim(&all[owner], lock, mode, first, last, place());
            match step {
                Step::Holds => {
                    registry.hold(claim);
                }
                Step::Waits => {
                    registry.wait(claim.lock, [claim].into_iter());
                }
            }
        }
        let distances = distances(&entries);
        for (index, thread) in all.iter().enumerate() {
            let circle = registry.circle(thread.id());
            prop_assert_eq!(circle.as_ref().map(Vec::len), distances[index][index]);
            let Some(circle) = circle else { continue };
            prop_assert_eq!(circle[0].waiter.owner.id(), thread.id());
            for (edge, next) in circle.iter().zip(circle.iter().cycle().skip(1)) {
                prop_assert_eq!(edge.blocker.owner.id(), next.waiter.owner.id());
                prop_assert_eq!(edge.waiter.lock, edge.blocker.lock);
                prop_assert!(edge.waiter.span.overlaps(edge.blocker.span));
            }
        }
    }
}

#[test]
fn a_thread_that_waits_for_itself_is_told_both_ranges_modes_and_places() {
    let threads = threads(&["main"]);
    let (held_at, asked_at) = (place(), place());
    let edge = Edge {
        waiter: &claim(&threads[0], 7, Mode::Write, 5, 19, asked_at),
        blocker: &claim(&threads[0], 7, Mode::Read, 0, 9, held_at),
        cause: Cause::Holds,
    };
    let id = threads[0].id();
    assert_eq!(
        report::of(&[edge]),
        format!(
            "deadlock: a thread waits for itself
  thread 'main' ({id:?}) asks for 5..=19 of lock 7 to write at {asked_at}
  but holds 0..=9 of lock 7 to read since {held_at}
the request was withdrawn"
        )
    );
}

#[test]
fn every_edge_of_a_circle_is_told() {
    let threads = threads(&["reader", "writer"]);
    let (held_at, writer_at, reader_at) = (place(), place(), place());
    let held = claim(&threads[0], 3, Mode::Read, 0, 9, held_at);
    let write = claim(&threads[1], 3, Mode::Write, 0, u64::MAX, writer_at);
    let read_again = claim(&threads[0], 3, Mode::Read, 4, 4, reader_at);
    let mut registry = Registry::new();
    registry.hold(held.clone());
    registry.wait(held.lock, [write].into_iter());
    assert!(registry.circle(threads[1].id()).is_none());
    registry.wait(held.lock, [read_again].into_iter());
    let (reader, writer) = (threads[0].id(), threads[1].id());
    assert_eq!(
        report::of(&registry.circle(reader).expect("a circle")),
        format!(
            "deadlock: 2 threads wait for each other
  1. thread 'reader' ({reader:?}) waits for 4..=4 of lock 3 to read, asked for at {reader_at}
     behind thread 'writer' ({writer:?}), which asked earlier for 0..=18446744073709551615 \
of lock 3 to write at {writer_at}
  2. thread 'writer' ({writer:?}) waits for 0..=18446744073709551615 of lock 3 to write, \
asked for at {writer_at}
     behind thread 'reader' ({reader:?}), which holds 0..=9 of lock 3 to read since {held_at}
the request of thread 'reader' ({reader:?}), which came last, was withdrawn"
        )
    );
}
