//! What is on record when, seen through the calls that the lock makes. No lock is needed for that:
//! each test plays one, and says itself what was granted.

use std::thread;

use crate::mode::Mode::{Read, Write};
use crate::span::Span;
use crate::watch::identity::LockNumber;
use crate::watch::{Asker, Deadlock, LockId, Outcome, Waiting, place};

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

fn asker(lock: &LockId) -> Asker {
    Asker::new(lock, place())
}

/// What is on record about a lock that a test plays: held, waited for.
fn claims(lock: &LockId) -> (usize, usize) {
    lock.claims()
}

fn elsewhere<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().expect("no report"))
}

fn never_ends(answer: Result<Waiting, Deadlock>) -> bool {
    answer.is_err()
}

#[test]
fn nothing_is_left_on_record_of_what_is_over() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Read);
    assert_eq!(claims(&lock), (1, 0));
    let waiting = asker(&lock).waits(&[(span(0, 9), Read), (span(20, 29), Write)]);
    assert_eq!(claims(&lock), (1, 2));
    waiting.expect("readers share").over(Outcome::Granted);
    assert_eq!(claims(&lock), (1, 0));
    held.released();
    assert_eq!(claims(&lock), (0, 0));
}

#[test]
fn nothing_is_left_on_record_of_a_wait_that_was_refused() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Read);
    let requests = [(span(20, 29), Write), (span(9, 9), Write)];
    assert!(never_ends(asker(&lock).waits(&requests)));
    assert_eq!(claims(&lock), (1, 0));
    held.released();
    let answer = asker(&lock).waits(&requests);
    answer.expect("nothing in the way").over(Outcome::Granted);
}

#[test]
fn a_wait_that_ends_anyway_is_never_refused_and_blocks_nobody_for_ever() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Write);
    let limited = asker(&lock).limited().waits(&[(span(0, 9), Write)]);
    assert_eq!(claims(&lock), (1, 0));
    limited.expect("it ends").over(Outcome::TimedOut);
    held.released();
}

#[test]
fn what_is_disowned_is_nobodys() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Write);
    held.disowned();
    assert_eq!(claims(&lock), (0, 0));
    assert!(!never_ends(asker(&lock).waits(&[(span(0, 9), Write)])));
    // Whatever becomes of the guard afterwards is nobody's business either.
    held.changes_span(span(0, 4));
    held.changes_mode(Read);
    held.splits(span(0, 1), span(2, 4)).released();
    held.released();
    assert_eq!(claims(&lock), (0, 0));
}

#[test]
fn a_guard_counts_for_what_it_covers_now() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Write);
    let refuses = |first, mode| never_ends(asker(&lock).waits(&[(span(first, first), mode)]));
    assert!(refuses(9, Read));
    held.changes_mode(Read);
    assert!(!refuses(9, Read));
    assert!(refuses(9, Write));
    held.changes_mode(Write);
    held.changes_span(span(0, 4));
    assert!(refuses(4, Read));
    assert!(!refuses(9, Write));
    let parted = held.splits(span(0, 1), span(2, 4));
    assert_eq!(claims(&lock), (2, 0));
    assert!(
        refuses(1, Read) && refuses(2, Read),
        "both are held to write"
    );
    held.released();
    assert!(!refuses(1, Write));
    assert!(refuses(2, Write));
    let last = parted.splits(span(2, 3), span(4, 4));
    last.released();
    assert!(!refuses(4, Write));
    assert!(refuses(3, Write));
    parted.released();
    assert_eq!(claims(&lock), (0, 0));
}

#[test]
fn a_range_belongs_to_the_thread_that_took_it_until_another_gives_it_back() {
    let lock = LockId::new();
    let held = asker(&lock).holds(span(0, 9), Write);
    let answer = || never_ends(asker(&lock).waits(&[(span(0, 9), Write)]));
    assert!(
        !elsewhere(answer),
        "it is not the other thread that waits for itself"
    );
    assert!(answer());
    elsewhere(|| held.released());
    assert!(!answer());
}

#[test]
fn all_requests_of_a_call_are_in_the_way_of_those_that_come_later() {
    let (many, other) = (LockId::new(), LockId::new());
    let held = asker(&other).holds(span(0, 0), Write);
    // Another thread waits for this one, on the other lock, and for two ranges of this lock. One
    // of them it may have been granted already: as long as it waits nobody gets either.
    let (on_other, here) = elsewhere(|| {
        let on_other = asker(&other).waits(&[(span(0, 0), Write)]);
        let requests = [(span(20, 29), Write), (span(0, 9), Read)];
        let here = asker(&many).waits(&requests);
        (on_other.expect("no circle"), here.expect("no circle"))
    });
    let refuses = |first, mode| {
        let request = [(span(first, first), mode)];
        never_ends(asker(&many).waits(&request))
    };
    assert!(refuses(25, Read));
    assert!(refuses(5, Write));
    assert!(!refuses(5, Read), "readers share");
    assert!(!refuses(15, Write), "neither range is touched");
    on_other.over(Outcome::Granted);
    assert!(
        !refuses(25, Read),
        "the other thread waits for nothing of this one's"
    );
    here.over(Outcome::Granted);
    held.released();
    assert_eq!((claims(&many), claims(&other)), ((0, 0), (0, 0)));
}

#[test]
fn a_lock_that_is_gone_takes_forgotten_guards_off_the_record() {
    let lock = LockId::new();
    let neighbour = LockId::new();
    let (number, _) = (lock.number(), neighbour.number());
    let on_neighbour = asker(&neighbour).holds(span(0, 9), Write);
    let _forgotten = asker(&lock).holds(span(0, 9), Write);
    let _too = asker(&lock).holds(span(20, 29), Write);
    drop(lock);
    assert_eq!(super::deadlock::claims_on(number), (0, 0));
    assert_eq!(claims(&neighbour), (1, 0));
    on_neighbour.released();
}

#[test]
fn a_lock_keeps_its_number_when_it_is_moved_and_shares_it_with_nobody() {
    let lock = LockId::new();
    let number = lock.number();
    let moved = Box::new(lock);
    assert_eq!(moved.number(), number);
    assert_ne!(LockId::new().number(), number);
}

#[test]
fn the_first_number_given_to_a_lock_counts() {
    let lock = LockId::new();
    let (slow, quick) = (LockNumber::unused(), LockNumber::unused());
    assert_eq!(lock.take(quick), quick);
    assert_eq!(lock.take(slow), quick);
    assert_eq!(lock.number(), quick);
}
