//! Holds the first thread that reaches a point for as long as something else goes on; and copies
//! devices, as a crash would leave them.
//!
//! Takes a mutex of its own, inside whatever the held thread holds.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use daxfs::schedule::{Point, Schedule};
use daxfs::{Device, Filesystem, MountOptions};
use daxfs_tests::fixture::{bytes_of, memory_device, overwrite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody is to be held.
    Idle,
    /// The next thread at the point is held.
    Armed,
    /// A thread waits at the point.
    Held,
    /// The thread may go on.
    Released,
    /// The thread that was to be held returned or panicked.
    Finished,
}

/// Holds a thread at a point.
pub(crate) struct Hold {
    point: Point,
    page: u64,
    state: Mutex<State>,
    changed: Condvar,
}

/// Sets a state when it goes, also when a panic takes it.
struct SetOnDrop<'hold>(&'hold Hold, State);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl Hold {
    /// For the first thread that reaches `point` about the file's page `page`.
    pub(crate) fn at(point: Point, page: u64) -> Arc<Self> {
        Arc::new(Self {
            point,
            page,
            state: Mutex::new(State::Idle),
            changed: Condvar::new(),
        })
    }

    /// Runs `held` until it is at the point, then `meanwhile`, and only then lets `held` go on.
    pub(crate) fn during<T>(&self, held: impl FnOnce() + Send, meanwhile: impl FnOnce() -> T) -> T {
        self.set(State::Armed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _finish = SetOnDrop(self, State::Finished);
                held();
            });
            let state = self.wait_while(State::Armed);
            assert_eq!(state, State::Held, "{:?} was never reached", self.point);
            let _release = SetOnDrop(self, State::Released);
            meanwhile()
        })
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    fn wait_while(&self, state: State) -> State {
        let waited = self
            .changed
            .wait_while(self.state(), |found| *found == state);
        *waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule for Hold {
    fn reached(&self, point: Point, page: u64) {
        if (point, page) != (self.point, self.page) {
            return;
        }
        {
            let mut state = self.state();
            if *state != State::Armed {
                return;
            }
            *state = State::Held;
            self.changed.notify_all();
        }
        self.wait_while(State::Held);
    }
}

/// Mounts with a schedule.
pub(crate) fn mount_with(device: &Arc<Device>, schedule: Arc<dyn Schedule>) -> Filesystem {
    let mut options = MountOptions::default();
    options.schedule = Some(schedule);
    Filesystem::mount(Arc::clone(device), options).expect("it mounts")
}

/// Another device with the same bytes: what a crash at this moment would leave.
pub(crate) fn crash_copy(device: &Device) -> Arc<Device> {
    let copy = memory_device(device.len_bytes());
    overwrite(&copy, 0, &bytes_of(device));
    copy
}
