//! A thread that makes checkpoints while others work, so that nobody has to wait for one.
//!
//! It sleeps until somebody finds the log half full. Operations wait for it only when the log is
//! full to the end, and then they make the checkpoint themselves.
//!
//! # Locking
//! One mutex around two flags, `std`'s because a page fault may wake the thread. Nothing is taken
//! inside it. The thread itself holds no lock but those of a checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::checkpoint::Checkpointer;
use crate::format::SuperblockState;
use crate::volume::Volume;

/// The thread, once it is started.
#[derive(Default)]
pub(super) struct Background {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    /// A checkpoint is wanted and not yet begun: whoever sees it has nobody to wake.
    is_wanted: AtomicBool,
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl Background {
    /// Starts the thread, which ends when [`Background::stop`] is called. Where there are no
    /// threads to be had, checkpoints are made by those who need them.
    pub(super) fn start(&self, volume: Arc<Volume>, checkpointer: Arc<Checkpointer>) {
        if cfg!(loom) {
            // A model has the threads that it made itself, and no others.
            return;
        }
        let signal = Arc::clone(&self.signal);
        let builder = std::thread::Builder::new().name("daxfs checkpoint".into());
        let thread = builder
            .spawn(move || run(&signal, &volume, &checkpointer))
            .ok();
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }

    /// Asks for a checkpoint.
    pub(super) fn wake(&self) {
        if !self.signal.is_wanted.swap(true, Ordering::Relaxed) {
            // Through the mutex, so that the thread is not between its look and its sleep.
            drop(self.signal.stopped());
            self.signal.changed.notify_one();
        }
    }

    /// Ends the thread and waits until it has ended.
    pub(super) fn stop(&self) {
        *self.signal.stopped() = true;
        self.signal.changed.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It has nothing to report: a checkpoint that failed is made again by the next caller.
            let _ = thread.join();
        }
    }
}

impl Signal {
    fn stopped(&self) -> std::sync::MutexGuard<'_, bool> {
        self.is_stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a checkpoint is wanted; `false` when the thread is to end.
    fn wait(&self) -> bool {
        let stopped = self.stopped();
        let is_idle = |stopped: &mut bool| !*stopped && !self.is_wanted.load(Ordering::Relaxed);
        let stopped = self
            .changed
            .wait_while(stopped, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Relaxed);
        !*stopped
    }
}

fn run(signal: &Signal, volume: &Volume, checkpointer: &Checkpointer) {
    while signal.wait() {
        // If it fails, whoever needs the room finds out and reports it.
        let _ = checkpointer.run(volume, SuperblockState::InUse);
    }
}
