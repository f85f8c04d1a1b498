//! The tree by itself: what is refused, what stays, who waits and who is woken.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;

use super::*;
use crate::dax::entry::Dirtiness;
use crate::dax::wait_table::{is_free, sleepers, undisturbed};

fn never() {
    panic!("nobody holds the entry");
}

fn block(block: u64, dirtiness: Dirtiness) -> Entry {
    Entry::block(block, Size::Small, dirtiness)
}

fn large_block(block: u64, dirtiness: Dirtiness) -> Entry {
    Entry::block(block, Size::Large, dirtiness)
}

/// Removes all entries of `pages` and says which there were.
fn remove(tree: &EntryTree, pages: Range<u64>) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    tree.remove(pages, Removal::All, Held::WaitFor, never, |pages, _| {
        found.push(pages);
    });
    found
}

fn zero(size: Size) -> Entry {
    Entry::zero(size)
}

// ---- Small entries ------------------------------------------------------------------------------

#[test]
fn an_entry_that_is_only_locked_leaves_nothing_behind() {
    let tree = EntryTree::default();
    let locked = tree.lock(5, Size::Small, never).unwrap();
    assert!(tree.get(5).is_locked());
    assert!(locked.value().is_none());
    drop(locked);
    assert_eq!(tree.get(5), Entry::NONE);
    assert_eq!(remove(&tree, 0..100), []);
}

#[test]
fn removal_finds_each_entry_and_stays_within_the_range() {
    let tree = EntryTree::default();
    for page in [3, 64, 200, 201, 1600] {
        tree.enter(page, zero(Size::Small)).unwrap();
    }
    assert_eq!(remove(&tree, 4..201), [64..65, 200..201]);
    assert_eq!(tree.get(3), zero(Size::Small));
    assert_eq!(tree.get(64), Entry::NONE);
    assert_eq!(tree.get(201), zero(Size::Small));
    assert_eq!(remove(&tree, 0..u64::MAX), [3..4, 201..202, 1600..1601]);
}

