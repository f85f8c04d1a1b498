//! The mapping entries of one file: for each page, what page tables may have of it.
//!
//! A radix tree in the manner of the XArray: 64 entries a leaf, found without a lock. An entry is
//! one atomic word ([`Entry`]) whose lowest bit is its lock, as in Linux's `fs/dax.c`.
//!
//! # The entry lock
//! *Why.* A fault looks up the block map and enters what it found; whoever changes the block map
//! must be able to wait for a fault that looked too early. The lock bit is what both meet at
//! (Linux commit ac401cc78242).
//!
//! *States.*
//! ```text
//!              lock()                       unlock(value)
//!   none ------------------> locked+empty ------------------> none | zero | block
//!   zero | block ----------> locked+value ------------------> none | zero | block
//!   zero | block ----------> none               (remove(): only when not locked)
//! ```
//! *Invariants.*
//! 1. A locked word is changed only by its locker.
//! 2. A page table of any window has a translation for a page only if the page's entry is not
//!    none, or is locked: installing enters first and maps second, invalidation removes first and
//!    unmaps second.
//! 3. A sleeper is woken by every unlock that follows its decision to sleep: see [`wait`].
//!
//! Which designs take the lock, and when, is theirs to say; those that do not use [`replace`]
//! under a lock of their own.
//!
//! # Locking
//! Entry locks, rank: entry. Waiting takes a wait queue's mutex (innermost).
//!
//! [`wait`]: super::wait_table
//! [`replace`]: EntryTree::replace

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::entry::{DIRTY_BIT, Entry, ONE_READER};
use super::wait_table::WaitQueue;
use crate::radix::Radix;
use crate::run::Run;

const LEAF_PAGES: u64 = 64;

/// The mapping entries of one file.
#[derive(Default)]
pub(crate) struct EntryTree {
    leaves: Radix<Leaf>,
}

struct Leaf {
    words: [AtomicU64; LEAF_PAGES as usize],
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; LEAF_PAGES as usize],
        }
    }
}

/// An entry whose lock the holder has. Dropping it unlocks the entry with its old value.
pub(crate) struct LockedEntry<'tree> {
    word: &'tree AtomicU64,
    value: Entry,
}

/// An entry that its holder shares with others: it has a value, and keeps it, but for its
/// dirtiness. Dropping it lets go.
pub(crate) struct SharedEntry<'tree> {
    word: &'tree AtomicU64,
    value: Entry,
}

/// Which entries an invalidation takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// All: their blocks go.
    All,
    /// All but dirty ones, whose blocks stay: that they are to be flushed must not be forgotten
    /// (Linux commit c6dcf52c23d2). They are unmapped as well.
    Clean,
}

/// A page past the largest that a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageOutOfBounds;

impl EntryTree {
    /// The entry of `page`, locked or not. Takes no lock.
    #[cfg(test)]
    pub(crate) fn get(&self, page: u64) -> Entry {
        let word = self
            .leaves
            .get(page / LEAF_PAGES)
            .map(|leaf| leaf.word(page));
        word.map_or(Entry::NONE, load)
    }

