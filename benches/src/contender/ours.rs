//! The locks of this workspace. The only file of the suites that calls their constructors.
//!
//! Takes the locks measured.

use std::ops::Range;
use std::pin::pin;

use rangelock::{RangeLock, ReadGuard, WriteGuard};

use super::{Exclusive, Shared};

/// The lock under test, as one gets it without asking for anything.
fn ours() -> RangeLock {
    RangeLock::new()
}

/// The reference: every request goes to the interval tree, under one mutex.
fn tree_only(guards: usize) -> RangeLock {
    let lock = RangeLock::tree_only();
    lock.reserve(guards);
    lock
}

/// The lock under test.
#[derive(Debug)]
pub struct Ours(RangeLock);

/// The lock under test, with a pinned node made anew for each pair, as one does in a function's own
/// frame. Guards that outlive a pair are movable ones.
#[derive(Debug)]
pub struct OursPinned(RangeLock);

/// Its tree alone.
#[derive(Debug)]
pub struct TreeOnly(RangeLock);

impl Exclusive for Ours {
    const NAME: &'static str = "rangelock";
    type Guard<'lock> = WriteGuard<'lock>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        Self(ours())
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write(..)
    }

    fn is_free(&self) -> bool {
        self.0.try_write(..).is_some()
    }
}

impl Shared for Ours {
    type ReadGuard<'lock> = ReadGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read(range)
    }
}

impl Exclusive for OursPinned {
    const NAME: &'static str = "rangelock, pinned node";
    type Guard<'lock> = WriteGuard<'lock>;

    fn new(_len_bytes: u64, _guards: usize) -> Self {
        Self(ours())
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write(..)
    }

    fn is_free(&self) -> bool {
        self.0.try_write(..).is_some()
    }

    #[inline(always)]
    fn with_write(&self, range: Range<u64>, work: impl FnOnce()) {
        let node = pin!(self.0.node());
        let _guard = node.write(range);
        work();
    }

    #[inline(always)]
    fn with_write_whole(&self, work: impl FnOnce()) {
        let node = pin!(self.0.node());
        let _guard = node.write(..);
        work();
    }
}

impl Exclusive for TreeOnly {
    const NAME: &'static str = "rangelock, tree alone";
    type Guard<'lock> = WriteGuard<'lock>;

    fn new(_len_bytes: u64, guards: usize) -> Self {
        Self(tree_only(guards))
    }

    #[inline]
    fn write(&self, range: Range<u64>) -> Self::Guard<'_> {
        self.0.write(range)
    }

    #[inline]
    fn write_whole(&self) -> Self::Guard<'_> {
        self.0.write(..)
    }

    fn is_free(&self) -> bool {
        self.0.try_write(..).is_some()
    }
}

impl Shared for TreeOnly {
    type ReadGuard<'lock> = ReadGuard<'lock>;

    #[inline]
    fn read(&self, range: Range<u64>) -> Self::ReadGuard<'_> {
        self.0.read(range)
    }
}
