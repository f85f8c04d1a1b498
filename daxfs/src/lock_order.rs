//! Checks, in debug builds, that locks are taken in one order.
//!
//! # Why
//! A deadlock needs two threads that meet in the wrong moment; the order that makes it possible is
//! there in every run of either. So each thread notes which ranks it holds, and taking a rank that
//! comes before one of them is a panic that names both places, in the first test that goes that
//! way. In 2017 Linux's DAX code took an entry lock and then started a transaction where a write
//! does the opposite (commit fb26a1cbed8c turned it round): claim C10 of the thread.
//!
//! # The order
//! ```text
//!   FileLock -> Moves -> Directory -> Append -> IoRange -> Sharing -> MappingRange -> Checkpoint
//!     -> Gate -> Entry
//! ```
//! Several of one rank may be held where the rank has an order of its own: directories ancestors
//! first, I/O ranges by inode number and offset. Latches (allocator, block maps, inode table,
//! names, windows, the log's) come after all of them, are held for a few instructions, and are not
//! noted: nothing is taken inside one but another latch.
//!
//! # Cost
//! Nothing in release builds, nor in models, whose threads share one thread of the system. In debug
//! builds a push to and a pop from an array of the thread, which neither allocates nor needs to be
//! made: page faults take locks from a signal handler.
//!
//! Touches a thread-local array. Takes no locks.

/// What a lock is for, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A program's lock on bytes of a file. No thread holds it: one only waits for it.
    FileLock,
    /// Moves of names between directories.
    Moves,
    /// A directory's operation lock.
    Directory,
    /// A file's append mutex.
    Append,
    /// Bytes of a file, for reads and writes.
    IoRange,
    /// Which blocks of a file are marked as shared.
    Sharing,
    /// Pages of a file, between faults and changes of the block map.
    MappingRange,
    /// The one checkpoint at a time.
    Checkpoint,
    /// Inside a transaction, its log space reserved.
    Gate,
    /// A mapping entry.
    Entry,
}

#[cfg(all(debug_assertions, not(loom)))]
mod checked {
    use std::cell::Cell;
    use std::panic::Location;

    use super::Rank;

    /// More than any operation holds at once.
    const MOST_HELD: usize = 16;

    type Note = Option<(Rank, &'static Location<'static>)>;

    thread_local! {
        /// Free of destructors, so that it needs no registration: a signal handler may use it.
        static HELD: Cell<[Note; MOST_HELD]> = const { Cell::new([None; MOST_HELD]) };
    }

    /// A lock of this rank is held until this is dropped.
    #[must_use = "the rank counts as held until this is dropped"]
    pub(crate) struct Held {
        slot: Option<usize>,
        /// It belongs to the thread that made it.
        _not_send: std::marker::PhantomData<*const ()>,
    }

    impl Held {
        /// Notes that a lock of `rank` is about to be taken.
        ///
        /// # Panics
        /// When the thread holds one that comes after it: the message names both places.
        #[track_caller]
        pub(crate) fn take(rank: Rank) -> Self {
            let mut held = HELD.get();
            let here = Location::caller();
            if let Some((later, place)) = held.iter().flatten().find(|(other, _)| *other > rank) {
                panic!(
                    "lock order: {rank:?} is taken at {here} while {later:?}, taken at {place}, is \
                     held; take {rank:?} first"
                );
            }
            let slot = held.iter().position(Option::is_none);
            if let Some(slot) = slot {
                held[slot] = Some((rank, here));
                HELD.set(held);
            }
            Self {
                slot,
                _not_send: std::marker::PhantomData,
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(slot) = self.slot {
                let mut held = HELD.get();
                held[slot] = None;
                HELD.set(held);
            }
        }
    }
}

#[cfg(not(all(debug_assertions, not(loom))))]
mod unchecked {
    use super::Rank;

    /// A lock of this rank is held until this is dropped.
    #[must_use = "the rank counts as held until this is dropped"]
    pub(crate) struct Held;

    impl Held {
        /// Notes nothing.
        #[inline(always)]
        pub(crate) fn take(_rank: Rank) -> Self {
            Self
        }
    }
}

/// Checks that a lock of `rank` may be waited for here, where the thread itself will not hold it.
///
/// # Panics
/// As [`Held::take`].
#[track_caller]
pub(crate) fn check(rank: Rank) {
    let _checked = Held::take(rank);
}

#[cfg(all(debug_assertions, not(loom)))]
pub(crate) use checked::Held;
#[cfg(not(all(debug_assertions, not(loom))))]
pub(crate) use unchecked::Held;

#[cfg(all(test, debug_assertions, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_right_order_passes_and_forgets_what_was_let_go() {
        let gate = Held::take(Rank::Gate);
        let entry = Held::take(Rank::Entry);
        drop(gate);
        drop(entry);
        let _first = Held::take(Rank::Directory);
        let _second = Held::take(Rank::Directory);
        let _third = Held::take(Rank::IoRange);
    }

    #[test]
    fn the_wrong_order_names_both_places() {
        let outcome = std::panic::catch_unwind(|| {
            let _entry = Held::take(Rank::Entry);
            let _gate = Held::take(Rank::Gate);
        });
        let message = *outcome.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("Gate is taken at"), "{message}");
        assert!(message.contains("Entry, taken at"), "{message}");
        assert_eq!(message.matches("lock_order.rs").count(), 2, "{message}");
        // The panic has let go of what was held.
        let _moves = Held::take(Rank::Moves);
    }

    #[test]
    fn each_thread_has_its_own() {
        let _entry = Held::take(Rank::Entry);
        std::thread::spawn(|| drop(Held::take(Rank::Moves)))
            .join()
            .unwrap();
    }
}