    /// Replaces the entry of `page` by what `change` makes of it and returns what was there; for
    /// designs that exclude conflicting changes by a lock of their own and never lock entries.
    ///
    /// # Errors
    /// [`PageOutOfBounds`]: nothing was changed.
    pub(crate) fn replace(
        &self,
        page: u64,
        change: impl Fn(Entry) -> Entry,
    ) -> Result<Entry, PageOutOfBounds> {
        let word = self.word(page)?;
        // Acquire and release: whoever replaces an entry must see what its maker did before, and
        // be seen by whoever replaces it in turn (Invariant 2 across threads).
        let before = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            Some(change(Entry::from_word(word)).word())
        });
        Ok(Entry::from_word(before.unwrap_or_else(|word| word)))
    }

    /// Locks the entry of `page`, made if there is none; calls `before_wait` before each wait.
    ///
    /// # Errors
    /// [`PageOutOfBounds`].
    pub(crate) fn lock(
        &self,
        page: u64,
        mut before_wait: impl FnMut(),
    ) -> Result<LockedEntry<'_>, PageOutOfBounds> {
        let word = self.word(page)?;
        loop {
            let value = load(word);
            if !value.is_free() {
                before_wait();
                WaitQueue::of(word).wait_while(|| !load(word).is_free());
                continue;
            }
            // Acquire: pairs with the release in `unlock`; without it the holder could act on
            // what was true before the last holder's changes.
            let locked = word.compare_exchange_weak(
                value.word(),
                value.locked().word(),
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if locked.is_ok() {
                // Pairs with the fence in `remove`. The locker sets the bit and then looks at the
                // block map; a remover has changed the block map and then looks at the bit. Without
                // the two fences each could miss the other's store, on processors that let a later
                // load pass an earlier store.
                fence(Ordering::SeqCst);
                return Ok(LockedEntry { word, value });
            }
        }
    }

    /// Holds the entry of `page` shared, if `admits` says that its value will do; waits while it is
    /// locked, calling `before_wait` before each wait.
    pub(crate) fn share(
        &self,
        page: u64,
        admits: impl Fn(Entry) -> bool,
        mut before_wait: impl FnMut(),
    ) -> Option<SharedEntry<'_>> {
        let word = self.leaves.get(page / LEAF_PAGES)?.word(page);
        loop {
            let value = load(word);
            if value.is_locked() {
                before_wait();
                WaitQueue::of(word).wait_while(|| load(word).is_locked());
                continue;
            }
            if !admits(value) {
                return None;
            }
            let Some(shared) = value.with_reader() else {
                // As many readers as the word can count: one of them is about to leave.
                std::thread::yield_now();
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
                // Pairs with the fence in `remove`, as the one in `lock` does: the holder counts
                // itself and then looks at the file's length, which a truncation has changed
                // before it looks for holders.
                fence(Ordering::SeqCst);
                return Some(SharedEntry { word, value });
            }
        }
    }

    /// The device blocks that entries cache for `page` and the pages after it, as far as they lie
    /// together and up to `max_pages`: a shared section that is over when the words are read.
    /// Waits while the first is locked, after calling `before_wait`.
    pub(crate) fn cached_run(
        &self,
        page: u64,
        max_pages: u64,
        before_wait: impl FnOnce(),
    ) -> Option<Run> {
        let first = self.leaves.get(page / LEAF_PAGES)?.word(page);
        if load(first).is_locked() {
            before_wait();
            WaitQueue::of(first).wait_while(|| load(first).is_locked());
        }
        let block = load(first).device_block()?;
        let mut len_blocks = 1;
        while len_blocks < max_pages && self.block_at(page + len_blocks) == Some(block + len_blocks)
        {
            len_blocks += 1;
        }
        Some(Run::new(block, len_blocks))
    }

    fn block_at(&self, page: u64) -> Option<u64> {
        let entry = load(self.leaves.get(page / LEAF_PAGES)?.word(page));
        entry.device_block().filter(|_| !entry.is_locked())
    }

    /// Removes the entries of `pages`, waiting for each that somebody holds; calls `before_wait`
    /// before each wait. Returns the hull of the pages that had one, removed or not.
    pub(crate) fn remove(
        &self,
        pages: Range<u64>,
        removal: Removal,
        mut before_wait: impl FnMut(),
    ) -> Option<Range<u64>> {
        // Pairs with the fence in `lock`: the caller has changed the block map.
        fence(Ordering::SeqCst);
        let mut hull: Option<Range<u64>> = None;
        self.for_each_word(pages, |page, word| {
            if remove_word(word, removal, &mut before_wait) {
                let start = hull.as_ref().map_or(page, |hull| hull.start);
                hull = Some(start..page + 1);
            }
        });
        hull
    }

    /// Calls `visit` with the page and device block of each dirty entry in `pages`. They stay
    /// dirty: a page table may have them writable for as long as the entry is there.
    pub(crate) fn for_each_dirty(&self, pages: Range<u64>, mut visit: impl FnMut(u64, u64)) {
        self.for_each_word(pages, |page, word| {
            let value = load(word);
            if let (true, Some(block)) = (value.is_dirty(), value.device_block()) {
                visit(page, block);
            }
        });
    }

    fn word(&self, page: u64) -> Result<&AtomicU64, PageOutOfBounds> {
        let leaf = self
            .leaves
            .get_or_insert(page / LEAF_PAGES)
            .ok_or(PageOutOfBounds)?;
        Ok(leaf.word(page))
    }

    fn for_each_word(&self, pages: Range<u64>, mut visit: impl FnMut(u64, &AtomicU64)) {
        if pages.is_empty() {
            return;
        }
        let keys = pages.start / LEAF_PAGES..=(pages.end - 1) / LEAF_PAGES;
        self.leaves.for_each(keys, &mut |key, leaf| {
            let first = key * LEAF_PAGES;
            for page in pages.start.max(first)..pages.end.min(first + LEAF_PAGES) {
                visit(page, leaf.word(page));
            }
        });
    }
}

