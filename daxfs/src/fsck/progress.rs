//! How far a check is, for those who wait for it.

/// A part of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Inodes and their contents; counted in blocks of the inode table.
    Inodes,
    /// The same again, to find all owners of blocks that are used twice.
    SharedBlocks,
    /// Links, parents and paths; counted in inodes.
    Namespace,
}

/// Told how far a check is. Called from several threads at once.
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
