//! What a thread does with a lock, over and over; a unit of it is called a pair, for one lock and
//! one unlock.
//!
//! | Module | Which ranges |
//! |---|---|
//! | [`alone`](Beside) | one page, beside ranges that are held; or the whole |
//! | [`apart`](Apart) | one page, while other threads use others |
//! | [`ring`](Ring) | many held by each thread, the oldest given back for a new one |
//! | [`contended`](Contended) | the same page for all, writers only |
//! | [`hot`](Hot) | the same page for all, readers and now and then a writer |
//!
//! Takes the locks measured.

mod alone;
mod apart;
mod contended;
mod hot;
mod inside;
mod ring;

pub use self::alone::{Beside, ReadAlone, Whole};
pub use self::apart::{Apart, NoLock, PrivateMutexes};
pub use self::contended::Contended;
pub use self::hot::Hot;
pub use self::inside::{CopyPage, Inside, Nothing};
pub use self::ring::{Layout, Ring};

/// The size of a page, and of most ranges.
pub const PAGE_BYTES: u64 = 4096;

/// Does so many pairs.
pub type Pairs<'workload> = Box<dyn FnMut(u64) + 'workload>;

/// A lock, and what threads do with it.
pub trait Workload: Sync {
    /// The name of the lock.
    fn name(&self) -> &'static str;

    /// Gets one thread ready: `thread` counts from 0.
    fn start(&self, thread: usize) -> Pairs<'_>;

    /// To be called when all threads are done.
    ///
    /// # Panics
    ///
    /// If the lock is still held, or excluded too little.
    fn check(&self);
}

impl<W: Workload> Workload for &W {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn start(&self, thread: usize) -> Pairs<'_> {
        (**self).start(thread)
    }

    fn check(&self) {
        (**self).check();
    }
}
