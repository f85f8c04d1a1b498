//! The whole lock under the schedules that loom can find: on the tree alone, and with slots.
//!
//! | File | What is there |
//! |---|---|
//! | `mod.rs` | a lock over watched bytes, and how a model is run |
//! | `changes.rs` | the same for who gives up, or changes what it holds |
//! | `properties.rs` | the properties, each written once and run in six settings |
//! | `canaries.rs` | properties run on a lock that commits a fault on purpose; they must fail |
//!
//! # How far
//!
//! Two threads on the tree run under every schedule, three under all with at most three
//! preemptions. With slots there are more steps: two threads run with at most four preemptions,
//! three with two, which takes seconds. With six and three they passed as well when tried (one did
//! not end within a hundred seconds), and so did two writers in one granule under every schedule,
//! 1.3 million of them.
//!
//! loom remembers one last access to each atomic, by whichever thread, when it decides which
//! schedules differ. A load that comes just before a read-modify-write of the same word hides
//! earlier loads by other threads from it, so `slots/shard.rs` leaves such a load out in models.

mod canaries;
mod changes;
mod properties;

use std::mem::ManuallyDrop;
use std::pin::pin;
// Not loom's: when a canary deadlocks, the frames are unwound outside the model, where dropping
// loom's own would abort the process.
use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::model::Builder;
use ::loom::sync::atomic::AtomicUsize;
use ::loom::thread;

use super::RangeLock;
use crate::Granule;
use crate::probe::Fault;

/// What the two kinds of guard have in common, so that a model can use either.
#[derive(Clone, Copy)]
enum Guards {
    Movable,
    Pinned,
}

/// Which way requests go in a model.
#[derive(Clone, Copy)]
enum Way {
    /// All through the tree.
    Tree,
    /// All bytes in one granule: all requests are narrow, and one alone needs no slot.
    Narrow,
    /// Each byte a granule: a request for more than one byte is wide.
    Mixed,
    /// As `Mixed`, on a table that has grown before: of two shards, crowded.
    Grown,
    /// As `Mixed`, on a table whose readers are apart: a group of two shards, and who writes is
    /// wide.
    Apart,
}

/// Room for so many: the first growth. Models that grow want more.
const GROWN_FIRST: usize = 3;

/// How a property is tried.
#[derive(Clone, Copy)]
struct Setting {
    guards: Guards,
    way: Way,
    fault: Option<Fault>,
}

impl Setting {
    fn faulty(way: Way, fault: Fault) -> Self {
        Self {
            guards: Guards::Pinned,
            way,
            fault: Some(fault),
        }
    }

    fn lock(self) -> RangeLock {
        let granule_len = match self.way {
            Way::Tree => {
                let lock = RangeLock::tree_only();
                return match self.fault {
                    Some(fault) => lock.with_fault(fault),
                    None => lock,
                };
            }
            Way::Narrow => 4,
            Way::Mixed | Way::Grown | Way::Apart => 1,
        };
        let granule = Granule::from_len(granule_len).unwrap();
        let lock = match self.fault {
            Some(fault) => RangeLock::with_granule_and_fault(granule, fault),
            None => RangeLock::with_granule(granule),
        };
        match self.way {
            Way::Grown => lock.reserve(GROWN_FIRST),
            Way::Apart => lock.layers.set_readers_apart(),
            _ => {}
        }
        lock
    }
}

/// A lock over an array of cells, one for each byte. loom reports every unordered access to one.
struct Shared {
    lock: RangeLock,
    bytes: [UnsafeCell<u32>; 3],
    guards: Guards,
    /// A counter for models that observe an order.
    clock: AtomicUsize,
}

