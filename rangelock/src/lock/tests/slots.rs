//! Which way requests go on a lock with slots, one thread at a time, and how they come back to the
//! fast one.

use std::pin::pin;
use std::thread;

use super::RangeLock;
use crate::Granule;
use crate::tree::Census;

/// The length of a granule.
const G: u64 = 64;
const SLOTS: usize = 7;

fn lock() -> RangeLock {
    RangeLock::with_slots(Granule::from_len(G).unwrap())
}

/// How many requests are in slots, how many linked and granted, how many linked and waiting.
fn places(lock: &RangeLock) -> (usize, usize, usize) {
    let (slots, Census { granted, waiting }) = lock.layers.parts();
    (slots.unwrap().taken(), granted, waiting)
}

fn closings(lock: &RangeLock) -> u64 {
    lock.layers.parts().0.unwrap().closings()
}

fn until_waiting(lock: &RangeLock, count: usize) {
    while places(lock).2 != count {
        thread::yield_now();
    }
}

#[test]
fn narrow_requests_go_to_slots_and_wide_ones_to_the_tree() {
    let lock = lock();
    let narrow = lock.write(0..G);
    assert_eq!((places(&lock), closings(&lock)), ((1, 0, 0), 0));
    let wide = lock.read(G..3 * G);
    assert_eq!((places(&lock), closings(&lock)), ((1, 1, 0), 2));
    let node = pin!(lock.node());
    let pinned = node.write(5 * G + 3..=5 * G + 3);
    assert_eq!(places(&lock), (2, 1, 0));
    assert_eq!(narrow.range(), Some(0..=G - 1));
    assert_eq!(pinned.range(), Some(5 * G + 3..=5 * G + 3));
    drop((narrow, wide, pinned));
    lock.assert_unused();
}

#[test]
fn a_request_that_finds_its_shard_closed_still_ends_up_in_a_slot() {
    let lock = lock();
    let all = lock.read(..);
    let narrow = lock.read(0..1);
    assert_eq!(places(&lock), (1, 1, 0));
    assert!(lock.try_write(0..1).is_none());
    drop(all);
    assert!(lock.try_write(0..1).is_none());
    drop(narrow);
    lock.assert_unused();
}

#[test]
fn requests_that_find_no_free_slot_are_linked_and_the_slots_come_back() {
    let lock = lock();
    let mut guards: Vec<_> = (0..10).map(|at| lock.write(at..=at)).collect();
    assert_eq!(places(&lock), (SLOTS, 10 - SLOTS, 0));
    for at in 0..10 {
        assert!(lock.try_read(at..=at).is_none(), "{at} is held");
    }
    drop(guards.remove(0));
    assert!(lock.try_write(0..1).is_some());
    drop(guards);
    lock.assert_unused();
    let _again = lock.write(0..1);
    assert_eq!(places(&lock), (1, 0, 0), "nothing keeps the shard closed");
}

#[test]
fn granules_beyond_the_table_are_served_by_the_tree() {
    let lock = RangeLock::with_slots(Granule::from_len(1).unwrap());
    const END: u64 = 1 << 23;
    let last_inside = lock.write(END - 1..END);
    let first_outside = lock.write(END..END + 1);
    assert_eq!((places(&lock), closings(&lock)), ((1, 1, 0), 0));
    let top = lock.write(u64::MAX..=u64::MAX);
    assert_eq!(top.range(), Some(u64::MAX..=u64::MAX));
    assert!(lock.try_read(END - 1..END + 1).is_none());
    drop(first_outside);
    assert!(lock.try_read(END - 1..END + 1).is_none());
    drop(last_inside);
    let across = lock.read(END - 1..END + 1);
    assert!(lock.try_write(END - 1..END).is_none());
    assert!(lock.try_write(END..END + 1).is_none());
    drop((across, top));
    lock.assert_unused();
}

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
