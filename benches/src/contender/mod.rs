//! One interface over all locks that take part in a comparison.
//!
//! Locks that own the data they protect get an array of bytes that nothing touches, so that it
//! costs address space and no memory. Takes whatever lock is measured.

mod others;
mod ours;

use std::ops::Range;

pub use self::others::{
    ExclusiveOnly, ParkingLot, RangeLockCrate, RangeMutexCrate, Segments, SplitMap, Std,
};
pub use self::ours::{Ours, OursPinned, TreeOnly};

/// A lock that can be held exclusively.
pub trait Exclusive: Sync + Sized {
    /// Name and, for other people's locks, version.
    const NAME: &'static str;

    /// What holds the range until dropped.
    type Guard<'lock>
    where
        Self: 'lock;

    /// Makes a lock for bytes `0..len_bytes`, with room for `guards` guards where that can be said.
    fn new(len_bytes: u64, guards: usize) -> Self;

    /// Takes `range` exclusively. Locks that know no ranges take all.
    fn write(&self, range: Range<u64>) -> Self::Guard<'_>;

    /// Takes all bytes exclusively.
    fn write_whole(&self) -> Self::Guard<'_>;

    /// Whether nobody holds or waits for any byte, as of now.
    fn is_free(&self) -> bool;

    /// One pair around `work`: what is timed. Made to be replaced by locks with a second way.
    #[inline(always)]
    fn with_write(&self, range: Range<u64>, work: impl FnOnce()) {
        let _guard = self.write(range);
        work();
    }

    /// Like [`with_write`](Self::with_write), for all bytes.
    #[inline(always)]
    fn with_write_whole(&self, work: impl FnOnce()) {
        let _guard = self.write_whole();
        work();
    }
}

/// A lock that can also be shared.
pub trait Shared: Exclusive {
    /// What holds the range until dropped.
    type ReadGuard<'lock>
    where
        Self: 'lock;

    /// Takes `range` together with other readers.
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_>;
}

/// `vec![make::<L>(arguments), ...]` for every lock that knows ranges. More type arguments of
/// `make` can be given: `each_range_lock!(make<T>(arguments))`.
#[macro_export]
macro_rules! each_range_lock {
    ($make:ident $(<$($more:ty),+>)? ($($argument:expr),*)) => {{
        use $crate::contender as locks;
        vec![
            $make::<locks::Ours $(, $($more),+)?>($($argument),*),
            $make::<locks::TreeOnly $(, $($more),+)?>($($argument),*),
            $make::<locks::RangeMutexCrate $(, $($more),+)?>($($argument),*),
            $make::<locks::RangeLockCrate $(, $($more),+)?>($($argument),*),
            $make::<locks::SplitMap $(, $($more),+)?>($($argument),*),
            $make::<locks::Segments $(, $($more),+)?>($($argument),*),
        ]
    }};
}

/// `vec![make::<L>(arguments), ...]` for the locks that know no ranges: one holder of all, or many
/// readers of all.
#[macro_export]
macro_rules! each_whole_lock {
    ($make:ident $(<$($more:ty),+>)? ($($argument:expr),*)) => {{
        use $crate::contender as locks;
        vec![
            $make::<locks::Std $(, $($more),+)?>($($argument),*),
            $make::<locks::ParkingLot $(, $($more),+)?>($($argument),*),
        ]
    }};
}

/// `vec![make::<L>(arguments), ...]` for every lock with readers that share; the two crates without
/// are made to do with writers in their place.
#[macro_export]
macro_rules! each_shared_lock {
    ($make:ident $(<$($more:ty),+>)? ($($argument:expr),*)) => {{
        use $crate::contender as locks;
        vec![
            $make::<locks::Ours $(, $($more),+)?>($($argument),*),
            $make::<locks::TreeOnly $(, $($more),+)?>($($argument),*),
            $make::<locks::ParkingLot $(, $($more),+)?>($($argument),*),
            $make::<locks::Std $(, $($more),+)?>($($argument),*),
            $make::<locks::SplitMap $(, $($more),+)?>($($argument),*),
            $make::<locks::Segments $(, $($more),+)?>($($argument),*),
            $make::<locks::ExclusiveOnly<locks::RangeMutexCrate> $(, $($more),+)?>($($argument),*),
            $make::<locks::ExclusiveOnly<locks::RangeLockCrate> $(, $($more),+)?>($($argument),*),
        ]
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_BYTES: u64 = 4096;
    const LEN_BYTES: u64 = 8 * PAGE_BYTES;

    fn is_free_tells_held_from_free<L: Exclusive>() -> &'static str {
        let lock = L::new(LEN_BYTES, 1);
        assert!(lock.is_free(), "{}: new", L::NAME);
        let guard = lock.write(PAGE_BYTES..2 * PAGE_BYTES);
        assert!(!lock.is_free(), "{}: a page is held", L::NAME);
        drop(guard);
        assert!(lock.is_free(), "{}: after a page", L::NAME);
        let guard = lock.write_whole();
        assert!(!lock.is_free(), "{}: all is held", L::NAME);
        drop(guard);
        lock.with_write(0..1, || assert!(!lock.is_free(), "{}: within", L::NAME));
        lock.with_write_whole(|| assert!(!lock.is_free(), "{}: within all", L::NAME));
        assert!(lock.is_free(), "{}: at the end", L::NAME);
        L::NAME
    }

    #[test]
    fn every_lock_knows_whether_it_is_free() {
        let names = [
            each_range_lock!(is_free_tells_held_from_free()),
            each_whole_lock!(is_free_tells_held_from_free()),
            vec![is_free_tells_held_from_free::<OursPinned>()],
        ];
        let mut names = names.concat();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 9, "names are what tables are read by");
    }

    fn disjoint_ranges_are_held_at_once<L: Exclusive>() {
        let lock = L::new(LEN_BYTES, 2);
        let first = lock.write(0..PAGE_BYTES);
        let second = lock.write(PAGE_BYTES..2 * PAGE_BYTES);
        drop((first, second));
        assert!(lock.is_free());
    }

    #[test]
    fn range_locks_hold_disjoint_ranges_at_once() {
        each_range_lock!(disjoint_ranges_are_held_at_once());
        disjoint_ranges_are_held_at_once::<OursPinned>();
    }

    fn readers_keep_a_lock_from_being_free<L: Shared>() {
        let lock = L::new(LEN_BYTES, 1);
        let guard = lock.read(0..PAGE_BYTES);
        assert!(!lock.is_free(), "{}", L::NAME);
        drop(guard);
        assert!(lock.is_free(), "{}", L::NAME);
    }

    #[test]
    fn readers_count_as_holders() {
        each_shared_lock!(readers_keep_a_lock_from_being_free());
    }
}
