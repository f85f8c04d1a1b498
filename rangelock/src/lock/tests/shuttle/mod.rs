//! The whole lock with eight threads, under random schedules.
//!
//! | File | What is there |
//! |---|---|
//! | `mod.rs` | a lock over bytes that know who uses them, and how a model is run |
//! | `scenarios.rs` | what must hold, each run on every way through the lock |
//! | `canaries.rs` | scenarios run on a lock that commits a fault on purpose; they must fail |
//!
//! # How far
//!
//! loom tries all schedules of two or three threads (`lock/tests/loom`). Here there are eight, so
//! that slots run out, queues are long and releases unblock many at once; and the schedules are
//! drawn at random, half of them uniformly, half by probabilistic concurrency testing (Burckhardt
//! and others, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS
//! 2010). The draws begin with a fixed seed, so a run that fails fails again.
//! `RANGELOCK_SHUTTLE_FACTOR` in the environment multiplies their number.
//!
//! shuttle takes every access for `SeqCst`, so the canary without a barrier is loom's alone; so are
//! those that need one schedule among very many.

mod canaries;
mod scenarios;

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use ::shuttle::rand::Rng;
use ::shuttle::scheduler::{PctScheduler, RandomScheduler};
use ::shuttle::{Config, Runner, rand, thread};

use super::RangeLock;
use crate::Granule;
use crate::mode::Mode;
use crate::probe::Fault;

const THREADS: usize = 8;
const BYTES: u64 = 12;

/// Which way requests go.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// All through the tree.
    Tree,
    /// All bytes in one granule: all requests are narrow, and slots run out.
    Narrow,
    /// Four bytes in a granule; the table grows when slots run out.
    Mixed,
    /// As `Mixed`, on a table that has grown before.
    Grown,
    /// Each byte a granule: all requests but those for one byte are wide.
    Wide,
    /// As `Mixed`, on a table whose readers are apart until many have written.
    Apart,
}

/// How a scenario is tried.
#[derive(Clone, Copy, Debug)]
struct Setting {
    way: Way,
    fault: Option<Fault>,
    /// How many schedules of each kind.
    schedules: usize,
}

impl Setting {
    fn lock(self) -> RangeLock {
        let granule_len = match self.way {
            Way::Tree => {
                let lock = RangeLock::tree_only();
                return match self.fault {
                    Some(fault) => lock.with_fault(fault),
                    None => lock,
                };
            }
            Way::Narrow => 16,
            Way::Mixed | Way::Grown | Way::Apart => 4,
            Way::Wide => 1,
        };
        let granule = Granule::from_len(granule_len).unwrap();
        let lock = match self.fault {
            Some(fault) => RangeLock::with_granule_and_fault(granule, fault),
            None => RangeLock::with_granule(granule),
        };
        match self.way {
            Way::Grown => lock.reserve(64),
            Way::Apart => lock.layers.set_readers_apart(),
            _ => {}
        }
        lock
    }

    /// Runs `model` under random schedules.
    fn run(self, model: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
        let model = Arc::new(move || {
            let shared = Arc::new(Shared {
                lock: self.lock(),
                bytes: Default::default(),
            });
            model(&shared);
            shared.lock.assert_unused();
        });
        let mut config = Config::new();
        config.silence_warnings = true;
        let random = RandomScheduler::new_from_seed(SEED, self.schedules);
        let again = Arc::clone(&model);
        Runner::new(random, config.clone()).run(move || again());
        let preemptive = PctScheduler::new_from_seed(SEED, PREEMPTIONS, self.schedules);
        Runner::new(preemptive, config).run(move || model());
    }
}

const SEED: u64 = 0x5eed_0f10_c4a1_d00d;
/// Most mistakes need few preemptions at the right places.
const PREEMPTIONS: usize = 4;

/// The factor for the number of schedules; one unless the environment says otherwise.
fn factor() -> usize {
    std::env::var("RANGELOCK_SHUTTLE_FACTOR").map_or(1, |factor| {
        factor
            .parse()
            .expect("RANGELOCK_SHUTTLE_FACTOR is a number")
    })
}

