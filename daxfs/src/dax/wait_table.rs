//! Where threads sleep for an entry: hashed wait queues, as in Linux's `fs/dax.c`.
//!
//! # Why
//! An entry has no room for a queue, so all entries of all files share a table of queues, chosen by
//! hashing the address of the entry's word. A sleeper names the word that it waits for, and is
//! woken for that one only. Who wants the entry for himself is woken alone, the longest waiting
//! first, so that an unlock does not send a herd after an entry that one of them can have; who
//! would share it is woken with all others who would; and a removal wakes everybody, because what
//! they waited for is gone.
//!
//! # No wake-up is lost
//! ```text
//!   sleeper                              unlocker
//!   sleepers += 1        (SeqCst)        word = unlocked     (SeqCst)
//!   word held?           (SeqCst)        sleepers != 0?      (SeqCst)
//!     sleep in a bed                       lock the mutex, wake
//! ```
//! 1. Of the two loads at least one sees the other side's store, since all four are in one total
//!    order: either the sleeper sees the entry free and does not sleep, or the unlocker sees a
//!    sleeper and takes the mutex. The sleeper holds the mutex from before its look until its
//!    condition releases it, so the wake-up cannot fall between the look and the sleep.
//! 2. Who is woken alone owes it: he takes the entry, and wakes the next when he lets go, or he
//!    wakes the next at once. [`Turn`] pays when it is dropped.
//! 3. A queue has a few beds. Who finds none free sleeps on the floor, and everybody on the floor
//!    wakes up at each wake-up of the queue: more than needed, never less.
//! 4. Nobody sleeps with the mutex held, nor waits for anything else with it: two entries that
//!    share a queue do not wait for each other.
//!
//! # Compared with Linux
//! | | Linux | here |
//! |---|---|---|
//! | take a free entry | the tree's spinlock (one read-modify-write of a word that the whole file shares, one store to unlock), walk, one store of the entry | walk without a lock, one compare-and-swap of the entry, one fence |
//! | give it back, nobody waits | the spinlock again, walk, one store; one load of the queue | one sequentially consistent store; one load of the queue |
//! | sleep | a node on the stack, linked under the queue's spinlock | a bed in the queue, under its mutex |
//! | wake | walk the queue, match (tree, index), wake one exclusive | walk the beds, match the word, wake one |
//! | memory of a file | two words in its tree's nodes of 576 bytes for 64 pages | 8 bytes a page of 4 KiB, or 8 for 2 MiB |
//! | memory of all | 4,096 queues, 96 KiB | 256 queues, 128 KiB |
//!
//! # Locking
//! A queue's mutex, innermost. `std`'s mutex and condition variable: page faults wait here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::entry::Entry;

const QUEUES: usize = 256;
const BEDS: usize = 8;

static TABLE: [WaitQueue; QUEUES] = [const { WaitQueue::new() }; QUEUES];

/// Threads that wait for one of the words that hash to this queue.
#[repr(align(64))]
struct WaitQueue {
    sleepers: AtomicU32,
    sleeping: Mutex<Sleeping>,
    beds: [Condvar; BEDS],
    floor: Condvar,
}

struct Sleeping {
    beds: [Option<Sleeper>; BEDS],
    on_floor: u32,
    /// Counts wake-ups, for those on the floor.
    wake_ups: u64,
    arrivals: u64,
}

#[derive(Clone, Copy)]
struct Sleeper {
    /// The address of the word.
    word: usize,
    arrival: u64,
    wants: Wants,
    is_woken: bool,
}

/// How a sleeper wants the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// For himself.
    Alone,
    /// With others.
    Shared,
}

/// Whom a wake-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The entry is free: the one that has waited longest, with all who would share it if he would.
    Next,
    /// The entry is gone: everybody who waits for it.
    All,
}

/// How often threads slept for a file's entries, and were woken.
#[derive(Debug, Default)]
pub(crate) struct WaitCounts {
    pub(crate) waits: AtomicU64,
    pub(crate) wakes: AtomicU64,
}

/// A thread's turn at one word: see Invariant 2.
pub(crate) struct Turn<'tree> {
    word: &'tree AtomicU64,
    counts: &'tree WaitCounts,
    owes: bool,
}

impl<'tree> Turn<'tree> {
    pub(crate) fn new(word: &'tree AtomicU64, counts: &'tree WaitCounts) -> Self {
        let owes = false;
        Self { word, counts, owes }
    }

    /// Sleeps until it is woken, unless the entry is not `is_held` any more. Look again afterwards.
    pub(crate) fn wait(&mut self, wants: Wants, is_held: impl Fn(Entry) -> bool) {
        let is_held = || is_held(load(self.word));
        let wake_ups = WaitQueue::of(self.word).sleep(self.word, wants, is_held);
        if wake_ups > 0 {
            self.owes = true;
            self.counts.waits.fetch_add(1, Ordering::Relaxed);
            self.counts.wakes.fetch_add(wake_ups, Ordering::Relaxed);
        }
    }

