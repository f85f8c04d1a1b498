//! Events for the `tracing` crate.
//!
//! All have the target `rangelock`, and name the lock by a number that no other lock of the process
//! has.
//!
//! | Level | Event | Fields |
//! |---|---|---|
//! | `DEBUG` | `a wait is over` | `lock`, `first`, `last`, `access`, `requests`, `wait_ns`, `outcome`, `place` |
//! | `DEBUG` | `the table was rebuilt` | `lock`, `shards_before`, `shards_after`, `granule_before`, `granule_after` |
//! | `TRACE` | `others were woken` | `lock`, `woken` |
//!
//! `requests` is 1, or the number of ranges asked for by one call; `first` and `last` then cover
//! all of them, and `access` is `write` if one of them is to be written. `outcome` is `granted`,
//! `timed out` or `cancelled`. `woken` counts the requests that one step let in, by a release, a
//! change to a guard or a wait given up, and whose owners were told.
//!
//! A subscriber is the code of others. It runs without any mutex of this crate, so it may use
//! locks, this one included; but the thread may hold the range already that it waited for, of which
//! the record of `deadlock` does not know yet. If it panics the panic ends here, because its caller
//! is in the middle of handing a range to a guard, and nobody would give the range back. Takes no
//! lock.

#[cfg(any(loom, shuttle, not(feature = "tracing")))]
pub(crate) use absent::{Shapes, Stretch, Woken};
#[cfg(all(not(any(loom, shuttle)), feature = "tracing"))]
pub(crate) use present::{Shapes, Stretch, Woken};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The range is held.
    Granted,
    /// The deadline came first.
    TimedOut,
    /// The future was dropped.
    Cancelled,
}

#[cfg(any(loom, shuttle, not(feature = "tracing")))]
mod absent {
    use super::Outcome;
    use crate::mode::Mode;
    use crate::span::Span;
    use crate::watch::identity::{LockNumber, Place};
    use crate::watch::lock_id::LockId;

    /// Empty.
    #[derive(Debug)]
    pub(crate) struct Stretch;

    impl Stretch {
        pub(crate) const NONE: Self = Self;

        #[inline(always)]
        pub(crate) fn begin(_: LockNumber, _: &[(Span, Mode)], _: Place) -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn end(self, _: Outcome) {}
    }

    /// Empty.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Woken;

    impl Woken {
        pub(crate) const NOBODY: Self = Self;

        #[inline(always)]
        pub(crate) fn add_one(&mut self) {}

        #[inline(always)]
        pub(crate) fn tell(self, _: &LockId) {}
    }

    /// Empty.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Shapes;

    impl Shapes {
        pub(crate) const UNSEEN: Self = Self;

        #[inline(always)]
        pub(crate) fn before(&mut self, _: impl FnOnce() -> (usize, u64)) {}

        #[inline(always)]
        pub(crate) fn after(&mut self, _: impl FnOnce() -> (usize, u64)) {}

        #[inline(always)]
        pub(crate) fn tell(self, _: &LockId) {}
    }
}

#[cfg(all(not(any(loom, shuttle)), feature = "tracing"))]
mod present {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;

    use super::Outcome;
    use crate::mode::Mode;
    use crate::span::Span;
    use crate::watch::identity::{LockNumber, Place};
    use crate::watch::lock_id::LockId;

    const TARGET: &str = "rangelock";

    /// A wait that will be told of when it is over, or nothing.
    #[derive(Debug)]
    pub(crate) struct Stretch(Option<Wait>);

    #[derive(Debug)]
    struct Wait {
        lock: LockNumber,
        /// The least span that covers all requests.
        span: Span,
        mode: Mode,
        requests: usize,
        place: Place,
        since: Instant,
    }

    impl Stretch {
        pub(crate) const NONE: Self = Self(None);

        /// Runs under the tree's mutex, and so asks nobody whether the event is wanted.
        pub(crate) fn begin(lock: LockNumber, requests: &[(Span, Mode)], place: Place) -> Self {
            let all = requests.iter().copied().reduce(cover);
            Self(all.map(|(span, mode)| Wait {
                lock,
                span,
                mode,
                requests: requests.len(),
                place,
                since: Instant::now(),
            }))
        }

        pub(crate) fn end(self, outcome: Outcome) {
            if let Some(wait) = self.0 {
                wait.end(outcome);
            }
        }
    }

    impl Wait {
        fn end(self, outcome: Outcome) {
            let wait_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            unless_it_panics(|| {
                tracing::debug!(
                    target: TARGET,
                    lock = self.lock.get(),
                    first = self.span.first,
                    last = self.span.last,
                    access = name_of_access(self.mode),
                    requests = self.requests,
                    wait_ns,
                    outcome = name_of_outcome(outcome),
                    place = %self.place,
                    "a wait is over"
                );
            });
        }
    }

    /// How many requests one step has let in, of those whose owners must be told.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Woken(usize);

    impl Woken {
        pub(crate) const NOBODY: Self = Self(0);

        pub(crate) fn add_one(&mut self) {
            self.0 += 1;
        }

        /// Tells of it, if there was somebody. The caller holds no mutex.
        pub(crate) fn tell(self, lock: &LockId) {
            if self.0 == 0 {
                return;
            }
            unless_it_panics(|| {
                tracing::trace!(
                    target: TARGET,
                    lock = lock.number().get(),
                    woken = self.0,
                    "others were woken"
                );
            });
        }
    }

    /// How many shards a table has and how long its granules are, before and after it may have been
    /// rebuilt.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Shapes {
        before: Option<(usize, u64)>,
        after: Option<(usize, u64)>,
    }

    impl Shapes {
        pub(crate) const UNSEEN: Self = Self {
            before: None,
            after: None,
        };

        pub(crate) fn before(&mut self, shape: impl FnOnce() -> (usize, u64)) {
            self.before = Some(shape());
        }

        pub(crate) fn after(&mut self, shape: impl FnOnce() -> (usize, u64)) {
            self.after = Some(shape());
        }

        /// Tells of the change, if there was one. The caller holds no mutex.
        pub(crate) fn tell(self, lock: &LockId) {
            let (Some(before), Some(after)) = (self.before, self.after) else {
                return;
            };
            if before == after {
                return;
            }
            unless_it_panics(|| {
                tracing::debug!(
                    target: TARGET,
                    lock = lock.number().get(),
                    shards_before = before.0,
                    shards_after = after.0,
                    granule_before = before.1,
                    granule_after = after.1,
                    "the table was rebuilt"
                );
            });
        }
    }

    fn unless_it_panics(event: impl FnOnce()) {
        // What the closure has is not used afterwards. The panic has been shown by the panic hook.
        let _panicked = catch_unwind(AssertUnwindSafe(event));
    }

    fn cover(all: (Span, Mode), one: (Span, Mode)) -> (Span, Mode) {
        let both = Span {
            first: all.0.first.min(one.0.first),
            last: all.0.last.max(one.0.last),
        };
        (both, if one.1 == Mode::Write { one.1 } else { all.1 })
    }

    fn name_of_access(mode: Mode) -> &'static str {
        match mode {
            Mode::Read => "read",
            Mode::Write => "write",
        }
    }

    fn name_of_outcome(outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Granted => "granted",
            Outcome::TimedOut => "timed out",
            Outcome::Cancelled => "cancelled",
        }
    }
}
