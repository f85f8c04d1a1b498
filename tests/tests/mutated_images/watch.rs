//! Which image is whose turn, and what happens when one hangs: the process is aborted, since there
//! is no other way to stop it.
//!
//! Touches nothing but its counters and, at times, the process. A mutex around what is under way;
//! nothing is taken inside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An image takes milliseconds; one that takes this long hangs.
const HANG: Duration = Duration::from_secs(120);

/// After so many failures no image is begun.
const MOST_FAILURES: u64 = 20;

/// The images that are still to come, and those under way.
pub(crate) struct Watch {
    next: AtomicU64,
    end: u64,
    failures: AtomicU64,
    under_way: Arc<UnderWay>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct UnderWay {
    since: Mutex<BTreeMap<u64, Instant>>,
    is_over: AtomicBool,
}

/// One image, whose turn ends when this is dropped.
pub(crate) struct Task<'w> {
    number: u64,
    under_way: &'w UnderWay,
}

impl Watch {
    /// `count` images from `first` on.
    pub(crate) fn new(first: u64, count: u64) -> Self {
        let under_way = Arc::new(UnderWay::default());
        let watched = Arc::clone(&under_way);
        Self {
            next: AtomicU64::new(first),
            end: first + count,
            failures: AtomicU64::new(0),
            under_way,
            thread: Mutex::new(Some(std::thread::spawn(move || watched.watch()))),
        }
    }

    /// The next image; `None` after the last, and once too many have failed.
    pub(crate) fn next(&self) -> Option<Task<'_>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.failures() >= MOST_FAILURES || number >= self.end {
            return None;
        }
        self.under_way
            .since
            .lock()
            .unwrap()
            .insert(number, Instant::now());
        Some(Task {
            number,
            under_way: &self.under_way,
        })
    }

    /// Says that an image has failed.
    pub(crate) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Ends the watch.
    pub(crate) fn end(&self) {
        self.under_way.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().unwrap().take() {
            thread.thread().unpark();
            thread.join().expect("a watch that does not panic");
        }
    }
}

impl UnderWay {
    fn watch(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::park_timeout(HANG / 10);
            let since = self.since.lock().unwrap();
            if let Some((number, _)) = since.iter().find(|(_, since)| since.elapsed() > HANG) {
                eprintln!("image {number} hangs");
                std::process::abort();
            }
        }
    }
}

impl Task<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.under_way.since.lock().unwrap().remove(&self.number);
    }
}
