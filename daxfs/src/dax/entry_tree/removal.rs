//! Taking entries out, and dividing large ones.
//!
//! # Making a segment whole again
//! When everything of a divided segment is removed, its word becomes none, so that it can be
//! mapped large from then on. A locker of a small word may be on its way: the undivider locks the
//! word of the whole, then looks at the small ones, and leaves it divided if one is not none. See
//! [`lock`](super::lock) for the other side.

use std::ops::Range;

use super::lock::is_held;
use super::segment::Segment;
use super::{EntryTree, LockedEntry, SEGMENT_PAGES};
use crate::dax::entry::{Entry, Size};
use crate::dax::wait_table::{Turn, Wake, Wants, load, wake};
use crate::sync::{AtomicU64, Ordering, fence, yield_now};

/// Which entries an invalidation takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// All: their blocks go.
    All,
    /// Those of holes. The others are unmapped and stay: their blocks do, and that they are to be
    /// flushed must not be forgotten (Linux commit c6dcf52c23d2).
    Holes,
}

/// What an invalidation does about an entry that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Waits for it.
    WaitFor,
    /// Passes it by: a mistake, for tests.
    PassBy,
}

impl EntryTree {
    /// Removes the entries of `pages`, waiting for each that somebody holds; calls `before_wait`
    /// before each wait, and `found` with the pages of each entry and what it was, removed or not.
    /// A large entry of which `pages` is only a part stays: it has been broken up or divided, and
    /// what is there now is newer than the change.
    pub(crate) fn remove(
        &self,
        pages: Range<u64>,
        removal: Removal,
        held: Held,
        mut before_wait: impl FnMut(),
        mut found: impl FnMut(Range<u64>, Entry),
    ) {
        // Pairs with the fence in `try_lock`: the caller has changed the block map.
        fence(Ordering::SeqCst);
        self.for_each_segment(pages, |pages, segment| {
            let is_whole = pages.end - pages.start == SEGMENT_PAGES;
            let whole = load(&segment.whole);
            if !whole.is_divided() {
                let stays = removal == Removal::Holes && whole.device_block().is_some();
                if (is_whole || stays)
                    && let Some(entry) =
                        self.remove_word(&segment.whole, removal, held, &mut before_wait)
                {
                    found(pages.clone(), entry);
                }
                // It may have been divided meanwhile, by faults that know of the change.
                if !load(&segment.whole).is_divided() {
                    return;
                }
            }
            for page in pages {
                let word = segment.page(page);
                let entry =
                    word.and_then(|word| self.remove_word(word, removal, held, &mut before_wait));
                if let Some(entry) = entry {
                    found(page..page + 1, entry);
                }
            }
            if is_whole && removal == Removal::All {
                undivide(segment);
            }
        });
    }

    /// Removes one entry; `None` when there was none.
    fn remove_word(
        &self,
        word: &AtomicU64,
        removal: Removal,
        held: Held,
        before_wait: &mut impl FnMut(),
    ) -> Option<Entry> {
        let mut turn = Turn::new(word, &self.counts);
        loop {
            let value = load(word);
            if value.is_none() || value.is_divided() {
                return None;
            }
            if !value.is_free() && held == Held::PassBy {
                return None;
            }
            if !value.is_free() {
                before_wait();
                turn.wait(Wants::Alone, is_held);
                continue;
            }
            if removal == Removal::Holes && value.device_block().is_some() {
                return Some(value);
            }
            // Acquire: pairs with the release in `LockedEntry::drop`; the unmapping that follows
            // must come after the mapping that the entry's last locker did (Invariant 2).
            // Sequentially consistent, for a sleeper: see `wait_table`.
            let removed = word.compare_exchange_weak(
                value.word(),
                Entry::NONE.word(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            if removed.is_ok() {
                turn.took();
                wake(word, Wake::All);
                return Some(value);
            }
        }
    }
}

impl LockedEntry<'_> {
    /// Puts 512 small entries in the place of a large one with blocks, so that some of them can be
    /// removed; dirty if it was. Nothing needs to be unmapped: each page has its entry still.
    pub(crate) fn divide(self) {
        let value = self.value();
        if value.device_block().is_none() {
            return;
        }
        for offset in 0..Size::Large.pages() {
            let word = self.segment.page_or_new(offset);
            let entry = value.part(offset).unwrap_or(Entry::NONE);
            // From none: somebody who saw the segment divided long ago may hold the word, and lets
            // go as soon as he sees that it is not. Release: for those who see it divided again.
            while word
                .compare_exchange_weak(
                    Entry::NONE.word(),
                    entry.word(),
                    Ordering::Release,
                    Ordering::Relaxed,
                )
                .is_err()
            {
                yield_now();
            }
        }
        self.unlock(Entry::DIVIDED);
    }
}

/// Makes a divided segment none if it has no small entries left.
pub(super) fn undivide(segment: &Segment) {
    let divided = Entry::DIVIDED;
    let closed = divided.locked(Size::Large);
    // Sequentially consistent, with the fence, against the locker's: see the module.
    let closing = segment.whole.compare_exchange(
        divided.word(),
        closed.word(),
        Ordering::SeqCst,
        Ordering::Relaxed,
    );
    if closing.is_err() {
        return;
    }
    fence(Ordering::SeqCst);
    let mut words = (0..Size::Large.pages()).filter_map(|page| segment.page(page));
    let is_empty = words.all(|word| load(word).is_none());
    let after = if is_empty { Entry::NONE } else { divided };
    segment.whole.store(after.word(), Ordering::SeqCst);
    wake(&segment.whole, Wake::All);
}
