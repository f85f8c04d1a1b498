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
//! | memory of all | 4,096 queues, 96 KiB | 256 queues, 80 KiB |
//!
//! # Locking
//! A queue's mutex, innermost. `std`'s mutex and condition variable: page faults wait here.

use super::entry::Entry;
use crate::sync::{
    AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError, Tally, array_of,
    const_unless_modelled, fence_between_sequentially_consistent, static_table,
};

/// Models have one: see [`crate::sync`]. Addresses, which choose among more, differ between runs.
const QUEUES: usize = if cfg!(loom) { 1 } else { 256 };
const BEDS: usize = if cfg!(loom) { 2 } else { 8 };

static_table! {
    static TABLE: [WaitQueue; QUEUES] = array_of![WaitQueue::new(); QUEUES];
}

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
    pub(crate) waits: Tally,
    pub(crate) wakes: Tally,
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
    const_unless_modelled! {
        const fn new() -> Self {
            Self {
                sleepers: AtomicU32::new(0),
                sleeping: Mutex::new(Sleeping {
                    beds: [const { None }; BEDS],
                    on_floor: 0,
                    wake_ups: 0,
                    arrivals: 0,
                }),
                beds: array_of![Condvar::new(); BEDS],
                floor: Condvar::new(),
            }
        }
    }

    fn of(word: &AtomicU64) -> &'static Self {
        // Fibonacci hashing: the multiplier is 2^64 divided by the golden ratio.
        let hash = (address(word) as u64 / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // With one queue there is no bit to choose by.
        let queue = hash.checked_shr(u64::BITS - QUEUES.ilog2()).unwrap_or(0);
        &TABLE[queue as usize]
    }

    fn lock(&self) -> MutexGuard<'_, Sleeping> {
        self.sleeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until a wake-up for `word`, unless it is not held; returns how often it woke up.
    fn sleep(&self, word: &AtomicU64, wants: Wants, is_held: impl Fn() -> bool) -> u64 {
        let mut sleeping = self.lock();
        // Sequentially consistent: Invariant 1.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        fence_between_sequentially_consistent();
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
        fence_between_sequentially_consistent();
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

/// Held by each test that sleeps: beds are few, and a queue may be another word's too.
#[cfg(all(test, not(loom)))]
pub(crate) fn undisturbed() -> MutexGuard<'static, ()> {
    static TESTS: Mutex<()> = Mutex::new(());
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many sleep for `word` and have not been woken.
#[cfg(all(test, not(loom)))]
pub(crate) fn sleepers(word: &AtomicU64) -> usize {
    let sleeping = WaitQueue::of(word).lock();
    let beds = sleeping.beds.iter().flatten();
    beds.filter(|one| one.word == address(word) && !one.is_woken)
        .count()
}

/// Whether nobody has the mutex of the queue of `word`.
#[cfg(all(test, not(loom)))]
pub(crate) fn is_free(word: &AtomicU64) -> bool {
    WaitQueue::of(word).sleeping.try_lock().is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::{Barrier, mpsc};

    /// Sleepers who want it as said; one wake-up for `whom`; how many it woke. None of them passes
    /// it on before that is counted.
    fn woken_by(whom: Wake, wants: &[Wants]) -> usize {
        let (word, counts) = (AtomicU64::new(1), WaitCounts::default());
        let (woken, is_woken) = mpsc::channel();
        let counted = Barrier::new(wants.len() + 1);
        std::thread::scope(|scope| {
            for (number, &wants) in wants.iter().enumerate() {
                let (word, counts, counted, woken) = (&word, &counts, &counted, woken.clone());
                scope.spawn(move || {
                    let mut turn = Turn::new(word, counts);
                    turn.wait(wants, Entry::is_locked);
                    woken.send(()).unwrap();
                    counted.wait();
                });
                while sleepers(word) <= number {
                    std::thread::yield_now();
                }
            }
            wake(&word, whom);
            let asleep = sleepers(&word);
            for _ in asleep..wants.len() {
                is_woken.recv().unwrap();
            }
            assert!(is_woken.try_recv().is_err(), "more than were meant");
            wake(&word, Wake::All);
            counted.wait();
            wants.len() - asleep
        })
    }

    #[test]
    fn the_next_is_one_who_wants_it_alone_or_all_who_share_it() {
        let _alone = undisturbed();
        use {Wants::Alone, Wants::Shared};
        assert_eq!(woken_by(Wake::Next, &[Alone, Alone, Alone]), 1);
        assert_eq!(woken_by(Wake::Next, &[Alone, Shared, Shared]), 1);
        assert_eq!(woken_by(Wake::Next, &[Shared, Alone, Shared, Shared]), 3);
    }

    /// Linux's missed wake-up of 2019 in small: a removal that woke the next only would leave the
    /// others asleep for an entry that is gone.
    #[test]
    fn a_removal_wakes_everybody() {
        let _alone = undisturbed();
        use {Wants::Alone, Wants::Shared};
        assert_eq!(woken_by(Wake::All, &[Alone, Alone, Shared, Alone]), 4);
    }

    /// Who is woken and does not take the entry wakes the next.
    #[test]
    fn a_turn_that_is_not_taken_is_passed_on() {
        let _alone = undisturbed();
        let (word, counts) = (AtomicU64::new(1), WaitCounts::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| Turn::new(&word, &counts).wait(Wants::Alone, Entry::is_locked));
            }
            while sleepers(&word) < 4 {
                std::thread::yield_now();
            }
            wake(&word, Wake::Next);
        });
        assert_eq!(counts.waits.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn there_is_room_on_the_floor() {
        let _alone = undisturbed();
        let (word, counts) = (AtomicU64::new(1), WaitCounts::default());
        std::thread::scope(|scope| {
            for _ in 0..3 * BEDS {
                scope.spawn(|| Turn::new(&word, &counts).wait(Wants::Alone, Entry::is_locked));
            }
            let everybody = 3 * BEDS as u32;
            while WaitQueue::of(&word).sleepers.load(Ordering::SeqCst) < everybody {
                std::thread::yield_now();
            }
            drop(WaitQueue::of(&word).lock());
            wake(&word, Wake::All);
        });
    }

    #[test]
    fn the_table_takes_as_much_as_is_said() {
        assert!(size_of_val(&TABLE) <= 80 << 10);
    }
}
