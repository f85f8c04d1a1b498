//! The races of the thread of April 2017 in every order of steps that loom finds, on the real code:
//! a file on a device of memory, its block map, entries, locks and design, and software page
//! tables.
//!
//! | File | What is there |
//! |---|---|
//! | `mod.rs` | a file, two threads on it, and what they leave behind |
//! | `races.rs` | claims C1 to C3 and race 3: designs that must hold, designs that must be caught |
//!
//! Two threads meet on one page: one changes what the file has there, the other faults. When both
//! are over, what the mapping shows must be what a read returns. A model counts the orders in which
//! it is not: none for a design that must hold, some for one that must be caught. So that a model
//! of a design that holds is not an idle one, the change must also have met an entry of the fault's
//! in some orders and none in others.
//!
//! # How far
//! Two threads, at most three preemptions, in a file with a block and an entry on another page
//! already ([`History::Used`]). In a fresh one the two also race for the nodes of the block map and
//! of the entry tree, which takes ten times as many orders, so with fewer preemptions. The slow
//! tier allows one more everywhere. Without a bound loom ends sooner, and finds less: it remembers
//! one last access of each atomic when it decides which orders differ, so that the second
//! invalidation of `recheck` hides the first.
//!
//! What is small, and what is left to the standard library, is said in [`crate::sync`]. The
//! device's bytes are real memory, which loom does not watch; blocks that nobody has initialised
//! hold garbage, which no thread may see.

mod races;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::loom::model::Builder;
use ::loom::thread;
use daxfs_pmem::{Device, PersistenceChoice};

use super::mapping::{MapOptions, Mapping, PageTables};
use super::mapping_lock::MappingLock;
use super::open_file::OpenFile;
use super::settings::{EntrySizes, Settings, Unmapping};
use super::{IoLock, read_at, write_at};
use crate::allocation::{Allocator, DataUnit};
use crate::format::geometry::BLOCK_BYTES;
use crate::format::record::Lsn;
use crate::format::{DirectoryHash, Features, ImageGeometry};
use crate::inode::attributes::now;
use crate::inode::block_map::SEGMENT_BLOCKS;
use crate::inode::{Attributes, Body, FileBody, Inode, InodeTable};
use crate::log::{Log, LogRegion};
use crate::metadata::Tree;
use crate::schedule::{Mistake, Point, Schedule};
use crate::volume::{MadeWith, Store, Volume};

type Word = [u8; 8];

/// What a hole holds.
const ZERO: Word = [0; 8];
/// What was there before, on a page that nobody races for.
const OLD: Word = *b"old data";
const NEW: Word = *b"new data";
const GARBAGE: Word = [0xEE; 8];

/// All of one large entry.
const FILE_BYTES: u64 = SEGMENT_BLOCKS * BLOCK_BYTES;
/// Blocks that files may have: all of one group, so that a file's lie as they do on any device.
const DATA_BLOCKS: std::ops::Range<u64> = 512..1024;
/// Blocks of the log, before those of files.
const LOG_BLOCKS: std::ops::Range<u64> = 2..258;
const DEVICE_BLOCKS: u64 = DATA_BLOCKS.end;
const INODE: u64 = 7;
/// The page that changes.
const CHANGED: u64 = 0;
/// The page beside it, in the same leaf of the tree.
const BESIDE: u64 = 1;

/// Steps of one order, at most; loom's own limit is for smaller models.
const MOST_STEPS: usize = 10_000;

/// Who meets whom.
#[derive(Clone, Copy, Debug)]
enum Race {
    /// Race 1: a write that allocates, and a read fault on its hole.
    Write,
    /// Race 2: a write fault that allocates, and a read fault on its hole.
    WriteFault,
    /// Race 3: a write that allocates a page, and a read fault that maps the whole hole around it
    /// at once.
    LargeHole,
}

