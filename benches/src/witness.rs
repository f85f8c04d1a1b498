//! Data that tells whether the lock around it excluded whom it should.
//!
//! Two counters, raised one after the other in steps that are not atomic as a whole. A reader that
//! was let in beside a writer can find them different; two writers at once can lose a step. They
//! are atomics, read and written one by one without any order, so that a lock that lets the wrong
//! ones in is a wrong count and not undefined behaviour. Takes no lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What a page holds.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    first: AtomicU64,
    second: AtomicU64,
}

impl Witness {
    /// Writes, by whoever holds it exclusively.
    #[inline]
    pub(crate) fn write(&self) {
        self.begin_write();
        self.end_write();
    }

    /// The first half of [`write`](Self::write). The longer the second is away, the surer is a
    /// reader to notice.
    #[inline]
    pub(crate) fn begin_write(&self) {
        self.first.store(self.first.load(Relaxed) + 1, Relaxed);
    }

    /// The second half.
    #[inline]
    pub(crate) fn end_write(&self) {
        self.second.store(self.second.load(Relaxed) + 1, Relaxed);
    }

    /// Looks, by whoever shares it.
    ///
    /// # Panics
    ///
    /// If somebody is writing.
    #[inline]
    pub(crate) fn read(&self) {
        let (first, second) = (self.first.load(Relaxed), self.second.load(Relaxed));
        assert_eq!(first, second, "a reader was let in beside a writer");
    }

    /// Looks when all are done.
    ///
    /// # Panics
    ///
    /// If writes were lost.
    pub(crate) fn check_writes(&self, writes: u64, lock_name: &str) {
        let counted = (self.first.load(Relaxed), self.second.load(Relaxed));
        assert_eq!(
            counted,
            (writes, writes),
            "{lock_name} let two writers in at once"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "two writers")]
    fn a_lost_write_is_noticed() {
        let witness = Witness::default();
        witness.write();
        witness.read();
        witness.check_writes(2, "test");
    }

    #[test]
    #[should_panic(expected = "beside a writer")]
    fn half_a_write_is_noticed() {
        let witness = Witness::default();
        witness.begin_write();
        witness.read();
    }
}
