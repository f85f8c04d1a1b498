//! From one shard to another: holders who stay where they are, and those who stand in for them.
//!
//! Everything here is done under the tree's mutex. Takes no lock.

#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;

use super::{Held, RETIRED, Shard};
use crate::slots::word::Word;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::{AtomicU64, fence_after_announcing};

impl Shard {
    // ---- The shard that is left -----------------------------------------------------------------

    /// Sends newcomers elsewhere until it is reinstated, and hands what is held here to `move_out`:
    /// its holders are told when they leave.
    pub(in crate::slots) fn retire(&self, mut move_out: impl FnMut(Held)) {
        // SeqCst as in `close`.
        self.nodes.fetch_or(RETIRED, SeqCst);
        fence_after_announcing();
        self.crowd();
        fence_after_announcing();
        match move_word(&self.head) {
            Some(word) => move_out(Held::InHead(word)),
            // Nobody holds it, nor will: it is crowded, and whoever tries to change that finds
            // `RETIRED`. If somebody is at it just now, he takes his own bit away in the end, and
            // what stays is `LEFT`; the shard is not deserted before that. Relaxed: no data is
            // handed over.
            None => {
                self.head.fetch_or(Word::LEFT.bits(), Relaxed);
            }
        }
        for slot in &self.slots {
            // A stand-in is at home elsewhere: nothing of it stays, or the level is never deserted.
            let word = Word::from_bits(slot.load(SeqCst));
            if word.is_stand_in() {
                slot.swap(Word::FREE.bits(), AcqRel);
                move_out(Held::InSlot(word.unflagged()));
            } else if let Some(word) = move_word(slot) {
                move_out(Held::InSlot(word));
            }
        }
    }

    /// Whether nobody is left here of those who were moved out of this retired shard.
    pub(in crate::slots) fn is_deserted(&self) -> bool {
        // Acquire pairs with the RMW by which those who were here left. That somebody announces
        // himself after this look does no harm: he has yet to look at the count of nodes.
        self.head.load(Acquire) == Word::LEFT.bits()
            && self.slots.iter().all(|slot| slot.load(Acquire) == 0)
    }

    /// Forgets what this deserted shard was left with; it still takes nobody in.
    pub(in crate::slots) fn clear(&self) {
        // Relaxed: only the mutex changes the count, and it was not zero before nor is it now.
        self.nodes.store(RETIRED, Relaxed);
        // An RMW, as at the end of `uncrowd`.
        self.head.swap(Word::FLAGGED.bits(), AcqRel);
        self.forget_mood();
    }

    /// Takes newcomers in again.
    pub(in crate::slots) fn reinstate(&self) {
        // Release pairs with the looks at the nodes, as in `reopen`: who finds this shard open sees
        // the stand-ins that were put here before.
        self.nodes.fetch_and(!RETIRED, Release);
    }

    // ---- The shard that takes over --------------------------------------------------------------

    /// Puts a word into a free slot for somebody who is at home in a former level.
    pub(in crate::slots) fn stand_in(&self, word: Word) -> bool {
        self.put(word.standing_in()).is_some()
    }

    /// Takes away one stand-in for `word`. All that say the same are alike.
    pub(in crate::slots) fn dismiss(&self, word: Word) -> bool {
        let wanted = word.standing_in();
        self.slots.iter().any(|slot| {
            // Relaxed: stand-ins come and go under the mutex. A waiter's mark makes no difference:
            // who leaves by way of a stand-in has all waiters reconsidered.
            let found = Word::from_bits(slot.load(Relaxed)).unflagged() == wanted;
            if found {
                // Release pairs with the loads that find the slot free, as in `Place::release`.
                slot.swap(Word::FREE.bits(), AcqRel);
            }
            found
        })
    }
}

/// Takes the word of a retired shard away from its holder, so to speak, and returns it.
fn move_word(place: &AtomicU64) -> Option<Word> {
    // SeqCst pairs with `settle`: whoever announced himself before the count of nodes was raised is
    // seen; who does so now will withdraw, and need not be told.
    let mut seen = Word::from_bits(place.load(SeqCst));
    while seen.is_held() {
        // Release pairs with the RMW by which the holder leaves: the mutex is held here, and he
        // must take it afterwards.
        match place.compare_exchange(seen.bits(), seen.moved().bits(), Release, Relaxed) {
            Ok(_) => return Some(seen.unflagged()),
            Err(now) => seen = Word::from_bits(now),
        }
    }
    None
}
