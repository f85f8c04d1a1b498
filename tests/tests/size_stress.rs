//! Entries of both sizes at once: 2 MiB mapped whole, broken up, divided and made whole again,
//! under writes, stores, punches and faults that nobody orders.
//!
//! Two *owners* have a half of the first 2 MiB each, and one 2 MiB for themselves. Each changes
//! what is his, by all means and through windows that map 2 MiB and windows that cannot, and
//! compares after each step what `read_at` and both windows say with what he knows. A *reader*
//! faults everywhere all the time, so that every change meets faults of either size.
//!
//! Bounded by steps; no clock. `none` is the canary that has to be caught. Touches anonymous
//! memory; takes no locks but a mutex for what was found.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use daxfs::{File, Filesystem, MapOptions, Mapping, MappingLock, MountOptions, PageTables};
use daxfs_tests::choreography::Jitter;
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, stress_factor};
use daxfs_tests::stage::{LARGE, PAGE};

const PAGES: u64 = LARGE / PAGE;
const FILE_BYTES: u64 = 3 * LARGE;
const STEPS: u64 = 150;

/// A file and two windows on it: one that can map 2 MiB at once, one that begins in its middle.
struct Stage {
    file: File,
    large: Mapping,
    odd: Mapping,
    busy: AtomicU64,
    found: Mutex<Vec<String>>,
}

/// Where the odd window begins, in pages: its first and last 2 MiB are not whole.
const ODD_FIRST: u64 = 1;

impl Stage {
    fn new(file: File, tables: [PageTables; 2]) -> Self {
        let map = |page_tables, first_page: u64| {
            let options = MapOptions {
                page_tables,
                offset_bytes: first_page * PAGE,
                ..MapOptions::new(FILE_BYTES - 2 * first_page * PAGE)
            };
            file.map(options).unwrap()
        };
        let (large, odd) = (map(tables[0], 0), map(tables[1], ODD_FIRST));
        Self {
            file,
            large,
            odd,
            busy: AtomicU64::new(2),
            found: Mutex::default(),
        }
    }

    /// The word at the start of a page, by every way that reaches it.
    fn words(&self, page: u64) -> Vec<u64> {
        let mut words = Vec::new();
        let mut bytes = [0xEE; 8];
        self.file.read_at(&mut bytes, page * PAGE).unwrap();
        words.push(u64::from_le_bytes(bytes));
        self.large.load(page * PAGE, &mut bytes).unwrap();
        words.push(u64::from_le_bytes(bytes));
        if (ODD_FIRST..3 * PAGES - ODD_FIRST).contains(&page) {
            let offset = (page - ODD_FIRST) * PAGE;
            self.odd.load(offset, &mut bytes).unwrap();
            words.push(u64::from_le_bytes(bytes));
        }
        words
    }

    fn read_on(&self) {
        let mut numbers = Numbers::new(7);
        while self.busy.load(Ordering::Relaxed) > 0 {
            let page = numbers.below(3 * PAGES);
            for word in self.words(page) {
                if word != 0 && word >> 32 != page {
                    self.note(format!("page {page} shows {word:#x}"));
                }
            }
        }
    }

    fn note(&self, finding: String) {
        let mut found = self.found.lock().unwrap();
        if found.len() < 5 {
            found.push(finding);
        }
    }
}

/// One thread's pages: a range that shares its 2 MiB with the other's, and a whole 2 MiB.
struct Owner<'stage> {
    stage: &'stage Stage,
    numbers: Numbers,
    ranges: [Range<u64>; 2],
    /// The word of each page of the file, 0 for a hole; only what is his means anything.
    oracle: Vec<u64>,
}

