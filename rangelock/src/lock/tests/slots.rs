//! Which way requests of a lock go, how they come back to the fast one, and how the table grows
//! under their feet.

use std::pin::pin;
use std::thread;

use super::RangeLock;
use crate::Granule;
use crate::tree::Census;

/// The length of a granule.
const G: u64 = 64;
/// Places in a shard: six slots, and the head for who is alone.
const PLACES: usize = 7;

fn granule(len: u64) -> Granule {
    Granule::from_len(len).unwrap()
}

fn lock() -> RangeLock {
    RangeLock::with_granule(granule(G))
}

fn reserved(ranges: usize) -> RangeLock {
    let lock = lock();
    lock.reserve(ranges);
    lock
}

/// How many requests are in slots, how many linked and granted, how many linked and waiting.
fn places(lock: &RangeLock) -> (usize, usize, usize) {
    let (slots, Census { granted, waiting }) = lock.layers.parts();
    (slots.taken(), granted, waiting)
}

fn closings(lock: &RangeLock) -> u32 {
    lock.layers.parts().0.closings()
}

/// How many shards take in newcomers, and how long their granule is.
fn shape(lock: &RangeLock) -> (usize, u64) {
    lock.layers.parts().0.shape()
}

fn until_waiting(lock: &RangeLock, count: usize) {
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

// ---- Growth -------------------------------------------------------------------------------------

/// Holds 100 ranges, many more than the inline shard has places for, and looks whether each still
/// excludes exactly what it should, at every step of their coming and going.
fn hold_a_hundred(lock: &RangeLock, distance: u64) {
    let range = |at: u64| at * distance..at * distance + distance.min(10);
    let assert_held = |at: u64| {
        assert!(lock.try_read(range(at)).is_none(), "{at} is held");
        let end = range(at).end;
        assert!(lock.try_write(end - 1..end + 1).is_none(), "{at} is held");
    };
    let mut guards = Vec::new();
    for at in 0..100 {
        assert!(lock.try_write(range(at)).is_some(), "{at} is free");
        guards.push(Some(lock.write(range(at))));
        (0..=at).for_each(assert_held);
    }
    assert_eq!(lock.layers.census().granted, 100);
    for step in 0..100 {
        // 37 and 100 have no common factor, so this visits each once.
        let released = step * 37 % 100;
        guards[released as usize] = None;
        for (at, guard) in (0..).zip(&guards) {
            match guard {
                Some(_) => assert_held(at),
                None => assert!(lock.try_write(range(at)).is_some(), "{at} is free"),
            }
        }
        assert_eq!(lock.layers.census().granted, 99 - step as usize);
    }
    lock.assert_unused();
}

#[test]
fn growth_moves_holders_and_nobody_notices() {
    for len in [1, 16, G, Granule::MAX_LEN] {
        let lock = RangeLock::with_granule(granule(len));
        hold_a_hundred(&lock, len);
        assert!(shape(&lock).0 > 1, "granules of {len} have not grown");
        assert_eq!(shape(&lock).1, len);
        hold_a_hundred(&lock, len);
    }
}

/// Whoever knows the needs can say so, in steps too, while ranges are held.
#[test]
fn growth_by_reserving_moves_holders_of_every_kind() {
    let lock = lock();
    let mut node = pin!(lock.node());
    let pinned = node.as_mut().read(0..10);
    let twice = (lock.read(5..20), lock.read(5..20));
    let wide = lock.read(0..5 * G);
    let across = lock.write(7 * G - 1..7 * G + 1);
    let mut shards = 1;
    for ranges in [7, 100, 1_000] {
        lock.reserve(ranges);
        assert!(shape(&lock).0 > shards, "{ranges} need more than {shards}");
        shards = shape(&lock).0;
        assert_eq!(lock.layers.census().granted, 5);
        assert!(lock.try_write(0..1).is_none());
        assert!(lock.try_write(19..20).is_none());
        assert!(lock.try_read(7 * G..7 * G + 1).is_none());
        assert!(lock.try_read(7 * G - 1..7 * G).is_none());
        assert!(lock.try_write(7 * G + 1..8 * G).is_some());
        assert!(lock.try_read(0..7).is_some());
    }
    assert_eq!(pinned.range(), Some(0..=9));
    assert_eq!(across.range(), Some(7 * G - 1..=7 * G));
    drop(wide);
    drop(twice.1);
    assert!(
        lock.try_write(15..20).is_none(),
        "one of two readers is left"
    );
    drop(twice.0);
    assert!(lock.try_write(10..20).is_some());
    assert!(lock.try_write(9..20).is_none());
    drop(pinned);
    assert!(lock.try_write(0..6 * G).is_some());
    drop(across);
    lock.assert_unused();
    lock.reserve(5);
    assert_eq!(shape(&lock).0, shards);
    wide_requests(&lock);
    assert_eq!(shape(&lock).0, shards, "what was reserved is kept");
}

// ---- Shrinking ----------------------------------------------------------------------------------

/// As many wide requests as make a table shrink that may.
fn wide_requests(lock: &RangeLock) {
    (0..100).for_each(|_| drop(lock.write(..)));
}

#[test]
fn a_table_that_wide_requests_find_almost_empty_shrinks() {
    for _ in 0..3 {
        let lock = lock();
        hold_a_hundred(&lock, G);
        assert!(shape(&lock).0 > 1);
        let held = lock.read(0..1);
        (0..100).for_each(|_| drop(lock.read(..)));
        assert_eq!(shape(&lock).0, 1);
        assert!(lock.try_write(..).is_none());
        assert!(lock.try_write(1..).is_some());
        drop(held);
        wide_requests(&lock);
        let whole = lock.write(..);
        assert_eq!(places(&lock), (1, 0, 0), "alone in the head, as at first");
        drop(whole);
        lock.assert_unused();
    }
}

#[test]
fn a_table_keeps_room_for_those_who_hold_ranges() {
    let lock = lock();
    hold_a_hundred(&lock, G);
    let _many: Vec<_> = (0..100).map(|at| lock.read(at * G..at * G + 1)).collect();
    let before = shape(&lock);
    (0..100).for_each(|_| drop(lock.read(..)));
    assert_eq!(shape(&lock), before);
}

/// A level that was left is not used again as long as somebody is at home there: he would leave by
/// way of a stand-in that the level itself has.
#[test]
fn a_level_with_somebody_at_home_is_not_used_again() {
    for is_alone in [true, false] {
        let lock = lock();
        let third = (!is_alone).then(|| lock.read(1..2));
        let at_home = lock.read(0..1);
        drop(third);
        hold_many(&lock);
        let grown = shape(&lock);
        (0..100).for_each(|_| drop(lock.read(..)));
        assert_eq!(shape(&lock), grown);
        assert!(lock.try_write(0..1).is_none());
        drop(at_home);
        wide_requests(&lock);
        assert_eq!(shape(&lock).0, 1);
        assert!(lock.try_write(0..1).is_some());
        lock.assert_unused();
    }
}

fn hold_many(lock: &RangeLock) {
    let many: Vec<_> = (10..50).map(|at| lock.read(at * G..at * G + 1)).collect();
    drop(many);
}

/// The levels that were left are used again, and every time the table waits longer before it
/// shrinks.
#[test]
fn a_table_that_grows_and_shrinks_all_the_time_ends_up_large() {
    let lock = lock();
    let mut shrunk = 0;
    for _ in 0..1_000 {
        hold_many(&lock);
        let before = shape(&lock).0;
        (0..20).for_each(|_| drop(lock.write(..)));
        shrunk += u32::from(shape(&lock).0 < before);
        hold_a_few(&lock);
    }
    assert!((2..20).contains(&shrunk), "{shrunk} times");
    let levels = lock.layers.parts().0.levels();
    assert!(levels <= 4, "{levels} levels");
    lock.assert_unused();
}

/// Whether each excludes what it should, through all that.
fn hold_a_few(lock: &RangeLock) {
    let guards = [3, 5, 7].map(|at| lock.write(at * G..at * G + 1));
    for at in 0..10 {
        let is_free = lock.try_read(at * G..at * G + 1).is_some();
        assert_eq!(is_free, ![3, 5, 7].contains(&at), "{at}");
    }
    drop(guards);
}

#[test]
fn those_who_wait_while_the_table_shrinks_are_woken_once() {
    let lock = lock();
    hold_many(&lock);
    lock.layers
        .with_probe(|probe| (probe.waits, probe.wakes) = (0, 0));
    let held = lock.read(5 * G..5 * G + 1);
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.write(5 * G..5 * G + 1)));
        until_waiting(&lock, 1);
        scope.spawn(|| drop(lock.write(2 * G..9 * G)));
        until_waiting(&lock, 2);
        (0..100).for_each(|_| drop(lock.try_read(..)));
        (0..100).for_each(|_| drop(lock.read(10 * G..1_000 * G)));
        assert_eq!((shape(&lock).0, places(&lock).2), (1, 2));
        drop(held);
    });
    let counts = lock.layers.with_probe(|probe| (probe.waits, probe.wakes));
    assert_eq!(counts, (2, 2));
    lock.assert_unused();
}

