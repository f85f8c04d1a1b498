//! How often a level took turns with others: whether it is time that readers go apart, or together
//! again.
//!
//! In a level whose readers are apart a write visits a group of shards, under the tree's mutex. So
//! after some writes the lock leaves it; and the more often it has, the more often must readers
//! have met before it comes back. The counts stand in the level, and not in the line that all
//! requests read. All of them are hints. Takes no lock.

use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;

/// After so many writes readers go together again. Models do that when they want to.
const WRITES: u32 = if cfg!(loom) { u32::MAX } else { 8 };
/// More doublings than that are never waited for.
const MOST_DOUBLINGS: u32 = 20;

#[derive(Debug)]
pub(super) struct Turns {
    /// Writes since readers went apart here.
    writes: AtomicU32,
    /// How often readers that met have wished for this level since it was left.
    wishes: AtomicU32,
    /// How often it was left.
    left: AtomicU32,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            writes: AtomicU32::new(0),
            wishes: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }
    }

    /// Counts a write. Says whether there were so many that the level should be left.
    pub(super) fn note_write(&self) -> bool {
        // Each count is seen by one thread alone, so that exactly one finds the last.
        let writes = self.writes.fetch_add(1, Relaxed) + 1;
        let is_due = writes == WRITES;
        if is_due {
            self.writes.store(0, Relaxed);
        }
        is_due
    }

    /// It was left.
    pub(super) fn note_left(&self) {
        self.left.fetch_add(1, Relaxed);
    }

    /// Counts that readers met elsewhere. Says whether they did so often that they may come back.
    pub(super) fn note_wish(&self) -> bool {
        let doublings = self.left.load(Relaxed).min(MOST_DOUBLINGS);
        let wishes = self.wishes.fetch_add(1, Relaxed) + 1;
        let is_due = wishes >= 1 << doublings;
        if is_due {
            self.wishes.store(0, Relaxed);
        }
        is_due
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::{Turns, WRITES};

    #[test]
    fn a_level_is_left_after_some_writes_and_comes_back_ever_later() {
        let turns = Turns::new();
        for doublings in 0..8 {
            let wishes = (1..).find(|_| turns.note_wish());
            assert_eq!(wishes, Some(1 << doublings));
            let writes = (1..).find(|_| turns.note_write());
            assert_eq!(writes, Some(WRITES));
            turns.note_left();
        }
    }
}
