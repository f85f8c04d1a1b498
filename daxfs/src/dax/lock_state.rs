//! What the mapping lock of a file takes and has done, to be looked at. Plain values.

/// Memory and work of what keeps a file's mappings coherent: its mapping entries and the locks of
/// the design, as of now.
///
/// Counts are exact, but read one after the other while others may change them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockState {
    /// Memory of the entries and of the locks, in bytes. What is shared by all files (the table of
    /// wait queues of the entry locks) is not counted.
    pub bytes: u64,
    /// Memory of the lock between reads and writes of the file, in bytes.
    pub io_bytes: u64,
    /// Mapping entries: one for each page of 4 KiB, or each 2 MiB, that page tables may have, or
    /// that is cached.
    pub entries: u64,
    /// How often a thread slept for a mapping lock of the file.
    pub waits: u64,
    /// How often a thread was woken from that. Under `inode` the system does not say, and each wait
    /// counts as one.
    pub wakes: u64,
    /// How often page tables were asked to drop translations: invalidations, and zero pages that
    /// gave way to blocks.
    pub unmaps: u64,
}