#[test]
fn an_open_ended_holder_is_moved_into_the_tree() {
    let lock = lock();
    let tail = lock.read(100..);
    lock.reserve(100);
    assert_eq!(places(&lock), (0, 1, 0));
    assert!(lock.try_write(100..101).is_none());
    assert!(lock.try_write(0..100).is_some());
    assert_eq!(tail.range(), Some(100..=u64::MAX));
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.write(0..200)));
        until_waiting(&lock, 1);
        drop(tail);
    });
    lock.assert_unused();
}

/// Who waited for a holder before it was moved is woken by it afterwards, and only once.
#[test]
fn growth_keeps_those_who_wait_and_whom_they_wait_for() {
    for ranges in [10, 100, 5_000] {
        let lock = lock();
        let (head, slot) = (lock.write(0..10), lock.write(G..G + 10));
        thread::scope(|scope| {
            scope.spawn(|| drop(lock.read(5..6)));
            until_waiting(&lock, 1);
            scope.spawn(|| drop(lock.write(G..G + 1)));
            until_waiting(&lock, 2);
            scope.spawn(|| drop(lock.write(0..3 * G)));
            until_waiting(&lock, 3);
            lock.reserve(ranges);
            assert_eq!(places(&lock).2, 3, "growth grants nothing");
            scope.spawn(|| drop(lock.read(2 * G..2 * G + 1)));
            until_waiting(&lock, 4);
            drop(head);
            drop(slot);
        });
        let counts = lock.layers.with_probe(|probe| (probe.waits, probe.wakes));
        assert_eq!(counts, (4, 4));
        lock.assert_unused();
    }
}

