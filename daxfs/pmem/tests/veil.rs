//! Windows under veils: what must not be seen through one, and what a veil must not cost.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use common::{Kind, PROCESS_KINDS, frame, handle, numbered_device, process_window};
use daxfs_pmem::{
    AccessCause, Device, Fault, FaultError, Frame, MappingMechanism, PAGE_BYTES, PageTable,
    PageTableError, PersistenceChoice, ProcessPageTable, Protection,
};

const CHUNK_PAGES: u64 = 512;

/// Whether this machine has veils at all; without them these tests try the other mechanism.
fn has_veils() -> bool {
    let device = numbered_device(1);
    let table = process_window(Kind::Userfault, &device, 1, identity());
    table.mechanism() == MappingMechanism::Userfault
}

fn identity() -> Arc<dyn daxfs_pmem::FaultHandler> {
    handle(|table, fault| {
        let page = fault.window_page;
        table
            .map(page, 1, frame(page, Protection::ReadWrite))
            .map_err(|_| FaultError::OutOfMemory)
    })
}

fn load(table: &dyn PageTable, page: u64) -> Result<u64, FaultError> {
    let mut bytes = [0; 8];
    match table.load(page * PAGE_BYTES, &mut bytes) {
        Ok(()) => Ok(u64::from_le_bytes(bytes)),
        Err(error) => match error.cause {
            AccessCause::Fault(error) => Err(error),
            cause => panic!("{cause}"),
        },
    }
}

/// How many mappings the kernel has in a window.
fn mappings(table: &dyn PageTable) -> usize {
    let start = table.as_ptr().unwrap().addr().get();
    let range = start..start + (table.len_pages() * PAGE_BYTES) as usize;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let starts = maps.lines().filter_map(|line| line.split('-').next());
    let starts = starts.map(|start| usize::from_str_radix(start, 16).unwrap());
    starts.filter(|start| range.contains(start)).count()
}

/// Of every eight pages of the window the file owns one; the others have their blocks on the device
/// just as well, somebody else's. One thread brings chunks about by touching them for the first
/// time, and another all the while looks at what it must not see.
#[test]
fn what_the_file_does_not_own_is_not_seen_while_chunks_are_covered() {
    let chunks = 64;
    let device = numbered_device(chunks * CHUNK_PAGES);
    let resolve = |table: &dyn PageTable, fault: Fault| {
        let page = fault.window_page;
        if !page.is_multiple_of(8) {
            return Err(FaultError::BeyondEndOfFile);
        }
        table
            .map(page, 1, frame(page, Protection::ReadWrite))
            .map_err(|_| FaultError::OutOfMemory)
    };
    for _ in 0..20 {
        let pages = chunks * CHUNK_PAGES;
        let table = process_window(Kind::Userfault, &device, pages, handle(resolve));
        let (chunk, looks) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut look = 0;
                loop {
                    let chunk = chunk.load(Ordering::Relaxed);
                    if chunk == chunks {
                        return;
                    }
                    look += 1;
                    let page = chunk * CHUNK_PAGES + look * 8 % CHUNK_PAGES + 1;
                    assert_eq!(load(&*table, page), Err(FaultError::BeyondEndOfFile));
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
            for number in 0..chunks {
                chunk.store(number, Ordering::Relaxed);
                let before = looks.load(Ordering::Relaxed);
                while looks.load(Ordering::Relaxed) < before + 2 && !watcher.is_finished() {
                    thread::yield_now();
                }
                let page = number * CHUNK_PAGES + 16;
                assert_eq!(load(&*table, page), Ok(page + 1));
            }
            chunk.store(chunks, Ordering::Relaxed);
        });
    }
}

/// What a block holds that no page of the window shows.
const POISON: u64 = u64::MAX;

/// The pages of two chunks, each with its block somewhere or a hole, which a thread moves about
/// under the page's lock, as a filesystem does: unmap first, reuse the block then.
struct Wandering {
    device: Arc<Device>,
    pages: Vec<Mutex<Option<u64>>>,
}

impl Wandering {
    const PAGES: u64 = 2 * CHUNK_PAGES;

    fn new() -> Arc<Self> {
        let bytes = 2 * Self::PAGES * PAGE_BYTES;
        let device = Arc::new(Device::create_memfd(bytes, PersistenceChoice::Detect).unwrap());
        let wandering = Self {
            device,
            pages: (0..Self::PAGES)
                .map(|page| Mutex::new(Some(page)))
                .collect(),
        };
        for page in 0..Self::PAGES {
            wandering.write(page, page + 1);
            wandering.write(Self::PAGES + page, POISON);
        }
        Arc::new(wandering)
    }

