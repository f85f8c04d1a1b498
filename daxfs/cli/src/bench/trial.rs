//! The races of 2017, forced: one interleaving of two threads, the same for every design.
//!
//! A read fault looks a page of a hole up and is held there, before it has entered anything. The
//! other thread then fills the hole, by a write or by a store through the mapping. The fault goes
//! on as soon as the other has finished, or is about to wait for a lock of the design. At the end
//! read and load must return the same.
//!
//! ```text
//!   fault                                 write, or store
//!   looked up: a hole (held) -----------> starts
//!                                         ...
//!   goes on <---------------------------- waits for a lock, or has finished
//! ```
//!
//! A design that lets the other pass gets the interleaving of the race, one that makes it wait gets
//! the other, and neither needs a clock. Only a design that makes the other wait without telling
//! the schedule would hang; it is given up after [`PATIENCE`], and the trial says so.
//!
//! Touches images in memory through the library. Takes a mutex of its own, inside whatever the
//! design holds at a point, in a signal handler too.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use daxfs::schedule::{Mistake, Point, Schedule};
use daxfs::{
    Device, File, Filesystem, FormatOptions, MapOptions, Mapping, MappingLock, MountOptions,
    PageTables, PersistenceChoice,
};
use serde::Serialize;

const IMAGE_BYTES: u64 = 16 << 20;
const PAGE_BYTES: u64 = daxfs::PAGE_BYTES;
const NEW: [u8; 8] = *b"new data";
/// How long the fault is held at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who fills the hole that the read fault saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Race {
    /// A write: race 1 of the thread.
    Write,
    /// A write whose invalidation passes by the entry that the fault holds, instead of waiting for
    /// it: what claim C3 is about.
    WriteThatSkipsLocked,
    /// A write fault: race 2.
    WriteFault,
}

impl Race {
    pub(crate) const ALL: [Self; 3] = [Self::Write, Self::WriteThatSkipsLocked, Self::WriteFault];
}

impl Race {
    /// Who fills the hole, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Write => "a write",
            Self::WriteThatSkipsLocked => "a write that skips locked entries",
            Self::WriteFault => "a write fault",
        }
    }
}

/// What came of one race under one design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Trial {
    pub(crate) race: Race,
    pub(crate) mapping_lock: String,
    pub(crate) page_tables: &'static str,
    /// Whether the mapping shows zeroes where read returns data.
    pub(crate) stale: bool,
    /// Whether the other thread waited for the fault.
    pub(crate) waited: bool,
    /// Whether the fault was held until the other waited or had finished: else nothing was forced.
    pub(crate) forced: bool,
}

/// Forces every race under every design.
///
/// # Errors
/// If an image in memory cannot be made or used.
pub(crate) fn perform_all(tables: &[PageTables]) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for race in Race::ALL {
        for mapping_lock in MappingLock::ALL {
            for &page_tables in tables {
                let trial = perform(race, mapping_lock, page_tables)
                    .with_context(|| format!("{race:?}, mapping lock {mapping_lock}"))?;
                trials.push(trial);
            }
        }
    }
    Ok(trials)
}

fn perform(race: Race, mapping_lock: MappingLock, page_tables: PageTables) -> Result<Trial> {
    let device = Device::create_memfd(IMAGE_BYTES, PersistenceChoice::Detect)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    let hold = Arc::new(Hold::of(race));
    let mut options = MountOptions::default();
    options.mapping_lock = mapping_lock;
    options.schedule = Some(Arc::clone(&hold) as Arc<dyn Schedule>);
    let filesystem = Filesystem::mount(Arc::new(device), options)?;
    let file = filesystem.create("/file")?;
    file.truncate(PAGE_BYTES)?;
    let mapping = file.map(MapOptions {
        page_tables,
        ..MapOptions::new(PAGE_BYTES)
    })?;
    let (held, fill) = hold.perform(
        || mapping.load(0, &mut [0; 8]),
        || fill(race, &file, &mapping),
    );
    held?;
    fill?;
    let (mut read, mut loaded) = ([0; 8], [0; 8]);
    file.read_at(&mut read, 0)?;
    mapping.load(0, &mut loaded)?;
    let state = *hold.state();
    Ok(Trial {
        race,
        mapping_lock: mapping_lock.to_string(),
        page_tables: match page_tables {
            PageTables::Software => "software",
            PageTables::Process => "process",
            PageTables::ProcessBy(mechanism) => mechanism.name(),
        },
        stale: read == NEW && loaded == [0; 8],
        waited: state.other == Other::Waits,
        forced: state.forced,
    })
}