/// What has become of the file before they meet.
#[derive(Clone, Copy, Debug)]
enum History {
    /// It is all hole.
    Fresh,
    /// The page beside has a block and an entry.
    Used,
}

/// One model.
#[derive(Clone, Copy, Debug)]
struct Model {
    race: Race,
    design: MappingLock,
    mistake: Option<Mistake>,
    history: History,
    most_preemptions: usize,
}

/// What the orders of a model came to.
#[derive(Debug, Default)]
struct Outcomes {
    orders: AtomicU64,
    /// The mapping shows zeroes where read returns data.
    stale: AtomicU64,
    /// The change met an entry, and took its translation away.
    unmapped: AtomicU64,
}

/// The file and a mapping of it.
struct Stage {
    file: Arc<OpenFile>,
    mapping: Mapping,
}

struct Makes(Mistake);

impl Schedule for Makes {
    fn reached(&self, _point: Point, _page: u64) {}

    fn makes(&self, mistake: Mistake) -> bool {
        self.0 == mistake
    }
}

impl Model {
    /// No order of steps leaves anything stale, and the two do meet.
    fn holds(self) {
        let outcomes = self.explore(move |stale| assert!(!stale, "a stale zero page: {self:?}"));
        let [orders, unmapped] = [&outcomes.orders, &outcomes.unmapped].map(|n| n.load(Relaxed));
        assert!(0 < unmapped && unmapped < orders, "{self:?}: {outcomes:?}");
    }

    /// Some orders leave a stale zero page, and some do not.
    fn is_caught(self) {
        let outcomes = self.explore(|_| {});
        let [orders, stale] = [&outcomes.orders, &outcomes.stale].map(|n| n.load(Relaxed));
        assert!(0 < stale && stale < orders, "{self:?}: {outcomes:?}");
    }

    /// Runs every order, and tells `judge` of each whether it left a stale zero page.
    fn explore(self, judge: impl Fn(bool) + Send + Sync + 'static) -> Arc<Outcomes> {
        let len_bytes = DATA_BLOCKS.end * BLOCK_BYTES;
        let device = Device::create_memfd(len_bytes, PersistenceChoice::Detect).unwrap();
        let device = Arc::new(device);
        let outcomes = Arc::new(Outcomes::default());
        let counts = Arc::clone(&outcomes);
        let mut builder = Builder::new();
        builder.preemption_bound = Some(self.most_preemptions);
        builder.max_branches = MOST_STEPS;
        builder.check(move || {
            // Judged when all of it is dropped: what a failure unwinds is no longer the model's.
            let (stale, unmaps) = self.run(&device);
            counts.orders.fetch_add(1, Relaxed);
            counts.stale.fetch_add(stale.into(), Relaxed);
            counts.unmapped.fetch_add((unmaps > 0).into(), Relaxed);
            judge(stale);
        });
        println!("{self:?}: {outcomes:?}");
        outcomes
    }

    /// Runs one order. Whether it left a stale zero page, and how often something was unmapped.
    fn run(self, device: &Arc<Device>) -> (bool, u64) {
        let stage = self.stage(device);
        let change = spawn(&stage, move |stage| match self.race {
            Race::Write | Race::LargeHole => stage.write(CHANGED, NEW),
            Race::WriteFault => stage.store(CHANGED, NEW),
        });
        let fault = spawn(&stage, move |stage| match self.race {
            Race::Write | Race::WriteFault => stage.load(CHANGED),
            Race::LargeHole => stage.load(BESIDE),
        });
        change.join().unwrap();
        let loaded = fault.join().unwrap();
        let early = [ZERO, NEW];
        assert!(early.contains(&loaded), "{loaded:?} was there at no time");
        let unmaps = stage.file.mapped.windows.unmaps();

        assert_eq!(stage.read(CHANGED), NEW, "a write is lost");
        let loaded = stage.load(CHANGED);
        assert!(early.contains(&loaded), "{loaded:?} is nowhere in the file");
        assert_eq!(stage.load(BESIDE), stage.read(BESIDE), "the page beside");
        (loaded == ZERO, unmaps)
    }

