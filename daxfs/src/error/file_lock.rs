//! Why a byte-range lock of a file was not had. Plain values: touches nothing, takes no locks.

/// What is wrong with the bytes of a file lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockRangeProblem {
    /// The range begins before the file.
    #[error("begins before the first byte of the file")]
    BeforeStart,
    /// The range has bytes past the largest offset, 2^63 - 1.
    #[error("reaches past the largest offset; use length 0 for all that follows")]
    PastLargestOffset,
    /// The last byte is before the first.
    #[error("ends before it begins")]
    Reversed,
}

/// What ended a wait for a file lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockWaitEnd {
    /// Somebody cancelled it.
    #[error("the wait was cancelled")]
    Cancelled,
    /// The time was over.
    #[error("it was not free in time")]
    TimedOut,
}
