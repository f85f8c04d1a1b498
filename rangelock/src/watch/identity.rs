//! Which lock, and which line of the caller's program: what observers call things by.
//!
//! Touches a counter of the process; takes no lock.

#[cfg(any(
    loom,
    shuttle,
    not(any(feature = "deadlock_detection", feature = "tracing"))
))]
pub(crate) use absent::{LockNumber, Place, place};
#[cfg(all(
    not(any(loom, shuttle)),
    any(feature = "deadlock_detection", feature = "tracing")
))]
pub(crate) use present::{LockNumber, Place, place};

#[cfg(any(
    loom,
    shuttle,
    not(any(feature = "deadlock_detection", feature = "tracing"))
))]
mod absent {
    /// Empty.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct LockNumber;

    /// Empty.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Place;

    #[inline(always)]
    pub(crate) fn place() -> Place {
        Place
    }
}

#[cfg(all(
    not(any(loom, shuttle)),
    any(feature = "deadlock_detection", feature = "tracing")
))]
mod present {
    use std::fmt;
    use std::num::NonZeroU64;
    use std::panic::Location;

    use crate::sync::{AtomicU64, Ordering::Relaxed};

    /// The next number to give to a lock.
    static NEXT: AtomicU64 = AtomicU64::new(1);

    /// The number of one lock, never given to another one of the process.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct LockNumber(NonZeroU64);

    /// Where the caller's program calls the lock.
    pub(crate) type Place = &'static Location<'static>;

    impl LockNumber {
        pub(crate) fn unused() -> Self {
            Self::of(NEXT.fetch_add(1, Relaxed)).expect("no program makes 2^64 locks")
        }

        pub(crate) fn of(number: u64) -> Option<Self> {
            NonZeroU64::new(number).map(Self)
        }

        pub(crate) fn get(self) -> u64 {
            self.0.get()
        }
    }

    impl fmt::Display for LockNumber {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "lock {}", self.0)
        }
    }

    /// The place of the call, seen through every function marked `#[track_caller]`.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn place() -> Place {
        Location::caller()
    }
}