    /// The entry was taken, or removed: whoever lets go of it wakes the next.
    pub(crate) fn took(mut self) {
        self.owes = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.owes {
            wake(self.word, Wake::Next);
        }
    }
}

/// Wakes who sleeps for `word`; the caller has just stored it sequentially consistently.
pub(crate) fn wake(word: &AtomicU64, whom: Wake) {
    WaitQueue::of(word).wake(word, whom);
}

/// The entry in `word`.
pub(crate) fn load(word: &AtomicU64) -> Entry {
    // Sequentially consistent: the sleeper's side of Invariant 1.
    Entry::from_word(word.load(Ordering::SeqCst))
}

impl WaitQueue {
    const fn new() -> Self {
        Self {
            sleepers: AtomicU32::new(0),
            sleeping: Mutex::new(Sleeping {
                beds: [const { None }; BEDS],
                on_floor: 0,
                wake_ups: 0,
                arrivals: 0,
            }),
            beds: [const { Condvar::new() }; BEDS],
            floor: Condvar::new(),
        }
    }

    fn of(word: &AtomicU64) -> &'static Self {
        // Fibonacci hashing: the multiplier is 2^64 divided by the golden ratio.
        let hash = (address(word) as u64 / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &TABLE[(hash >> (u64::BITS - QUEUES.ilog2())) as usize]
    }

    fn lock(&self) -> MutexGuard<'_, Sleeping> {
        self.sleeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until a wake-up for `word`, unless it is not held; returns how often it woke up.
    fn sleep(&self, word: &AtomicU64, wants: Wants, is_held: impl Fn() -> bool) -> u64 {
        let mut sleeping = self.lock();
        // Sequentially consistent: Invariant 1.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut woken = 0;
        if is_held() {
            let bed = sleeping.take_bed(word, wants);
            let wake_ups = sleeping.wake_ups;
            sleeping.on_floor += u32::from(bed.is_none());
            while sleeping.is_asleep(bed, wake_ups) {
                let condition = bed.map_or(&self.floor, |bed| &self.beds[bed]);
                sleeping = condition
                    .wait(sleeping)
                    .unwrap_or_else(PoisonError::into_inner);
                woken += 1;
            }
            match bed {
                Some(bed) => sleeping.beds[bed] = None,
                None => sleeping.on_floor -= 1,
            }
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        woken
    }

    fn wake(&self, word: &AtomicU64, whom: Wake) {
        // Sequentially consistent: Invariant 1.
        if self.sleepers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut sleeping = self.lock();
        sleeping.wake_ups += 1;
        if sleeping.on_floor > 0 {
            self.floor.notify_all();
        }
        let first = sleeping.first(word);
        for (bed, condition) in sleeping.beds.iter_mut().zip(&self.beds) {
            let Some(sleeper) = bed.as_mut().filter(|one| one.word == address(word)) else {
                continue;
            };
            let is_meant = match whom {
                Wake::All => true,
                Wake::Next => first.is_some_and(|first| {
                    sleeper.arrival == first.arrival
                        || (first.wants, sleeper.wants) == (Wants::Shared, Wants::Shared)
                }),
            };
            if is_meant && !sleeper.is_woken {
                sleeper.is_woken = true;
                condition.notify_one();
            }
        }
    }
}

impl Sleeping {
    fn take_bed(&mut self, word: &AtomicU64, wants: Wants) -> Option<usize> {
        let bed = self.beds.iter().position(Option::is_none)?;
        self.arrivals += 1;
        self.beds[bed] = Some(Sleeper {
            word: address(word),
            arrival: self.arrivals,
            wants,
            is_woken: false,
        });
        Some(bed)
    }

    fn is_asleep(&self, bed: Option<usize>, wake_ups: u64) -> bool {
        match bed {
            Some(bed) => self.beds[bed].is_some_and(|sleeper| !sleeper.is_woken),
            None => self.wake_ups == wake_ups,
        }
    }

    /// Who has waited longest for `word` and has not been woken.
    fn first(&self, word: &AtomicU64) -> Option<Sleeper> {
        let asleep = self.beds.iter().flatten();
        asleep
            .filter(|one| one.word == address(word) && !one.is_woken)
            .min_by_key(|one| one.arrival)
            .copied()
    }
}

fn address(word: &AtomicU64) -> usize {
    std::ptr::from_ref(word).addr()
}

/// How many sleep for `word`.
#[cfg(test)]
pub(crate) fn sleepers(word: &AtomicU64) -> usize {
    let sleeping = WaitQueue::of(word).lock();
    let beds = sleeping.beds.iter().flatten();
    beds.filter(|one| one.word == address(word)).count()
}

/// Whether nobody has the mutex of the queue of `word`.
#[cfg(test)]
pub(crate) fn is_free(word: &AtomicU64) -> bool {
    WaitQueue::of(word).sleeping.try_lock().is_ok()
}