/// What a thread asks for.
#[derive(Clone, Debug)]
struct Request {
    range: RangeInclusive<u64>,
    mode: Mode,
}

impl Request {
    fn read(range: RangeInclusive<u64>) -> Self {
        let mode = Mode::Read;
        Self { range, mode }
    }

    fn write(range: RangeInclusive<u64>) -> Self {
        let mode = Mode::Write;
        Self { range, mode }
    }

    /// At most `longest` bytes, at random places.
    fn random(longest: u64) -> Self {
        let mut random = rand::thread_rng();
        let len = random.gen_range(1..=longest);
        let first = random.gen_range(0..=BYTES - len);
        let range = first..=first + len - 1;
        match random.gen_range(0..2) {
            0 => Self::read(range),
            _ => Self::write(range),
        }
    }

    fn conflicts_with(&self, other: &Self) -> bool {
        self.range.start() <= other.range.end()
            && other.range.start() <= self.range.end()
            && (self.mode == Mode::Write || other.mode == Mode::Write)
    }
}

/// A lock over bytes, each of which knows who uses it. Their counters are not shuttle's, so a
/// schedule cannot be told from them.
struct Shared {
    lock: RangeLock,
    bytes: [Byte; BYTES as usize],
}

#[derive(Default)]
struct Byte {
    readers: AtomicU32,
    writers: AtomicU32,
}

impl Shared {
    /// Runs `inside` while the range is held, by a guard or by a node.
    fn hold<R>(&self, request: &Request, inside: impl FnOnce() -> R) -> R {
        let range = request.range.clone();
        let node = pin!(self.lock.node());
        let with_node = rand::thread_rng().gen_range(0..2) == 0;
        match (request.mode, with_node) {
            (Mode::Read, true) => self.inside(request, inside, node.read(range)),
            (Mode::Write, true) => self.inside(request, inside, node.write(range)),
            (Mode::Read, false) => self.inside(request, inside, self.lock.read(range)),
            (Mode::Write, false) => self.inside(request, inside, self.lock.write(range)),
        }
    }

    /// Like [`hold`](Self::hold), if that needs no wait.
    fn try_hold(&self, request: &Request) {
        let range = request.range.clone();
        match request.mode {
            Mode::Read => {
                if let Some(guard) = self.lock.try_read(range) {
                    self.inside(request, || (), guard);
                }
            }
            Mode::Write => {
                if let Some(guard) = self.lock.try_write(range) {
                    self.inside(request, || (), guard);
                }
            }
        }
    }

    /// Uses the bytes, and gives others the chance to be there too.
    fn inside<G, R>(&self, request: &Request, inside: impl FnOnce() -> R, guard: G) -> R {
        let (first, last) = (*request.range.start(), *request.range.end());
        let bytes = &self.bytes[first as usize..=last as usize];
        for byte in bytes {
            let readers = byte.readers.load(Relaxed);
            let writers = byte.writers.load(Relaxed);
            match request.mode {
                Mode::Read => {
                    assert_eq!(writers, 0, "a reader met a writer");
                    byte.readers.store(readers + 1, Relaxed);
                }
                Mode::Write => {
                    assert_eq!((readers, writers), (0, 0), "a writer met somebody");
                    byte.writers.store(1, Relaxed);
                }
            }
        }
        switch();
        let result = inside();
        for byte in bytes {
            let count = match request.mode {
                Mode::Read => &byte.readers,
                Mode::Write => &byte.writers,
            };
            count.store(count.load(Relaxed) - 1, Relaxed);
        }
        drop(guard);
        result
    }

    /// Waits until `count` requests have had to wait. Only for scenarios whose other threads get
    /// that far without this one.
    fn until_waiting(&self, count: usize) {
        while self.lock.layers.census().waiting != count {
            thread::yield_now();
        }
    }
}

/// Lets shuttle go on with another thread.
fn switch() {
    thread::sleep(Duration::ZERO);
}

fn spawn(
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) + Send + 'static,
) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

fn join_all(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}
