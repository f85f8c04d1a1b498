//! How long something took.
//!
//! Models have no clock: there every duration is zero. Reading the clock is one call of
//! `clock_gettime` on Linux, which allocates nothing and may be made in a signal handler. Takes no
//! lock.

/// Started when a request begins to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    #[cfg(not(loom))]
    started: std::time::Instant,
}

impl Stopwatch {
    #[inline]
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(not(loom))]
            started: std::time::Instant::now(),
        }
    }

    /// Nanoseconds since the start; five hundred years at most.
    #[cfg(not(loom))]
    pub(crate) fn elapsed_ns(self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Nothing takes time in a model.
    #[cfg(loom)]
    pub(crate) fn elapsed_ns(self) -> u64 {
        0
    }
}
