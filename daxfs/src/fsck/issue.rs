//! Every way an image can be wrong, and how bad each is.
//!
//! Plain values. Tests compare them, so a variant holds what was expected and what was found, not
//! sentences, and names the item that is wrong so exactly that a repair finds it again.

use super::owner::{InodeKind, Owner, owners_text};
use super::severity::Severity;
use crate::format::FormatError;

/// Something that is wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Issue {
    // ---- Superblock ---------------------------------------------------------------------------
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
    /// The superblock counts other nodes than the tree has: free space is wrong.
    #[error("superblock: tree_nodes is {found}, expected {expected}")]
    TreeNodes {
        /// Nodes found.
        expected: u64,
        /// What the superblock says.
        found: u64,
    },
    /// The superblock counts other blocks of files than there are: free space is wrong.
    #[error("superblock: data_blocks is {found}, expected {expected}")]
    DataBlocks {
        /// Blocks found.
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

    // ---- Tree ---------------------------------------------------------------------------------
    /// The tree points outside the data area. What hangs below is lost; below the root nothing
    /// mounts.
    #[error(
        "tree: pointer to block {target} at level {level}, expected {least} to {}",
        .block_count.saturating_sub(1)
    )]
    PointerOutOfImage {
        /// Where the pointer leads.
        target: u64,
        /// The level of the node that should be there.
        level: u16,
        /// The first block that a node can have.
        least: u64,
        /// The image's size in blocks.
        block_count: u64,
    },
    /// A node has the wrong checksum, or is not the node that its parent expects, or its entries
    /// are malformed. What it holds and what hangs below is lost; without the root nothing mounts.
    #[error("tree: block {block} at level {level}: {error}")]
    BadNode {
        /// The block.
        block: u64,
        /// The level of the node that should be there.
        level: u16,
        /// What is wrong with it.
        error: FormatError,
    },
    /// A node says that it was written by a checkpoint later than the one that refers to it.
    #[error("tree: block {block} is of checkpoint {found}, expected {most} or earlier")]
    NodeOfFuture {
        /// The block.
        block: u64,
        /// The checkpoint that the superblock describes.
        most: u64,
        /// The checkpoint that the node names.
        found: u64,
    },
    /// A value does not hold what its key promises. What it held is lost.
    #[error("inode {inode}, item kind {kind}, position {position}: {error}")]
    BadItem {
        /// The inode it belongs to; 0 for the whole image.
        inode: u64,
        /// The number of its kind.
        kind: u8,
        /// Its position.
        position: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// There are items of an inode that does not exist: what belongs to it, and no way to it.
    #[error("inode {inode}: {items} items, but no inode (it was a {kind})")]
    OrphanedItems {
        /// The inode.
        inode: u64,
        /// How many items it has.
        items: u64,
        /// What it was, by its items.
        kind: InodeKind,
    },
    /// An inode has an item that inodes of its kind do not have.
    #[error("{kind} inode {inode} has an item of kind {item_kind}, position {position}")]
    ItemOfOtherKind {
        /// The inode.
        inode: u64,
        /// What it is.
        kind: InodeKind,
        /// The number of the item's kind.
        item_kind: u8,
        /// Its position.
        position: u64,
    },

    // ---- Inodes and their content -------------------------------------------------------------
    /// An inode's number is not below the superblock's `next_inode`: a new file could take it.
    #[error("inode {inode}: number is not below next_inode {next_inode}")]
    InodeBeyondNext {
        /// The inode.
        inode: u64,
        /// What the superblock says.
        next_inode: u64,
    },
    /// The extended attributes of an inode cannot be read.
    #[error("inode {inode}: {error}")]
    BadXattrs {
        /// The inode.
        inode: u64,
        /// What is wrong with them.
        error: FormatError,
    },
    /// An access control list is none, or belongs to nothing that can have it, or says of its inode
    /// what the permission bits do not say.
    #[error("inode {inode}: {error}")]
    BadAcl {
        /// The inode.
        inode: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// The target of a symbolic link cannot be read. It leads nowhere.
    #[error("symbolic link inode {inode}: {error}")]
    BadTarget {
        /// The inode.
        inode: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// A run leads outside the data area. What the file has there is lost.
    #[error(
        "inode {inode}: run of file block {file_block} has device blocks {device_block} to {}, \
         expected {least} to {}",
        .device_block + .len_blocks - 1, .block_count.saturating_sub(1)
    )]
    RunOutOfImage {
        /// The file.
        inode: u64,
        /// The run's first block in the file.
        file_block: u64,
        /// Its first block on the device.
        device_block: u64,
        /// How many blocks.
        len_blocks: u64,
        /// The first block that files can have.
        least: u64,
        /// The image's size in blocks.
        block_count: u64,
    },
    /// A run begins before the one before it ends: which of them holds the content is open.
    #[error("inode {inode}: run at file block {file_block}, expected {least} or more")]
    RunOrder {
        /// The file.
        inode: u64,
        /// Where the run begins in the file.
        file_block: u64,
        /// Where the one before it ends.
        least: u64,
    },
    /// Two adjacent runs should be one. Harmless.
    #[error("inode {inode}: run at file block {file_block} continues the one before it")]
    RunNotMerged {
        /// The file.
        inode: u64,
        /// Where the second run begins in the file.
        file_block: u64,
    },
    /// An inode counts other blocks than its runs have.
    #[error("inode {inode}: allocated_blocks is {found}, expected {expected}")]
    AllocatedBlocks {
        /// The file.
        inode: u64,
        /// Blocks of its runs.
        expected: u64,
        /// What the inode says.
        found: u64,
    },

    /// A block of a file has a checksum and is a hole. The file does not open.
    #[error("inode {inode}: block {file_block} of the file has a checksum, and is a hole")]
    ChecksumOfHole {
        /// The file.
        inode: u64,
        /// The first such block that one item is about.
        file_block: u64,
        /// The position of the item.
        position: u64,
    },
    /// A block of a file does not hold what it did when its checksum was computed. What it did hold
    /// is lost; whoever reads it gets an error.
    #[error(
        "inode {inode}: block {file_block} of the file (device block {device_block}) is damaged: \
         checksum {found:#010x}, expected {expected:#010x}"
    )]
    DataDamaged {
        /// The file.
        inode: u64,
        /// The block within the file.
        file_block: u64,
        /// The block on the device.
        device_block: u64,
        /// The checksum that is stored for it.
        expected: u32,
        /// The checksum of what it holds.
        found: u32,
    },

    // ---- Names --------------------------------------------------------------------------------
    /// There is no inode 1: nothing has a path, and nothing mounts.
    #[error("inode 1, the root directory, is missing")]
    RootMissing,
    /// Inode 1 is no directory: nothing has a path, and nothing mounts.
    #[error("inode 1, the root directory, is a {kind}")]
    RootNotADirectory {
        /// What it is.
        kind: InodeKind,
    },
    /// An entry names the root directory, which no directory can hold.
    #[error("directory {directory}: the entry at {position} names the root directory")]
    RootNamed {
        /// The directory with the entry.
        directory: u64,
        /// The position of the entry.
        position: u64,
    },
    /// A name is not where its hash belongs: nobody who looks it up finds it.
    #[error("directory {directory}: name {name:?} is at {position}, expected {least} and after")]
    NamePosition {
        /// The directory.
        directory: u64,
        /// The position of the entry.
        position: u64,
        /// The first position that the name could have.
        least: u64,
        /// The name; bytes that are not UTF-8 replaced.
        name: String,
    },
    /// A directory has a name twice. Only one of the two can be opened.
    #[error("directory {directory}: name {name:?} appears twice, again at {position}")]
    DuplicateName {
        /// The directory.
        directory: u64,
        /// The position of the second entry.
        position: u64,
        /// The name; bytes that are not UTF-8 replaced.
        name: String,
    },
    /// An entry names an inode that does not exist. It cannot be opened.
    #[error(
        "directory {directory}: the entry at {position} names inode {inode}, which does not exist"
    )]
    DanglingEntry {
        /// The directory.
        directory: u64,
        /// The position of the entry.
        position: u64,
        /// The inode named.
        inode: u64,
    },
    /// An entry says another kind than the inode.
    #[error(
        "directory {directory}: the entry at {position} of inode {inode} says {found}, expected \
         {expected}"
    )]
    EntryKind {
        /// The directory.
        directory: u64,
        /// The position of the entry.
        position: u64,
        /// The inode named.
        inode: u64,
        /// What the inode is.
        expected: InodeKind,
        /// What the entry says.
        found: InodeKind,
    },
    /// No entry names an inode, and it is not listed for removal. It has no path; its space is not
    /// given back.
    #[error("{kind} inode {inode}: no directory entry names it")]
    Unnamed {
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
        /// Entries that name it; 2 and the subdirectories for a directory.
        expected: u64,
        /// What the inode says.
        found: u64,
    },
    /// An inode is listed for removal and does not exist. The image does not mount for writing.
    #[error("orphan list: inode {inode} does not exist")]
    OrphanMissing {
        /// The inode.
        inode: u64,
    },
    /// An inode is listed for removal and has names: the next mount removes what the names need.
    #[error("orphan list: inode {inode} has {names} names, expected 0")]
    OrphanNamed {
        /// The inode.
        inode: u64,
        /// Entries that name it.
        names: u64,
    },

    // ---- Blocks -------------------------------------------------------------------------------
    /// Blocks are used twice without being marked as shared by all who use them. A write through
    /// one owner destroys what the other has there.
    #[error(
        "blocks {block} to {} are used twice: {}", .block + .len_blocks - 1, owners_text(.owners)
    )]
    UsedTwice {
        /// The first block.
        block: u64,
        /// How many blocks.
        len_blocks: u64,
        /// Who uses them, up to eight; one owner alone uses them twice itself.
        owners: Vec<Owner>,
    },
    /// The owners of shared blocks are counted wrong. With too few, a block is given away while
    /// somebody still has it.
    #[error(
        "blocks {block} to {}: {found} owners counted, expected {expected}",
        .block + .len_blocks - 1
    )]
    SharedCount {
        /// The first block.
        block: u64,
        /// How many blocks.
        len_blocks: u64,
        /// File blocks that refer to each.
        expected: u64,
        /// What is counted; 1 when nothing is.
        found: u64,
    },
    /// Two counts are about the same blocks.
    #[error("shared blocks from {block} on: another count goes up to {}", .end - 1)]
    SharedOverlap {
        /// Where the second count begins.
        block: u64,
        /// Where the first ends.
        end: u64,
    },

    // ---- Space map ----------------------------------------------------------------------------
    /// A block of the space map is damaged. Which blocks are free there is lost, and the image does
    /// not mount.
    #[error("space map: block {block}, level {level}, index {index}: {error}")]
    BadSpaceBlock {
        /// The block.
        block: u64,
        /// Its level.
        level: u16,
        /// Its ordinal within the level.
        index: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// The superblock counts other blocks in use than the space map has. The image does not mount.
    #[error("superblock: {found} blocks in use, the space map has {expected}")]
    SpaceTotal {
        /// Blocks that the space map has.
        expected: u64,
        /// What the superblock says.
        found: u64,
    },
    /// Blocks in use are free by the space map: what is written next may go over them.
    #[error("space map: {blocks} blocks in use are marked free, the first is {first_block}")]
    UsedButFree {
        /// The first of them.
        first_block: u64,
        /// How many.
        blocks: u64,
    },
    /// Blocks that nobody uses are in use by the space map. Their space is lost, nothing else.
    #[error("space map: {blocks} unused blocks are marked used, the first is {first_block}")]
    Leaked {
        /// The first of them.
        first_block: u64,
        /// How many.
        blocks: u64,
    },

    // ---- Log ----------------------------------------------------------------------------------
    /// The log begins where none can. The image does not mount.
    #[error("log: begins at {lsn}, expected less than 2^63")]
    LogPosition {
        /// Where the superblock says that it begins.
        lsn: u64,
    },
    /// The log ends before a place up to which it was durable. What was acknowledged after that is
    /// lost, and the image does not mount.
    #[error(
        "log: no valid record at {lsn}, but {proof_lsn} says all before {durable_lsn} is durable"
    )]
    LogCut {
        /// Where the log ends.
        lsn: u64,
        /// Where the record lies that knows better.
        proof_lsn: u64,
        /// What it knows.
        durable_lsn: u64,
    },
    /// A record is of a later mount than the superblock knows of: the superblock is not the newest,
    /// and the next mount would take its number, and the record for one of its own. The image does
    /// not mount.
    #[error("log: record at {lsn} is of mount {found}, expected {most} or earlier")]
    RecordOfFuture {
        /// Where it lies.
        lsn: u64,
        /// The mount that the superblock knows of.
        most: u64,
        /// The mount that the record names.
        found: u64,
    },
    /// A record is whole and holds what none may hold. The image does not mount.
    #[error("log: record at {lsn}: {error}")]
    BadRecord {
        /// Where it lies.
        lsn: u64,
        /// What is wrong with it.
        error: FormatError,
    },
    /// A record speaks of what is not there. The image does not mount.
    #[error("log: record at {lsn} does not apply: {problem}")]
    RecordDoesNotApply {
        /// Where it lies.
        lsn: u64,
        /// What it asks for.
        problem: String,
    },
    /// The checkpoint is right there, and the log makes it wrong.
    #[error("after the log: {issue}")]
    AfterReplay {
        /// What is wrong after the log was applied.
        issue: Box<Issue>,
    },
}

impl Issue {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Issue::SuperblockCopy { .. } | Issue::RunNotMerged { .. } | Issue::Leaked { .. } => {
                Severity::Warning
            }
            Issue::NoSuperblock { .. }
            | Issue::RootMissing
            | Issue::RootNotADirectory { .. }
            | Issue::BadSpaceBlock { .. }
            | Issue::SpaceTotal { .. }
            | Issue::LogPosition { .. }
            | Issue::LogCut { .. }
            | Issue::RecordOfFuture { .. }
            | Issue::BadRecord { .. }
            | Issue::RecordDoesNotApply { .. } => Severity::Fatal,
            Issue::AfterReplay { issue } => issue.severity(),
            _ => Severity::Error,
        }
    }
}