impl Owner<'_> {
    fn step(&mut self, step: u64) {
        let own = self.ranges[self.numbers.below(2) as usize].clone();
        let len = match self.numbers.below(3) {
            0 => own.end - own.start,
            1 => 1 + self.numbers.below(8),
            _ => 1,
        };
        let first = own.start + self.numbers.below(own.end - own.start - len + 1);
        let pages = first..first + len;
        match self.numbers.below(4) {
            0 => self.write(pages.clone(), step),
            1 => self.store(pages.clone(), step),
            _ => self.punch(pages.clone()),
        }
        for page in [pages.start, pages.end - 1, own.start, own.end - 1, first] {
            self.compare(page);
        }
    }

    fn word(page: u64, step: u64) -> u64 {
        page << 32 | (step + 1)
    }

    fn write(&mut self, pages: Range<u64>, step: u64) {
        let mut bytes = Vec::new();
        for page in pages.clone() {
            self.oracle[page as usize] = Self::word(page, step);
            bytes.extend(
                Self::word(page, step)
                    .to_le_bytes()
                    .repeat(PAGE as usize / 8),
            );
        }
        let file = &self.stage.file;
        file.write_all_at(&bytes, pages.start * PAGE).unwrap();
    }

    fn store(&mut self, pages: Range<u64>, step: u64) {
        for page in pages.take(9) {
            let word = Self::word(page, step);
            let odd = (ODD_FIRST..3 * PAGES - ODD_FIRST).contains(&page);
            let stored = if odd && self.numbers.below(2) == 0 {
                let offset = (page - ODD_FIRST) * PAGE;
                self.stage.odd.store(offset, &word.to_le_bytes())
            } else {
                self.stage.large.store(page * PAGE, &word.to_le_bytes())
            };
            stored.unwrap();
            self.oracle[page as usize] = word;
        }
    }

    fn punch(&mut self, pages: Range<u64>) {
        self.oracle[pages.start as usize..pages.end as usize].fill(0);
        let len_bytes = (pages.end - pages.start) * PAGE;
        let file = &self.stage.file;
        file.punch_hole(pages.start * PAGE, len_bytes).unwrap();
    }

    fn compare(&self, page: u64) {
        let expected = self.oracle[page as usize];
        let words = self.stage.words(page);
        if words.iter().any(|word| *word != expected) {
            self.stage
                .note(format!("page {page}: {words:x?}, not {expected:#x}"));
        }
    }
}

/// What was found in one run.
fn run(design: MappingLock, tables: [PageTables; 2], seed: u64) -> Vec<String> {
    let mut options = MountOptions::default();
    options.mapping_lock = design;
    options.schedule = Some(Arc::new(Jitter::new(2)));
    let fs = Filesystem::mount(formatted(32 << 20), options).unwrap();
    let device = Arc::clone(fs.device());
    let file = fs.create("/shared").unwrap();
    file.truncate(FILE_BYTES).unwrap();
    let stage = Stage::new(file, tables);
    std::thread::scope(|scope| {
        let stage = &stage;
        for number in 0..2 {
            scope.spawn(move || {
                let half = PAGES / 2;
                let whole = (number + 1) * PAGES;
                let mut owner = Owner {
                    stage,
                    numbers: Numbers::new(seed + number),
                    ranges: [number * half..(number + 1) * half, whole..whole + PAGES],
                    oracle: vec![0; 3 * PAGES as usize],
                };
                for step in 0..STEPS * u64::from(stress_factor()) {
                    owner.step(step);
                }
                for page in owner.ranges.iter().cloned().flatten() {
                    owner.compare(page);
                }
                stage.busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| stage.read_on());
    });
    let found = stage.found.into_inner().unwrap();
    drop((stage.file, stage.large, stage.odd));
    fs.unmount().unwrap();
    assert_clean(&device);
    found
}

const TABLES: [[PageTables; 2]; 3] = [
    [PageTables::Software, PageTables::Software],
    [PageTables::Process, PageTables::Process],
    [PageTables::Process, PageTables::Software],
];

#[test]
fn both_sizes_at_once_are_coherent() {
    for design in MappingLock::COHERENT {
        for tables in TABLES {
            let found = run(design, tables, 11);
            assert!(found.is_empty(), "{design}, {tables:?}: {found:#?}");
        }
    }
}

/// The canary: what the test above looks for happens, and it sees it, sooner or later.
#[test]
fn both_sizes_at_once_are_not_coherent_under_none() {
    let caught = (0..40).find(|seed| !run(MappingLock::None, TABLES[0], 100 * seed).is_empty());
    println!("caught in run {caught:?}");
    assert!(caught.is_some());
}
