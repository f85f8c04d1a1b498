//! Everything at once: writes, stores, holes, truncation, faults, and blocks that change owners.
//!
//! One file is divided into regions, each changed by one thread, the *owner*, which keeps an oracle
//! of its words and compares after each step: `read_at` and loads from both mappings must return
//! exactly that. The last owner also cuts the file off and lets it grow. Around them:
//! * *readers* fault on random pages all the time, so that every change meets faults, and check
//!   that each word is zero or a stamp of its own page: never torn, never another page's;
//! * a *recycler* takes what was freed for other files and checks that nobody stores into it.
//!
//! Every design runs with either kind of page tables, and with one mapping of each. The canary runs
//! the same under `none`, and has to be caught.
//!
//! Bounded by steps; no clock. Touches anonymous memory. Takes no locks but a mutex for what was
//! found.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use daxfs::{
    Error, File, Filesystem, MapOptions, Mapping, MappingLock, MountOptions, PageTables, Result,
};
use daxfs_tests::choreography::Jitter;
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, stress_factor};

const PAGE: u64 = 4096;
const WORD: u64 = 8;
const REGION_BYTES: u64 = 8 * PAGE;
const OWNERS: u64 = 4;
const FILE_BYTES: u64 = OWNERS * REGION_BYTES;
/// What the last owner may cut off.
const TAIL: u64 = (OWNERS - 1) * REGION_BYTES;
const DEVICE_BYTES: u64 = 8 << 20;
const RECYCLED_BYTES: u64 = 5 << 20;
const RECYCLER_PAGE: u64 = 0xFFFF;
const STEPS: u64 = 2_000;
const READERS: usize = 2;

const TABLES: [[PageTables; 2]; 3] = [
    [PageTables::Software, PageTables::Software],
    [PageTables::Process, PageTables::Process],
    [PageTables::Process, PageTables::Software],
];

// ---- Stamps -------------------------------------------------------------------------------------

/// A word that says which page it belongs to, and whether it is whole.
fn stamp(page: u64, sequence: u64) -> u64 {
    let name = page << 48 | (sequence & 0xFF_FFFF) << 24;
    name | Numbers::new(name).below(1 << 24)
}

/// What a word that was seen on a page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Zero, or one of the page's stamps.
    Own,
    /// A stamp of another page: from another block.
    Foreign,
    /// No stamp at all: seen while somebody was changing it. Copies of more than a word are
    /// promised whole bytes, no more: an interrupt may come between two of them.
    Torn,
}

fn classify(word: u64, page: u64) -> Word {
    let owner = word >> 48;
    if word == 0 {
        Word::Own
    } else if word != stamp(owner, word >> 24) {
        Word::Torn
    } else if owner == page {
        Word::Own
    } else {
        Word::Foreign
    }
}

fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn to_words(bytes: &[u8]) -> Vec<u64> {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    bytes.chunks_exact(WORD as usize).map(word).collect()
}

// ---- What was found -----------------------------------------------------------------------------

/// What went wrong: how often something was incoherent, and the first few in words.
#[derive(Default)]
struct Findings {
    incoherent: AtomicU64,
    first: Mutex<Vec<String>>,
}

impl Findings {
    fn add_incoherent(&self, finding: String) {
        self.incoherent.fetch_add(1, Ordering::Relaxed);
        self.note(finding);
    }

    fn add_error(&self, what: &str, error: impl std::fmt::Debug) {
        self.note(format!("{what}: {error:?}"));
    }

    fn check(&self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.add_error(what, error);
        }
    }

    fn note(&self, finding: String) {
        let mut first = self.first.lock().expect("nobody panics with it");
        if first.len() < 5 {
            first.push(finding);
        }
    }
}

// ---- The file and its mappings ------------------------------------------------------------------

struct Stage {
    fs: Filesystem,
    file: File,
    mappings: [Mapping; 2],
    tables: [PageTables; 2],
    findings: Findings,
    /// Owners that have steps left.
    busy: AtomicUsize,
}

