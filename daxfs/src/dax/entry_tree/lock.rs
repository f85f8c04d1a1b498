//! Taking entries, alone or shared; and entering without a lock.
//!
//! # Small entries and the whole
//! A locker of a small word has seen that the segment is divided, and must still see it with the
//! word locked: somebody may have removed everything and made the segment whole in between. It
//! locks the word, then looks at the word of the whole; an undivider
//! ([`removal`](super::removal)) locks the word of the whole, then looks at the small ones. With
//! the fence between on both sides, at least one sees the other: the locker lets go and begins
//! again, or the undivider leaves the segment divided.

use super::segment::Segment;
use super::{EntryTree, SEGMENT_PAGES};
use crate::dax::entry::{DIRTY_BIT, Entry, ONE_READER, Size};
use crate::dax::wait_table::{Turn, Wake, Wants, load, wake};
use crate::lock_order::{Held, Rank};
use crate::sync::{AtomicU64, Ordering, fence, yield_now};

/// An entry whose lock the holder has. Dropping it unlocks the entry with its old value.
pub(crate) struct LockedEntry<'tree> {
    pub(super) segment: &'tree Segment,
    word: &'tree AtomicU64,
    value: Entry,
    size: Size,
    _rank: Held,
}

/// An entry that its holder shares with others: it has a value, and keeps it, but for its
/// dirtiness. Dropping it lets go.
pub(crate) struct SharedEntry<'tree> {
    word: &'tree AtomicU64,
    value: Entry,
}

/// Why an entry cannot be had. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A large one is wanted, and small ones are there.
    Divided,
    /// A small one is wanted, and a large one is there that says something else.
    LargeInTheWay,
    /// No file has that page.
    OutOfBounds,
}

