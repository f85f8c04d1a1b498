//! Claim C10: a fault that must write to the log while it holds an entry, with the log full.
//!
//! Two threads store through a mapping into the same page of a hole, under the design `entry`. The
//! log has room for one of the two transactions. The first has locked the entry and is held there
//! until the second waits for that entry:
//!
//! ```text
//!   wrong order:  first                          second
//!                 lock the entry (held) -------> transaction begun: the log is full now
//!                 goes on <--------------------- waits for the entry
//!                 begin a transaction: waits for a checkpoint, which waits for the second
//!
//!   our order:    first                          second
//!                 transaction begun
//!                 lock the entry (held) -------> begin a transaction: waits for a checkpoint,
//!                 goes on (after a while)        which waits for the first
//!                 fills the hole, ends --------> goes on
//! ```
//! In the wrong order nobody goes on. Whoever is still there after [`PATIENCE`] counts as stopped;
//! the two threads are left behind, with their image. Builds with debug assertions check the order
//! of locks: there the first is reported before it can stop anybody.
//!
//! Touches images in memory through the library. Takes a mutex of its own, inside the entry lock.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use daxfs::schedule::{Mistake, Point, Schedule};
use daxfs::{
    Checkpoints, Device, Filesystem, FormatOptions, MapOptions, Mapping, MappingLock, MountOptions,
    PageTables, PersistenceChoice, SetAttributes,
};
use serde::Serialize;

const IMAGE_BYTES: u64 = 4 << 20;
const PAGE_BYTES: u64 = daxfs::PAGE_BYTES;
/// What one transaction of a fault keeps free in the log: its record of 128 bytes, and room to
/// leave out the end of the ring before it.
const ONE_TRANSACTION_BYTES: u64 = 192;
/// How long the first is held for a second that cannot come to its wait.
const HELD: Duration = Duration::from_millis(300);
/// How long the two are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which of the two comes first in a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LockOrder {
    /// The transaction, and then the entry lock.
    Ours,
    /// The entry lock, and then the transaction.
    Wrong,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// Both stores came to their end.
    Finished,
    /// Neither did.
    Deadlocked,
    /// The lock-order check named the two places.
    Reported,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FullLogTrial {
    pub(crate) order: LockOrder,
    pub(crate) ending: Ending,
    /// Whether the second came to wait for the entry that the first held.
    pub(crate) second_waited: bool,
}

/// Tries both orders. What the lock-order check says of the wrong one is not printed: it is what is
/// looked for.
///
/// # Errors
/// If an image in memory cannot be made or used.
pub(crate) fn perform_all() -> Result<Vec<FullLogTrial>> {
    let hook = Arc::new(panic::take_hook());
    let others = Arc::clone(&hook);
    panic::set_hook(Box::new(move |info| {
        if ROLE.get().is_none() {
            others(info);
        }
    }));
    let trials = [LockOrder::Ours, LockOrder::Wrong]
        .into_iter()
        .map(perform)
        .collect();
    panic::set_hook(Box::new(move |info| hook(info)));
    trials
}

fn perform(order: LockOrder) -> Result<FullLogTrial> {
    let script = Arc::new(Script::new(order));
    let filesystem = mounted(&script)?;
    let file = filesystem.create("/file")?;
    file.truncate(PAGE_BYTES)?;
    let mapping = Arc::new(file.map(MapOptions {
        page_tables: PageTables::Software,
        ..MapOptions::new(PAGE_BYTES)
    })?);
    fill_the_log(&filesystem)?;

    let (ends, ended) = mpsc::channel();
    store(&script, &mapping, Role::First, &ends);
    script.wait_for(|state| state.first_holds_entry || state.first_is_over);
    store(&script, &mapping, Role::Second, &ends);
    drop(ends);
    let mut reported = false;
    for _ in 0..2 {
        match ended.recv_timeout(PATIENCE) {
            Ok(Ok(stored)) => stored?,
            Ok(Err(Reported)) => reported = true,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                // The threads will never end: nothing of theirs may be dropped.
                std::mem::forget((filesystem, file));
                return Ok(script.trial(Ending::Deadlocked));
            }
        }
    }
    Ok(script.trial(match reported {
        true => Ending::Reported,
        false => Ending::Finished,
    }))
}

