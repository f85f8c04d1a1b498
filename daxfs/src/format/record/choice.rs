//! The small enumerations that records hold. Pure values.

/// What becomes of an inode that has lost a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Disposition {
    /// It has other names.
    Kept = 1,
    /// It has none, but somebody has it open: it is removed at the next mount, if not before.
    Orphaned = 2,
    /// It is gone, and its blocks are free.
    Freed = 3,
}

impl Disposition {
    pub(crate) const ALL: [Self; 3] = [Self::Kept, Self::Orphaned, Self::Freed];
}

/// Where the blocks from a place in a file on go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum ShiftDirection {
    /// The range is taken out, and what comes after it moves up to its start.
    TowardsStart = 1,
    /// A hole is put in, and what was there moves behind it.
    TowardsEnd = 2,
}

impl ShiftDirection {
    pub(crate) const ALL: [Self; 2] = [Self::TowardsStart, Self::TowardsEnd];
}
