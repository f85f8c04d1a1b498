//! What a test may do with a lock: the words of the language in which schedules are written.
//!
//! Every operation makes sense at every moment: those that act on something held or waited for name
//! it by a position, which is taken modulo how many there are. So any list of operations is a
//! schedule, and so is any part of it, which is what shrinking and fuzzing need. Touches nothing.

use std::ops::Bound;

/// As the lock takes it, in any of the forms that Rust has.
pub(crate) type Bounds = (Bound<u64>, Bound<u64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Read,
    Write,
}

/// Which lock is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    /// With slots, and a granule that the lock chooses itself.
    Adaptive,
    /// With slots, and a granule of two to this power.
    Granule(u32),
    /// Adaptive, with room for so many ranges.
    Capacity(usize),
    /// Without slots.
    TreeOnly,
}

/// By what a range is held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Guard,
    Owned,
    Node,
}

/// How long an attempt lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// No time at all.
    Try,
    /// A timeout of zero.
    Zero,
    /// A timeout that has some time to go, and goes by.
    Short,
    /// A deadline in the past.
    Past,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Makes a future and polls it once.
    Request(Bounds, Use),
    /// Makes a future and drops it without having polled it.
    Abandon(Bounds, Use),
    /// Blocks. Becomes a `Request` if it would have to wait.
    Hold(Bounds, Use, Kind),
    Attempt(Bounds, Use, Kind, Patience),
    /// Blocks for all of them. Left out if it would have to wait.
    Many(Vec<(Bounds, Use)>),
    /// Blocks for `len` bytes from `end` on. Left out if it would have to wait.
    Append {
        len: u64,
        end: u64,
    },
    /// Polls a future with a new waker, whether it was woken or not.
    Poll {
        future: usize,
    },
    /// Polls all futures that were woken.
    Collect,
    /// Drops a guard or a future.
    Drop {
        any: usize,
    },
    Downgrade {
        writer: usize,
    },
    Upgrade {
        reader: usize,
    },
    /// Splits so many bytes after the first held one.
    Split {
        guard: usize,
        after: u64,
    },
    /// Takes so many bytes off the ends.
    Trim {
        guard: usize,
        front: u64,
        back: u64,
    },
    Shrink {
        guard: usize,
        to: Bounds,
    },
    IsLocked(Bounds),
    Reserve(usize),
}
