//! Which way requests of a lock go, and how they come back to the fast one.

use std::pin::pin;
use std::thread;

use super::RangeLock;
use crate::Granule;
use crate::tree::Census;

/// The length of a granule.
pub(super) const G: u64 = 64;
/// Places in a shard: six slots, and the head for who is alone.
pub(super) const PLACES: usize = 7;

pub(super) fn granule(len: u64) -> Granule {
    Granule::from_len(len).unwrap()
}

pub(super) fn lock() -> RangeLock {
    RangeLock::with_granule(granule(G))
}

pub(super) fn reserved(ranges: usize) -> RangeLock {
    let lock = lock();
    lock.reserve(ranges);
    lock
}

/// How many requests are in slots, how many linked and granted, how many linked and waiting.
pub(super) fn places(lock: &RangeLock) -> (usize, usize, usize) {
    let (slots, Census { granted, waiting }) = lock.layers.parts();
    (slots.taken(), granted, waiting)
}

fn closings(lock: &RangeLock) -> u32 {
    lock.layers.parts().0.closings()
}

/// How many shards take in newcomers, and how long their granule is.
pub(super) fn shape(lock: &RangeLock) -> (usize, u64) {
    lock.layers.parts().0.shape()
}

pub(super) fn until_waiting(lock: &RangeLock, count: usize) {
    while places(lock).2 != count {
        thread::yield_now();
    }
}

// ---- Which way ----------------------------------------------------------------------------------

#[test]
fn narrow_requests_go_to_slots_and_wide_ones_to_the_tree() {
    for (lock, shards_of_wide) in [(lock(), 1), (reserved(100), 2)] {
        let narrow = lock.write(0..G);
        assert_eq!((places(&lock), closings(&lock)), ((1, 0, 0), 0));
        let wide = lock.read(G..3 * G);
        assert_eq!(
            (places(&lock), closings(&lock)),
            ((1, 1, 0), shards_of_wide)
        );
        assert_eq!(narrow.range(), Some(0..=G - 1));
        drop((narrow, wide));
        let node = pin!(lock.node());
        let pinned = node.write(5 * G + 3..=5 * G + 3);
        assert_eq!(places(&lock), (1, 0, 0));
        assert_eq!(pinned.range(), Some(5 * G + 3..=5 * G + 3));
        drop(pinned);
        lock.assert_unused();
    }
}

/// With one shard the length decides, with several the boundaries.
#[test]
fn a_short_range_across_a_boundary_is_wide_only_in_a_table_that_has_grown() {
    for (lock, expected) in [(lock(), (1, 0, 0)), (reserved(100), (0, 1, 0))] {
        let across = lock.write(G - 1..G + 1);
        assert_eq!(places(&lock), expected);
        assert!(lock.try_read(G - 2..G).is_none());
        assert!(lock.try_read(G..G + 2).is_none());
        assert!(lock.try_read(0..G - 1).is_some());
        assert!(lock.try_read(G + 1..2 * G).is_some());
        drop(across);
        lock.assert_unused();
    }
}

#[test]
fn the_tree_alone_uses_no_slot_and_never_grows() {
    let lock = RangeLock::tree_only();
    lock.reserve(1_000);
    let guards: Vec<_> = (0..100).map(|at| lock.write(at * G..at * G + 1)).collect();
    assert_eq!((places(&lock), shape(&lock).0), ((0, 100, 0), 1));
    let node = pin!(lock.node());
    let pinned = node.write(10_000..);
    assert_eq!((places(&lock), closings(&lock)), ((0, 101, 0), 0));
    drop((guards, pinned));
    lock.assert_unused();
}

#[test]
fn a_request_that_finds_its_shard_closed_still_ends_up_in_a_slot() {
    for lock in [lock(), reserved(100)] {
        let wide = lock.read(0..10 * G);
        let narrow = lock.read(0..1);
        assert_eq!(places(&lock), (1, 1, 0));
        assert!(lock.try_write(0..1).is_none());
        drop(wide);
        assert!(lock.try_write(0..1).is_none());
        drop(narrow);
        lock.assert_unused();
    }
}

#[test]
fn requests_that_find_no_free_slot_are_linked_and_the_slots_come_back() {
    for (lock, held) in [(lock(), PLACES), (reserved(100), PLACES - 1)] {
        let before = shape(&lock);
        let mut guards: Vec<_> = (0..10).map(|at| lock.write(at..=at)).collect();
        assert_eq!(places(&lock), (held, 10 - held, 0));
        for at in 0..10 {
            assert!(lock.try_read(at..=at).is_none(), "{at} is held");
        }
        drop(guards.remove(0));
        assert!(lock.try_write(0..1).is_some());
        drop(guards);
        lock.assert_unused();
        let _again = lock.write(0..1);
        assert_eq!(places(&lock), (1, 0, 0), "nothing keeps the shard closed");
        assert_eq!(shape(&lock), before, "no growth helps within one granule");
    }
}

