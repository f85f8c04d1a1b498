//! How often the lock allocates, counted by the allocator itself: never for pinned nodes, and for
//! movable guards only until the lock knows its use. Takes no lock of its own.
//!
//! One test function, so that no other test of this process allocates at the same time; the counter
//! is nonetheless per thread, because the test harness has a thread of its own.

// With the feature the record of who holds what allocates.
#![cfg(not(feature = "deadlock_detection"))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;
use std::thread;

use rangelock::{Granule, RangeLock};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller; the memory came from `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<R>(run: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATIONS.get();
    let result = run();
    (ALLOCATIONS.get() - before, result)
}

/// With one shard and with many, adaptive or not, and the tree alone.
fn every_kind() -> Vec<RangeLock> {
    let granule = |len| Granule::from_len(len).expect("a power of two");
    let mut kinds = vec![
        RangeLock::new(),
        RangeLock::tree_only(),
        RangeLock::with_capacity(100),
    ];
    kinds.extend([1, 64, Granule::MAX_LEN].map(|len| RangeLock::with_granule(granule(len))));
    let reserved = RangeLock::with_granule(granule(64));
    reserved.reserve(100);
    kinds.push(reserved);
    kinds
}

#[test]
fn the_lock_allocates_only_for_what_is_new_to_it() {
    assert_eq!(allocations_of(|| Box::new(1)).0, 1, "the counter counts");
    an_idle_lock_is_small_and_free();
    every_kind().iter().for_each(pinned_nodes_never_allocate);
    every_kind()
        .iter()
        .for_each(changes_of_pinned_guards_do_not_allocate);
    every_kind()
        .iter()
        .for_each(pinned_nodes_do_not_allocate_in_a_crowd);
    every_kind()
        .iter()
        .for_each(pinned_nodes_of_many_threads_do_not_allocate);
    every_kind()
        .iter()
        .for_each(movable_guards_do_not_allocate_in_the_steady_state);
    every_kind()
        .iter()
        .for_each(a_crowd_of_movable_guards_is_paid_for_once);
    the_pool_doubles();
    reserved_guards_do_not_allocate();
}

fn an_idle_lock_is_small_and_free() {
    let granule = Granule::from_len(64).expect("a power of two");
    let small = if cfg!(feature = "grant_counter") {
        256 + 1024
    } else {
        256
    };
    assert!(
        size_of::<RangeLock>() <= small,
        "a RangeLock has {} bytes",
        size_of::<RangeLock>()
    );
    let (count, locks) = allocations_of(|| {
        (
            RangeLock::new(),
            RangeLock::with_granule(granule),
            RangeLock::tree_only(),
        )
    });
    assert_eq!(count, 0);
    assert_eq!(allocations_of(|| drop(locks)).0, 0);
}

fn pinned_nodes_never_allocate(lock: &RangeLock) {
    let (count, ()) = allocations_of(|| {
        let (mut first, mut second, mut third) =
            (pin!(lock.node()), pin!(lock.node()), pin!(lock.node()));
        for round in 0..1_000 {
            let _read = first.as_mut().read(round..round + 10);
            let _shared = second.as_mut().read(round + 5..round + 20);
            assert!(third.as_mut().try_write(round..round + 1).is_none());
            let _write = third.as_mut().write(round + 20..);
        }
    });
    assert_eq!(count, 0);
}

/// Whether the range is held alone, beside another one, or in a level that was left.
fn changes_of_pinned_guards_do_not_allocate(lock: &RangeLock) {
    for is_moved in [false, true] {
        let company = lock.read(0..1);
        let (mut first, mut second) = (pin!(lock.node()), pin!(lock.node()));
        let (guard, other) = (first.as_mut().write(5..), second.as_mut().read(2..4));
        if is_moved {
            lock.reserve(5_000);
        }
        let (count, ()) = allocations_of(|| {
            let mut guard = guard.downgrade();
            guard.shrink_to(10..1 << 40);
            let guard = guard.try_upgrade().expect("not shared");
            drop(other.try_upgrade().expect("not shared"));
            drop(guard);
        });
        assert_eq!(count, 0);
        drop(company);
    }
}

/// More at once than a shard has slots, in one granule and in many.
fn pinned_nodes_do_not_allocate_in_a_crowd(lock: &RangeLock) {
    const CROWD: usize = 50;
    for distance in [10, 1_000, Granule::MAX_LEN] {
        let mut nodes: Vec<_> = (0..CROWD).map(|_| Box::pin(lock.node())).collect();
        let mut guards = Vec::with_capacity(CROWD);
        let (count, ()) = allocations_of(|| {
            for (at, node) in (0..).zip(&mut nodes) {
                guards.push(node.as_mut().write(at * distance..at * distance + 10));
            }
            guards.clear();
        });
        assert_eq!(count, 0, "at a distance of {distance}");
    }
}

/// Threads that meet all the time make the lock wish for growth, and nobody grants the wish.
fn pinned_nodes_of_many_threads_do_not_allocate(lock: &RangeLock) {
    thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                let (count, ()) = allocations_of(|| {
                    let mut node = pin!(lock.node());
                    for round in 0..5_000 {
                        let first = worker * 100 + round % 3 * 50;
                        drop(node.as_mut().write(first..first + 20));
                        drop(node.as_mut().read(first..first + 120));
                    }
                });
                assert_eq!(count, 0);
            });
        }
    });
}

/// One who does the same again and again pays at most for the first times.
fn movable_guards_do_not_allocate_in_the_steady_state(lock: &RangeLock) {
    let pairs = || {
        for round in 0..1_000 {
            let first = round % 100 * 64;
            let _alone = lock.write(first..first + 10);
            let _beside = lock.read(first + 20..first + 30);
            assert!(lock.try_write(first + 25..first + 35).is_none());
            assert!(lock.try_read(first + 25..first + 35).is_some());
            let _wide = lock.read(first + 40..first + (5 << 20));
            let _open_ended = lock.read(10 << 20..);
        }
    };
    pairs();
    assert_eq!(allocations_of(pairs).0, 0);
    let mut node = pin!(lock.node());
    let mixed = || {
        for round in 0..1_000 {
            let _wide = node.as_mut().write(round..round + 200);
            assert!(lock.try_read(round + 100..round + 101).is_none());
            let _beside = lock.read(round + 300..round + 310);
        }
    };
    assert_eq!(allocations_of(mixed).0, 0);
}

fn a_crowd_of_movable_guards_is_paid_for_once(lock: &RangeLock) {
    const PEAK: u64 = 100;
    // Each time the table grows it has eight times the shards, or shorter granules.
    const MOST_ROUNDS_OF_GROWTH: usize = 20;
    let mut guards = Vec::with_capacity(PEAK as usize);
    for distance in [7, 64, 100_000] {
        let mut fill = || {
            guards.extend((0..PEAK).map(|at| lock.write(at * distance..at * distance + 3)));
            guards.clear();
        };
        let growing = (0..MOST_ROUNDS_OF_GROWTH)
            .take_while(|_| allocations_of(&mut fill).0 != 0)
            .count();
        assert!(growing < MOST_ROUNDS_OF_GROWTH, "growth has no end");
        for _ in 0..10 {
            assert_eq!(allocations_of(&mut fill).0, 0, "the peak was seen before");
        }
    }
    let all = || lock.write(..).range();
    all();
    assert_eq!(allocations_of(all), (0, Some(0..=u64::MAX)));
}

fn the_pool_doubles() {
    const PEAK: u64 = 100;
    let lock = RangeLock::tree_only();
    let mut guards = Vec::with_capacity(PEAK as usize);
    let (growth, ()) = allocations_of(|| guards.extend((0..PEAK).map(|at| lock.write(at..=at))));
    // Chunks of 8, 16, 32 and 64 nodes, two allocations each.
    assert_eq!(growth, 8, "growth doubles");
    for _ in 0..3 {
        guards.clear();
        let refill = || guards.extend((0..PEAK).map(|at| lock.write(at * 7..at * 7 + 3)));
        assert_eq!(allocations_of(refill).0, 0, "the peak was seen before");
    }
    assert_eq!(allocations_of(|| lock.try_write(..).is_none()), (0, true));
}

fn reserved_guards_do_not_allocate() {
    let tree_only = RangeLock::tree_only();
    tree_only.reserve(100);
    let fixed = RangeLock::with_granule(Granule::from_len(64).expect("a power of two"));
    fixed.reserve(100);
    for (lock, distance) in [
        (tree_only, 1),
        (fixed, 64),
        (RangeLock::with_capacity(100), 1 << 16),
    ] {
        let mut guards = Vec::with_capacity(10_000);
        let fill = || guards.extend((0..100).map(|at| lock.write(at * distance..=at * distance)));
        assert_eq!(allocations_of(fill).0, 0);
        let overfill =
            || guards.extend((100..10_000).map(|at| lock.write(at * distance..=at * distance)));
        assert_ne!(allocations_of(overfill).0, 0, "too many");
    }
}