impl Leaf {
    fn word(&self, page: u64) -> &AtomicU64 {
        &self.words[(page % LEAF_PAGES) as usize]
    }
}

impl LockedEntry<'_> {
    /// What the entry holds.
    pub(crate) fn value(&self) -> Entry {
        self.value
    }

    /// Unlocks the entry, leaving `value` in it, and wakes who waits for it.
    pub(crate) fn unlock(mut self, value: Entry) {
        self.value = value;
    }
}

impl Drop for LockedEntry<'_> {
    fn drop(&mut self) {
        // Sequentially consistent: a release that pairs with the acquire in `lock`, and one side
        // of the store-then-load pairing with a sleeper that is described in `wait_table`.
        self.word
            .store(self.value.unlocked().word(), Ordering::SeqCst);
        WaitQueue::of(self.word).wake_all();
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
            WaitQueue::of(self.word).wake_all();
        }
    }
}

/// Removes one entry; `false` when there was none.
fn remove_word(word: &AtomicU64, removal: Removal, before_wait: &mut impl FnMut()) -> bool {
    loop {
        let value = load(word);
        if value.is_none() {
            return false;
        }
        if !value.is_free() {
            before_wait();
            WaitQueue::of(word).wait_while(|| !load(word).is_free());
            continue;
        }
        if removal == Removal::Clean && value.is_dirty() {
            return true;
        }
        // Acquire: pairs with the release in `unlock`; the unmapping that follows must come after
        // the mapping that the entry's last locker did (Invariant 2).
        let none = Entry::NONE.word();
        if word
            .compare_exchange_weak(value.word(), none, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            return true;
        }
    }
}

fn load(word: &AtomicU64) -> Entry {
    // Sequentially consistent: the sleeper's side of the pairing in `wait_table`.
    Entry::from_word(word.load(Ordering::SeqCst))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Dirtiness;
    use super::*;

    fn never() {
        panic!("nobody holds the entry");
    }

    #[test]
    fn an_entry_that_is_only_locked_leaves_nothing_behind() {
        let tree = EntryTree::default();
        let locked = tree.lock(5, never).unwrap();
        assert!(tree.get(5).is_locked());
        assert!(locked.value().is_none());
        drop(locked);
        assert_eq!(tree.get(5), Entry::NONE);
        assert_eq!(tree.remove(0..100, Removal::All, never), None);
    }

    #[test]
    fn removal_reports_the_hull_and_stays_within_the_range() {
        let tree = EntryTree::default();
        for page in [3, 64, 200, 201] {
            tree.replace(page, |_| Entry::ZERO).unwrap();
        }
        assert_eq!(tree.remove(4..201, Removal::All, never), Some(64..201));
        assert_eq!(tree.get(3), Entry::ZERO);
        assert_eq!(tree.get(64), Entry::NONE);
        assert_eq!(tree.get(201), Entry::ZERO);
        assert_eq!(tree.remove(0..u64::MAX, Removal::All, never), Some(3..202));
    }

    #[test]
    fn removal_waits_for_a_locked_entry() {
        let tree = EntryTree::default();
        let locked = tree.lock(7, never).unwrap();
        let (waiting, wait_seen) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let tree = &tree;
            let remover = scope.spawn(move || {
                tree.remove(0..64, Removal::All, || {
                    let _ = waiting.send(());
                })
            });
            wait_seen.recv().unwrap();
            assert!(!remover.is_finished());
            locked.unlock(Entry::block(9, Dirtiness::Clean));
            assert_eq!(remover.join().unwrap(), Some(7..8));
        });
        assert_eq!(tree.get(7), Entry::NONE);
    }

    #[test]
    fn the_lock_excludes() {
        let tree = EntryTree::default();
        let inside = std::sync::atomic::AtomicBool::new(false);
        let total = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let locked = tree.lock(1, || {}).unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst), "two holders");
                        total.store(total.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        inside.store(false, Ordering::SeqCst);
                        locked.unlock(Entry::NONE);
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 80_000);
    }

    #[test]
    fn only_dirty_blocks_are_visited() {
        let tree = EntryTree::default();
        tree.replace(1, |_| Entry::block(600, Dirtiness::Dirty))
            .unwrap();
        tree.replace(2, |_| Entry::block(601, Dirtiness::Clean))
            .unwrap();
        tree.replace(3, |_| Entry::ZERO).unwrap();
        let mut seen = Vec::new();
        tree.for_each_dirty(0..10, |page, block| seen.push((page, block)));
        assert_eq!(seen, [(1, 600)]);
    }
}
