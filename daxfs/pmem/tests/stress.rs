//! Threads that map, unmap, load and store without any order, and what has to hold all the same.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{KINDS, Kind, frame, handle, window};
use daxfs_pmem::{Device, FaultError, Frame, PAGE_BYTES, PageTable, PersistenceChoice, Protection};

/// What a block holds that the window does not show.
const POISON: u8 = 0xdd;

/// Ends the other threads' loops, also when its own thread panics: a failure must not hang.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The owner of two blocks, one of which the window shows.
struct Owner {
    device: Arc<Device>,
    table: Arc<dyn PageTable>,
    blocks: [u64; 2],
}

impl Owner {
    /// Moves the page to the other of its two blocks, in a turn of its own, and returns the block
    /// that it has left.
    fn move_once(&self, round: u64, current: &AtomicU64, turn: &Mutex<()>) -> u64 {
        let here = (round % 2) as usize;
        let (old, new) = (self.blocks[here], self.blocks[1 - here]);
        self.fill(new, 1);
        let _turn = turn.lock().unwrap();
        current.store(new, Ordering::Relaxed);
        if round.is_multiple_of(3) {
            self.table
                .map(0, 1, frame(new, Protection::ReadWrite))
                .unwrap();
        } else {
            self.table.unmap(0, 1).unwrap();
        }
        old
    }

    fn fill(&self, block: u64, byte: u8) {
        self.device
            .copy(block * PAGE_BYTES, &[byte; PAGE_BYTES as usize])
            .unwrap()
            .defer();
    }

    fn check(&self, block: u64, byte: u8) {
        let mut bytes = [0; PAGE_BYTES as usize];
        self.device.read(block * PAGE_BYTES, &mut bytes).unwrap();
        let strays = bytes.iter().filter(|&&found| found != byte).count();
        assert_eq!(strays, 0, "a store reached a block after it was unmapped");
    }
}

/// One thread moves the window's page from block to block while others load from it and store to
/// it. The handler maps whatever block is current under a lock that the owner takes as well, as a
/// filesystem does.
fn move_blocks_under_accesses(kind: Kind, rounds: u64) {
    let device = Arc::new(Device::create_memfd(4 * PAGE_BYTES, PersistenceChoice::Detect).unwrap());
    let current = Arc::new(AtomicU64::new(1));
    let turn = Arc::new(Mutex::new(()));
    let handler = {
        let (current, turn) = (Arc::clone(&current), Arc::clone(&turn));
        handle(move |table, _| {
            let _turn = turn.lock().unwrap();
            let to = frame(current.load(Ordering::Relaxed), Protection::ReadWrite);
            table.map(0, 1, to).map_err(|_| FaultError::Device)
        })
    };
    let table = window(kind, &device, 1, handler);
    let owner = Owner {
        device,
        table: Arc::clone(&table),
        blocks: [1, 2],
    };
    owner.fill(1, 1);
    let (done, accesses) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for store in [true, false, false] {
            let (table, done, accesses) = (&table, &done, &accesses);
            scope.spawn(move || {
                let _done = SetOnDrop(done);
                let mut bytes = [1; 600];
                while !done.load(Ordering::Relaxed) {
                    if store {
                        table.store(700, &bytes).unwrap();
                    } else {
                        table.load(500, &mut bytes).unwrap();
                        assert!(bytes.iter().all(|&byte| byte == 1), "{kind:?}: stale bytes");
                    }
                    accesses.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _done = SetOnDrop(&done);
        for round in 0..rounds {
            let left = owner.move_once(round, &current, &turn);
            // Whoever still reads this, or stores to it, was not waited for.
            owner.fill(left, POISON);
            let before = accesses.load(Ordering::Relaxed);
            while accesses.load(Ordering::Relaxed) < before + 2 && !done.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            owner.check(left, POISON);
        }
    });
}

#[test]
fn a_block_is_out_of_reach_when_unmapping_it_returns() {
    for kind in KINDS {
        move_blocks_under_accesses(kind, 500);
    }
}

#[test]
fn maps_and_unmaps_of_overlapping_ranges_never_show_a_foreign_page() {
    let pages = 8;
    for kind in KINDS {
        let device = common::numbered_device(pages);
        let any = handle(|table, fault| {
            let page = fault.window_page;
            table
                .map(page, 1, frame(page, Protection::ReadOnly))
                .map_err(|_| FaultError::Device)
        });
        let table = window(kind, &device, pages, any);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for thread in 0..2 {
                let (table, done) = (&table, &done);
                scope.spawn(move || {
                    let _done = SetOnDrop(done);
                    for round in 0..2000 {
                        let first = (round + thread) % pages;
                        let len = (round % 3 + 1).min(pages - first);
                        match (round + thread) % 4 {
                            0 => table
                                .map(first, len, frame(first, Protection::ReadWrite))
                                .unwrap(),
                            1 => table.map(first, len, Frame::Zero).unwrap(),
                            _ => table.unmap(first, len).unwrap(),
                        }
                    }
                });
            }
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                let page = round % pages;
                let found = common::word(&*table, page);
                assert!(
                    found == 0 || found == page + 1,
                    "{kind:?}: {found} at page {page}"
                );
            }
        });
    }
}

#[test]
fn threads_that_store_disjoint_bytes_lose_none() {
    let (threads, pages) = (4, 4);
    for kind in KINDS {
        let device = common::numbered_device(pages);
        let table = window(kind, &device, pages, common::Pager::new(pages));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..threads)
                .map(|thread| {
                    let table = &table;
                    scope.spawn(move || {
                        for round in 0..400u64 {
                            for page in 0..pages {
                                let offset = page * PAGE_BYTES + 64 * (thread + 1) + 3;
                                table.store(offset, &round.to_le_bytes()[..5]).unwrap();
                            }
                        }
                    })
                })
                .collect();
            let revoker = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    table.unmap(0, pages).unwrap();
                    thread::yield_now();
                }
            });
            let done_guard = SetOnDrop(&done);
            for writer in writers {
                writer.join().unwrap();
            }
            drop(done_guard);
            revoker.join().unwrap();
        });
        for (page, thread) in (0..pages).flat_map(|page| (0..threads).map(move |t| (page, t))) {
            let mut bytes = [0; 5];
            device
                .read(page * PAGE_BYTES + 64 * (thread + 1) + 3, &mut bytes)
                .unwrap();
            assert_eq!(
                bytes,
                399u64.to_le_bytes()[..5],
                "{kind:?}: page {page}, thread {thread}"
            );
        }
    }
}