fn fill(race: Race, file: &File, mapping: &Mapping) -> daxfs::Result<()> {
    match race {
        Race::Write | Race::WriteThatSkipsLocked => file.write_all_at(&NEW, 0),
        Race::WriteFault => mapping.store(0, &NEW),
    }
}

/// Which thread a point was reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Fault,
    Other,
}

/// What the fault waits to see of the other thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Other {
    #[default]
    Runs,
    Waits,
    Finished,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    held: bool,
    /// The fault went on because of the other, not because patience ended.
    forced: bool,
    fault_finished: bool,
    other: Other,
}

thread_local! {
    // Without a destructor, so that it can be read in a signal handler.
    static ACTOR: Cell<Option<Actor>> = const { Cell::new(None) };
}

/// Holds the fault.
struct Hold {
    skips_locked: bool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Hold {
    fn of(race: Race) -> Self {
        Self {
            skips_locked: race == Race::WriteThatSkipsLocked,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Runs the fault and the other thread as the module says.
    fn perform<A: Send, B: Send>(
        &self,
        fault: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        thread::scope(|scope| {
            let fault = scope.spawn(|| {
                ACTOR.set(Some(Actor::Fault));
                let result = fault();
                self.change(|state| state.fault_finished = true);
                result
            });
            self.wait_until(|state| state.held || state.fault_finished);
            ACTOR.set(Some(Actor::Other));
            let result = other();
            ACTOR.set(None);
            self.change(|state| {
                if state.other == Other::Runs {
                    state.other = Other::Finished;
                }
            });
            let fault = fault
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (fault, result)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_until(&self, condition: impl Fn(&State) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !condition(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Schedule for Hold {
    fn reached(&self, point: Point, _page: u64) {
        match (ACTOR.get(), point) {
            (Some(Actor::Fault), Point::FaultLookedUp) if !self.state().held => {
                self.change(|state| state.held = true);
                self.wait_until(|state| state.other != Other::Runs);
                self.change(|state| state.forced = state.other != Other::Runs);
            }
            (Some(Actor::Other), Point::LockWait) => {
                self.change(|state| {
                    if state.other == Other::Runs {
                        state.other = Other::Waits;
                    }
                });
            }
            _ => {}
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.skips_locked && mistake == Mistake::InvalidationSkipsLocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_races_happen_under_none_and_under_no_design_that_makes_no_mistake() {
        let trials = perform_all(&[PageTables::Process, PageTables::Software]).expect("trials");
        assert_eq!(trials.len(), 3 * 2 * MappingLock::ALL.len());
        for trial in trials {
            assert!(trial.forced, "{trial:?}");
            let lock: MappingLock = trial.mapping_lock.parse().expect("a design");
            if lock == MappingLock::None {
                assert!(trial.stale && !trial.waited, "{trial:?}");
            }
            // (`entry-rw` does not get there: its write shares the entry before it looks.)
            if (lock, trial.race) == (MappingLock::Entry, Race::WriteThatSkipsLocked) {
                assert!(trial.stale && !trial.waited, "{trial:?}");
            } else if lock.is_coherent() {
                assert!(!trial.stale && trial.waited, "{trial:?}");
            }
        }
    }
}
