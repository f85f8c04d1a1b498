//! What a filesystem is mounted with, and what that is for.
//!
//! Pure data: touches nothing, takes no locks.

use std::fmt;

use daxfs::{EntrySizes, IoLock, MappingLock, Unmapping};

use super::kind::{Varied, WorkloadKind};

/// What a filesystem is mounted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) io_lock: IoLock,
    pub(crate) mapping_lock: MappingLock,
    pub(crate) unmapping: Unmapping,
    pub(crate) entry_sizes: EntrySizes,
}

impl Design {
    /// The pair of locks, with entries of 4 KiB that are unmapped at once.
    fn of_locks(io_lock: IoLock, mapping_lock: MappingLock) -> Self {
        Self {
            io_lock,
            mapping_lock,
            unmapping: Unmapping::Once,
            entry_sizes: EntrySizes::Small,
        }
    }

    /// The design that is compared with `io_lock` among I/O locks.
    pub(crate) fn of_io(io_lock: IoLock) -> Self {
        Self::of_locks(io_lock, MappingLock::Range)
    }

    /// The design that is compared with `mapping_lock` among mapping locks.
    pub(crate) fn of_mapping(mapping_lock: MappingLock) -> Self {
        Self::of_locks(IoLock::Range, mapping_lock)
    }

    /// The same with another way to unmap.
    pub(crate) fn unmapping(self, unmapping: Unmapping) -> Self {
        Self { unmapping, ..self }
    }

    /// The same with entries of other sizes.
    pub(crate) fn entry_sizes(self, entry_sizes: EntrySizes) -> Self {
        Self {
            entry_sizes,
            ..self
        }
    }

    /// Whether it has the locks of `other`.
    pub(crate) fn has_the_locks_of(self, other: Self) -> bool {
        (self.io_lock, self.mapping_lock) == (other.io_lock, other.mapping_lock)
    }

    /// Whether reads, writes and mappings must show the same bytes under it in `workload`: not
    /// where it is kept to show a race, or to show what copies cost without a lock.
    pub(crate) fn must_be_coherent(self, workload: WorkloadKind) -> bool {
        let torn = self.io_lock == IoLock::None && workload.overlaps();
        self.mapping_lock.is_coherent() && !torn
    }

    /// Its name among the designs that differ in `varied` only, and in how they unmap.
    pub(crate) fn name(self, varied: Varied) -> String {
        let mut name = match varied {
            Varied::IoLock if self.io_lock == IoLock::None => {
                format!("io {} (control)", self.io_lock)
            }
            Varied::IoLock => format!("io {}", self.io_lock),
            Varied::MappingLock if !self.mapping_lock.is_coherent() => {
                format!("mapping {} (racy)", self.mapping_lock)
            }
            Varied::MappingLock => format!("mapping {}", self.mapping_lock),
        };
        if self.unmapping == Unmapping::EachEntry {
            name += ", each entry";
        }
        name
    }
}

impl fmt::Display for Design {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "io {}, mapping {}, unmapping {}, entries {}",
            self.io_lock, self.mapping_lock, self.unmapping, self.entry_sizes
        )
    }
}