    fn stage(self, device: &Arc<Device>) -> Arc<Stage> {
        let garbage = GARBAGE.repeat(FILE_BYTES as usize / GARBAGE.len());
        let spoilt = device.copy(DATA_BLOCKS.start * BLOCK_BYTES, &garbage);
        device.fence(spoilt.unwrap()).unwrap();

        let schedule = self.mistake.map(|mistake| Arc::new(Makes(mistake)) as _);
        let allocator = Allocator::new(DATA_BLOCKS.start, DATA_BLOCKS.end, DataUnit::Block);
        let volume = Arc::new(Volume::new(
            Arc::clone(device),
            allocator,
            log(device),
            InodeTable::new(INODE, 0),
            Store::new(
                Arc::clone(device),
                ImageGeometry::for_blocks(DEVICE_BLOCKS),
                Tree::empty(),
            ),
            MadeWith {
                hash: DirectoryHash::new(&[0; 16]),
                features: Features::default(),
            },
            schedule,
        ));
        let body = Body::File(FileBody::empty());
        let inode = Inode::new(INODE, body, 1, Attributes::new(0o644, 0, 0, now()));
        let inode = volume.inodes.insert(inode).expect("it is the first");
        inode.set_len_bytes(FILE_BYTES);
        let settings = Settings {
            io_lock: IoLock::Range,
            mapping_lock: self.design,
            unmapping: Unmapping::Once,
            data: Default::default(),
            entry_sizes: match self.race {
                Race::Write | Race::WriteFault => EntrySizes::Small,
                Race::LargeHole => EntrySizes::Both,
            },
        };
        let file = Arc::new(OpenFile::new(volume, inode, &settings).unwrap());
        let options = MapOptions {
            page_tables: PageTables::Software,
            ..MapOptions::new(FILE_BYTES)
        };
        let mapping = Mapping::new(Arc::clone(&file), Arc::new(()), &options).unwrap();
        let stage = Stage { file, mapping };
        if let History::Used = self.history {
            stage.write(BESIDE, OLD);
            assert_eq!(stage.load(BESIDE), OLD);
        }
        Arc::new(stage)
    }
}

/// An empty log, so large that no model fills it.
fn log(device: &Arc<Device>) -> Log {
    let region = LogRegion {
        start_block: LOG_BLOCKS.start,
        blocks: LOG_BLOCKS.end - LOG_BLOCKS.start,
    };
    let start = Lsn::new(0);
    Log::new(Arc::clone(device), region, start, start, 1)
}

impl Stage {
    fn write(&self, page: u64, word: Word) {
        let written = write_at(&self.file, &word, page * BLOCK_BYTES).unwrap();
        assert_eq!(written, word.len());
    }

    fn read(&self, page: u64) -> Word {
        let mut word = GARBAGE;
        let read = read_at(&self.file, &mut word, page * BLOCK_BYTES).unwrap();
        assert_eq!(read, word.len());
        word
    }

    fn store(&self, page: u64, word: Word) {
        self.mapping.store(page * BLOCK_BYTES, &word).unwrap();
    }

    fn load(&self, page: u64) -> Word {
        let mut word = GARBAGE;
        self.mapping.load(page * BLOCK_BYTES, &mut word).unwrap();
        word
    }
}

fn spawn<T: 'static>(
    stage: &Arc<Stage>,
    run: impl FnOnce(&Stage) -> T + 'static,
) -> thread::JoinHandle<T> {
    let stage = Arc::clone(stage);
    thread::spawn(move || run(&stage))
}

/// How many preemptions more than usual: none, unless `cargo verify --slow` says otherwise.
fn more_preemptions() -> usize {
    let more = env::var("DAXFS_MORE_PREEMPTIONS").ok();
    more.and_then(|text| text.parse().ok()).unwrap_or(0)
}
