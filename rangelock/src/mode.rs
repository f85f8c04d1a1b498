//! Shared or exclusive, and which two of them exclude each other. Takes no lock.

/// What a request wants with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
}

impl Mode {
    /// Whether two overlapping requests of these modes exclude each other.
    #[inline]
    pub(crate) fn conflicts_with(self, other: Self) -> bool {
        self == Self::Write || other == Self::Write
    }
}
