//! The mapping entries of one file: for each page, or each aligned 2 MiB, what page tables may have
//! of it.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`segment`] | the words of one aligned 2 MiB |
//! | [`lock`] | taking entries, alone or shared; entering without a lock |
//! | [`removal`] | taking entries out, and dividing large ones |
//! | this file | the tree; looking at entries |
//!
//! A radix tree in the manner of the XArray, found without a lock: 64 segments a node. An entry is
//! one atomic word ([`Entry`]) whose lowest bit is its lock, as in Linux's `fs/dax.c`.
//!
//! # The entry lock
//! *Why.* A fault looks up the block map and enters what it found; whoever changes the block map
//! must be able to wait for a fault that looked too early. The lock bit is what both meet at
//! (Linux commit ac401cc78242).
//!
//! *States of a word.*
//! ```text
//!              lock()                       unlock(value)
//!   none ------------------> locked+empty ------------------> none | zero | block
//!   zero | block ----------> locked+value ------------------> none | zero | block
//!   zero | block ----------> none               (remove(): only when nobody holds it)
//! ```
//! *Two sizes.* Page tables map 4 KiB or 2 MiB. One word stands for the 512 pages of a segment, and
//! is the one lock of all of them (Linux commit 63e95b5c4f16), or says that they are divided:
//! ```text
//!                      small entry wanted
//!   none ------------------------------------------------> divided
//!   large zero -- broken up: unmapped whole, removed --> none --> divided
//!   large block -- stays, and stands for the small one; a part removed: --> divided
//!   divided -- all of it removed ------------------------> none
//! ```
//! A large entry that is wanted where it is divided is refused at once: the small ones win.
//!
//! *Invariants.*
//! 1. A locked word is changed only by its locker, a shared one only in its dirtiness.
//! 2. A page table of any window has a translation for a page only if the page's entry is not
//!    none, or is locked: installing enters first and maps second, invalidation removes first and
//!    unmaps second. A large entry of a hole that goes is unmapped with its lock held, since
//!    whoever changes another of its pages must not find it gone before it is unmapped.
//! 3. A small word is not none only if the word of the whole is divided: see [`lock`] for what a
//!    locker and [`removal`] for what an undivider does about it.
//! 4. A sleeper is woken by every unlock that follows its decision to sleep: see [`wait_table`].
//!
//! Which designs take the lock, and when, is theirs to say; those that do not use
//! [`EntryTree::enter`] under a lock of their own.
//!
//! # Locking
//! Entry locks, rank: entry. Waiting takes a wait queue's mutex (innermost).
//!
//! [`wait_table`]: super::wait_table

mod lock;
mod removal;
mod segment;

use std::ops::Range;

use super::entry::{Entry, Size};
use super::wait_table::{Turn, WaitCounts, Wants, load};
use crate::radix::Radix;
use crate::run::Run;
use crate::sync::Ordering;
pub(crate) use lock::{LockedEntry, Refused, SharedEntry};
pub(crate) use removal::{Held, Removal};
use segment::Segment;

const SEGMENT_PAGES: u64 = Size::Large.pages();

/// The mapping entries of one file.
#[derive(Default)]
pub(crate) struct EntryTree {
    segments: Radix<Segment>,
    counts: WaitCounts,
}

/// What a file's entries take, and what happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryCounts {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) waits: u64,
    pub(crate) wakes: u64,
}

impl EntryTree {
    /// The entry that `page` belongs to, as it is now, locked or not.
    pub(crate) fn get(&self, page: u64) -> Entry {
        let Some(segment) = self.segments.get(page / SEGMENT_PAGES) else {
            return Entry::NONE;
        };
        let whole = load(&segment.whole);
        if !whole.is_divided() {
            return whole;
        }
        segment.page(page).map_or(Entry::NONE, load)
    }

