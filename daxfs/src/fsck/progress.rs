//! How far a check is, for those who wait for it.

/// A part of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The nodes of the metadata tree; counted in leaves.
    Tree,
    /// Inodes and their contents; counted in leaves.
    Items,
    /// Owners of blocks that are used more than once; counted in leaves.
    SharedBlocks,
    /// Checksums of data; counted in leaves.
    Data,
    /// Links, parents and paths; counted in inodes.
    Namespace,
    /// A search for lost leaves, in a repair; counted in blocks of the data area.
    Salvage,
    /// Writing the repaired metadata; counted in leaves.
    Write,
}

/// Told how far a check is. Called from several threads at once. Stages may come again: once more
/// for the state after the log, and for each pass of a repair.
pub trait Progress: Sync {
    /// A stage begins; it has `total` steps.
    fn begin(&self, stage: Stage, total: u64);
    /// `steps` more steps of the current stage are done.
    fn advance(&self, steps: u64);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: u64) {}
}
