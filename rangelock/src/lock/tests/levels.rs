//! How the table grows and shrinks under the feet of those who use it.

use std::pin::pin;
use std::thread;

use super::RangeLock;
use super::slots_tests::{G, PLACES, granule, lock, places, shape, until_waiting};
use crate::Granule;

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

// ---- Readers apart ------------------------------------------------------------------------------

fn are_apart(lock: &RangeLock) -> bool {
    lock.layers.parts().0.readers_are_apart()
}

/// How many thousand readers it takes, beside one that holds the same bytes.
fn thousands_until_apart(lock: &RangeLock) -> Option<u32> {
    let _held = lock.read(0..10);
    (1..100).find(|_| {
        (0..1_000).for_each(|_| drop(lock.read(0..10)));
        are_apart(lock)
    })
}

/// How many writers it takes until they are together again.
fn writers_until_together(lock: &RangeLock) -> Option<u32> {
    (1..100).find(|_| {
        drop(lock.write(0..10));
        !are_apart(lock)
    })
}

#[test]
fn readers_of_the_same_bytes_go_apart_until_writers_come() {
    let lock = lock();
    let mut readers = 0;
    for _ in 0..5 {
        let thousands = thousands_until_apart(&lock).expect("apart");
        assert!(thousands >= readers, "ever later");
        readers = thousands;
        let held = lock.read(0..10);
        assert!(lock.try_write(9..10).is_none());
        assert!(lock.try_write(..).is_none());
        assert!(lock.try_write(10..11).is_some());
        let mut other = lock.read(5..20);
        other.shrink_to(5..6);
        assert!(lock.try_write(6..7).is_none());
        drop(held);
        assert!(lock.try_write(6..7).is_some());
        let held = other.try_upgrade().expect("nobody else is left");
        assert!(lock.try_read(5..6).is_none());
        drop(held);
        writers_until_together(&lock).expect("together");
        assert!(lock.try_write(..).is_some());
    }
    assert!(readers > 1, "{readers} thousand");
    lock.assert_unused();
}

/// A writer among them, or other bytes, and they stay together.
#[test]
fn readers_beside_writers_and_strangers_stay_together() {
    for (range, is_writer) in [(20..30, true), (0..10, true), (G..G + 10, false)] {
        let lock = lock();
        let mine = if range.start == 0 { 20..30 } else { 0..10 };
        let writer = is_writer.then(|| lock.write(range.clone()));
        let reader = (!is_writer).then(|| lock.read(range.clone()));
        (0..10_000).for_each(|_| drop(lock.read(mine.clone())));
        assert!(!are_apart(&lock), "beside {range:?}");
        drop((writer, reader));
        lock.assert_unused();
    }
}

#[test]
fn readers_come_together_beside_a_hundred_writers() {
    let lock = lock();
    lock.layers.set_readers_apart();
    hold_a_hundred(&lock, G);
    assert!(!are_apart(&lock));
    lock.assert_unused();
}
