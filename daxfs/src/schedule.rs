//! Named points in the fault and write paths, for tests that force one interleaving.
//!
//! A race that needs two threads to meet within a hundred nanoseconds cannot be tested by luck. A
//! [`Schedule`] given at mount is told when a thread reaches each [`Point`] and may hold it there
//! until another thread has reached another. It is also how a tracer can watch what the designs
//! do. Without one, a point costs a branch, and there is none on a path that neither faults nor
//! allocates nor compares checksums.
//!
//! Touches nothing and takes no locks. A schedule is called with the design's locks held: it must
//! not use the filesystem, and a page fault calls it from a signal handler.

/// Where in a fault or a write a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// A fault knows what the file has at its page, and has not yet entered it anywhere.
    FaultLookedUp,
    /// A fault of the design `entry` has its entry locked.
    EntryLocked,
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
    /// A read knows the checksum of a block, and has not looked at the block yet.
    ChecksumSeen,
    /// A file whose last handle has gone is about to be summed up, from this page on.
    SummingUp,
    /// The thread is about to wait for a lock of the mapping design that another thread holds.
    LockWait,
}

/// A mistake that others have made, which a test can ask for in order to see that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mistake {
    /// An invalidation passes by the entries that somebody holds, instead of waiting for them
    /// (claim C3 of the thread of 2017).
    InvalidationSkipsLocked,
    /// A write fault puts its block where another has put one since it looked (Linux before commit
    /// 843172978bb9, 2015).
    WriteFaultReplaces,
    /// A fault on a hole maps 2 MiB of zeroes over what 4 KiB entries have mapped (Linux before
    /// commit de14b9cb5e02, 2015, and again in 2018).
    LargeOverSmall,
    /// A 2 MiB entry of a hole gives way to a 4 KiB block and stays mapped (Linux before commit
    /// cd656375f946, 2017).
    BreakUpLeavesMapped,
    /// The blocks of a truncated or punched range go before their translations do.
    RemovalLeavesMapped,
    /// A fault of the design `entry` locks its entry and then begins its transaction (ext4 before
    /// commit fb26a1cbed8c, 2017): when the log is full, it holds what others inside transactions
    /// wait for, and waits for them to come to an end. Claim C10 of the thread.
    EntryBeforeTransaction,
    /// Blocks change in place and the medium keeps their checksums: after a crash files that are
    /// right would be taken for damaged.
    ChecksumsStay,
}

/// Told of each [`Point`] that a thread reaches.
pub trait Schedule: Send + Sync {
    /// The calling thread is at `point`, about the file's page `page` (its first, for a range).
    /// Returning lets it go on.
    fn reached(&self, point: Point, page: u64);

    /// Whether the filesystem is to make a mistake. It corrupts files: for tests of tests alone.
    fn makes(&self, mistake: Mistake) -> bool {
        let _ = mistake;
        false
    }
}
