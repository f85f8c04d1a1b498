//! The part of a lock that keeps its number.
//!
//! A lock cannot be known by its address, for it may be moved while nobody uses it, and its memory
//! be used for another afterwards. It is given a number when it is first observed and not when it
//! is made, because locks are made in constants too. Takes the registry's mutex when a lock is
//! dropped.

#[cfg(any(
    loom,
    shuttle,
    not(any(feature = "deadlock_detection", feature = "tracing"))
))]
pub(crate) use absent::LockId;
#[cfg(all(
    not(any(loom, shuttle)),
    any(feature = "deadlock_detection", feature = "tracing")
))]
pub(crate) use present::LockId;

#[cfg(any(
    loom,
    shuttle,
    not(any(feature = "deadlock_detection", feature = "tracing"))
))]
mod absent {
    use crate::watch::identity::LockNumber;

    /// Empty.
    #[derive(Debug)]
    pub(crate) struct LockId;

    impl LockId {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn number(&self) -> LockNumber {
            LockNumber
        }

        /// How many claims are on record, held and waited for.
        #[cfg(test)]
        pub(crate) fn claims(&self) -> (usize, usize) {
            (0, 0)
        }
    }
}

#[cfg(all(
    not(any(loom, shuttle)),
    any(feature = "deadlock_detection", feature = "tracing")
))]
mod present {
    use crate::sync::{AtomicU64, Ordering::Relaxed};
    use crate::watch::deadlock;
    use crate::watch::identity::LockNumber;

    /// What observers know a lock by; a part of the lock.
    #[derive(Debug)]
    pub(crate) struct LockId {
        /// Zero until the lock is first observed.
        number: AtomicU64,
    }

    impl LockId {
        pub(crate) const fn new() -> Self {
            Self {
                number: AtomicU64::new(0),
            }
        }

        pub(crate) fn number(&self) -> LockNumber {
            LockNumber::of(self.number.load(Relaxed)).unwrap_or_else(|| self.first_number())
        }

        /// How many claims are on record, held and waited for.
        #[cfg(test)]
        pub(crate) fn claims(&self) -> (usize, usize) {
            deadlock::claims_on(self.number())
        }

        #[cold]
        fn first_number(&self) -> LockNumber {
            self.take(LockNumber::unused())
        }

        /// Takes the number, unless another thread was quicker: then its number counts, and this
        /// one is lost.
        pub(in crate::watch) fn take(&self, fresh: LockNumber) -> LockNumber {
            match self
                .number
                .compare_exchange(0, fresh.get(), Relaxed, Relaxed)
            {
                Ok(_) => fresh,
                Err(earlier) => LockNumber::of(earlier).unwrap_or(fresh),
            }
        }
    }

    /// A forgotten guard stays on record for as long as its lock.
    impl Drop for LockId {
        fn drop(&mut self) {
            if let Some(number) = LockNumber::of(*self.number.get_mut()) {
                deadlock::lock_is_gone(number);
            }
        }
    }
}