impl EntryTree {
    /// Locks the entry of `page`, made if there is none; calls `before_wait` before each wait. A
    /// large entry with blocks stands for the small ones of its pages: it may be what is locked.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn lock(
        &self,
        page: u64,
        size: Size,
        before_wait: impl FnMut(),
    ) -> Result<LockedEntry<'_>, Refused> {
        let segment = self.segment(page)?;
        match size {
            Size::Large => self.lock_large(segment, before_wait),
            Size::Small => self.lock_small(segment, page, before_wait),
        }
    }

    fn lock_large<'tree>(
        &'tree self,
        segment: &'tree Segment,
        mut before_wait: impl FnMut(),
    ) -> Result<LockedEntry<'tree>, Refused> {
        let mut turn = Turn::new(&segment.whole, &self.counts);
        loop {
            let value = load(&segment.whole);
            if value.is_divided() {
                return Err(Refused::Divided);
            }
            if !value.is_free() {
                before_wait();
                turn.wait(Wants::Alone, is_held);
            } else if let Some(locked) = try_lock(segment, &segment.whole, value, Size::Large) {
                turn.took();
                return Ok(locked);
            }
        }
    }

    fn lock_small<'tree>(
        &'tree self,
        segment: &'tree Segment,
        page: u64,
        mut before_wait: impl FnMut(),
    ) -> Result<LockedEntry<'tree>, Refused> {
        let mut turn = Turn::new(&segment.whole, &self.counts);
        loop {
            let whole = load(&segment.whole);
            if whole.is_none() {
                divide(segment);
            } else if whole.is_divided() && !whole.is_locked() {
                let locked = self.lock_word(segment, segment.page_or_new(page), &mut before_wait);
                if load(&segment.whole) == Entry::DIVIDED {
                    return Ok(locked);
                }
            } else if !whole.is_free() {
                before_wait();
                turn.wait(Wants::Alone, is_held);
            } else if whole.is_zero() {
                return Err(Refused::LargeInTheWay);
            } else if let Some(locked) = try_lock(segment, &segment.whole, whole, Size::Large) {
                turn.took();
                return Ok(locked);
            }
        }
    }

    fn lock_word<'tree>(
        &'tree self,
        segment: &'tree Segment,
        word: &'tree AtomicU64,
        before_wait: &mut impl FnMut(),
    ) -> LockedEntry<'tree> {
        let mut turn = Turn::new(word, &self.counts);
        loop {
            let value = load(word);
            if !value.is_free() {
                before_wait();
                turn.wait(Wants::Alone, is_held);
            } else if let Some(locked) = try_lock(segment, word, value, Size::Small) {
                turn.took();
                return locked;
            }
        }
    }

    /// Locks the large entry that `page` belongs to, if there is one.
    pub(crate) fn lock_if_large(
        &self,
        page: u64,
        before_wait: impl FnMut(),
    ) -> Option<LockedEntry<'_>> {
        // Pairs with the fence in `try_lock`: the caller has changed the block map.
        fence(Ordering::SeqCst);
        let segment = self.segments.get(page / SEGMENT_PAGES)?;
        let whole = load(&segment.whole);
        if whole.is_none() || whole.is_divided() {
            return None;
        }
        let locked = self.lock_large(segment, before_wait).ok()?;
        (!locked.value().is_none()).then_some(locked)
    }

    /// Holds the entry that `page` belongs to shared, if `admits` says that its value will do;
    /// waits while it is locked, calling `before_wait` before each wait.
    pub(crate) fn share(
        &self,
        page: u64,
        admits: impl Fn(Entry) -> bool,
        mut before_wait: impl FnMut(),
    ) -> Option<SharedEntry<'_>> {
        let segment = self.segments.get(page / SEGMENT_PAGES)?;
        loop {
            let whole = load(&segment.whole);
            let word = match whole.is_divided() {
                true => segment.page(page)?,
                false => &segment.whole,
            };
            let value = load(word);
            if value.is_divided() {
                continue;
            }
            if value.is_locked() {
                before_wait();
                Turn::new(word, &self.counts).wait(Wants::Shared, Entry::is_locked);
                continue;
            }
            if !admits(value) {
                return None;
            }
            let Some(shared) = value.with_reader() else {
                // As many readers as the word can count: one of them is about to leave.
                yield_now();
                continue;
            };
            // Acquire: pairs with the release in `unlock`, so that the holder sees the block that
            // the entry names as its maker initialised it.
            let counted = word.compare_exchange_weak(
                value.word(),
                shared.word(),
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if counted.is_ok() {
                // Pairs with the fence in `remove`, as the one in `try_lock` does: the holder
                // counts itself and then looks at the file's length, which a truncation has changed
                // before it looks for holders.
                fence(Ordering::SeqCst);
                return Some(SharedEntry { word, value });
            }
        }
    }

    /// Puts `entry` where `page` is and returns what was there; for designs that exclude
    /// conflicting changes by a lock of their own and never lock entries. An entry with the same
    /// blocks stays dirty if it was.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn enter(&self, page: u64, entry: Entry) -> Result<Entry, Refused> {
        let segment = self.segment(page)?;
        loop {
            let whole = load(&segment.whole);
            if whole.is_locked() {
                // Somebody breaks it up, or makes it whole, and does not wait for us.
                Turn::new(&segment.whole, &self.counts).wait(Wants::Shared, Entry::is_locked);
                continue;
            }
            let (word, before, after) = match (entry.size(), whole.is_divided()) {
                (Size::Large, true) => return Err(Refused::Divided),
                (Size::Large, false) => (&segment.whole, whole, entry.keeping_dirty(whole)),
                (Size::Small, true) => {
                    let word = segment.page_or_new(page);
                    let before = load(word);
                    (word, before, entry.keeping_dirty(before))
                }
                (Size::Small, false) if whole.is_none() => {
                    divide(segment);
                    continue;
                }
                (Size::Small, false) => (&segment.whole, whole, within(whole, page, entry)?),
            };
            // Acquire and release: whoever replaces an entry must see what its maker did before,
            // and be seen by whoever replaces it in turn (Invariant 2 across threads).
            let entered = word.compare_exchange(
                before.word(),
                after.word(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if entered.is_ok() {
                return Ok(before);
            }
        }
    }
}

