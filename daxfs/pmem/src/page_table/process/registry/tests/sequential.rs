//! Searching and changing with one thread, and a storm of both with several.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::*;

#[test]
fn an_address_is_found_in_its_range_and_nowhere_else() {
    let registry = Registry::new();
    assert_eq!(registry.find(5, |_: &u32| Some(())), None);
    registry.insert(30..40, 3);
    registry.insert(10..20, 1);
    registry.insert(20..30, 2);
    let found = |address| registry.find(address, |&value| Some(value));
    for (address, wanted) in [
        (0, None),
        (9, None),
        (10, Some(1)),
        (19, Some(1)),
        (20, Some(2)),
        (29, Some(2)),
    ] {
        assert_eq!(found(address), wanted, "{address}");
    }
    assert_eq!(found(39), Some(3));
    assert_eq!(found(40), None);
    registry.remove(20);
    assert_eq!(found(19), Some(1));
    assert_eq!(found(20), None);
    assert_eq!(found(30), Some(3));
    registry.remove(77);
    assert_eq!(found(10), Some(1));
}

#[test]
fn a_caller_may_find_nothing_at_a_registered_address() {
    let registry = Registry::new();
    registry.insert(0..10, ());
    assert_eq!(registry.find(5, |()| None::<()>), None);
    let mut readers = registry.readers.iter();
    assert!(readers.all(|shard| shard.load(Ordering::Relaxed) == 0));
}

#[test]
fn retired_lists_are_freed_once_nobody_searches() {
    let registry = Registry::new();
    let value = Arc::new(());
    registry.insert(0..10, Arc::clone(&value));
    registry.find(5, |_| {
        // Counted in as a reader, so what is replaced now has to stay.
        registry.insert(10..20, Arc::clone(&value));
        registry.remove(0);
        assert_eq!(registry.retired.lock().len(), 2);
        None::<()>
    });
    registry.remove(10);
    assert!(registry.retired.lock().is_empty());
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn searches_and_changes_at_once_never_find_a_wrong_value() {
    let registry = Registry::new();
    let done = AtomicBool::new(false);
    registry.insert(1000..1010, 1000);
    thread::scope(|scope| {
        for first in [0, 100] {
            let (registry, done) = (&registry, &done);
            scope.spawn(move || {
                for round in 0..3000 {
                    let start = first + round % 10 * 10;
                    registry.insert(start..start + 10, start);
                    registry.remove(start);
                }
                done.store(true, Ordering::Release);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    for address in [5, 55, 105, 195] {
                        let found = registry.find(address, |&value| Some(value));
                        assert!(found.is_none_or(|start| start == address / 10 * 10));
                    }
                    assert_eq!(registry.find(1005, |&value| Some(value)), Some(1000));
                }
            });
        }
    });
}
