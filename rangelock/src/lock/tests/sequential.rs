//! What the lock grants and refuses, one thread at a time, and the life of guards and nodes.

use std::mem;
use std::ops::Bound;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::pin;
use std::thread;

use super::RangeLock;
use crate::mode::Mode::{self, Read, Write};
use crate::tree::Census;
use crate::{Granule, PinnedReadGuard, PinnedWriteGuard, RangeNode, ReadGuard, WriteGuard};

/// How the second range of a pair lies to the first, `100..=199`.
const PLACES: [(&str, u64, u64, Meet); 9] = [
    ("far below", 0, 49, Meet::Not),
    ("touching below", 50, 99, Meet::Not),
    ("sharing the first byte", 50, 100, Meet::Yes),
    ("equal", 100, 199, Meet::Yes),
    ("inside", 120, 150, Meet::Yes),
    ("around", 50, 250, Meet::Yes),
    ("sharing the last byte", 199, 250, Meet::Yes),
    ("touching above", 200, 250, Meet::Not),
    ("far above", 300, 400, Meet::Not),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meet {
    Yes,
    Not,
}

/// The pairs of modes; writer and reader count once, since each pair is taken in both orders.
const MODES: [(Mode, Mode); 3] = [(Read, Read), (Read, Write), (Write, Write)];

/// Locks on which all requests of these tests are wide, some, and none; with one shard and with
/// many from the start; and the tree alone.
fn every_kind() -> impl Iterator<Item = RangeLock> {
    let granule = |len| Granule::from_len(len).unwrap();
    let growing = [1, 16, 1 << 21].map(|len| RangeLock::with_granule(granule(len)));
    let reserved = [1, 16].map(|len| {
        let lock = RangeLock::with_granule(granule(len));
        lock.reserve(50);
        lock
    });
    [
        RangeLock::new(),
        RangeLock::tree_only(),
        RangeLock::with_capacity(50),
    ]
    .into_iter()
    .chain(growing)
    .chain(reserved)
}

/// A guard of either mode.
enum AnyGuard<'lock> {
    Read(#[expect(dead_code, reason = "held, not used")] ReadGuard<'lock>),
    Write(#[expect(dead_code, reason = "held, not used")] WriteGuard<'lock>),
}

fn try_lock(lock: &RangeLock, mode: Mode, (first, last): (u64, u64)) -> Option<AnyGuard<'_>> {
    match mode {
        Read => lock.try_read(first..=last).map(AnyGuard::Read),
        Write => lock.try_write(first..=last).map(AnyGuard::Write),
    }
}

fn can_lock_pinned(lock: &RangeLock, mode: Mode, (first, last): (u64, u64)) -> bool {
    let node = pin!(lock.node());
    match mode {
        Read => node.try_read(first..=last).is_some(),
        Write => node.try_write(first..=last).is_some(),
    }
}

#[test]
fn all_pairs_of_places_and_modes_in_both_orders() {
    for (place, first, last, meet) in PLACES {
        for (mode_a, mode_b) in MODES {
            let (a, b) = ((mode_a, (100, 199)), (mode_b, (first, last)));
            for (held, wanted) in [(a, b), (b, a)] {
                for lock in every_kind() {
                    let guard = try_lock(&lock, held.0, held.1).expect("nobody else is there");
                    let excluded = meet == Meet::Yes && (mode_a == Write || mode_b == Write);
                    let what = format!("{held:?} held, {wanted:?} wanted, {place}");
                    assert_eq!(
                        try_lock(&lock, wanted.0, wanted.1).is_none(),
                        excluded,
                        "{what}"
                    );
                    assert_eq!(
                        can_lock_pinned(&lock, wanted.0, wanted.1),
                        !excluded,
                        "{what}"
                    );
                    drop(guard);
                    assert!(
                        try_lock(&lock, wanted.0, wanted.1).is_some(),
                        "released: {what}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_request_in_a_hole_between_held_ranges_is_granted() {
    for lock in every_kind() {
        let _below = lock.write(0..100);
        let _above = lock.write(200..300);
        assert!(lock.try_write(100..200).is_some());
        assert!(lock.try_write(100..201).is_none());
    }
}

#[test]
fn readers_share_until_the_last_one_leaves() {
    for lock in every_kind() {
        let guards: Vec<_> = (0..20).map(|first| lock.read(first..40)).collect();
        for guard in guards {
            assert!(lock.try_write(30..31).is_none());
            drop(guard);
        }
        assert!(lock.try_write(30..31).is_some());
    }
}

#[test]
fn the_whole_range_excludes_every_byte() {
    for lock in every_kind() {
        let whole = lock.write(..);
        assert_eq!(whole.range(), Some(0..=u64::MAX));
        assert!(lock.try_read(0..1).is_none());
        assert!(lock.try_read(u64::MAX..).is_none());
        drop(whole);
        assert!(lock.try_write(..).is_some());
    }
}

#[test]
fn the_last_byte_is_lockable() {
    for lock in every_kind() {
        let last = lock.write(u64::MAX..=u64::MAX);
        assert_eq!(last.range(), Some(u64::MAX..=u64::MAX));
        assert!(lock.try_read(u64::MAX..).is_none());
        assert!(lock.try_read(..u64::MAX).is_some());
        assert!(
            lock.try_read((Bound::Excluded(u64::MAX - 1), Bound::Unbounded))
                .is_none()
        );
    }
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "reversed ranges are empty")]
fn an_empty_range_is_granted_and_holds_nothing() {
    for lock in every_kind() {
        let _whole = lock.write(..);
        for range in [5..5, 0..0, 9..3] {
            let empty = lock.write(range.clone());
            assert_eq!(empty.range(), None);
            assert_eq!(lock.read(range.clone()).range(), None);
            assert!(lock.try_write(range.clone()).is_some());
            let mut node = pin!(lock.node());
            assert_eq!(node.as_mut().write(range.clone()).range(), None);
            assert!(
                node.try_read(range)
                    .is_some_and(|guard| guard.range().is_none())
            );
        }
        assert_eq!(
            lock.layers.census(),
            Census {
                granted: 1,
                waiting: 0
            }
        );
    }
}

#[test]
fn a_forgotten_guard_keeps_its_range_locked_and_the_lock_movable() {
    for lock in every_kind() {
        mem::forget(lock.write(0..10));
        mem::forget(lock.read(20..30));
        let moved = Box::new(lock);
        assert!(moved.try_read(9..10).is_none());
        assert!(moved.try_read(25..40).is_some());
        assert!(moved.try_write(25..40).is_none());
        drop(moved.write(10..20));
        let moved_again = *moved;
        assert!(moved_again.try_read(0..1).is_none());
    }
}

#[test]
fn a_forgotten_pinned_guard_ends_with_its_node() {
    for lock in every_kind() {
        {
            let mut node = pin!(lock.node());
            mem::forget(node.as_mut().write(0..10));
            assert!(lock.try_read(0..10).is_none());
        }
        assert!(lock.try_write(0..10).is_some());
    }
}

#[test]
fn a_node_used_again_gives_back_what_a_forgotten_guard_held() {
    for lock in every_kind() {
        let mut node = pin!(lock.node());
        mem::forget(node.as_mut().write(0..10));
        let guard = node.as_mut().write(5..20);
        assert_eq!(guard.range(), Some(5..=19));
        assert!(lock.try_write(0..5).is_some());
        mem::forget(guard);
        let other = lock.read(20..30);
        assert!(node.as_mut().try_write(25..30).is_none());
        assert!(
            lock.try_write(0..20).is_some(),
            "a failed try gives back as well"
        );
        drop(other);
    }
}

#[test]
fn a_leaked_node_outlives_its_lock_unseen() {
    for lock in every_kind() {
        let mut node = Box::pin(lock.node());
        mem::forget(node.as_mut().write(0..10));
        mem::forget(node);
        let pooled = lock.read(20..30);
        drop(pooled);
        drop(lock);
    }
}

#[test]
fn many_ranges_can_be_held_and_released_in_any_order() {
    const RANGES: u64 = 1_000;
    let kinds = every_kind().chain([RangeLock::with_capacity(10)]);
    for lock in kinds {
        let mut guards: Vec<_> = (0..RANGES)
            .map(|at| Some(lock.write(at * 10..at * 10 + 5)))
            .collect();
        assert_eq!(
            lock.layers.census(),
            Census {
                granted: RANGES as usize,
                waiting: 0
            }
        );
        for step in 0..RANGES {
            // 377 and 1000 have no common factor, so this visits each once.
            let at = (step * 377) % RANGES;
            assert!(lock.try_read(at * 10 + 4..=at * 10 + 4).is_none());
            guards[at as usize] = None;
            assert!(lock.try_write(at * 10..at * 10 + 5).is_some());
        }
        lock.assert_unused();
    }
}

#[test]
fn a_guard_may_be_dropped_by_another_thread() {
    for lock in every_kind() {
        let guard = lock.write(0..10);
        let mut node = pin!(lock.node());
        let pinned = node.as_mut().read(20..30);
        thread::scope(|scope| {
            scope.spawn(move || drop(guard));
            scope.spawn(move || drop(pinned));
        });
        assert!(lock.try_write(..).is_some());
    }
}

#[test]
fn a_waiting_request_is_granted_when_the_last_conflicting_one_leaves() {
    for lock in every_kind() {
        let (left, right) = (lock.read(0..10), lock.write(10..20));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.write(5..15).range());
            until_waiting(&lock, 1);
            assert!(
                lock.try_read(5..10).is_none(),
                "a try does not overtake a waiting writer"
            );
            assert!(
                lock.try_read(0..5).is_some(),
                "it does pass where they do not meet"
            );
            drop(left);
            assert_eq!(
                lock.layers.census(),
                Census {
                    granted: 1,
                    waiting: 1
                }
            );
            drop(right);
            assert_eq!(waiter.join().unwrap(), Some(5..=14));
        });
    }
}

#[test]
fn every_wait_ends_with_exactly_one_wake() {
    for lock in every_kind() {
        let whole = lock.write(..);
        thread::scope(|scope| {
            for worker in 0..8_u64 {
                let lock = &lock;
                // Four disjoint writers, then four readers of the whole behind them.
                scope.spawn(move || match worker {
                    0..4 => drop(lock.write(worker * 10..worker * 10 + 10)),
                    _ => drop(lock.read(..)),
                });
                until_waiting(lock, worker as usize + 1);
            }
            drop(whole);
        });
        let (waits, wakes) = lock.layers.with_probe(|probe| (probe.waits, probe.wakes));
        assert_eq!((waits, wakes), (8, 8));
        assert_eq!(
            lock.layers.census(),
            Census {
                granted: 0,
                waiting: 0
            }
        );
    }
}

#[test]
fn under_contention_too_every_wait_ends_with_exactly_one_wake() {
    for lock in every_kind() {
        thread::scope(|scope| {
            for worker in 0..8_u64 {
                let lock = &lock;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let first = (worker * 7 + round * 13) % 32;
                        if (worker + round) % 3 == 0 {
                            let _guard = lock.write(first..first + 6);
                            thread::yield_now();
                        } else {
                            let _guard = lock.read(first..first + 9);
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        let (waits, wakes) = lock.layers.with_probe(|probe| (probe.waits, probe.wakes));
        assert_ne!(waits, 0, "nobody ever waited, so nothing was tested");
        assert_eq!(waits, wakes);
    }
}

#[test]
fn debug_shows_how_many_hold_and_wait() {
    for lock in every_kind() {
        let guard = lock.read(3..7);
        assert_eq!(format!("{lock:?}"), "RangeLock { granted: 1, waiting: 0 }");
        assert_eq!(format!("{guard:?}"), "ReadGuard(Some(3..=6))");
        thread::scope(|scope| {
            scope.spawn(|| drop(lock.write(..)));
            until_waiting(&lock, 1);
            assert_eq!(format!("{lock:?}"), "RangeLock { granted: 1, waiting: 1 }");
            drop(guard);
        });
    }
}

#[test]
fn locks_and_guards_can_be_shared_and_sent() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<RangeLock>();
    assert_send_sync::<ReadGuard<'_>>();
    assert_send_sync::<WriteGuard<'_>>();
    assert_send_sync::<RangeNode<'_>>();
    assert_send_sync::<PinnedReadGuard<'_>>();
    assert_send_sync::<PinnedWriteGuard<'_>>();
}

fn until_waiting(lock: &RangeLock, count: usize) {
    while lock.layers.census().waiting != count {
        thread::yield_now();
    }
}

/// Whoever is told of a change may panic; what is held must be right by then.
#[test]
fn a_waker_that_panics_during_a_change_leaves_nothing_behind() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("as intended");
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Panics));
    let lock = RangeLock::new();
    let guard = lock.write(10..20);
    let mut future = std::pin::pin!(lock.read_async(10..20));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    let change = std::panic::AssertUnwindSafe(|| drop(guard.downgrade()));
    assert!(catch_unwind(change).is_err());
    assert!(future.as_mut().poll(&mut context).is_ready());
    lock.assert_unused();
}

/// Those who hold ranges while the table grows twice leave nothing behind in the level between.
#[test]
fn a_level_that_was_passed_through_is_used_again() {
    let lock = RangeLock::with_granule(Granule::from_len(64).unwrap());
    for _ in 0..4 {
        let many: Vec<_> = (0..400).map(|at| lock.read(at * 64..at * 64 + 1)).collect();
        drop(many);
        (0..1_000).for_each(|_| drop(lock.write(..)));
    }
    let slots = lock.layers.parts().0;
    assert_eq!((slots.shape().0, slots.levels()), (1, 2));
}

/// As `std`'s locks are: whoever catches a panic may go on using them.
#[test]
fn locks_and_guards_pass_through_a_caught_panic() {
    fn passes<T: UnwindSafe + RefUnwindSafe>(value: T) -> T {
        value
    }
    let lock = passes(RangeLock::new());
    let guard = passes(lock.write(0..10));
    let caught = catch_unwind(|| {
        let _guard = lock.read(20..30);
        panic!("on purpose");
    });
    assert!(caught.is_err());
    assert!(lock.try_write(10..).is_some());
    drop(guard);
    lock.assert_unused();
}
