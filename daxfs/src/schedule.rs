//! Named points in the fault and write paths, for tests that force one interleaving.
//!
//! A race that needs two threads to meet within a hundred nanoseconds cannot be tested by luck. A
//! [`Schedule`] given at mount is told when a thread reaches each [`Point`] and may hold it there
//! until another thread has reached another. It is also how a tracer can watch what the designs
//! do. Without one, a point costs a branch, and there is none on a path that neither faults nor
//! allocates.
//!
//! Touches nothing and takes no locks. A schedule is called with the design's locks held: it must
//! not use the filesystem, and a page fault calls it from a signal handler.

/// Where in a fault or a write a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// A fault knows what the file has at its page, and has not yet entered it anywhere.
    FaultLookedUp,
    /// A fault has entered the mapping entry and the page table entry.
    FaultInstalled,
    /// A write has filled a new block that nobody else can see yet.
    WriteBeforePublish,
    /// A write has put its new block into the block map, and invalidated nothing yet.
    WritePublished,
    /// A write, truncate or punch has removed the mapping entries of its range, and has their
    /// translations still to unmap.
    EntriesRemoved,
    /// A write, truncate or punch has invalidated the mapping entries and page tables of its
    /// range.
    Invalidated,
    /// The thread is about to wait for a lock of the mapping design that another thread holds.
    LockWait,
}

/// Told of each [`Point`] that a thread reaches.
pub trait Schedule: Send + Sync {
    /// The calling thread is at `point`, about the file's page `page` (its first, for a range).
    /// Returning lets it go on.
    fn reached(&self, point: Point, page: u64);
}
