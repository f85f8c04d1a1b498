//! An allocator that counts, thread by thread, what is asked of the system's.
//!
//! A suite makes it its global allocator. What is timed in the same program pays for the counter,
//! less than a nanosecond for each allocation. Takes no lock of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has allocated or enlarged memory so far. Zero unless
/// [`Counting`] is the program's allocator.
#[must_use]
pub fn of_this_thread() -> u64 {
    ALLOCATIONS.get()
}

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

fn count_one() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: passes every call on to the system's allocator unchanged; counting allocates nothing,
// because the counter is initialised by a constant and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller; the memory came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    // Not left to the default, which would touch every page.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_one();
        // SAFETY: passed on from the caller; the memory came from the system's allocator.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn allocations_are_counted_for_the_thread_that_makes_them() {
        let before = of_this_thread();
        let mut bytes = vec![0_u8; 10];
        bytes.reserve_exact(1000);
        let boxed = Box::new(1);
        assert_eq!(of_this_thread() - before, 3);
        let elsewhere = std::thread::spawn(|| drop(Box::new(2)));
        let spawned = of_this_thread();
        elsewhere.join().expect("no panic");
        assert_eq!(of_this_thread(), spawned);
        drop((bytes, boxed));
    }
}
