//! What tests may break and count inside the lock.
//!
//! Code asks `probe.injects(Fault::...)` without any conditional compilation. In an ordinary build
//! [`Probe`] is empty, every question is the constant `false`, and nothing is left of it; in this
//! crate's own tests it carries one fault to commit and two counters. A test that injects a fault
//! must fail: that is how the tests are tested. The counters are guarded by the tree's mutex; the
//! fault does not change. Takes no lock.

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
    /// A waiting reader that gives up is forgotten by later readers too, which never counted it:
    /// the kernel patch's mistake where it was made.
    CancelForgetsMode,
    /// A waiting request that gives up is forgotten by those before it too.
    CancelForgetsOrder,
    /// A request whose deadline passes does not look whether it was granted meanwhile.
    ExpiryForgetsGrant,
    /// A task that is polled with another waker keeps the first.
    StaleWaker,
    /// A task that is dropped does not give back what it was granted meanwhile.
    CancelForgetsGrant,
    /// The requests of one call take their places one after the other.
    ManyOneByOne,
    /// A writer that becomes a reader admits writers too.
    DowngradeAdmitsWriters,
    /// A reader becomes a writer beside other readers.
    UpgradeIgnoresReaders,
    /// Waiting readers do not count a reader that became a writer.
    UpgradeUncounted,
    /// A request that gives back a part of its range is forgotten by all that waited for it.
    ShrinkReleasesAll,
    /// Who waits for both halves of a split range counts one.
    SplitUncounted,
    /// Nobody counts a range that was taken over from outside.
    AdoptUncounted,
    /// A request announces itself in a slot and looks around before others can see it.
    NoBarrierAfterAnnouncing,
    /// A request does not look at the count of nodes before it looks at the slots.
    CountNotReread,
    /// A request does not look at the count of nodes after it has looked at the slots.
    CountNotReadAgain,
    /// A request that finds listed holders in its shard does not look whether they are in its way.
    ListNotRead,
    /// A listed holder that has changed is listed again.
    RelistsAtOnce,
    /// A reader becomes a writer where other readers are in other shards.
    UpgradesApart,
    /// A request to write looks for readers in one shard of a group.
    WriterVisitsOne,
    /// A level that was left takes in newcomers again while the one before it still does.
    ReinstatesTooEarly,
    /// A request that has announced itself does not see that the shard was opened to lone holders.
    UncrowdsUnseen,
    /// A request withdraws its announcement and does not tell who waits for that.
    RetractsSilently,
    /// A request that waits for the holder of a slot does not mark it.
    WaiterMarksNobody,
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
        pub(crate) fn is_faulty(&self) -> bool {
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

        #[cfg(all(test, any(loom, shuttle)))]
        pub(crate) fn committing(fault: Fault) -> Self {
            Self {
                fault: Some(fault),
                ..Self::new()
            }
        }

        pub(crate) fn injects(&self, fault: Fault) -> bool {
            self.fault == Some(fault)
        }

        pub(crate) fn is_faulty(&self) -> bool {
            self.fault.is_some()
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