#[test]
fn the_lock_excludes() {
    let _alone = undisturbed();
    for size in [Size::Small, Size::Large] {
        let tree = EntryTree::default();
        let inside = AtomicBool::new(false);
        let total = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let locked = tree.lock(1, size, || {}).unwrap();
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
}

#[test]
fn only_dirty_blocks_are_visited_as_far_as_they_are_asked_for() {
    let tree = EntryTree::default();
    tree.enter(1, block(600, Dirtiness::Dirty)).unwrap();
    tree.enter(2, block(601, Dirtiness::Clean)).unwrap();
    tree.enter(3, zero(Size::Small)).unwrap();
    tree.enter(512, large_block(1024, Dirtiness::Dirty))
        .unwrap();
    let dirty_in = |pages| {
        let mut seen = Vec::new();
        tree.for_each_dirty(pages, |pages, block| seen.push((pages, block)));
        seen
    };
    assert_eq!(dirty_in(0..10), [(1..2, 600)]);
    assert_eq!(dirty_in(0..u64::MAX), [(1..2, 600), (512..1024, 1024)]);
    // One page of a large one: the `msync` of Linux's 2 MiB entries.
    assert_eq!(dirty_in(519..520), [(519..520, 1031)]);
}

#[test]
fn a_removal_of_holes_keeps_blocks_and_finds_them() {
    let tree = EntryTree::default();
    tree.enter(1, block(600, Dirtiness::Dirty)).unwrap();
    tree.enter(2, zero(Size::Small)).unwrap();
    tree.enter(512, large_block(1024, Dirtiness::Clean))
        .unwrap();
    let mut found = Vec::new();
    tree.remove(0..600, Removal::Holes, Held::WaitFor, never, |pages, _| {
        found.push(pages);
    });
    assert_eq!(found, [1..2, 2..3, 512..600]);
    assert_eq!(tree.get(1), block(600, Dirtiness::Dirty));
    assert_eq!(tree.get(2), Entry::NONE);
    assert_eq!(tree.get(512), large_block(1024, Dirtiness::Clean));
}

// ---- Two sizes ----------------------------------------------------------------------------------

#[test]
fn a_small_entry_wins_over_a_large_request_which_is_refused_at_once() {
    let tree = EntryTree::default();
    let small = tree.lock(5, Size::Small, never).unwrap();
    let refused = |result: Result<LockedEntry<'_>, Refused>| result.map(|_| ()).unwrap_err();
    assert_eq!(
        refused(tree.lock(0, Size::Large, never)),
        Refused::Divided,
        "it did not wait"
    );
    small.unlock(zero(Size::Small));
    assert_eq!(refused(tree.lock(0, Size::Large, never)), Refused::Divided);
    let entered = tree.enter(0, large_block(512, Dirtiness::Clean));
    assert_eq!(entered.unwrap_err(), Refused::Divided);
    assert!(tree.lock(512, Size::Large, never).is_ok(), "its neighbour");
}

#[test]
fn a_large_hole_is_in_the_way_of_a_small_entry_and_a_large_block_stays() {
    let tree = EntryTree::default();
    tree.enter(0, zero(Size::Large)).unwrap();
    assert_eq!(
        tree.enter(7, block(600, Dirtiness::Clean)).unwrap_err(),
        Refused::LargeInTheWay
    );
    assert_eq!(
        tree.lock(7, Size::Small, never).map(|_| ()).unwrap_err(),
        Refused::LargeInTheWay
    );
    drop(remove(&tree, 0..512));

    tree.enter(0, large_block(1024, Dirtiness::Clean)).unwrap();
    assert_eq!(
        tree.enter(7, block(1031, Dirtiness::Dirty)).unwrap(),
        large_block(1024, Dirtiness::Clean)
    );
    assert_eq!(
        tree.get(9),
        large_block(1024, Dirtiness::Dirty),
        "all of it"
    );
    let locked = tree.lock(8, Size::Small, never).unwrap();
    assert_eq!(locked.value(), large_block(1024, Dirtiness::Dirty));
    let admitted = locked.admit(8, block(1032, Dirtiness::Clean));
    assert_eq!(admitted.unwrap(), large_block(1024, Dirtiness::Dirty));
    let stale = locked.admit(8, block(9, Dirtiness::Clean));
    assert_eq!(stale.unwrap_err(), Refused::LargeInTheWay);
}

#[test]
fn a_divided_entry_keeps_its_blocks_and_its_dirtiness() {
    let tree = EntryTree::default();
    tree.enter(512, large_block(1024, Dirtiness::Dirty))
        .unwrap();
    tree.lock_if_large(600, never).unwrap().divide();
    for offset in [0, 1, 511] {
        let expected = block(1024 + offset, Dirtiness::Dirty);
        assert_eq!(tree.get(512 + offset), expected);
    }
    assert_eq!(remove(&tree, 513..515), [513..514, 514..515]);
    assert!(tree.lock_if_large(600, never).is_none());
}

#[test]
fn a_segment_is_whole_again_when_all_of_it_is_removed() {
    let tree = EntryTree::default();
    tree.enter(5, zero(Size::Small)).unwrap();
    drop(remove(&tree, 0..511));
    assert!(tree.is_divided(0), "a part was removed");
    drop(remove(&tree, 0..512));
    assert!(!tree.is_divided(0));
    assert!(tree.lock(0, Size::Large, never).is_ok());
}

/// Invariant 3, the undivider's side: a small word is locked and has no value yet.
#[test]
fn a_segment_with_a_locked_small_entry_stays_divided() {
    let tree = EntryTree::default();
    let locked = tree.lock(5, Size::Small, never).unwrap();
    removal::undivide(tree.segment(0).unwrap());
    assert!(tree.is_divided(0));
    drop(locked);
    removal::undivide(tree.segment(0).unwrap());
    assert!(!tree.is_divided(0));
}

/// Invariant 3, the locker's side: he has seen the segment divided, and while he waits for the
/// small word everything is removed and somebody locks the whole.
#[test]
fn a_locker_of_a_small_entry_sees_that_the_segment_was_made_whole() {
    let tree = EntryTree::default();
    let mut small = Some(tree.lock(5, Size::Small, never).unwrap());
    let mut large = None;
    let mut waits = 0;
    let locked = tree.lock(5, Size::Small, || {
        waits += 1;
        if small.take().is_some() {
            drop(remove(&tree, 0..512));
            large = Some(tree.lock(0, Size::Large, never).unwrap());
        } else {
            assert!(large.take().is_some(), "he waits for the whole");
        }
    });
    assert_eq!(locked.unwrap().value(), Entry::NONE);
    assert_eq!(waits, 2);
    assert!(large.is_none(), "both sizes are held");
    assert!(tree.is_divided(0));
}

/// Lockers of either size and a remover of all: a small holder and a large one never meet, though
/// the segment is divided and made whole all the time. Whoever holds dawdles.
#[test]
fn holders_of_both_sizes_exclude_each_other_while_the_segment_changes() {
    const ROUNDS: u64 = 1_000;
    /// Until a large one was held, there are more rounds; a machine that never lets one through in
    /// so many has something wrong.
    const MOST_ROUNDS: u64 = 1_000_000;
    let _alone = undisturbed();
    let tree = EntryTree::default();
    let (smalls, large) = (AtomicU64::new(0), AtomicBool::new(false));
    let (busy, both) = (AtomicU64::new(2), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (tree, smalls, large, busy) = (&tree, &smalls, &large, &busy);
            let both = &both;
            scope.spawn(move || {
                for round in 0..MOST_ROUNDS {
                    if round >= ROUNDS && both.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    if let Ok(locked) = tree.lock(number * 70, Size::Small, || {}) {
                        smalls.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        assert!(!large.load(Ordering::SeqCst), "both sizes are held");
                        smalls.fetch_sub(1, Ordering::SeqCst);
                        drop(locked);
                    }
                }
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            while busy.load(Ordering::SeqCst) > 0 {
                if let Ok(locked) = tree.lock(0, Size::Large, || {}) {
                    large.store(true, Ordering::SeqCst);
                    std::thread::yield_now();
                    assert_eq!(smalls.load(Ordering::SeqCst), 0, "both sizes are held");
                    large.store(false, Ordering::SeqCst);
                    both.fetch_add(1, Ordering::Relaxed);
                    drop(locked);
                }
            }
        });
        while busy.load(Ordering::SeqCst) > 0 {
            tree.remove(0..512, Removal::All, Held::WaitFor, || {}, |_, _| {});
        }
    });
    assert!(
        both.load(Ordering::Relaxed) > 0,
        "no large one was ever held"
    );
}

