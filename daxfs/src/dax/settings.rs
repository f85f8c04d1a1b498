//! What a filesystem is mounted with that concerns its open files. Plain values.

use std::fmt;
use std::str::FromStr;

use super::io_lock::IoLock;
use super::mapping_lock::MappingLock;
use crate::error::Error;

/// How an invalidation takes translations out of page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unmapping {
    /// With one call for all that was found (D6 of the thread, and the default).
    #[default]
    Once,
    /// With one call for each mapping entry, as it is removed.
    EachEntry,
}

/// How much of a file one mapping entry, and one fault, may stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EntrySizes {
    /// 4 KiB, except on devices of huge pages, which map nothing smaller than 2 MiB.
    Small,
    /// 2 MiB where the window, the file and its blocks allow it, and 4 KiB elsewhere. A store into
    /// a hole of 2 MiB then allocates all of it.
    #[default]
    Both,
}

/// What a crash may leave of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataMode {
    /// Bytes go onto the blocks that are there: nothing is copied, and a crash in the middle of a
    /// write leaves some of it, in pieces of 8 bytes.
    #[default]
    InPlace,
    /// A crash leaves all of a write or nothing of it. Writes of up to 2 KiB onto blocks that are
    /// there go through the log; longer ones, and those to a file that is mapped, go to new blocks.
    /// Stores through mappings are in place all the same.
    Atomic,
}

/// What a file is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) io_lock: IoLock,
    pub(crate) mapping_lock: MappingLock,
    pub(crate) unmapping: Unmapping,
    pub(crate) entry_sizes: EntrySizes,
    pub(crate) data: DataMode,
}

impl Unmapping {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Once, Self::EachEntry];
}

impl fmt::Display for Unmapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Once => "once",
            Self::EachEntry => "each-entry",
        })
    }
}

impl FromStr for Unmapping {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        named(Self::ALL, "way to unmap", text)
    }
}

impl EntrySizes {
    /// Both choices.
    pub const ALL: [Self; 2] = [Self::Small, Self::Both];
}

impl fmt::Display for EntrySizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Small => "small",
            Self::Both => "both",
        })
    }
}

impl FromStr for EntrySizes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        named(Self::ALL, "choice of entry sizes", text)
    }
}

fn named<T: fmt::Display, const N: usize>(all: [T; N], what: &str, text: &str) -> Result<T, Error> {
    let found = all.into_iter().find(|one| one.to_string() == text);
    found.ok_or_else(|| Error::InvalidOption {
        reason: format!("no {what} is called `{text}`"),
    })
}

#[test]
fn names_are_read_as_they_are_printed() {
    for unmapping in Unmapping::ALL {
        assert_eq!(
            unmapping.to_string().parse::<Unmapping>().unwrap(),
            unmapping
        );
    }
    for sizes in EntrySizes::ALL {
        assert_eq!(sizes.to_string().parse::<EntrySizes>().unwrap(), sizes);
    }
    assert!("twice".parse::<Unmapping>().is_err());
    assert!("huge".parse::<EntrySizes>().is_err());
}
