//! Which workloads there are, what each measures, and which lock each is there to compare.
//!
//! This is the one place where a workload is defined in words: the help text, the table of
//! workloads in a report and the plan of a run are made from it. Pure data: touches nothing, takes
//! no locks.

use std::fmt;
use std::str::FromStr;

/// What the threads of a cell do.
///
/// The names follow FxMark's (Min, Kashyap, Maass, Kang, Kim: "Understanding Manycore Scalability
/// of File Systems", USENIX ATC 2016): D for data, R, W or M for read, write or mapped, and last L,
/// M or H for low, medium or high sharing. FxMark has no mapped workload, none in which readers and
/// writers overlap, and no append to a shared file; those are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WorkloadKind {
    /// Read, low sharing: own file.
    Drbl,
    /// Read, medium sharing: own region of a shared file.
    Drbm,
    /// Read, high sharing: one block.
    Drbh,
    /// Overwrite, own file.
    Dwol,
    /// Overwrite, own region of a shared file.
    Dwom,
    /// Overwrite, own block inside one 2 MiB.
    Dwoh,
    /// Append to own file.
    Dwal,
    /// Append to a shared file.
    Dwam,
    /// Cut own file shorter.
    Dwtl,
    /// Overwrite own file and sync it.
    Dwsl,
    /// Reads and writes of random overlapping ranges.
    Dwrm {
        /// How many of a hundred operations read.
        read_percent: u8,
    },
    /// Read faults, own file.
    Dmfl,
    /// Read faults, own 2 MiB of a shared file.
    Dmfm,
    /// Read faults, own pages of one 2 MiB.
    Dmfh,
    /// Read faults, one page.
    Dmfp,
    /// Write faults on holes, own 2 MiB of a shared file.
    Dmwm,
    /// Write faults on holes, own pages of one 2 MiB.
    Dmwh,
    /// Writes over holes that are mapped.
    Dwum,
    /// Writes against faults on one page.
    Dwfm,
    /// Punching against faults on one page.
    Dwpm,
    /// Truncation against faults on one page.
    Dtrf,
}

use WorkloadKind as Kind;

/// The lock whose designs a workload compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varied {
    /// The lock between reads and writes.
    IoLock,
    /// The lock between faults and what changes the block mapping.
    MappingLock,
}

/// How the operations of a workload are timed, and what `seconds` means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Operations that follow each other without a pause and cost less than reading a clock does:
    /// every sixteenth is timed, and `seconds` is the measured time.
    Sampled,
    /// Operations with work between them that is not counted: all are timed, and `seconds` is the
    /// time inside them.
    Each,
}

impl WorkloadKind {
    /// Every workload, with the shares of readers that are measured unless another is asked for.
    pub(crate) const ALL: [Self; 22] = [
        Kind::Drbl,
        Kind::Drbm,
        Kind::Drbh,
        Kind::Dwol,
        Kind::Dwom,
        Kind::Dwoh,
        Kind::Dwal,
        Kind::Dwam,
        Kind::Dwtl,
        Kind::Dwsl,
        Kind::Dwrm { read_percent: 50 },
        Kind::Dwrm { read_percent: 95 },
        Kind::Dmfl,
        Kind::Dmfm,
        Kind::Dmfh,
        Kind::Dmfp,
        Kind::Dmwm,
        Kind::Dmwh,
        Kind::Dwum,
        Kind::Dwfm,
        Kind::Dwpm,
        Kind::Dtrf,
    ];

    /// Those that a run without a report measures when none is asked for: two minutes are short.
    pub(crate) const USUAL: [Self; 9] = [
        Kind::Dwom,
        Kind::Dwol,
        Kind::Drbm,
        Kind::Drbl,
        Kind::Dmfm,
        Kind::Dmfh,
        Kind::Dmwm,
        Kind::Dmwh,
        Kind::Dwfm,
    ];