// ---- Waiting ------------------------------------------------------------------------------------

#[test]
fn removal_waits_for_a_locked_entry() {
    let _alone = undisturbed();
    for size in [Size::Small, Size::Large] {
        let tree = EntryTree::default();
        let locked = tree.lock(7, size, never).unwrap();
        let (waiting, wait_seen) = mpsc::channel();
        std::thread::scope(|scope| {
            let tree = &tree;
            let remover = scope.spawn(move || {
                let mut found = Vec::new();
                let before_wait = || waiting.send(()).unwrap();
                tree.remove(
                    0..512,
                    Removal::All,
                    Held::WaitFor,
                    before_wait,
                    |pages, _| {
                        found.push(pages);
                    },
                );
                found
            });
            wait_seen.recv().unwrap();
            assert!(!remover.is_finished());
            locked.unlock(Entry::block(1024, size, Dirtiness::Clean));
            assert_eq!(remover.join().unwrap(), [size.around(7)]);
        });
        assert_eq!(tree.get(7), Entry::NONE);
    }
}

#[test]
fn sharers_meet_and_a_locker_waits_for_the_last_of_them() {
    let _alone = undisturbed();
    let tree = EntryTree::default();
    tree.enter(7, block(600, Dirtiness::Clean)).unwrap();
    let admits = |entry: Entry| entry.device_block().is_some();
    let one = tree.share(7, admits, never).unwrap();
    let two = tree.share(7, admits, never).unwrap();
    assert_eq!(tree.get(7).readers(), 2);
    assert!(tree.share(8, admits, never).is_none(), "nothing is cached");
    let (waiting, wait_seen) = mpsc::channel();
    std::thread::scope(|scope| {
        let tree = &tree;
        let locker = scope.spawn(move || {
            let locked = tree.lock(7, Size::Small, || waiting.send(()).unwrap());
            locked.unwrap().value()
        });
        wait_seen.recv().unwrap();
        two.mark_dirty();
        drop(one);
        assert!(!locker.is_finished());
        drop(two);
        assert_eq!(locker.join().unwrap(), block(600, Dirtiness::Dirty));
    });
}

