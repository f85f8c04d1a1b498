//! How many ranges a lock has granted: what the cargo feature `grant_counter` adds.
//!
//! Every request that is granted counts, also on the way without a mutex, where one counter for the
//! whole lock would be a cache line that all threads write, which is what that way avoids. So there
//! are several, each on a line of its own, and where a range begins says which one counts it:
//! threads that use different parts of the range use different lines of the table, and mostly
//! different counters.
//!
//! Without the feature, and in models, the type is empty and the function is nothing. Takes no
//! lock.

#[cfg(any(loom, shuttle, not(feature = "grant_counter")))]
pub(crate) use absent::Tally;
#[cfg(all(not(any(loom, shuttle)), feature = "grant_counter"))]
pub(crate) use present::Tally;

#[cfg(any(loom, shuttle, not(feature = "grant_counter")))]
mod absent {
    use crate::span::Span;

    /// Empty.
    #[derive(Debug)]
    pub(crate) struct Tally;

    const _: () = assert!(size_of::<Tally>() == 0);

    impl Tally {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn count(&self, _: Span) {}
    }
}

#[cfg(all(not(any(loom, shuttle)), feature = "grant_counter"))]
mod present {
    use crate::span::Span;
    use crate::sync::{AtomicU64, Ordering::Relaxed};

    /// How many counters, as a power of two.
    const LINE_BITS: u32 = 4;
    /// Ranges that begin in the same 64 KiB share a counter.
    const PART_SHIFT: u32 = 16;
    /// As in `slots/granule.rs`: neighbours go to different counters.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    #[derive(Debug)]
    #[repr(align(64))]
    struct Line(AtomicU64);

    /// One lock's counters.
    #[derive(Debug)]
    pub(crate) struct Tally {
        lines: [Line; 1 << LINE_BITS],
    }

    impl Tally {
        pub(crate) const fn new() -> Self {
            Self {
                lines: [const { Line(AtomicU64::new(0)) }; 1 << LINE_BITS],
            }
        }

        #[inline(always)]
        pub(crate) fn count(&self, span: Span) {
            let part = span.first >> PART_SHIFT;
            let line = part.wrapping_mul(SPREAD) >> (u64::BITS - LINE_BITS);
            // Relaxed: nothing is concluded from it about anything else.
            self.lines[line as usize].0.fetch_add(1, Relaxed);
        }

        pub(crate) fn total(&self) -> u64 {
            self.lines.iter().map(|line| line.0.load(Relaxed)).sum()
        }
    }
}