    fn write(&self, block: u64, word: u64) {
        let bytes = word.to_le_bytes();
        let stored = self.device.copy(block * PAGE_BYTES, &bytes).unwrap();
        stored.defer();
    }

    fn resolve(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError> {
        let place = self.pages[fault.window_page as usize].lock().unwrap();
        let frame = match *place {
            Some(block) => frame(block, Protection::ReadWrite),
            None => Frame::Zero,
        };
        table
            .map(fault.window_page, 1, frame)
            .map_err(|_| FaultError::OutOfMemory)
    }

    /// Moves a page between its two blocks and the hole.
    fn wander(&self, table: &dyn PageTable, page: u64, round: u64) {
        let mut place = self.pages[page as usize].lock().unwrap();
        let blocks = [page, Self::PAGES + page];
        let next = match (*place, round % 4) {
            (Some(_), 0) => None,
            (Some(block), _) => Some(blocks[usize::from(block == blocks[0])]),
            (None, _) => Some(blocks[(round % 2) as usize]),
        };
        if let Some(block) = next {
            self.write(block, page + 1);
        }
        let before = std::mem::replace(&mut *place, next);
        table.unmap(page, 1).unwrap();
        if let Some(block) = before {
            self.write(block, POISON);
        }
    }
}

#[test]
fn pages_that_wander_between_blocks_and_holes_are_never_seen_where_they_were() {
    for kind in PROCESS_KINDS {
        let wandering = Wandering::new();
        let resolve = {
            let wandering = Arc::clone(&wandering);
            move |table: &dyn PageTable, fault| wandering.resolve(table, fault)
        };
        let table = process_window(kind, &wandering.device, Wandering::PAGES, handle(resolve));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let movers: Vec<_> = (0..2)
                .map(|half| {
                    let (table, wandering) = (&*table, &wandering);
                    scope.spawn(move || {
                        for round in 0..8000 {
                            // In runs, so that chunks follow, and singly, so that they do not.
                            let step = if round % 1000 < 600 { 1 } else { 37 };
                            let page = round * step % CHUNK_PAGES;
                            wandering.wander(table, half * CHUNK_PAGES + page, round);
                            if round % 1500 == 0 {
                                table.unmap(half * CHUNK_PAGES, CHUNK_PAGES).unwrap();
                            }
                        }
                    })
                })
                .collect();
            for reader in 0..2 {
                let (table, done) = (&*table, &done);
                scope.spawn(move || {
                    let mut page = reader;
                    while !done.load(Ordering::Relaxed) {
                        page = (page + 13) % Wandering::PAGES;
                        let word = load(table, page).unwrap();
                        assert!(
                            word == 0 || word == page + 1,
                            "{kind:?}: {word:x} at {page}"
                        );
                    }
                });
            }
            let moved: Vec<_> = movers
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            done.store(true, Ordering::Relaxed);
            moved.into_iter().for_each(|moved| moved.unwrap());
        });
        let places = wandering.pages.iter().map(|place| *place.lock().unwrap());
        let expected = (1..)
            .zip(places)
            .map(|(word, place)| place.map_or(0, |_| word));
        let expected: Vec<u64> = expected.collect();
        assert!(expected.contains(&0) && expected.iter().any(|&word| word > 0));
        let found = (0..Wandering::PAGES).map(|page| load(&*table, page).unwrap());
        assert_eq!(found.collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

#[test]
fn pages_in_any_order_make_no_mappings() {
    if !has_veils() {
        return;
    }
    let pages = 8 * CHUNK_PAGES;
    let device = numbered_device(pages);
    let table = process_window(Kind::Userfault, &device, pages, identity());
    for index in 0..pages / 2 {
        let page = index * 2 * 5 % pages;
        assert_eq!(load(&*table, page), Ok(page + 1));
    }
    // Chunks that lie side by side on the device are one mapping, too.
    assert_eq!(mappings(&*table), 1);
    for page in (0..pages).step_by(6) {
        table.unmap(page, 3).unwrap();
    }
    assert_eq!(mappings(&*table), 1);
}

#[test]
fn a_page_that_lay_apart_comes_back_under_the_veil() {
    if !has_veils() {
        return;
    }
    let device = numbered_device(2 * CHUNK_PAGES);
    let table = process_window(Kind::Userfault, &device, CHUNK_PAGES, identity());
    assert_eq!(load(&*table, 0), Ok(1));
    assert_eq!(mappings(&*table), 1);
    // One elsewhere, one hole, in the midst of the chunk.
    let elsewhere = frame(700, Protection::ReadWrite);
    table.map(100, 1, elsewhere).unwrap();
    table.map(200, 1, Frame::Zero).unwrap();
    assert_eq!(mappings(&*table), 5);
    assert_eq!([load(&*table, 100), load(&*table, 200)], [Ok(701), Ok(0)]);
    // Replaced by a frame that fits, and taken away.
    table
        .map(100, 1, frame(100, Protection::ReadWrite))
        .unwrap();
    table.unmap(200, 1).unwrap();
    assert_eq!(mappings(&*table), 1);
    assert_eq!([load(&*table, 100), load(&*table, 200)], [Ok(101), Ok(201)]);
}

#[test]
fn a_chunk_follows_a_file_that_was_written_anew_elsewhere() {
    if !has_veils() {
        return;
    }
    let device = numbered_device(4 * CHUNK_PAGES);
    let shift = Arc::new(AtomicU64::new(0));
    let resolve = {
        let shift = Arc::clone(&shift);
        move |table: &dyn PageTable, fault: Fault| {
            let block = fault.window_page + shift.load(Ordering::Relaxed);
            table
                .map(fault.window_page, 1, frame(block, Protection::ReadWrite))
                .map_err(|_| FaultError::OutOfMemory)
        }
    };
    let table = process_window(Kind::Userfault, &device, CHUNK_PAGES, handle(resolve));
    for round in 0..20 {
        shift.store(round * 71 % 1500, Ordering::Relaxed);
        for page in (0..CHUNK_PAGES).step_by(3) {
            let block = page + shift.load(Ordering::Relaxed);
            assert_eq!(load(&*table, page), Ok(block + 1));
        }
        assert_eq!(mappings(&*table), 1, "round {round}");
        assert_eq!(table.counts().faults, (round + 1) * 171);
        table.unmap(0, CHUNK_PAGES).unwrap();
    }
}

#[test]
fn a_window_of_a_tebibyte_costs_what_is_touched_of_it() {
    let pages = 1 << 28;
    let device = numbered_device(64);
    for kind in PROCESS_KINDS {
        let wrap = |table: &dyn PageTable, fault: Fault| {
            let block = fault.window_page % 64;
            table
                .map(fault.window_page, 1, frame(block, Protection::ReadWrite))
                .map_err(|_| FaultError::OutOfMemory)
        };
        let before = resident_kib();
        let table = process_window(kind, &device, pages, handle(wrap));
        let far = pages - 3;
        assert_eq!(load(&*table, far), Ok(far % 64 + 1), "{kind:?}");
        assert_eq!(load(&*table, 1 << 20), Ok(1), "{kind:?}");
        assert_eq!(table.counts().faults, 2);
        table.unmap(0, pages).unwrap();
        assert_eq!(load(&*table, far), Ok(far % 64 + 1));
        assert_eq!(table.counts().faults, 3, "{kind:?}");
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 32 << 10, "{kind:?}: {grown} KiB");
    }
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.unwrap().parse().unwrap()
}

#[test]
fn the_mechanism_can_be_chosen_and_is_refused_where_it_does_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let file = Device::create_file(&path, 4 * PAGE_BYTES, PersistenceChoice::Detect).unwrap();
    let (file, memory) = (Arc::new(file), numbered_device(4));
    let make = |device: &Arc<Device>, mechanism| {
        let device = Arc::clone(device);
        let protection = Protection::ReadWrite;
        ProcessPageTable::with_mechanism(device, 4, identity(), protection, mechanism)
    };
    for device in [&file, &memory] {
        let table = make(device, MappingMechanism::Remap).unwrap();
        assert_eq!(table.mechanism(), MappingMechanism::Remap);
    }
    let error = make(&file, MappingMechanism::Userfault).map(drop);
    assert!(matches!(
        error,
        Err(PageTableError::MechanismUnavailable {
            mechanism: MappingMechanism::Userfault
        })
    ));
    let fastest = ProcessPageTable::fastest_mechanism;
    assert_eq!(fastest(&file), MappingMechanism::Remap);
    let said = fastest(&memory);
    let chosen = ProcessPageTable::new(memory, 4, identity(), Protection::ReadWrite).unwrap();
    assert_eq!(chosen.mechanism(), said);
    assert_eq!(
        chosen.mechanism() == MappingMechanism::Userfault,
        has_veils()
    );
}