/// The bug of 2019 in Linux (commit 23c84eb78375): who waits for a 2 MiB entry sleeps on, because
/// the wake-up is for another. Here they want it in every way there is, and it is removed.
#[test]
fn everybody_who_waits_for_a_large_entry_goes_on_when_it_is_removed() {
    let _alone = undisturbed();
    for _ in 0..200 {
        let tree = EntryTree::default();
        let locked = tree.lock(0, Size::Large, never).unwrap();
        let (waiting, wait_seen) = mpsc::channel();
        std::thread::scope(|scope| {
            for number in 0..12_u64 {
                let (tree, waiting) = (&tree, waiting.clone());
                scope.spawn(move || {
                    let wait = || waiting.send(()).unwrap();
                    let page = number * 40;
                    match number % 4 {
                        0 => drop(tree.lock(page, Size::Small, wait)),
                        1 => drop(tree.lock(page, Size::Large, wait)),
                        2 => drop(tree.share(page, |_| true, wait)),
                        _ => tree.remove(0..512, Removal::All, Held::WaitFor, wait, |_, _| {}),
                    }
                });
            }
            for _ in 0..12 {
                wait_seen.recv().unwrap();
            }
            locked.unlock(Entry::NONE);
        });
    }
}

/// One unlock wakes one of those who want the entry for themselves: as many wake-ups as waits.
#[test]
fn an_unlock_wakes_one_of_those_who_want_it_alone() {
    let _alone = undisturbed();
    const WAITERS: u64 = 6;
    let tree = EntryTree::default();
    let locked = tree.lock(3, Size::Small, never).unwrap();
    let (waiting, wait_seen) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..WAITERS {
            let (tree, waiting) = (&tree, waiting.clone());
            scope.spawn(move || {
                let locked = tree
                    .lock(3, Size::Small, || waiting.send(()).unwrap())
                    .unwrap();
                locked.unlock(zero(Size::Small));
            });
        }
        for _ in 0..WAITERS {
            wait_seen.recv().unwrap();
        }
        while sleepers(tree.word_of(3)) < WAITERS as usize {
            std::thread::yield_now();
        }
        locked.unlock(zero(Size::Small));
    });
    let counts = tree.counts();
    assert_eq!((counts.waits, counts.wakes), (WAITERS, WAITERS));
}

/// The bug of 2018: whoever waits for one entry must not keep others from theirs, though they share
/// a queue.
#[test]
fn a_sleeper_holds_up_nobody_who_wants_another_entry() {
    let _alone = undisturbed();
    let tree = EntryTree::default();
    let locked = tree.lock(0, Size::Small, never).unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| drop(tree.lock(0, Size::Small, || {})));
        while sleepers(tree.word_of(0)) == 0 {
            std::thread::yield_now();
        }
        // More entries than there are queues: some share his.
        for page in 1..4096 {
            drop(tree.lock(page, Size::Small, never).unwrap());
        }
        assert!(is_free(tree.word_of(0)));
        assert!(!sleeper.is_finished());
        locked.unlock(Entry::NONE);
    });
}

// ---- Memory -------------------------------------------------------------------------------------

#[test]
fn large_entries_take_a_fraction_of_what_small_ones_do() {
    const PAGES_OF_A_GIB: u64 = 262_144;
    let (large, small) = (EntryTree::default(), EntryTree::default());
    let idle = large.counts().bytes;
    for page in 0..PAGES_OF_A_GIB {
        small.enter(page, zero(Size::Small)).unwrap();
        if page.is_multiple_of(512) {
            large.enter(page, zero(Size::Large)).unwrap();
        }
    }
    let (large, small) = (large.counts(), small.counts());
    assert_eq!((large.entries, small.entries), (512, PAGES_OF_A_GIB));
    println!(
        "idle {idle}, large {}, small {} bytes",
        large.bytes, small.bytes
    );
    assert!(idle < 256);
    assert!(large.bytes < 128 << 10);
    assert!((2 << 20..3 << 20).contains(&small.bytes));
}
