//! One thread alone: a page of an idle lock, a page among ranges that are held, or the whole.
//!
//! Takes the lock measured.

use std::hint::black_box;
use std::ops::Range;

use super::{PAGE_BYTES, Pairs, Workload};
use crate::contender::{Exclusive, Shared};

/// Held ranges lie this far apart, so that there is a free page after each.
const STRIDE_BYTES: u64 = 2 * PAGE_BYTES;

/// Pairs after which a lock must have adapted.
const ADAPTING_PAIRS: usize = 100;

/// Writes a page in the middle of `held` others that are held.
pub struct Beside<L> {
    lock: L,
    held: u64,
    name: &'static str,
}

impl<L: Exclusive> Beside<L> {
    /// With `held` pages held.
    #[must_use]
    pub fn new(held: u64) -> Self {
        Self {
            lock: L::new((held + 2) * STRIDE_BYTES, held as usize + 1),
            held,
            name: L::NAME,
        }
    }

    /// Under another name than the lock's.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn held_range(at: u64) -> Range<u64> {
        at * STRIDE_BYTES..at * STRIDE_BYTES + PAGE_BYTES
    }

    /// The free page after the middle one of the held ranges.
    fn free_range(&self) -> Range<u64> {
        let start = self.held / 2 * STRIDE_BYTES + PAGE_BYTES;
        start..start + PAGE_BYTES
    }
}

impl<L: Exclusive> Workload for Beside<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self, _thread: usize) -> Pairs<'_> {
        let guards = (0..self.held).map(|at| self.lock.write(Self::held_range(at)));
        let held = LastFirst(guards.collect());
        let range = self.free_range();
        Box::new(move |pairs| {
            let _held = &held;
            for _ in 0..pairs {
                self.lock.with_write(black_box(range.clone()), || ());
            }
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", self.name);
    }
}

/// Drops the last guard first: a sorted vector gives it back without moving the others.
struct LastFirst<G>(Vec<G>);

impl<G> Drop for LastFirst<G> {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

/// Reads a page of an idle lock.
pub struct ReadAlone<L> {
    lock: L,
}

impl<L: Shared> ReadAlone<L> {
    /// On a new lock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lock: L::new(2 * STRIDE_BYTES, 1),
        }
    }
}

impl<L: Shared> Default for ReadAlone<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Shared> Workload for ReadAlone<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn start(&self, _thread: usize) -> Pairs<'_> {
        let range = PAGE_BYTES..2 * PAGE_BYTES;
        Box::new(move |pairs| {
            for _ in 0..pairs {
                black_box(&self.lock.read(black_box(range.clone())));
            }
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", L::NAME);
    }
}

/// Writes the whole of a lock that nobody else uses.
pub struct Whole<L> {
    lock: L,
    name: &'static str,
}

impl<L: Exclusive> Whole<L> {
    /// For files of this length, where the lock wants to know: 64 MiB.
    const LEN_BYTES: u64 = 64 << 20;

    /// On a new lock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lock: L::new(Self::LEN_BYTES, 1),
            name: L::NAME,
        }
    }

    /// On a lock of which `ranges` ranges were once held at the same time, over its whole length,
    /// and were given back; then the whole was written some times, so that a lock that adapts to
    /// its use has done so. Called `name`.
    #[must_use]
    pub fn grown(name: &'static str, ranges: u64) -> Self {
        let lock = L::new(Self::LEN_BYTES, 1);
        let stride = Self::LEN_BYTES / ranges;
        let guards = (0..ranges).map(|at| lock.write(at * stride..at * stride + PAGE_BYTES));
        drop(LastFirst(guards.collect()));
        for _ in 0..ADAPTING_PAIRS {
            lock.with_write_whole(|| ());
        }
        Self { lock, name }
    }
}

impl<L: Exclusive> Default for Whole<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Exclusive> Workload for Whole<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self, _thread: usize) -> Pairs<'_> {
        Box::new(move |pairs| {
            for _ in 0..pairs {
                self.lock.with_write_whole(|| ());
            }
        })
    }

    fn check(&self) {
        assert!(self.lock.is_free(), "{} is still held", self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Std, TreeOnly};

    #[test]
    fn held_ranges_are_held_while_pairs_go_on_and_free_in_the_end() {
        let beside = Beside::<TreeOnly>::new(100);
        let mut pairs = beside.start(0);
        pairs(10);
        assert!(!beside.lock.is_free());
        assert!(beside.lock.write(beside.free_range()).range().is_some());
        drop(pairs);
        beside.check();
    }

    #[test]
    #[should_panic(expected = "still held")]
    fn a_lock_left_held_is_noticed() {
        let whole = Whole::<Std>::new();
        let _guard = whole.lock.write_whole();
        whole.check();
    }
}
