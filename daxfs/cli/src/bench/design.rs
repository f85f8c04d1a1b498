//! A pair of locks that a filesystem is mounted with, and what the pair is for.
//!
//! Pure data: touches nothing, takes no locks.

use std::fmt;

use daxfs::{IoLock, MappingLock};

use super::kind::{Varied, WorkloadKind};

/// A pair of locks that a filesystem is mounted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) io_lock: IoLock,
    pub(crate) mapping_lock: MappingLock,
}

impl Design {
    /// The design that is compared with `io_lock` among I/O locks.
    pub(crate) fn of_io(io_lock: IoLock) -> Self {
        Self {
            io_lock,
            mapping_lock: MappingLock::Range,
        }
    }

    /// The design that is compared with `mapping_lock` among mapping locks.
    pub(crate) fn of_mapping(mapping_lock: MappingLock) -> Self {
        Self {
            io_lock: IoLock::Range,
            mapping_lock,
        }
    }

    /// Whether reads, writes and mappings must show the same bytes under it in `workload`: not
    /// where it is kept to show a race, or to show what copies cost without a lock.
    pub(crate) fn must_be_coherent(self, workload: WorkloadKind) -> bool {
        let torn = self.io_lock == IoLock::None && workload.overlaps();
        self.mapping_lock.is_coherent() && !torn
    }

    /// Its name among the designs that differ in `varied` only.
    pub(crate) fn name(self, varied: Varied) -> String {
        match varied {
            Varied::IoLock if self.io_lock == IoLock::None => {
                format!("io {} (control)", self.io_lock)
            }
            Varied::IoLock => format!("io {}", self.io_lock),
            Varied::MappingLock if !self.mapping_lock.is_coherent() => {
                format!("mapping {} (racy)", self.mapping_lock)
            }
            Varied::MappingLock => format!("mapping {}", self.mapping_lock),
        }
    }
}

impl fmt::Display for Design {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "io {}, mapping {}",
            self.io_lock, self.mapping_lock
        )
    }
}
