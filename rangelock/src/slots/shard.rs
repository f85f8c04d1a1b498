//! One shard: a header and a few slots on a cache line of their own.
//!
//! Everything the protocol does to memory happens in this file; the head of `slots/mod.rs` has the
//! protocol, the invariants and the argument. Takes no lock; `close`, `blocks` and `occupy` on
//! behalf of the tree are called under its mutex.

use super::SLOTS;
use super::word::Word;
use crate::probe::{Fault, Probe};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::{AtomicU64, fence_after_announcing};
use crate::tree::Notice;

/// 128 bytes, because processors fetch cache lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    /// How many requests in the tree concern this shard. Newcomers go there too unless it is zero.
    header: AtomicU64,
    slots: [AtomicU64; SLOTS],
}

/// What became of an attempt to take a slot without the mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The range is held by way of this slot.
    Held(usize),
    /// The tree must decide.
    Refused,
    /// The tree must decide, and somebody waits for the announcement that was withdrawn.
    RefusedAndNoticed,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            header: AtomicU64::new(0),
            slots: std::array::from_fn(|_| AtomicU64::new(Word::FREE.bits())),
        }
    }

    /// Announces `word` in a free slot and keeps it if nobody objects.
    #[inline]
    pub(super) fn attempt(&self, word: Word, probe: &Probe) -> Attempt {
        // Relaxed: only spares a futile announcement; what counts is the second look.
        if self.header.load(Relaxed) != 0 {
            return Attempt::Refused;
        }
        let Some(slot) = self.occupy(word) else {
            return Attempt::Refused;
        };
        if !probe.injects(Fault::NoBarrierAfterAnnouncing) {
            fence_after_announcing();
        }
        if self.is_objected_to(word, slot, probe) {
            return match self.release(slot).is_contended() {
                true if !probe.injects(Fault::RetractsSilently) => Attempt::RefusedAndNoticed,
                _ => Attempt::Refused,
            };
        }
        Attempt::Held(slot)
    }

    /// The header first, then the other slots (Invariant 3).
    #[inline]
    fn is_objected_to(&self, word: Word, own_slot: usize, probe: &Probe) -> bool {
        if probe.injects(Fault::HeaderNotReread) {
            return self.another_slot_conflicts(word, own_slot);
        }
        if probe.injects(Fault::HeaderReadAfterSlots) {
            return self.another_slot_conflicts(word, own_slot) || self.header.load(SeqCst) != 0;
        }
        // SeqCst pairs with `close`: of an announcement and a closing, the later one sees the
        // earlier. It also acquires what `reopen` released: a tree holder that has left, or a word
        // that the tree put into a slot.
        self.header.load(SeqCst) != 0 || self.another_slot_conflicts(word, own_slot)
    }

    #[inline]
    fn another_slot_conflicts(&self, word: Word, own_slot: usize) -> bool {
        // SeqCst pairs with `occupy` in another thread: of two announcements the later one sees the
        // earlier. It also acquires what the last user of the slot released.
        self.slots.iter().enumerate().any(|(slot, other)| {
            slot != own_slot && word.conflicts_with(Word::from_bits(other.load(SeqCst)))
        })
    }

    /// Puts `word` into a free slot, if there is one.
    #[inline]
    pub(super) fn occupy(&self, word: Word) -> Option<usize> {
        self.slots.iter().position(|slot| {
            let free = Word::FREE.bits();
            // SeqCst pairs with the loads of `another_slot_conflicts` and `blocks`; it also
            // acquires what the last user of the slot released, and keeps up the release sequence
            // for those who read this word instead of the zero.
            (cfg!(loom) || slot.load(Relaxed) == free)
                && slot
                    .compare_exchange(free, word.bits(), SeqCst, Relaxed)
                    .is_ok()
        })
    }

    /// Frees a slot and returns what stood in it.
    #[inline]
    pub(super) fn release(&self, slot: usize) -> Word {
        // A swap, so that no notice is missed: a waiter's mark comes before it in the word's
        // history and is returned, or fails. Release pairs with the loads that find the slot free:
        // without it the next holder could miss this one's work. Acquire pairs with the mark: what
        // comes next is the tree's mutex, and it must be taken after the waiter took it.
        Word::from_bits(self.slots[slot].swap(Word::FREE.bits(), AcqRel))
    }

    /// What stands in a slot that the caller holds.
    pub(super) fn word(&self, slot: usize) -> Word {
        // Relaxed: the caller's own word, in which others may set the mark and nothing else.
        Word::from_bits(self.slots[slot].load(Relaxed))
    }

    /// Sends newcomers to the tree. Under the tree's mutex.
    #[inline]
    pub(super) fn close(&self) {
        // SeqCst pairs with the header load of `is_objected_to`.
        self.header.fetch_add(1, SeqCst);
        fence_after_announcing();
    }

    /// Ends one `close`.
    #[inline]
    pub(super) fn reopen(&self) {
        // Release pairs with the header load of `is_objected_to`: without it a newcomer could miss
        // the work of the tree holder that leaves, or the slot that the tree has just filled.
        self.header.fetch_sub(1, Release);
    }

    /// Whether some slot's word `conflicts`, after `close` and under the tree's mutex. With
    /// [`Notice::Leave`] the first one found is marked: whoever waits for several of them looks
    /// again when that one has left.
    pub(super) fn blocks(
        &self,
        conflicts: impl Fn(Word) -> bool,
        notice: Notice,
        probe: &Probe,
    ) -> bool {
        self.slots.iter().any(|slot| {
            // SeqCst pairs with `occupy`; it also acquires what the last user of the slot released.
            let mut seen = Word::from_bits(slot.load(SeqCst));
            while !seen.is_free() && conflicts(seen) {
                if notice == Notice::None
                    || seen.is_contended()
                    || probe.injects(Fault::WaiterMarksNobody)
                {
                    return true;
                }
                // Release pairs with the swap of `release`: the mutex is held here, and whoever
                // finds the mark must take it afterwards. Acquire on failure: the slot may have
                // been freed.
                let marked = seen.contended().bits();
                match slot.compare_exchange(seen.bits(), marked, Release, Acquire) {
                    Ok(_) => return true,
                    Err(now) => seen = Word::from_bits(now),
                }
            }
            false
        })
    }

    /// How many slots are taken, as of now.
    pub(super) fn taken(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| !Word::from_bits(slot.load(Relaxed)).is_free())
            .count()
    }

    #[cfg(test)]
    pub(super) fn header(&self) -> u64 {
        self.header.load(SeqCst)
    }
}