impl Stage {
    fn new(options: MountOptions, tables: [PageTables; 2]) -> Self {
        let fs = Filesystem::mount(formatted(DEVICE_BYTES), options).unwrap();
        let file = fs.create("/shared").unwrap();
        file.truncate(FILE_BYTES).unwrap();
        let mappings = map_both(&file, tables);
        let busy = AtomicUsize::new(OWNERS as usize);
        Self {
            fs,
            file,
            mappings,
            tables,
            findings: Findings::default(),
            busy,
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Compares bytes of the file, read and loaded, with what they should be.
    fn compare(&self, offset_bytes: u64, expected: &[u64], after: &str) {
        let mut bytes = vec![0xEE; expected.len() * WORD as usize];
        let mut ways: Vec<(&str, Vec<u64>)> = Vec::new();
        match self.file.read_at(&mut bytes, offset_bytes) {
            Ok(len) if len == bytes.len() => ways.push(("read", to_words(&bytes))),
            other => self.findings.add_error("comparing by read", other),
        }
        for mapping in &self.mappings {
            match mapping.load(offset_bytes, &mut bytes) {
                Ok(()) => ways.push(("load", to_words(&bytes))),
                Err(error) => self.findings.add_error("comparing by load", error),
            }
        }
        for (way, words) in ways {
            let differs = words
                .iter()
                .zip(expected)
                .position(|(found, right)| found != right);
            if let Some(index) = differs {
                let at = offset_bytes + index as u64 * WORD;
                let (found, right) = (words[index], expected[index]);
                self.findings.add_incoherent(format!(
                    "after {after}: {way} of {found:x} at {at}, not {right:x}"
                ));
            }
        }
    }
}

fn map_both(file: &File, tables: [PageTables; 2]) -> [Mapping; 2] {
    tables.map(|page_tables| {
        file.map(MapOptions {
            page_tables,
            ..MapOptions::new(FILE_BYTES)
        })
        .unwrap()
    })
}

// ---- Owners -------------------------------------------------------------------------------------

/// Whoever changes one region, and what the region should hold.
struct Owner<'stage> {
    stage: &'stage Stage,
    region: Range<u64>,
    /// One word for each of the region, zero past the end of file.
    oracle: Vec<u64>,
    numbers: Numbers,
    sequence: u64,
}

impl<'stage> Owner<'stage> {
    fn new(stage: &'stage Stage, number: u64) -> Self {
        let region = number * REGION_BYTES..(number + 1) * REGION_BYTES;
        let oracle = vec![0; (REGION_BYTES / WORD) as usize];
        Self {
            stage,
            region,
            oracle,
            numbers: Numbers::new(number + 1),
            sequence: 0,
        }
    }

    /// The end of what may be written, which only this owner of the tail changes.
    fn end(&self) -> u64 {
        if self.region.end == FILE_BYTES {
            self.stage.file.len_bytes()
        } else {
            self.region.end
        }
    }

    fn step(&mut self) {
        match self.numbers.below(if self.region.end == FILE_BYTES {
            12
        } else {
            10
        }) {
            0..3 => self.write(),
            3..6 => self.store(),
            6..9 => self.punch(),
            9 => self.release(),
            _ => self.resize(),
        }
    }

    /// Whole words of the region, before `end`: at times a few, at times some pages.
    fn pick(&mut self, end: u64) -> Range<u64> {
        let words = (end - self.region.start) / WORD;
        if words == 0 {
            return self.region.start..self.region.start;
        }
        let first = self.numbers.below(words);
        let longest = if self.numbers.below(2) == 0 {
            4
        } else {
            3 * PAGE / WORD
        };
        let len = 1 + self.numbers.below(longest.min(words - first));
        self.region.start + first * WORD..self.region.start + (first + len) * WORD
    }

    fn fresh(&mut self, range: &Range<u64>) -> Vec<u64> {
        self.sequence += 1;
        range
            .clone()
            .step_by(WORD as usize)
            .map(|offset| stamp(offset / PAGE, self.sequence))
            .collect()
    }

    fn remember(&mut self, range: &Range<u64>, words: &[u64]) {
        let first = ((range.start - self.region.start) / WORD) as usize;
        self.oracle[first..first + words.len()].copy_from_slice(words);
    }

    fn write(&mut self) {
        let range = self.pick(self.region.end);
        let words = self.fresh(&range);
        let written = self.stage.file.write_all_at(&to_bytes(&words), range.start);
        self.stage.findings.check("write", written);
        self.remember(&range, &words);
        self.compare_pages(&range, "a write");
    }

    fn store(&mut self) {
        let range = self.pick(self.end());
        let words = self.fresh(&range);
        let mapping = &self.stage.mappings[self.numbers.below(2) as usize];
        let stored = mapping.store(range.start, &to_bytes(&words));
        self.stage.findings.check("store", stored);
        self.remember(&range, &words);
        self.compare_pages(&range, "a store");
    }

