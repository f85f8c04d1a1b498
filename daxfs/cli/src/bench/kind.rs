//! Which workloads there are, and which lock each is there to compare.
//!
//! Pure data: touches nothing, takes no locks.

use clap::ValueEnum;

/// What the threads of a cell do; `daxfs bench --help` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum WorkloadKind {
    /// Write, medium sharing: own region of a shared file.
    Dwom,
    /// Write, low sharing: own file.
    Dwol,
    /// Read, medium sharing.
    Drbm,
    /// Read, low sharing.
    Drbl,
    /// Read faults on own 2 MiB of a shared file.
    Dmfm,
    /// Write faults on own 2 MiB of holes of a shared file.
    Dmwm,
    /// Writes against faults on one page.
    Dwfm,
}

impl WorkloadKind {
    /// The name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dwom => "DWOM",
            Self::Dwol => "DWOL",
            Self::Drbm => "DRBM",
            Self::Drbl => "DRBL",
            Self::Dmfm => "DMFM",
            Self::Dmwm => "DMWM",
            Self::Dwfm => "DWFM",
        }
    }

    /// Which lock this workload is there to compare.
    pub(crate) fn varies(self) -> Varied {
        match self {
            Self::Dwom | Self::Dwol | Self::Drbm | Self::Drbl => Varied::IoLock,
            Self::Dmfm | Self::Dmwm | Self::Dwfm => Varied::MappingLock,
        }
    }
}

/// The lock whose designs a workload compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varied {
    /// The lock between reads and writes.
    IoLock,
    /// The lock between faults and what changes the block mapping.
    MappingLock,
}
