//! How often the lock allocates, counted by the allocator itself: never for pinned nodes, and for
//! movable guards only on the way to a new peak of ranges held at once. Takes no lock of its own.
//!
//! One test function, so that no other test of this process allocates at the same time; the counter
//! is nonetheless per thread, because the test harness has a thread of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;

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

#[test]
fn the_lock_allocates_only_for_a_new_peak_of_movable_guards() {
    assert_eq!(allocations_of(|| Box::new(1)).0, 1, "the counter counts");
    an_idle_lock_is_small_and_free();
    pinned_nodes_never_allocate();
    movable_guards_allocate_up_to_their_peak_only();
    reserved_guards_do_not_allocate();
    with_slots_only_the_table_is_allocated();
}

fn an_idle_lock_is_small_and_free() {
    let (count, lock) = allocations_of(RangeLock::new);
    assert_eq!(count, 0);
    assert!(
        size_of_val(&lock) <= 64,
        "a RangeLock has {} bytes",
        size_of_val(&lock)
    );
    assert_eq!(allocations_of(|| drop(lock)).0, 0);
}

fn pinned_nodes_never_allocate() {
    let lock = RangeLock::new();
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

fn movable_guards_allocate_up_to_their_peak_only() {
    const PEAK: u64 = 100;
    let lock = RangeLock::new();
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
    let lock = RangeLock::with_capacity(100);
    let mut guards = Vec::with_capacity(101);
    let fill = || guards.extend((0..100).map(|at| lock.write(at..=at)));
    assert_eq!(allocations_of(fill).0, 0);
    assert_ne!(
        allocations_of(|| guards.push(lock.write(100..=100))).0,
        0,
        "one too many"
    );
}

/// Guards that find a slot need no node, so not even the first of them allocates.
fn with_slots_only_the_table_is_allocated() {
    let granule = Granule::from_len(64).expect("a power of two");
    let (count, lock) = allocations_of(|| RangeLock::with_slots(granule));
    assert_eq!(count, 1);
    let (count, ()) = allocations_of(|| {
        let mut other = pin!(lock.node());
        for round in 0..1_000 {
            let first = round * 64;
            let _movable = lock.write(first..first + 10);
            let _pinned = other.as_mut().read(first + 20..first + 30);
            assert!(lock.try_write(first + 25..first + 35).is_none());
            assert!(lock.try_read(first + 25..first + 35).is_some());
        }
    });
    assert_eq!(count, 0);
    let wide = || drop((lock.read(..), lock.read(0..1)));
    assert_eq!(
        allocations_of(wide).0,
        2,
        "the first wide guard needs a node"
    );
    assert_eq!(allocations_of(wide).0, 0, "and the next uses it again");
    let (count, ()) = allocations_of(|| {
        let mut wide = pin!(lock.node());
        for round in 0..1_000 {
            let _wide = wide.as_mut().write(round..round + 200);
            assert!(lock.try_read(round + 100..round + 101).is_none());
        }
    });
    assert_eq!(count, 0);
}
