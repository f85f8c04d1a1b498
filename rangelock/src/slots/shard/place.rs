//! What a holder knows of where it is held, and what it does there: release, and change.
//!
//! Everything here is done by the holder, without the mutex. Takes no lock.

use std::num::NonZeroU64;
use std::ptr::NonNull;

use super::{Held, SHUT, Shard};
use crate::slots::word::Word;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use crate::sync::{AtomicU64, fence_after_announcing};

/// Where a request that went past the tree is held, and as what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(super) at: NonNull<AtomicU64>,
    /// The bits of the word as it was put there, flagged if that is a slot. `FLAG` in memory is
    /// others' to set. Never zero, so that a holding of either kind takes two words.
    pub(super) bits: NonZeroU64,
}

/// What is left to do after a word has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Nothing: nobody waits for it.
    Unnoticed,
    /// The tree must reconsider those who may wait for its range.
    Noticed,
    /// Somebody stands in for it elsewhere, who must leave too.
    Moved,
}

impl Place {
    /// Where, and what: for whoever wants to keep them otherwise.
    #[inline]
    pub(crate) fn into_parts(self) -> (NonNull<()>, NonZeroU64) {
        (self.at.cast(), self.bits)
    }

    /// The inverse of `into_parts`.
    #[inline]
    pub(crate) fn from_parts(at: NonNull<()>, bits: NonZeroU64) -> Self {
        Self {
            at: at.cast(),
            bits,
        }
    }

    #[inline]
    fn is_slot(self) -> bool {
        self.word().is_flagged()
    }

    #[inline]
    pub(in crate::slots) fn word(self) -> Word {
        Word::from_bits(self.bits.get())
    }

    pub(in crate::slots) fn held(self) -> Held {
        match self.is_slot() {
            true => Held::InSlot(self.word()),
            false => Held::InHead(self.word()),
        }
    }

    /// Gives back what is held here.
    ///
    /// # Safety
    ///
    /// The caller holds it, and its table lives.
    #[inline]
    pub(in crate::slots) unsafe fn release(self) -> Departure {
        if self.is_slot() {
            // A swap, so that no notice is missed: a waiter's mark comes before it in the word's
            // history and is returned, or fails. Release pairs with the loads that find the slot
            // free: without it the next holder could miss this one's work. Acquire pairs with the
            // mark: what comes next is the tree's mutex, and it must be taken after the waiter took
            // it.
            // SAFETY: the caller promises that the table lives.
            let left = unsafe { self.at.as_ref() }.swap(Word::FREE.bits(), AcqRel);
            return departure_from_slot(Word::from_bits(left));
        }
        // A subtraction takes away exactly what was put there and leaves a flag that somebody set.
        // Release pairs with the Acquire of `try_alone` and the head loads: without it the next
        // holder could miss this one's work. SeqCst pairs with `close`, see `after_crowding`.
        // SAFETY: the caller promises that the table lives.
        let left = unsafe { self.at.as_ref() }.fetch_sub(self.bits.get(), SeqCst);
        if left == self.bits.get() {
            return Departure::Unnoticed;
        }
        // SAFETY: passed on.
        unsafe { self.after_crowding(Word::from_bits(left)) }
    }

    /// Puts `word` in the place of the holder's own, of which it covers a part. Says what is left
    /// to do about the difference; if it was `Moved`, nothing has changed.
    ///
    /// # Safety
    ///
    /// As for `release`.
    pub(in crate::slots) unsafe fn replace(&mut self, word: Word) -> Departure {
        let difference = self.word().unflagged().bits() ^ word.bits();
        // One RMW that keeps a flag others set. The orderings are those of `release`: the part
        // given up is given up in it.
        // SAFETY: the caller promises that the table lives.
        let before = Word::from_bits(unsafe { self.at.as_ref() }.fetch_xor(difference, SeqCst));
        let departure = match self.is_slot() {
            true => departure_from_slot(before),
            false if !before.is_flagged() => Departure::Unnoticed,
            // SAFETY: passed on.
            false => unsafe { self.after_crowding(before) },
        };
        if departure == Departure::Moved {
            // SAFETY: as above.
            unsafe { self.at.as_ref() }.fetch_xor(difference, SeqCst);
        } else {
            self.bits = match self.is_slot() {
                true => word.flagged().held_bits(),
                false => word.held_bits(),
            };
        }
        departure
    }

    /// Turns a reader that is alone in its shard into a writer. Says whether it did; if not,
    /// nothing has changed.
    ///
    /// # Safety
    ///
    /// As for `release`.
    pub(in crate::slots) unsafe fn try_upgrade_alone(&mut self) -> bool {
        if self.is_slot() {
            return false;
        }
        let writing = self.word().writing();
        // Whoever comes crowds the head first. Before this step that makes it fail; after it, he
        // finds a writer there. Acquire as in `try_alone`.
        // SAFETY: the caller promises that the table lives.
        let upgraded = unsafe { self.at.as_ref() }
            .compare_exchange(self.bits.get(), writing.bits(), Acquire, Relaxed)
            .is_ok();
        if upgraded {
            self.bits = writing.held_bits();
        }
        upgraded
    }

    /// Whether the tree must hear that a lone holder left a crowded shard.
    ///
    /// # Safety
    ///
    /// As for `release`; this is no slot.
    #[cold]
    unsafe fn after_crowding(self, left: Word) -> Departure {
        if !left.is_held() {
            return Departure::Moved;
        }
        fence_after_announcing();
        // SAFETY: the pointer was made from a shard, whose first field is the head, and the caller
        // promises that the table lives.
        let shard = unsafe { self.at.cast::<Shard>().as_ref() };
        // SeqCst pairs with `close`: if a waiter saw the word before it left, then the waiter had
        // raised the count before that, and it is seen here.
        match shard.nodes.load(SeqCst) & SHUT {
            0 => Departure::Unnoticed,
            _ => Departure::Noticed,
        }
    }
}

#[inline]
fn departure_from_slot(left: Word) -> Departure {
    match (left.is_held(), left.is_flagged()) {
        (true, false) => Departure::Unnoticed,
        (true, true) => Departure::Noticed,
        (false, _) => Departure::Moved,
    }
}
