//! What is wrong with the bytes of a structure: which structure, which entry, what was expected.
//!
//! Pure values. The reader adds the block number ([`FormatError::at_block`]); fsck keeps them as
//! they are, inside its issues.

use std::fmt;

use crate::error::Error;

/// A kind of structure, as named in the format document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// A copy of the superblock.
    Superblock,
    /// A pointer with the checksum of its target.
    BlockPointer,
    /// An inode.
    Inode,
    /// An extent.
    Extent,
    /// A directory entry.
    Dirent,
    /// A leaf of the metadata tree.
    TreeLeaf,
    /// An index node of the metadata tree.
    TreeIndex,
    /// The extended attributes of an inode.
    Xattrs,
    /// The target of a symbolic link.
    SymlinkTarget,
    /// An item that names an inode to be removed.
    Orphan,
    /// A run of blocks with several owners.
    SharedRun,
    /// Checksums of blocks of a file.
    DataChecksums,
    /// A block of the space map.
    SpaceMap,
    /// A record of the log.
    LogRecord,
}

impl Structure {
    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Structure::Superblock => "superblock",
            Structure::BlockPointer => "block pointer",
            Structure::Inode => "inode",
            Structure::Extent => "extent",
            Structure::Dirent => "directory entry",
            Structure::TreeLeaf => "tree leaf",
            Structure::TreeIndex => "tree index",
            Structure::Xattrs => "extended attributes",
            Structure::SymlinkTarget => "symbolic link target",
            Structure::Orphan => "orphan",
            Structure::SharedRun => "shared run",
            Structure::DataChecksums => "data checksums",
            Structure::SpaceMap => "space map",
            Structure::LogRecord => "log record",
        }
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is wrong with a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A field must have one value and has another.
    #[error("{field} is {found:#x}, expected {expected:#x}")]
    Mismatch {
        /// The field, as named in the format document.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A field is outside what it may be.
    #[error("{field} is {found}, expected {least} to {most}")]
    OutOfRange {
        /// The field, as named in the format document.
        field: &'static str,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
        /// What it is.
        found: u64,
    },
    /// Bytes that are reserved or unused are not zero.
    #[error("{field} must be zero and is not")]
    NotZero {
        /// The field, as named in the format document.
        field: &'static str,
    },
    /// The bytes do not have the checksum that was stored for them.
    #[error("checksum is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The checksum stored in the parent, or in the superblock.
        expected: u32,
        /// The checksum of the bytes found.
        found: u32,
    },
    /// A null pointer where there must be a block.
    #[error("pointer is null, expected a block")]
    NullPointer,
    /// A field breaks a rule that is not a range of numbers.
    #[error("{field} {rule}")]
    Invalid {
        /// The field, as named in the format document.
        field: &'static str,
        /// What is wrong with it, as the end of a sentence that begins with the field.
        rule: &'static str,
    },
}

/// A structure whose bytes are not what the format demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatError {
    /// The structure.
    pub structure: Structure,
    /// Which entry of its block it is, from 0, where it is one of several.
    pub entry: Option<u32>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl FormatError {
    /// An error of a whole block.
    pub(crate) fn new(structure: Structure, problem: Problem) -> Self {
        Self {
            structure,
            entry: None,
            problem,
        }
    }

    /// The same error, naming the entry of the block.
    pub(crate) fn in_entry(self, entry: usize) -> Self {
        // A block has at most 254 entries, so nothing is lost.
        Self {
            entry: u32::try_from(entry).ok(),
            ..self
        }
    }

    /// The filesystem's error for this structure in `block`.
    pub(crate) fn at_block(self, block: u64) -> Error {
        let problem = match self.entry {
            Some(entry) => format!("entry {entry}: {}", self.problem),
            None => self.problem.to_string(),
        };
        Error::Corrupt {
            structure: self.structure.name(),
            block,
            problem,
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(entry) => write!(formatter, "{} {entry}: {}", self.structure, self.problem),
            None => write!(formatter, "{}: {}", self.structure, self.problem),
        }
    }
}

impl std::error::Error for FormatError {}

/// Checks of one structure's fields: each names the field when it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields(pub(crate) Structure);

impl Fields {
    /// The error that the field breaks `rule`.
    pub(crate) fn invalid(self, field: &'static str, rule: &'static str) -> FormatError {
        FormatError::new(self.0, Problem::Invalid { field, rule })
    }

    /// Requires `found == expected`.
    pub(crate) fn equal(
        self,
        field: &'static str,
        expected: impl Into<u64>,
        found: impl Into<u64>,
    ) -> Result<(), FormatError> {
        let (expected, found) = (expected.into(), found.into());
        if expected == found {
            return Ok(());
        }
        Err(FormatError::new(
            self.0,
            Problem::Mismatch {
                field,
                expected,
                found,
            },
        ))
    }

    /// Requires `least <= found <= most`.
    pub(crate) fn range(
        self,
        field: &'static str,
        least: u64,
        most: u64,
        found: u64,
    ) -> Result<(), FormatError> {
        if (least..=most).contains(&found) {
            return Ok(());
        }
        Err(FormatError::new(
            self.0,
            Problem::OutOfRange {
                field,
                least,
                most,
                found,
            },
        ))
    }

    /// Requires every byte to be zero.
    pub(crate) fn zero(self, field: &'static str, bytes: &[u8]) -> Result<(), FormatError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(FormatError::new(self.0, Problem::NotZero { field }))
    }
}
