//! What tests may break and count inside the lock.
//!
//! Code asks `probe.injects(Fault::...)` without any conditional compilation. In an ordinary build
//! [`Probe`] is empty, every question is the constant `false`, and nothing is left of it; in this
//! crate's own tests it carries one fault to commit and two counters. A test that injects a fault
//! must fail: that is how the tests are tested. Guarded by the tree's mutex; takes no lock.

/// A mistake the lock commits on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A release forgets those who wait for it: they sleep for ever.
    LostWake,
    /// A reader's release is also counted by waiting readers, which never waited for it. The kernel
    /// patch of 2018 does so on its signal path (a reader can be let in beside a writer).
    ReaderReleasesReaders,
    /// A newcomer looks only at granted ranges and overtakes those that wait.
    Barging,
    /// A release wakes one of those it unblocks, not all.
    WakeOnlyOne,
    /// A try looks only at ranges that are granted.
    TryIgnoresReaders,
}

#[cfg(not(any(test, loom)))]
mod absent {
    use super::Fault;

    /// Empty.
    #[derive(Debug)]
    pub(crate) struct Probe;

    impl Probe {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn injects(&self, _fault: Fault) -> bool {
            false
        }

        #[inline(always)]
        pub(crate) fn count_wait(&mut self) {}

        #[inline(always)]
        pub(crate) fn count_wake(&mut self) {}
    }
}

#[cfg(any(test, loom))]
mod present {
    use super::Fault;

    /// The fault to commit, and what happened so far.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Probe {
        pub(crate) fault: Option<Fault>,
        /// Requests that had to wait.
        pub(crate) waits: u64,
        /// Requests that a release granted and woke.
        pub(crate) wakes: u64,
    }

    impl Probe {
        pub(crate) const fn new() -> Self {
            Self {
                fault: None,
                waits: 0,
                wakes: 0,
            }
        }

        pub(crate) fn injects(&self, fault: Fault) -> bool {
            self.fault == Some(fault)
        }

        pub(crate) fn count_wait(&mut self) {
            self.waits += 1;
        }

        pub(crate) fn count_wake(&mut self) {
            self.wakes += 1;
        }
    }
}

#[cfg(not(any(test, loom)))]
pub(crate) use absent::Probe;
#[cfg(any(test, loom))]
pub(crate) use present::Probe;