    /// The name up to its parameter.
    fn stem(self) -> &'static str {
        match self {
            Kind::Drbl => "DRBL",
            Kind::Drbm => "DRBM",
            Kind::Drbh => "DRBH",
            Kind::Dwol => "DWOL",
            Kind::Dwom => "DWOM",
            Kind::Dwoh => "DWOH",
            Kind::Dwal => "DWAL",
            Kind::Dwam => "DWAM",
            Kind::Dwtl => "DWTL",
            Kind::Dwsl => "DWSL",
            Kind::Dwrm { .. } => "DWRM",
            Kind::Dmfl => "DMFL",
            Kind::Dmfm => "DMFM",
            Kind::Dmfh => "DMFH",
            Kind::Dmfp => "DMFP",
            Kind::Dmwm => "DMWM",
            Kind::Dmwh => "DMWH",
            Kind::Dwum => "DWUM",
            Kind::Dwfm => "DWFM",
            Kind::Dwpm => "DWPM",
            Kind::Dtrf => "DTRF",
        }
    }

    /// What one operation is, what is checked, and what is not counted.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Kind::Drbl => "each thread reads one block, again and again, of a file of its own",
            Kind::Drbm => "reads of one block in the thread's own 8 MiB of one shared file",
            Kind::Drbh => "all threads read the same block of one shared file",
            Kind::Dwol => "each thread overwrites one block, again and again, of a file of its own",
            Kind::Dwom => "overwrites of one block in the thread's own 8 MiB of one shared file",
            Kind::Dwoh => {
                "overwrites of the thread's own block; all blocks lie in one 2 MiB of one file"
            }
            Kind::Dwal => {
                "appends of a block to a file of the thread's own; after 64 it is read back and \
                 emptied, which is not counted"
            }
            Kind::Dwam => {
                "appends of a block to one shared file; after 64 of each thread every block must \
                 be there once and whole, through read and through a mapping, and the file is \
                 emptied, neither of which is counted"
            }
            Kind::Dwtl => {
                "truncations by one block of a file of the thread's own; filling its 64 blocks is \
                 not counted; what is cut off must be zero when the file grows again"
            }
            Kind::Dwsl => "overwrites of one block of a file of the thread's own, each with a sync",
            Kind::Dwrm { .. } => {
                "k % reads, the rest writes, of random overlapping ranges of 64 B to 2 MiB of one \
                 shared file; every write says in each of its words what it covers, so that a read \
                 that saw half of a write is found out (all reads up to 64 KiB are checked, and \
                 one in eight larger ones); making and checking bytes is not counted"
            }
            Kind::Dmfl => {
                "read faults: each thread loads from the 512 pages of a file of its own, through a \
                 mapping of its own, then releases them, which is not counted"
            }
            Kind::Dmfm => {
                "read faults on the 512 pages of the thread's own 2 MiB of one shared file, \
                 through one mapping; releasing them is not counted"
            }
            Kind::Dmfh => {
                "read faults on the thread's own share of the 512 pages of one 2 MiB, through one \
                 mapping; releasing them is not counted"
            }
            Kind::Dmfp => {
                "read faults of all threads on one page, each through a mapping of its own; \
                 releasing it is not counted"
            }
            Kind::Dmwm => {
                "write faults on the 512 holes of the thread's own 2 MiB of one shared file; \
                 reading them back and punching them out again is not counted"
            }
            Kind::Dmwh => {
                "write faults on the thread's own share of the 512 holes of one 2 MiB; reading \
                 them back and punching them out again is not counted"
            }
            Kind::Dwum => {
                "writes of one block over a hole, in the thread's own 2 MiB of one shared file, \
                 each page of which is mapped as zeroes before; mapping them, loading them \
                 afterwards and punching them out again is not counted"
            }
            Kind::Dwfm => {
                "half the threads write a page that is a hole, the others fault it; after each \
                 round read and load must return the same bytes; only writes and faults are \
                 counted"
            }
            Kind::Dwpm => {
                "half the threads punch a page out, the others fault it; after each round read and \
                 load must return zeroes; only punches and faults are counted"
            }
            Kind::Dtrf => {
                "half the threads truncate a page away, the others fault it; when the file has \
                 grown again, read and load must return zeroes; only truncations and faults are \
                 counted"
            }
        }
    }

    /// Which lock this workload is there to compare.
    pub(crate) fn varies(self) -> Varied {
        match self {
            Kind::Drbl
            | Kind::Drbm
            | Kind::Drbh
            | Kind::Dwol
            | Kind::Dwom
            | Kind::Dwoh
            | Kind::Dwal
            | Kind::Dwam
            | Kind::Dwtl
            | Kind::Dwsl
            | Kind::Dwrm { .. } => Varied::IoLock,
            Kind::Dmfl
            | Kind::Dmfm
            | Kind::Dmfh
            | Kind::Dmfp
            | Kind::Dmwm
            | Kind::Dmwh
            | Kind::Dwum
            | Kind::Dwfm
            | Kind::Dwpm
            | Kind::Dtrf => Varied::MappingLock,
        }
    }

    /// How its operations are timed.
    pub(crate) fn timing(self) -> Timing {
        match self {
            Kind::Drbl | Kind::Drbm | Kind::Drbh | Kind::Dwol | Kind::Dwom | Kind::Dwoh => {
                Timing::Sampled
            }
            _ => Timing::Each,
        }
    }

    /// The smallest block that may be chosen, in bytes, where that can be done at all; the largest
    /// is 2 MiB.
    pub(crate) fn block_bytes_min(self) -> Option<u64> {
        match (self, self.timing()) {
            (Kind::Dwum, _) => Some(daxfs::PAGE_BYTES),
            (_, Timing::Sampled) => Some(64),
            (_, Timing::Each) => None,
        }
    }

    /// Whether it is there to compare ways to unmap too.
    pub(crate) fn varies_unmapping(self) -> bool {
        self == Kind::Dwum
    }

    /// Whether one fault may map more than the page that is touched.
    pub(crate) fn can_have_large_entries(self) -> bool {
        matches!(
            self,
            Kind::Dmfm | Kind::Dmfh | Kind::Dmwm | Kind::Dmwh | Kind::Dwoh
        )
    }

    /// Whether reads and writes of different threads overlap, so that without an I/O lock they mix.
    pub(crate) fn overlaps(self) -> bool {
        matches!(self, Kind::Dwrm { .. })
    }

    /// Whether all threads meet in one file.
    pub(crate) fn shares_a_file(self) -> bool {
        !matches!(
            self,
            Kind::Drbl | Kind::Dwol | Kind::Dwal | Kind::Dwtl | Kind::Dwsl | Kind::Dmfl
        )
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Dwrm { read_percent } => {
                formatter.pad(&format!("{}-{read_percent}", self.stem()))
            }
            other => formatter.pad(other.stem()),
        }
    }
}

impl FromStr for WorkloadKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_uppercase();
        if let Some(percent) = name.strip_prefix("DWRM-") {
            return match percent.parse() {
                Ok(read_percent) if read_percent <= 100 => Ok(Kind::Dwrm { read_percent }),
                _ => Err(format!("`{percent}` is no share of readers from 0 to 100")),
            };
        }
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| {
            let mut names: Vec<_> = Self::ALL.iter().map(|kind| kind.stem()).collect();
            names.dedup();
            let names = names.join(", ").replace("DWRM", "DWRM-k");
            format!("there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_its_workload_and_has_a_description_of_its_own() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.to_string().to_lowercase().parse(), Ok(kind));
            for other in &Kind::ALL[..index] {
                let same = kind.stem() == other.stem();
                assert_eq!(kind.description() == other.description(), same, "{kind}");
            }
        }
    }

    #[test]
    fn the_share_of_readers_is_a_percentage() {
        assert_eq!("dwrm-7".parse(), Ok(Kind::Dwrm { read_percent: 7 }));
        for name in ["DWRM-101", "DWRM-", "DWRM--1", "DWRM", "DXXX", ""] {
            assert!(name.parse::<Kind>().is_err(), "{name}");
        }
    }
}
