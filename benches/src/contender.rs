//! One interface over all locks that take part in a comparison.
//!
//! Locks that own the data they protect get an array of bytes that nothing touches, so that it
//! costs address space and no memory. Takes whatever lock is measured.

use std::ops::Range;

use crate::rivals::{SegmentLock, SplitMapLock};

/// A lock that can be held exclusively.
pub trait Exclusive: Sync {
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

impl Exclusive for rangelock::RangeLock {
    const NAME: &'static str = "rangelock";
    type Guard<'lock> = rangelock::WriteGuard<'lock>;

    fn new(_len_bytes: u64, guards: usize) -> Self {
        Self::with_capacity(guards)
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.write(range)
    }
}

impl Shared for rangelock::RangeLock {
    type ReadGuard<'lock> = rangelock::ReadGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.read(range)
    }
}

/// `rangelock`'s lock with slots, whose granule is a huge page.
#[derive(Debug)]
pub struct Slots(rangelock::RangeLock);

impl Exclusive for Slots {
    const NAME: &'static str = "rangelock with slots";
    type Guard<'lock> = rangelock::WriteGuard<'lock>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        let granule = rangelock::Granule::from_len(rangelock::Granule::MAX_LEN)
            .expect("the longest is a granule");
        Self(rangelock::RangeLock::with_slots(granule))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.write(range)
    }
}

impl Shared for Slots {
    type ReadGuard<'lock> = rangelock::ReadGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read(range)
    }
}

/// `parking_lot`'s reader/writer lock around nothing: the baseline. It knows no ranges.
#[derive(Debug)]
pub struct ParkingLot(parking_lot::RwLock<()>);

impl Exclusive for ParkingLot {
    const NAME: &'static str = "parking_lot 0.12 RwLock";
    type Guard<'lock> = parking_lot::RwLockWriteGuard<'lock, ()>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        Self(parking_lot::RwLock::new(()))
    }

    #[inline]
    fn write(&self, _range: Range<u64>) -> Self::Guard<'_> {
        self.0.write()
    }
}

impl Shared for ParkingLot {
    type ReadGuard<'lock> = parking_lot::RwLockReadGuard<'lock, ()>;

    #[inline]
    fn read(&self, _range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read()
    }
}

/// The standard library's reader/writer lock around nothing. It knows no ranges.
#[derive(Debug)]
pub struct Std(std::sync::RwLock<()>);

impl Exclusive for Std {
    const NAME: &'static str = "std RwLock";
    type Guard<'lock> = std::sync::RwLockWriteGuard<'lock, ()>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        Self(std::sync::RwLock::new(()))
    }

    #[inline]
    fn write(&self, _range: Range<u64>) -> Self::Guard<'_> {
        self.0.write().expect("no holder panics")
    }
}

impl Shared for Std {
    type ReadGuard<'lock> = std::sync::RwLockReadGuard<'lock, ()>;

    #[inline]
    fn read(&self, _range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read().expect("no holder panics")
    }
}

impl Exclusive for SplitMapLock {
    const NAME: &'static str = "mutex + BTreeMap";
    type Guard<'lock> = <Self as Shared>::ReadGuard<'lock>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        Self::new()
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.write(range)
    }
}

impl Shared for SplitMapLock {
    type ReadGuard<'lock> = crate::rivals::SplitMapGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.read(range)
    }
}

impl Exclusive for SegmentLock {
    const NAME: &'static str = "4 KiB segments";
    type Guard<'lock> = <Self as Shared>::ReadGuard<'lock>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self::new(len_bytes)
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.write(range)
    }
}

impl Shared for SegmentLock {
    type ReadGuard<'lock> = crate::rivals::SegmentGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.read(range)
    }
}

/// `range-lock`'s lock over a vector. It has no shared mode and does not wait.
#[derive(Debug)]
pub struct RangeLockCrate(range_lock::VecRangeLock<u8>);

impl Exclusive for RangeLockCrate {
    const NAME: &'static str = "range-lock 0.2.4 (exclusive, try)";
    type Guard<'lock> = range_lock::VecRangeLockGuard<'lock, u8>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self(range_lock::VecRangeLock::new(vec![0; len_bytes as usize]))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0
            .try_lock(range.start as usize..range.end as usize)
            .expect("the suites ask it for free ranges only")
    }
}

/// `range-mutex`'s lock over a vector. It has no shared mode.
pub struct RangeMutexCrate(range_mutex::RangeMutex<u8, Vec<u8>>);

impl Exclusive for RangeMutexCrate {
    const NAME: &'static str = "range-mutex 0.1.7 (exclusive)";
    type Guard<'lock> = range_mutex::RangeMutexGuard<'lock, u8>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self(range_mutex::RangeMutex::new(vec![0; len_bytes as usize]))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.lock(range.start as usize..range.end as usize)
    }
}