/// An image whose log is emptied only by whoever finds it full.
fn mounted(script: &Arc<Script>) -> Result<Filesystem> {
    let device = Device::create_memfd(IMAGE_BYTES, PersistenceChoice::Detect)?;
    Filesystem::format(&device, &FormatOptions::default())?;
    let mut options = MountOptions::default();
    options.mapping_lock = MappingLock::Entry;
    options.checkpoints = Checkpoints::WhenNeeded;
    options.schedule = Some(Arc::clone(script) as Arc<dyn Schedule>);
    Ok(Filesystem::mount(Arc::new(device), options)?)
}

/// Leaves room for one transaction in the log, and not for two.
fn fill_the_log(filesystem: &Filesystem) -> Result<()> {
    let change = SetAttributes {
        mode: Some(0o755),
        ..SetAttributes::default()
    };
    let free_bytes = || {
        let log = filesystem.log_space();
        log.capacity_bytes - log.used_bytes
    };
    while free_bytes() >= 2 * ONE_TRANSACTION_BYTES {
        filesystem.set_attributes("/", &change)?;
    }
    ensure!(
        free_bytes() >= ONE_TRANSACTION_BYTES,
        "the log has {} bytes left, too few for one transaction",
        free_bytes()
    );
    Ok(())
}

/// The lock-order check has panicked.
struct Reported;

fn store(
    script: &Arc<Script>,
    mapping: &Arc<Mapping>,
    role: Role,
    ends: &Sender<Result<daxfs::Result<()>, Reported>>,
) {
    let (script, mapping, ends) = (Arc::clone(script), Arc::clone(mapping), ends.clone());
    thread::spawn(move || {
        ROLE.set(Some(role));
        let store = AssertUnwindSafe(|| mapping.store(0, b"stored"));
        let stored = catch_unwind(store).map_err(|_| Reported);
        if role == Role::First {
            script.change(|state| state.first_is_over = true);
        }
        // Nobody is there to be told when the trial is over.
        let _ = ends.send(stored);
    });
}

// ---- The script -------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    First,
    Second,
}

thread_local! {
    static ROLE: Cell<Option<Role>> = const { Cell::new(None) };
}

/// Holds the first where it has locked the entry, until the second waits for it.
struct Script {
    order: LockOrder,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    first_holds_entry: bool,
    first_is_over: bool,
    second_waits: bool,
}

impl Script {
    fn new(order: LockOrder) -> Self {
        Self {
            order,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_for(&self, is_so: impl Fn(&State) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !is_so(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn hold_first(&self) {
        self.change(|state| state.first_holds_entry = true);
        let waits = |state: &mut State| !state.second_waits;
        let held = self.changed.wait_timeout_while(self.state(), HELD, waits);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }

    fn trial(&self, ending: Ending) -> FullLogTrial {
        FullLogTrial {
            order: self.order,
            ending,
            second_waited: self.state().second_waits,
        }
    }
}

impl Schedule for Script {
    fn reached(&self, point: Point, _page: u64) {
        match (ROLE.get(), point) {
            (Some(Role::First), Point::EntryLocked) if !self.state().first_holds_entry => {
                self.hold_first();
            }
            (Some(Role::Second), Point::LockWait) => self.change(|state| state.second_waits = true),
            _ => {}
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        let is_wrong = self.order == LockOrder::Wrong && ROLE.get() == Some(Role::First);
        is_wrong && mistake == Mistake::EntryBeforeTransaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test builds check the order of locks.
    #[test]
    fn our_order_comes_to_its_end_and_the_wrong_one_is_reported() {
        let endings: Vec<_> = perform_all()
            .unwrap()
            .into_iter()
            .map(|trial| (trial.order, trial.ending))
            .collect();
        let expected = [
            (LockOrder::Ours, Ending::Finished),
            (LockOrder::Wrong, Ending::Reported),
        ];
        assert_eq!(endings, expected);
    }
}