    fn punch(&mut self) {
        let range = self.pick(self.end());
        let punched = self
            .stage
            .file
            .punch_hole(range.start, range.end - range.start);
        self.stage.findings.check("punch", punched);
        let zeroes = vec![0; ((range.end - range.start) / WORD) as usize];
        self.remember(&range, &zeroes);
        self.compare_pages(&range, "a punch");
    }

    fn release(&mut self) {
        let range = self.pick(self.region.end);
        let mapping = &self.stage.mappings[self.numbers.below(2) as usize];
        let released = mapping.release(range.start, range.end - range.start);
        self.stage.findings.check("release", released);
        self.compare_pages(&range, "a release");
    }

    /// Cuts the file off somewhere, or lets it grow.
    fn resize(&mut self) {
        let len_bytes = self.pick(self.region.end).start;
        let resized = self.stage.file.truncate(len_bytes);
        self.stage.findings.check("truncate", resized);
        let left = ((len_bytes - self.region.start) / WORD) as usize;
        self.oracle[left..].fill(0);
        self.compare_pages(&self.region.clone(), "a truncation");

        let past_the_end = len_bytes.next_multiple_of(PAGE);
        if past_the_end < FILE_BYTES {
            for mapping in &self.stage.mappings {
                let loaded = mapping.load(past_the_end, &mut [0; 8]);
                if !matches!(loaded, Err(Error::Access(_))) {
                    self.stage
                        .findings
                        .add_incoherent(format!("past {len_bytes}: {loaded:?}"));
                }
            }
        }
    }

    /// Compares the pages that were touched, as far as the file goes.
    fn compare_pages(&self, range: &Range<u64>, after: &str) {
        let start = range.start / PAGE * PAGE;
        let end = range.end.next_multiple_of(PAGE).min(self.end());
        if start < end {
            let word = |offset: u64| ((offset - self.region.start) / WORD) as usize;
            self.stage
                .compare(start, &self.oracle[word(start)..word(end)], after);
        }
    }
}

// ---- Readers and the recycler -------------------------------------------------------------------

/// Loads words of random pages, and reads random pages, until the owners are done.
fn read_on(stage: &Stage, number: u64) {
    let mut numbers = Numbers::new(1_000 + number);
    let mut own = map_both(&stage.file, stage.tables);
    while stage.is_busy() {
        let (page, word) = (numbers.below(FILE_BYTES / PAGE), numbers.below(PAGE / WORD));
        let mapping = match numbers.below(4) {
            0 | 1 => &own[numbers.below(2) as usize],
            _ => &stage.mappings[numbers.below(2) as usize],
        };
        let mut bytes = [0; WORD as usize];
        match mapping.load(page * PAGE + word * WORD, &mut bytes) {
            Ok(()) => check_words(stage, "loaded", page, &bytes, || {
                let mut again = [0; WORD as usize];
                mapping.load(page * PAGE + word * WORD, &mut again)?;
                Ok(again.to_vec())
            }),
            Err(Error::Access(_)) if page * PAGE >= TAIL => {}
            Err(error) => stage.findings.add_error("a reader's load", error),
        }
        let mut bytes = [0; PAGE as usize];
        match stage.file.read_at(&mut bytes, page * PAGE) {
            Ok(len) => check_words(stage, "read", page, &bytes[..len], || {
                let mut again = [0; PAGE as usize];
                let len = stage.file.read_at(&mut again, page * PAGE)?;
                Ok(again[..len].to_vec())
            }),
            Err(error) => stage.findings.add_error("a reader's read", error),
        }
        if numbers.below(64) == 0 {
            own = map_both(&stage.file, stage.tables);
        }
    }
}

/// How often a page is looked at until no word of it is torn: a change takes microseconds.
const LOOKS: u32 = 100;

/// A foreign word is a finding at once; a torn one if it does not pass.
fn check_words(
    stage: &Stage,
    way: &str,
    page: u64,
    bytes: &[u8],
    look_again: impl Fn() -> Result<Vec<u8>>,
) {
    let mut words = to_words(bytes);
    for _ in 0..LOOKS {
        let found = |kind| words.iter().any(|word| classify(*word, page) == kind);
        if found(Word::Foreign) || !found(Word::Torn) {
            break;
        }
        std::thread::yield_now();
        match look_again() {
            Ok(bytes) => words = to_words(&bytes),
            // The file has become shorter.
            Err(_) => return,
        }
    }
    let strange = words
        .iter()
        .find(|word| classify(**word, page) != Word::Own);
    if let Some(word) = strange {
        stage
            .findings
            .add_incoherent(format!("{way} {word:x} on page {page}"));
    }
}

/// Fills files with blocks that were freed, and checks that they are nobody else's.
fn recycle(stage: &Stage) {
    let words = vec![stamp(RECYCLER_PAGE, 0); (RECYCLED_BYTES / WORD) as usize];
    let bytes = to_bytes(&words);
    while stage.is_busy() {
        let recycled = || -> Result<()> {
            let file = stage.fs.create("/recycled")?;
            file.write_all_at(&bytes, 0)?;
            stage.fs.checkpoint()?;
            let mut found = vec![0; bytes.len()];
            file.read_at(&mut found, 0)?;
            if found != bytes {
                let finding = "somebody stored into another file's block";
                stage.findings.add_incoherent(finding.to_owned());
            }
            stage.fs.remove_file("/recycled")
        };
        stage.findings.check("the recycler", recycled());
    }
}

// ---- The test -----------------------------------------------------------------------------------

struct DoneOnDrop<'a>(&'a AtomicUsize);

