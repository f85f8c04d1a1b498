//! Every way an image can be wrong, and how bad each is.
//!
//! Plain values. Tests compare them, so a variant holds what was expected and what was found, not
//! sentences.

use std::fmt;

use crate::format::{FormatError, InodeKind};

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is lost and the image mounts; what is left of its safety or tidiness is less.
    Warning,
    /// Part of the image is damaged or contradicts another part. Writing to it may do more damage.
    Error,
    /// The image cannot be mounted.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        })
    }
}

/// A pointer tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// All inodes.
    InodeTable,
    /// The extents of a file.
    Extents {
        /// The file.
        inode: u64,
    },
    /// The entries of a directory.
    Entries {
        /// The directory.
        inode: u64,
    },
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::InodeTable => formatter.write_str("inode table"),
            Tree::Extents { inode } => write!(formatter, "extent tree of inode {inode}"),
            Tree::Entries { inode } => write!(formatter, "entries of directory {inode}"),
        }
    }
}

/// Who uses a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A tree, as one of its blocks.
    Metadata(Tree),
    /// A file, for its content.
    Data {
        /// The file.
        inode: u64,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Metadata(tree) => tree.fmt(formatter),
            Owner::Data { inode } => write!(formatter, "data of inode {inode}"),
        }
    }
}