#[test]
fn units_beyond_those_that_a_word_can_say_are_served_by_the_tree() {
    for len in [1, G, Granule::MAX_LEN] {
        let end = (1 << 60) / len;
        for ranges in [0, 100] {
            let lock = RangeLock::with_granule(granule(len));
            lock.reserve(ranges);
            let last_inside = lock.write(end - 1..end);
            assert_eq!(places(&lock), (1, 0, 0));
            let first_outside = lock.write(end..end + 1);
            assert_eq!(places(&lock), (1, 1, 0));
            let top = lock.write(u64::MAX - 1..u64::MAX);
            assert_eq!(top.range(), Some(u64::MAX - 1..=u64::MAX - 1));
            assert_eq!(places(&lock), (1, 2, 0));
            assert!(lock.try_read(end - 1..end + 1).is_none());
            drop(first_outside);
            assert!(lock.try_read(end - 1..end + 1).is_none());
            drop(last_inside);
            let across = lock.read(end - 1..end + 1);
            assert!(lock.try_write(end - 1..end).is_none());
            assert!(lock.try_write(end..end + 1).is_none());
            drop((across, top));
            lock.assert_unused();
        }
    }
}

#[test]
fn an_open_ended_range_is_held_alone_in_the_head_of_a_lock_nobody_else_uses() {
    for first in [0, 5, (1 << 60) - 1] {
        let lock = lock();
        let tail = lock.write(first..);
        assert_eq!((places(&lock), closings(&lock)), ((1, 0, 0), 0));
        assert_eq!(tail.range(), Some(first..=u64::MAX));
        assert!(lock.try_read(first..=first).is_none());
        assert!(lock.try_read(u64::MAX..).is_none());
        assert!(lock.try_read(first + 1000..).is_none());
        assert_eq!(
            lock.try_write(first.saturating_sub(1)..first + 1).map(drop),
            None
        );
        assert!(lock.try_write(..first).is_some());
        let node = pin!(lock.node());
        assert!(node.try_write(first.saturating_sub(1)..first).is_some());
        drop(tail);
        lock.assert_unused();
    }
}

#[test]
fn other_open_ended_ranges_go_to_the_tree() {
    let beyond = lock();
    let guard = beyond.write(1 << 60..);
    assert_eq!(places(&beyond), (0, 1, 0), "no word can say it");
    drop(guard);
    let grown = reserved(100);
    let guard = grown.write(..);
    assert_eq!(places(&grown), (0, 1, 0), "no shard is concerned alone");
    drop(guard);
    let shared = lock();
    let guards = (shared.read(..), shared.read(7..));
    assert_eq!(places(&shared), (1, 1, 0), "slots do not take it");
    assert!(shared.try_write(0..1).is_none());
    drop(guards.0);
    assert!(shared.try_write(0..7).is_some());
    assert!(shared.try_write(6..8).is_none());
    drop(guards.1);
    for lock in [&beyond, &grown, &shared] {
        lock.assert_unused();
    }
}

// ---- Waiting ------------------------------------------------------------------------------------

#[test]
fn a_wide_request_waits_for_every_slot_in_its_way_and_is_woken_once() {
    let lock = lock();
    let (first, second) = (lock.write(0..1), lock.read(2 * G..3 * G));
    let bystander = lock.write(3 * G..3 * G + 1);
    thread::scope(|scope| {
        let wide = scope.spawn(|| lock.write(0..3 * G).range());
        until_waiting(&lock, 1);
        drop(first);
        assert_eq!(places(&lock), (2, 0, 1), "one is still in the way");
        drop(second);
        assert_eq!(wide.join().unwrap(), Some(0..=3 * G - 1));
        drop(bystander);
    });
    assert_eq!(
        lock.layers.with_probe(|probe| (probe.waits, probe.wakes)),
        (1, 1)
    );
    lock.assert_unused();
}

/// What bounds the bypass: once a request waits, whoever could be in its way finds the shard closed
/// and joins the queue, even where the fast path would let it pass.
#[test]
fn newcomers_queue_behind_a_request_that_waits_for_a_slot() {
    let lock = lock();
    let reader = lock.read(0..10);
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.write(0..2 * G)));
        until_waiting(&lock, 1);
        assert!(
            lock.try_read(0..10).is_none(),
            "readers do not overtake the writer"
        );
        scope.spawn(|| drop(lock.read(0..10)));
        until_waiting(&lock, 2);
        assert!(lock.try_write(2 * G..3 * G).is_some(), "others do");
        drop(reader);
    });
    assert_eq!(
        lock.layers.with_probe(|probe| (probe.waits, probe.wakes)),
        (2, 2)
    );
    lock.assert_unused();
}

#[test]
fn narrow_requests_that_wait_for_one_slot_are_all_woken_by_its_release() {
    let lock = lock();
    let writer = lock.write(0..10);
    thread::scope(|scope| {
        for at in 0..5 {
            let lock = &lock;
            scope.spawn(move || drop(lock.read(at..at + 2)));
            until_waiting(lock, at as usize + 1);
        }
        drop(writer);
    });
    assert_eq!(
        lock.layers.with_probe(|probe| (probe.waits, probe.wakes)),
        (5, 5)
    );
    lock.assert_unused();
}

/// Ends only if the wide writer gets its turn again and again.
#[test]
fn a_stream_of_narrow_requests_does_not_starve_a_wide_one() {
    const TURNS: usize = 200;
    let lock = lock();
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let turns_done = || turns.load(std::sync::atomic::Ordering::Relaxed);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (lock, turns_done) = (&lock, &turns_done);
            scope.spawn(move || {
                while turns_done() < TURNS {
                    let _first = lock.read(worker * G..worker * G + 8);
                    // Before the first is given back, so that the bytes are never free of readers
                    // by chance.
                    let _other = lock.try_read(worker * G + 4..worker * G + 12);
                }
            });
        }
        for _ in 0..TURNS {
            drop(lock.write(0..4 * G));
            turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    lock.assert_unused();
}
