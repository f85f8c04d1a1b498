//! The result of a check: the issues, and what was counted on the way.

use super::issue::Issue;
use super::severity::Severity;
use crate::format::{Superblock, SuperblockState};

/// Whether the image was unmounted in good order. Not an issue: an image that was not is
/// consistent all the same, as of its last checkpoint and its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Unmounted; the last checkpoint holds everything.
    Clean,
    /// In use now, or when its machine stopped.
    Unclean,
    /// There is no superblock to say it.
    Unknown,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is wrong, in the order it was found; the same in every run.
    pub issues: Vec<Issue>,
    /// Whether the image was unmounted in good order.
    pub shutdown: Shutdown,
    /// The number of the checkpoint that was checked; 0 without a superblock.
    pub generation: u64,
    /// The image's UUID.
    pub uuid: [u8; 16],
    /// The image's name.
    pub label: String,
    /// The image's size in blocks of 4 KiB.
    pub block_count: u64,
    /// Records in the log that the next mount replays.
    pub log_records: u64,
    /// Valid inodes of the checkpoint.
    pub inodes: u64,
    /// Directories among them.
    pub directories: u64,
    /// All others.
    pub files: u64,
    /// Runs of blocks of all files; one ends at every 2 MiB.
    pub extents: u64,
    /// Blocks of files, each counted once.
    pub data_blocks: u64,
    /// Nodes of the metadata tree.
    pub metadata_blocks: u64,
    /// Blocks of the data area that nothing uses.
    pub free_blocks: u64,
}

impl Report {
    pub(super) fn new(superblock: &Superblock, issues: Vec<Issue>) -> Self {
        Self {
            issues,
            shutdown: match superblock.state {
                SuperblockState::Clean => Shutdown::Clean,
                SuperblockState::InUse => Shutdown::Unclean,
            },
            generation: superblock.generation,
            uuid: superblock.uuid,
            label: superblock.label.as_str().to_owned(),
            block_count: superblock.geometry.block_count,
            ..Self::without_superblock(Vec::new())
        }
    }

    pub(super) fn without_superblock(issues: Vec<Issue>) -> Self {
        Self {
            issues,
            shutdown: Shutdown::Unknown,
            generation: 0,
            uuid: [0; 16],
            label: String::new(),
            block_count: 0,
            log_records: 0,
            inodes: 0,
            directories: 0,
            files: 0,
            extents: 0,
            data_blocks: 0,
            metadata_blocks: 0,
            free_blocks: 0,
        }
    }

    /// Whether nothing at all is wrong.
    pub fn is_clean(&self) -> bool {
        self.issues.is_empty()
    }

    /// The severity of the worst issue, or `None` when there is none.
    pub fn worst(&self) -> Option<Severity> {
        self.issues.iter().map(Issue::severity).max()
    }
}