/// Something that is wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Issue {
    /// One copy of the superblock is unusable. The image mounts from the other; the next
    /// checkpoint writes both again. A crash during a checkpoint can leave this.
    #[error("superblock copy at block {block}: {problem}")]
    SuperblockCopy {
        /// The block that holds the copy.
        block: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Neither copy of the superblock is usable: nothing else can be found, and nothing mounts.
    #[error("no superblock: {problem}")]
    NoSuperblock {
        /// What is wrong with the copies.
        problem: String,
    },
    /// The two copies of the superblock are those of two images. The newer one mounts.
    #[error("superblock copies belong to two images: block 0 has uuid {first}, block 1 {second}")]
    SuperblockIdentity {
        /// The UUID in block 0.
        first: String,
        /// The UUID in block 1.
        second: String,
    },
    /// Both copies of the superblock are valid and of one generation, and yet not the same: one of
    /// them was changed by something other than a checkpoint. The image mounts from either.
    #[error("superblock copies are both of generation {generation} and differ")]
    SuperblockCopiesDiffer {
        /// The generation.
        generation: u64,
    },
    /// The superblock counts other blocks in use than there are: free space is wrong.
    #[error("superblock: allocated_blocks is {found}, expected {expected}")]
    AllocatedBlocksTotal {
        /// Blocks found in use.
        expected: u64,
        /// What the superblock says.
        found: u64,
    },
    /// The superblock counts other inodes than there are.
    #[error("superblock: live_inodes is {found}, expected {expected}")]
    LiveInodes {
        /// Inodes found.
        expected: u64,
        /// What the superblock says.
        found: u64,
    },

    /// A tree points outside the data area. What hangs below is lost; below the inode table's
    /// root nothing mounts.
    #[error(
        "{tree}: pointer to block {target}, expected 512 to {}", .block_count.saturating_sub(1)
    )]
    PointerOutOfImage {
        /// The tree.
        tree: Tree,
        /// Where the pointer leads.
        target: u64,
        /// The image's size in blocks.
        block_count: u64,
    },
    /// A pointer is null where the tree must have a block. What should be there is lost.
    #[error("{tree}: null pointer to block {index} of level {level}")]
    NullPointer {
        /// The tree.
        tree: Tree,
        /// The level of the missing block.
        level: u16,
        /// Its ordinal within the level.
        index: u64,
    },
    /// A metadata block has the wrong checksum, or is not the block that its parent expects, or its
    /// entries are malformed. What it holds and what hangs below is lost; without the inode
    /// table's root nothing mounts.
    #[error("{tree}: block {block}: {error}")]
    BadBlock {
        /// The tree.
        tree: Tree,
        /// The block.
        block: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// An index block has more or fewer pointers than its tree asks for.
    #[error("{tree}: index block {block} has {found} pointers, expected {expected}")]
    PointerCount {
        /// The tree.
        tree: Tree,
        /// The index block.
        block: u64,
        /// Pointers that the number of leaves asks for.
        expected: u64,
        /// Pointers there are.
        found: u64,
    },
    /// Blocks are used twice. A write through one owner destroys what the other has there.
    #[error("blocks {block} to {} are used twice: {}", .block + .len_blocks - 1, list(.owners))]
    SharedBlocks {
        /// The first block.
        block: u64,
        /// How many blocks.
        len_blocks: u64,
        /// Who uses them or some of them; one owner alone uses them twice itself.
        owners: Vec<Owner>,
    },

    /// A slot of the inode table holds no valid inode. The file or directory is lost.
    #[error("inode {inode} in block {block}: {error}")]
    MalformedInode {
        /// The number of the inode that belongs there.
        inode: u64,
        /// The block of the inode table.
        block: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// An inode's number is not below the superblock's `next_inode`: a new file could take it.
    #[error("inode {inode}: number is not below next_inode {next_inode}")]
    InodeBeyondNext {
        /// The inode.
        inode: u64,
        /// What the superblock says.
        next_inode: u64,
    },
    /// An extent leads outside the data area. What the file has there is lost.
    #[error(
        "inode {inode}: extent of file block {file_block} has device blocks {device_block} to {}, \
         expected 512 to {}",
        .device_block + u64::from(*.len_blocks) - 1, .block_count.saturating_sub(1)
    )]
    ExtentOutOfImage {
        /// The file.
        inode: u64,
        /// The extent's first block in the file.
        file_block: u64,
        /// Its first block on the device.
        device_block: u64,
        /// How many blocks.
        len_blocks: u32,
        /// The image's size in blocks.
        block_count: u64,
    },
    /// An extent begins before the one before it ends: which of them holds the content is open.
    #[error("inode {inode}: extent at file block {file_block}, expected {least} or more")]
    ExtentOrder {
        /// The file.
        inode: u64,
        /// Where the extent begins in the file.
        file_block: u64,
        /// Where the one before it ends.
        least: u64,
    },
    /// An extent reaches past the end of the file. Stale bytes would appear when the file grows.
    #[error("inode {inode}: extent ends at file block {file_end}, expected {most} or less")]
    ExtentPastEnd {
        /// The file.
        inode: u64,
        /// Where the extent ends in the file.
        file_end: u64,
        /// The file's size in blocks, rounded up.
        most: u64,
    },
    /// Two adjacent extents should be one. Harmless.
    #[error("inode {inode}: extent at file block {file_block} continues the one before it")]
    ExtentNotMerged {
        /// The file.
        inode: u64,
        /// Where the second extent begins in the file.
        file_block: u64,
    },
    /// An inode counts other extents than it has.
    #[error("inode {inode}: extent_count is {found}, expected {expected}")]
    ExtentCount {
        /// The file.
        inode: u64,
        /// Extents found.
        expected: u64,
        /// What the inode says.
        found: u64,
    },
    /// An inode counts other blocks than its extents have.
    #[error("inode {inode}: allocated_blocks is {found}, expected {expected}")]
    AllocatedBlocks {
        /// The file.
        inode: u64,
        /// Blocks of its extents.
        expected: u64,
        /// What the inode says.
        found: u64,
    },

    /// There is no inode 1: nothing has a path, and nothing mounts.
    #[error("inode 1, the root directory, is missing")]
    RootMissing,
    /// Inode 1 is a file: nothing has a path, and nothing mounts.
    #[error("inode 1, the root directory, is a file")]
    RootNotADirectory,
    /// An entry names the root directory, which no directory can hold.
    #[error("directory {directory}: an entry names the root directory")]
    RootNamed {
        /// The directory with the entry.
        directory: u64,
    },
    /// A directory has a name twice. Only one of the two can be opened.
    #[error("directory {directory}: name {name:?} appears twice")]
    DuplicateName {
        /// The directory.
        directory: u64,
        /// The name; bytes that are not UTF-8 replaced.
        name: String,
    },
    /// An entry names an inode that does not exist. It cannot be opened.
    #[error("directory {directory}: an entry names inode {inode}, which does not exist")]
    DanglingEntry {
        /// The directory.
        directory: u64,
        /// The inode named.
        inode: u64,
    },
    /// An entry says another kind than the inode.
    #[error("directory {directory}: entry of inode {inode} says {found}, expected {expected}")]
    EntryKind {
        /// The directory.
        directory: u64,
        /// The inode named.
        inode: u64,
        /// What the inode is.
        expected: InodeKind,
        /// What the entry says.
        found: InodeKind,
    },
    /// No entry names an inode. It has no path; its space is not given back.
    #[error("{kind} inode {inode}: no directory entry names it")]
    Orphan {
        /// The inode.
        inode: u64,
        /// What it is.
        kind: InodeKind,
    },
    /// Several entries name one directory, which must have one parent.
    #[error("directory {inode}: {entries} entries name it, expected 1")]
    DirectoryNamedTwice {
        /// The directory.
        inode: u64,
        /// How many entries name it.
        entries: u64,
    },
    /// A directory is named, but no path from the root leads to it: it is below itself, or below
    /// another that is, or below one without a name.
    #[error("directory {inode}: no path from the root leads to it")]
    Unreachable {
        /// The directory.
        inode: u64,
    },
    /// A directory's parent is not the directory that names it: `..` leads elsewhere.
    #[error("directory {inode}: parent is {found}, expected {expected}")]
    Parent {
        /// The directory.
        inode: u64,
        /// The directory that names it; itself for the root.
        expected: u64,
        /// What the inode says.
        found: u64,
    },
    /// An inode counts other links than there are. With too few, removing one name would free what
    /// the others still need.
    #[error("inode {inode}: links is {found}, expected {expected}")]
    LinkCount {
        /// The inode.
        inode: u64,
        /// Entries that name a file; 2 and the subdirectories for a directory.
        expected: u64,
        /// What the inode says.
        found: u64,
    },
}

fn list(owners: &[Owner]) -> String {
    owners
        .iter()
        .map(Owner::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Issue {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Issue::SuperblockCopy { .. } | Issue::ExtentNotMerged { .. } => Severity::Warning,
            Issue::NoSuperblock { .. } | Issue::RootMissing | Issue::RootNotADirectory => {
                Severity::Fatal
            }
            _ => Severity::Error,
        }
    }
}