    /// Whether the pages around `page` have small entries, or had one: then a large one is refused.
    pub(crate) fn is_divided(&self, page: u64) -> bool {
        let segment = self.segments.get(page / SEGMENT_PAGES);
        segment.is_some_and(|segment| load(&segment.whole).is_divided())
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
        let segment = self.segments.get(page / SEGMENT_PAGES)?;
        let whole = load(&segment.whole);
        let first = match whole.is_divided() {
            true => segment.page(page)?,
            false => &segment.whole,
        };
        if load(first).is_locked() {
            before_wait();
            Turn::new(first, &self.counts).wait(Wants::Shared, Entry::is_locked);
        }
        let mut run = self.cached(page)?;
        while run.len_blocks < max_pages {
            match self.cached(page + run.len_blocks) {
                Some(next) if next.block == run.end() => run.len_blocks += next.len_blocks,
                _ => break,
            }
        }
        Some(run.split_at(max_pages).0)
    }

    /// The blocks that one entry caches from `page` on; those that others may have too are looked
    /// up each time, for whoever writes them must know.
    fn cached(&self, page: u64) -> Option<Run> {
        let is_usable = |entry: &Entry| !entry.is_locked() && !entry.is_shared();
        let entry = Some(self.get(page)).filter(is_usable)?;
        let block = entry.device_block_of(page)?;
        Some(Run::new(block, entry.size().around(page).end - page))
    }

    /// Calls `visit` with the pages and the first device block of each dirty entry, as far as it
    /// lies in `pages`. They stay dirty: a page table may have them writable for as long as the
    /// entry is there.
    pub(crate) fn for_each_dirty(&self, pages: Range<u64>, mut visit: impl FnMut(Range<u64>, u64)) {
        self.for_each(pages, |pages, entry| {
            if let (true, Some(block)) = (entry.is_dirty(), entry.device_block_of(pages.start)) {
                visit(pages, block);
            }
        });
    }

    /// What the entries take, and how often threads slept for one.
    pub(crate) fn counts(&self) -> EntryCounts {
        let mut counts = EntryCounts {
            bytes: size_of::<Self>() as u64 + self.segments.heap_bytes(Segment::leaf_bytes),
            entries: 0,
            waits: self.counts.waits.load(Ordering::Relaxed),
            wakes: self.counts.wakes.load(Ordering::Relaxed),
        };
        self.for_each(0..u64::MAX, |_, _| counts.entries += 1);
        counts
    }

    /// Calls `visit` with each entry in `pages`, and which of them it covers.
    fn for_each(&self, pages: Range<u64>, mut visit: impl FnMut(Range<u64>, Entry)) {
        self.for_each_segment(pages, |pages, segment| {
            let whole = load(&segment.whole);
            if !whole.is_divided() {
                if !whole.is_none() {
                    visit(pages, whole);
                }
                return;
            }
            for page in pages {
                let entry = segment.page(page).map_or(Entry::NONE, load);
                if !entry.is_none() {
                    visit(page..page + 1, entry);
                }
            }
        });
    }

    /// Calls `visit` with each segment that there is, and its part of `pages`.
    fn for_each_segment<'tree>(
        &'tree self,
        pages: Range<u64>,
        mut visit: impl FnMut(Range<u64>, &'tree Segment),
    ) {
        if pages.is_empty() {
            return;
        }
        let keys = pages.start / SEGMENT_PAGES..=(pages.end - 1) / SEGMENT_PAGES;
        self.segments.for_each(keys, &mut |key, segment| {
            let first = key * SEGMENT_PAGES;
            visit(
                pages.start.max(first)..pages.end.min(first + SEGMENT_PAGES),
                segment,
            );
        });
    }

    fn segment(&self, page: u64) -> Result<&Segment, Refused> {
        let segment = self.segments.get_or_insert(page / SEGMENT_PAGES);
        segment.ok_or(Refused::OutOfBounds)
    }
}

#[cfg(all(test, not(loom)))]
impl EntryTree {
    /// The word that a locker of the small entry of `page` waits for.
    fn word_of(&self, page: u64) -> &crate::sync::AtomicU64 {
        let segment = self.segments.get(page / SEGMENT_PAGES);
        segment
            .and_then(|segment| segment.page(page))
            .expect("made before")
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