#[test]
fn a_pinned_node_never_grows_the_table_and_the_next_movable_guard_does() {
    let lock = lock();
    let mut nodes: Vec<_> = (0..20).map(|_| Box::pin(lock.node())).collect();
    let pinned: Vec<_> = (0..)
        .zip(&mut nodes)
        .map(|(at, node)| node.as_mut().write(at * G..at * G + 1))
        .collect();
    assert_eq!(shape(&lock).0, 1);
    assert_eq!(places(&lock), (PLACES, 20 - PLACES, 0));
    let movable = lock.write(20 * G..20 * G + 1);
    assert!(shape(&lock).0 > 1);
    for at in 0..=20 {
        assert!(lock.try_read(at * G..at * G + 1).is_none(), "{at} is held");
        assert!(lock.try_read(at * G + 1..(at + 1) * G).is_some());
    }
    drop((movable, pinned));
    lock.assert_unused();
}

#[test]
fn an_adaptive_lock_shortens_its_granule_when_those_in_one_crowd_it() {
    for (distance, longest_granule) in [(4, 64), (100, 64), (1_000, 64), (1 << 16, 1 << 16)] {
        let lock = RangeLock::new();
        assert_eq!(shape(&lock), (1, 1 << 16));
        hold_a_hundred(&lock, distance);
        let (shards, granule_len) = shape(&lock);
        assert!(shards > 1, "distance {distance}");
        assert!(granule_len <= longest_granule, "distance {distance}");
        hold_a_hundred(&lock, distance);
    }
}

/// Ranges of a thousand units do not fit into granules of 64.
#[test]
fn an_adaptive_granule_stays_as_long_as_the_ranges_that_met() {
    let lock = RangeLock::new();
    let guards: Vec<_> = (0..20)
        .map(|at| lock.read(at * 1024..at * 1024 + 1000))
        .collect();
    assert!(
        (1024..1 << 16).contains(&shape(&lock).1),
        "{:?}",
        shape(&lock)
    );
    drop(guards);
    lock.assert_unused();
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