// SAFETY: whether the lock orders every access to the cells is what the models check, and loom
// stops at the first that is not ordered.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(setting: Setting) -> Arc<Self> {
        Arc::new(Self {
            lock: setting.lock(),
            bytes: std::array::from_fn(|_| UnsafeCell::new(0)),
            guards: setting.guards,
            clock: AtomicUsize::new(0),
        })
    }

    fn read<R>(&self, first: usize, last: usize, inside: impl FnOnce() -> R) -> R {
        let range = first as u64..=last as u64;
        let look = || {
            self.look(first, last);
            inside()
        };
        match self.guards {
            Guards::Movable => {
                let _guard = self.lock.read(range);
                look()
            }
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                let _guard = node.read(range);
                look()
            }
        }
    }

    fn write<R>(&self, first: usize, last: usize, inside: impl FnOnce() -> R) -> R {
        let range = first as u64..=last as u64;
        let change = || {
            self.change(first, last);
            inside()
        };
        match self.guards {
            Guards::Movable => {
                let _guard = self.lock.write(range);
                change()
            }
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                let _guard = node.write(range);
                change()
            }
        }
    }

    /// What a reader does.
    fn look(&self, first: usize, last: usize) {
        for byte in &self.bytes[first..=last] {
            // SAFETY: loom checks that no writer is at it.
            byte.with(|byte| unsafe { byte.read() });
        }
    }

    /// What a writer does, and only a writer may do.
    fn change(&self, first: usize, last: usize) {
        for byte in &self.bytes[first..=last] {
            // SAFETY: loom checks that nobody else is at it.
            byte.with_mut(|byte| unsafe { *byte += 1 });
        }
    }

    /// Runs `inside` while somebody holds the last byte, so that nobody is alone in its shard.
    fn beside_a_third(&self, inside: impl FnOnce()) {
        // When a canary deadlocks, this frame is unwound outside the model, where nothing may be
        // given back.
        let third = ManuallyDrop::new(self.lock.read(2..=2));
        inside();
        drop(ManuallyDrop::into_inner(third));
    }

    /// Runs `inside` if the range could be had at once.
    fn try_write(&self, first: usize, last: usize, inside: impl FnOnce()) -> bool {
        let change = || {
            self.change(first, last);
            inside();
        };
        let range = first as u64..=last as u64;
        match self.guards {
            Guards::Movable => self.lock.try_write(range).map(|_guard| change()).is_some(),
            Guards::Pinned => {
                let node = pin!(self.lock.node());
                node.try_write(range).map(|_guard| change()).is_some()
            }
        }
    }

    /// Makes the table grow as far as it can.
    fn grow(&self) {
        self.lock.reserve(9);
    }

    /// Makes the table shrink as far as it can, as wide requests would.
    fn shrink(&self) {
        self.lock.layers.shrink_table();
    }

    /// Sets readers apart, as if they had met often.
    fn set_readers_apart(&self) {
        self.lock.layers.set_readers_apart();
    }

    /// And together again, as if many had written.
    fn set_readers_together(&self) {
        self.lock.layers.set_readers_together();
    }

    /// Waits until `count` requests have had to wait. Only for models whose other threads get that
    /// far without this one.
    fn until_waiting(&self, count: usize) {
        while self.lock.layers.census().waiting != count {
            thread::yield_now();
        }
    }
}

/// Runs a model of two threads: on the tree under every schedule.
fn two_threads(setting: Setting, model: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    let bound = match setting.way {
        Way::Tree => None,
        _ => Some(TWO_THREADS_ON_SLOTS),
    };
    run(setting, bound, model);
}

/// Runs a model of three threads.
fn three_threads(setting: Setting, model: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    let bound = match setting.way {
        Way::Tree => 3,
        _ => THREE_THREADS_ON_SLOTS,
    };
    run(setting, Some(bound), model);
}

const TWO_THREADS_ON_SLOTS: usize = 4;
const THREE_THREADS_ON_SLOTS: usize = 2;

fn run(
    setting: Setting,
    preemption_bound: Option<usize>,
    model: impl Fn(&Arc<Shared>) + Send + Sync + 'static,
) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemption_bound;
    builder.check(move || {
        let shared = Shared::new(setting);
        model(&shared);
        shared.lock.assert_unused();
    });
}

fn spawn(shared: &Arc<Shared>, run: impl FnOnce(&Shared) + 'static) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}
