//! What a repair did, in the order it did it. Plain values.

use crate::fsck::owner::InodeKind;

/// Something that a repair did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Action {
    /// Both copies of the superblock were written again, as the newer one was.
    #[error("wrote both copies of the superblock")]
    WroteSuperblock,
    /// Items were found in a leaf that the tree had lost. No checksum vouches for them: the one
    /// that did was lost with the node above.
    #[error("kept {items} items of the lost leaf in block {block}")]
    Salvaged {
        /// The leaf.
        block: u64,
        /// How many items of it were kept.
        items: u64,
    },
    /// Records of the log were made part of the new checkpoint.
    #[error("applied {records} records of the log")]
    Replayed {
        /// How many.
        records: u64,
    },
    /// What the log holds from a position on was given up.
    #[error("gave up the log from position {lsn} on")]
    CutLog {
        /// Where.
        lsn: u64,
    },
    /// An item that could not be read, or did not belong, was taken out.
    #[error("inode {inode}: removed the item of kind {kind} at {position}")]
    RemovedItem {
        /// The inode it belonged to; 0 for the whole image.
        inode: u64,
        /// The number of its kind.
        kind: u8,
        /// Its position.
        position: u64,
    },
    /// An inode that was lost was made again around what belongs to it, with mode 0600 or 0700 and
    /// the owner root.
    #[error("inode {inode}: made again as a {kind}")]
    RemadeInode {
        /// The inode.
        inode: u64,
        /// What it is now.
        kind: InodeKind,
    },
    /// What was inode 1 and no directory got another number.
    #[error("inode 1 is now inode {to}, and an empty root directory took its place")]
    MovedRoot {
        /// Its number now.
        to: u64,
    },
    /// An inode was removed, since what it was cannot be known any more.
    #[error("inode {inode}: removed with all it had")]
    RemovedInode {
        /// The inode.
        inode: u64,
    },
    /// Checksums of blocks that are not there were removed.
    #[error("inode {inode}: removed checksums of holes from block {position} on")]
    RemovedChecksums {
        /// The file.
        inode: u64,
        /// The position of the item.
        position: u64,
    },
    /// All checksums of data were removed: what says which of them still count was lost.
    #[error("removed the checksums of data: {items} items")]
    RemovedAllChecksums {
        /// How many.
        items: u64,
    },
    /// The extended attributes of an inode were removed.
    #[error("inode {inode}: removed its extended attributes")]
    RemovedXattrs {
        /// The inode.
        inode: u64,
    },
    /// The access control lists of an inode were removed; its permission bits stay.
    #[error("inode {inode}: removed its access control lists")]
    RemovedAcls {
        /// The inode.
        inode: u64,
    },
    /// A name was removed.
    #[error("directory {directory}: removed the name {name:?} of inode {inode}")]
    RemovedName {
        /// The directory.
        directory: u64,
        /// The name; bytes that are not UTF-8 replaced.
        name: String,
        /// What it named.
        inode: u64,
    },
    /// A name was put where its hash belongs.
    #[error("directory {directory}: moved the name {name:?} to {position}")]
    MovedName {
        /// The directory.
        directory: u64,
        /// The name; bytes that are not UTF-8 replaced.
        name: String,
        /// Its position now.
        position: u64,
    },
    /// A name says another kind now.
    #[error("directory {directory}: the name of inode {inode} now says {kind}")]
    SetKind {
        /// The directory.
        directory: u64,
        /// What it names.
        inode: u64,
        /// What it says now.
        kind: InodeKind,
    },
    /// A name was made in the directory for what has none.
    #[error("inode {inode}: put into /lost+found as {name:?}")]
    PutIntoLostFound {
        /// The inode.
        inode: u64,
        /// Its name there.
        name: String,
    },
    /// The directory for what has no name was made.
    #[error("made {name:?} in the root directory, inode {inode}")]
    MadeLostFound {
        /// Its inode.
        inode: u64,
        /// Its name.
        name: String,
    },
    /// An inode is no longer listed for removal.
    #[error("inode {inode}: taken off the list of orphans")]
    Unlisted {
        /// The inode.
        inode: u64,
    },
    /// Links were counted again.
    #[error("inode {inode}: links is now {links}")]
    SetLinks {
        /// The inode.
        inode: u64,
        /// Its links now.
        links: u32,
    },
    /// A directory got the parent that names it.
    #[error("directory {inode}: parent is now {parent}")]
    SetParent {
        /// The directory.
        inode: u64,
        /// Its parent now.
        parent: u64,
    },
    /// Blocks of a file were counted again.
    #[error("inode {inode}: allocated_blocks is now {blocks}")]
    SetAllocatedBlocks {
        /// The file.
        inode: u64,
        /// Its blocks now.
        blocks: u64,
    },
    /// Runs of a file were brought into order; what could not be its content became a hole.
    #[error("inode {inode}: {dropped_blocks} blocks that it cannot have became holes")]
    SetRuns {
        /// The file.
        inode: u64,
        /// How many blocks became holes.
        dropped_blocks: u64,
    },
    /// Blocks that another file has too were copied, so that each has its own.
    #[error("inode {inode}: copied {len_blocks} blocks from file block {file_block} on")]
    CopiedBlocks {
        /// The file that got the copy.
        inode: u64,
        /// The first block within it.
        file_block: u64,
        /// How many blocks.
        len_blocks: u64,
    },
    /// The owners of shared blocks were counted again.
    #[error("counted the owners of shared blocks: {runs} runs")]
    CountedShared {
        /// How many runs have several owners.
        runs: u64,
    },
    /// A new tree and a new space map were written beside the old ones, and both copies of the
    /// superblock name them.
    #[error("wrote {nodes} nodes and the space map, as checkpoint {generation}")]
    WroteCheckpoint {
        /// The number of the checkpoint.
        generation: u64,
        /// Nodes of the tree.
        nodes: u64,
    },
}