impl Drop for DoneOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs everything and returns what the file should hold.
fn run(stage: &Stage) -> Vec<u64> {
    std::thread::scope(|scope| {
        let owners: Vec<_> = (0..OWNERS)
            .map(|number| {
                scope.spawn(move || {
                    let _done = DoneOnDrop(&stage.busy);
                    let mut owner = Owner::new(stage, number);
                    for _ in 0..STEPS * u64::from(stress_factor()) {
                        owner.step();
                    }
                    owner.oracle
                })
            })
            .collect();
        for number in 0..READERS as u64 {
            scope.spawn(move || read_on(stage, number));
        }
        scope.spawn(|| recycle(stage));
        owners
            .into_iter()
            .flat_map(|owner| owner.join().expect("an owner"))
            .collect()
    })
}

fn options(design: MappingLock) -> MountOptions {
    let mut options = MountOptions::default();
    options.mapping_lock = design;
    options.schedule = Some(Arc::new(Jitter::new(3)));
    options
}

/// Compares the whole file, quiet now, by all ways.
fn compare_all(stage: &Stage, oracle: &[u64], when: &str) {
    let len_bytes = stage.file.len_bytes();
    assert_eq!(len_bytes % WORD, 0);
    stage.compare(0, &oracle[..(len_bytes / WORD) as usize], when);
}

fn assert_coherent(tables: [PageTables; 2]) {
    for design in MappingLock::COHERENT {
        for options in [options(design), options(design).with_inode_io_lock()] {
            let name = format!("{options:?}, {tables:?}");
            let stage = Stage::new(options.clone(), tables);
            let oracle = run(&stage);
            compare_all(&stage, &oracle, "all");
            let findings = stage.findings.first.lock().unwrap();
            assert!(findings.is_empty(), "{name}: {findings:#?}");
            drop(findings);

            let Stage {
                fs, file, mappings, ..
            } = stage;
            drop((file, mappings));
            let device = Arc::clone(fs.device());
            fs.unmount().unwrap();
            assert_clean(&device);

            let fs = Filesystem::mount(device, options).unwrap();
            let file = fs.open("/shared").unwrap();
            let mappings = map_both(&file, tables);
            let (findings, busy) = (Findings::default(), AtomicUsize::new(0));
            let stage = Stage {
                fs,
                file,
                mappings,
                tables,
                findings,
                busy,
            };
            compare_all(&stage, &oracle, "mounting again");
            let findings = stage.findings.first.into_inner().unwrap();
            assert!(findings.is_empty(), "{name}: {findings:#?}");
        }
    }
}

#[test]
fn everything_at_once_is_coherent_on_software_page_tables() {
    assert_coherent(TABLES[0]);
}

#[test]
fn everything_at_once_is_coherent_on_process_page_tables() {
    assert_coherent(TABLES[1]);
}

#[test]
fn everything_at_once_is_coherent_between_the_two_kinds() {
    assert_coherent(TABLES[2]);
}

/// The canary: what the tests above look for happens under `none`, and they see it, sooner or
/// later.
#[test]
fn everything_at_once_is_not_coherent_under_none() {
    const RUNS: u32 = 20;
    for tables in TABLES {
        let caught_in = (1..=RUNS).find(|_| {
            let stage = Stage::new(options(MappingLock::None), tables);
            run(&stage);
            stage.findings.incoherent.load(Ordering::Relaxed) > 0
        });
        println!("{tables:?}: caught in run {caught_in:?}");
        assert!(caught_in.is_some(), "{tables:?}");
    }
}
