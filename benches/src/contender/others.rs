//! Other people's locks, and other people's designs.
//!
//! Takes the locks measured.

use std::ops::Range;
use std::thread;

use super::{Exclusive, Shared};
use crate::rivals::{SegmentGuard, SegmentLock, SplitMapGuard, SplitMapLock};

/// `parking_lot`'s reader/writer lock around nothing. It knows no ranges.
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

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write()
    }

    fn is_free(&self) -> bool {
        self.0.try_write().is_some()
    }
}

impl Shared for ParkingLot {
    type ReadGuard<'lock> = parking_lot::RwLockReadGuard<'lock, ()>;

    #[inline]
    fn read(&self, _range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read()
    }
}

/// The standard library's reader/writer lock around nothing: the baseline. It knows no ranges.
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

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write().expect("no holder panics")
    }

    fn is_free(&self) -> bool {
        self.0.try_write().is_ok()
    }
}

impl Shared for Std {
    type ReadGuard<'lock> = std::sync::RwLockReadGuard<'lock, ()>;

    #[inline]
    fn read(&self, _range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read().expect("no holder panics")
    }
}

/// A mutex, an ordered map of pieces and a condition variable.
#[derive(Debug)]
pub struct SplitMap {
    lock: SplitMapLock,
    len_bytes: u64,
}

impl Exclusive for SplitMap {
    const NAME: &'static str = "mutex + BTreeMap";
    type Guard<'lock> = SplitMapGuard<'lock>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self {
            lock: SplitMapLock::new(),
            len_bytes,
        }
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.lock.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.lock.write(0..self.len_bytes)
    }

    fn is_free(&self) -> bool {
        self.lock.is_free()
    }
}

impl Shared for SplitMap {
    type ReadGuard<'lock> = SplitMapGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.lock.read(range)
    }
}

/// A word for each 4 KiB.
#[derive(Debug)]
pub struct Segments {
    lock: SegmentLock,
    len_bytes: u64,
}

impl Exclusive for Segments {
    const NAME: &'static str = "4 KiB segments";
    type Guard<'lock> = SegmentGuard<'lock>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self {
            lock: SegmentLock::new(len_bytes),
            len_bytes,
        }
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.lock.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.lock.write(0..self.len_bytes)
    }

    fn is_free(&self) -> bool {
        self.lock.is_free()
    }
}

impl Shared for Segments {
    type ReadGuard<'lock> = SegmentGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.lock.read(range)
    }
}

/// `range-lock`'s lock over a vector. It has no shared mode and does not wait: this asks again and
/// again.
#[derive(Debug)]
pub struct RangeLockCrate(range_lock::VecRangeLock<u8>);

impl RangeLockCrate {
    /// Tries between offers of the processor to others.
    const TRIES: u32 = 64;

    fn whole(&self) -> Range<u64> {
        0..self.0.data_len() as u64
    }
}

impl Exclusive for RangeLockCrate {
    const NAME: &'static str = "range-lock 0.2.4 (exclusive, try)";
    type Guard<'lock> = range_lock::VecRangeLockGuard<'lock, u8>;

    fn new(len_bytes: u64, _guards: usize) -> Self {
        Self(range_lock::VecRangeLock::new(vec![0; len_bytes as usize]))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        loop {
            for _ in 0..Self::TRIES {
                if let Ok(guard) = self.0.try_lock(range.start as usize..range.end as usize) {
                    return guard;
                }
            }
            thread::yield_now();
        }
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.write(self.whole())
    }

    fn is_free(&self) -> bool {
        let Range { start, end } = self.whole();
        self.0.try_lock(start as usize..end as usize).is_ok()
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

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.lock(..)
    }

    fn is_free(&self) -> bool {
        self.0.try_lock(..).is_some()
    }
}

/// A lock without a shared mode where readers are asked for: they exclude each other.
pub struct ExclusiveOnly<L>(L);

impl<L: Exclusive> Exclusive for ExclusiveOnly<L> {
    const NAME: &'static str = L::NAME;
    type Guard<'lock>
        = L::Guard<'lock>
    where
        L: 'lock;

    fn new(len_bytes: u64, guards: usize) -> Self {
        Self(L::new(len_bytes, guards))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write_whole()
    }

    fn is_free(&self) -> bool {
        self.0.is_free()
    }
}

impl<L: Exclusive> Shared for ExclusiveOnly<L> {
    type ReadGuard<'lock>
        = L::Guard<'lock>
    where
        L: 'lock;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.write(range)
    }
}