impl LockedEntry<'_> {
    /// What the entry holds.
    pub(crate) fn value(&self) -> Entry {
        self.value
    }

    /// What is left in the entry when `entry` is entered for `page`: a large one with blocks stays.
    ///
    /// # Errors
    /// [`Refused::LargeInTheWay`].
    pub(crate) fn admit(&self, page: u64, entry: Entry) -> Result<Entry, Refused> {
        match (self.size, entry.size()) {
            (Size::Large, Size::Small) => within(self.value, page, entry),
            _ => Ok(entry.keeping_dirty(self.value)),
        }
    }

    /// Unlocks the entry, leaving `value` in it, and wakes who waits for it.
    pub(crate) fn unlock(mut self, value: Entry) {
        self.value = value;
    }
}

impl Drop for LockedEntry<'_> {
    fn drop(&mut self) {
        let value = self.value.unlocked();
        // Sequentially consistent: a release that pairs with the acquire in `try_lock`, and one
        // side of the store-then-load pairing with a sleeper that is described in `wait_table`.
        self.word.store(value.word(), Ordering::SeqCst);
        let is_gone = value.is_none() || value.is_divided();
        wake(self.word, if is_gone { Wake::All } else { Wake::Next });
    }
}

impl SharedEntry<'_> {
    /// What the entry holds.
    pub(crate) fn value(&self) -> Entry {
        self.value
    }

    /// Makes the entry dirty: the holder is about to map its block writable.
    pub(crate) fn mark_dirty(&self) {
        if !self.value.is_dirty() {
            // Release: pairs with the loads in `for_each_dirty`; it comes before the mapping.
            self.word.fetch_or(DIRTY_BIT, Ordering::Release);
        }
    }
}

impl Drop for SharedEntry<'_> {
    fn drop(&mut self) {
        // Sequentially consistent, as in `LockedEntry::drop`: who locks next comes after what this
        // holder mapped, and a sleeper is not missed.
        let before = self.word.fetch_sub(ONE_READER, Ordering::SeqCst);
        if Entry::from_word(before).readers() == 1 {
            wake(self.word, Wake::Next);
        }
    }
}

/// Locks the entry in `word` if it is still `value`.
fn try_lock<'tree>(
    segment: &'tree Segment,
    word: &'tree AtomicU64,
    value: Entry,
    size: Size,
) -> Option<LockedEntry<'tree>> {
    // Acquire: pairs with the release in `LockedEntry::drop`; without it the holder could act on
    // what was true before the last holder's changes.
    let locked = word.compare_exchange_weak(
        value.word(),
        value.locked(size).word(),
        Ordering::Acquire,
        Ordering::Relaxed,
    );
    locked.ok()?;
    // Pairs with the fence in `remove`. The locker sets the bit and then looks at the block map; a
    // remover has changed the block map and then looks at the bit. Without the two fences each
    // could miss the other's store, on processors that let a later load pass an earlier store.
    // Pairs with that of `undivide` as well: see the module.
    fence(Ordering::SeqCst);
    Some(LockedEntry {
        segment,
        word,
        value,
        size,
        _rank: Held::take(Rank::Entry),
    })
}

/// Makes room for small entries where there is no entry.
fn divide(segment: &Segment) {
    // Whoever was faster has divided it too, or has a large entry there: the caller looks again.
    let _ = segment.whole.compare_exchange(
        Entry::NONE.word(),
        Entry::DIVIDED.word(),
        Ordering::SeqCst,
        Ordering::Relaxed,
    );
}

/// What a large entry becomes when it is to stand for a small one of its pages.
fn within(large: Entry, page: u64, small: Entry) -> Result<Entry, Refused> {
    let block = large.device_block_of(page);
    let is_same = block == small.device_block() && large.is_shared() == small.is_shared();
    if block.is_none() || !is_same {
        return Err(Refused::LargeInTheWay);
    }
    Ok(if small.is_dirty() {
        large.dirty()
    } else {
        large
    })
}

pub(super) fn is_held(entry: Entry) -> bool {
    !entry.is_free()
}
