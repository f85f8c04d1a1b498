//! What those see of a wide holder who want other bytes.

use std::thread;

use super::RangeLock;
use super::slots_tests::{G, lock, reserved, until_waiting};

/// How many requests have been to the tree.
fn entered(lock: &RangeLock) -> u64 {
    lock.counters().slow_paths
}

/// Makes as many requests as it takes until a wide holder is listed, and then asserts that those
/// for other bytes do not go to the tree, and those for its own bytes do not get in.
fn assert_listed(lock: &RangeLock, free: u64, held: u64) {
    (0..20).for_each(|_| drop(lock.write(free..free + 1)));
    let before = entered(lock);
    for _ in 0..20 {
        let guard = lock.write(free..free + 1);
        assert!(lock.try_read(free..free + 1).is_none());
        drop(guard);
    }
    assert_eq!(entered(lock), before + 20, "only the tries that failed");
    assert!(lock.try_write(held..held + 1).is_none());
}

#[test]
fn a_wide_holder_does_not_send_those_who_want_other_bytes_to_the_tree() {
    for lock in [lock(), reserved(100)] {
        let wide = lock.write(10 * G..100 * G);
        assert_listed(&lock, 3, 50 * G);
        let second = lock.read(200 * G..);
        assert_listed(&lock, 3, 300 * G);
        assert!(lock.try_read(50 * G..50 * G + 1).is_none());
        assert!(lock.try_read(300 * G..300 * G + 1).is_some());
        drop(wide);
        assert!(lock.try_write(50 * G..50 * G + 1).is_some());
        drop(second);
        lock.assert_unused();
        assert!(lock.try_write(..).is_some());
    }
}

#[test]
fn a_listed_holder_that_changes_is_known_for_what_it_is() {
    for lock in [lock(), reserved(100)] {
        let wide = lock.read(10 * G..100 * G);
        assert_listed(&lock, 3, 50 * G);
        assert!(lock.try_read(50 * G..50 * G + 1).is_some());
        let wide = wide.try_upgrade().expect("nobody shares it");
        assert!(lock.try_read(50 * G..50 * G + 1).is_none());
        let mut wide = wide.downgrade();
        assert!(lock.try_read(50 * G..50 * G + 1).is_some());
        wide.shrink_to(60 * G..);
        assert!(lock.try_write(50 * G..50 * G + 1).is_some());
        let (below, above) = wide.split_at(80 * G);
        assert!(lock.try_write(70 * G..70 * G + 1).is_none());
        drop(below);
        assert!(lock.try_write(70 * G..70 * G + 1).is_some());
        assert!(lock.try_write(90 * G..90 * G + 1).is_none());
        drop(above);
        lock.assert_unused();
    }
}

#[test]
fn a_listed_holder_is_listed_again_in_another_level() {
    let lock = lock();
    let wide = lock.write(10 * G..100 * G);
    assert_listed(&lock, 3, 50 * G);
    lock.reserve(100);
    assert!(lock.try_read(50 * G..50 * G + 1).is_none());
    assert_listed(&lock, 3, 50 * G);
    drop(wide);
    lock.assert_unused();
}

#[test]
fn newcomers_queue_behind_who_waits_for_a_listed_holder() {
    let lock = reserved(100);
    let wide = lock.read(10 * G..100 * G);
    assert_listed(&lock, 3, 50 * G);
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.write(0..20 * G)));
        until_waiting(&lock, 1);
        assert!(lock.try_read(3..4).is_none(), "the writer was first");
        assert!(lock.try_read(15 * G..15 * G + 1).is_none());
        assert!(lock.try_read(30 * G..30 * G + 1).is_some());
        drop(wide);
    });
    lock.assert_unused();
}
