//! Whose a file lock is, and what it excludes. Plain values; takes no lock.

use super::range::LockRange;

/// What a file lock excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Exclusive locks of others (`F_RDLCK`).
    Shared,
    /// All locks of others (`F_WRLCK`).
    Exclusive,
}

impl LockKind {
    /// Whether locks of two owners on one byte exclude each other.
    pub(super) fn conflicts_with(self, other: Self) -> bool {
        self == Self::Exclusive || other == Self::Exclusive
    }
}

/// Whose a file lock is. Locks of one owner never exclude each other: a later one replaces an
/// earlier one where they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process, by a number that the caller chooses (`F_SETLK`). A file server takes what the
    /// kernel gives it, FUSE's `lock_owner`. The number means the same in all files of a
    /// filesystem, through whatever handle.
    Process(u64),
    /// The open file description: one opening of the file, with all clones of its handle
    /// (`F_OFD_SETLK`). As the owner of a lock that was found, it is some other one.
    Description,
}

/// A lock that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// What it excludes.
    pub kind: LockKind,
    /// All the bytes that it covers.
    pub range: LockRange,
    /// Whose it is.
    pub owner: LockOwner,
}

/// The same as [`LockOwner`], with every description told from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Process(u64),
    Description(u64),
}

impl From<Owner> for LockOwner {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Process(number) => Self::Process(number),
            Owner::Description(_) => Self::Description,
        }
    }
}
