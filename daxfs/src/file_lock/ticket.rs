//! Where one thread sleeps until its request is decided, or somebody or a deadline ends the wait.
//!
//! A verdict is given once and stays. A cancellation and a deadline only wake the thread: whether
//! they came in time is decided under the file's latch.
//!
//! # Locking
//! Its own mutex, innermost.

use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The owner has the lock.
    Granted,
    /// To wait on would be to wait for ever.
    Deadlock,
}

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WokenBy {
    Verdict(Verdict),
    Cancellation,
    Deadline,
}

pub(super) struct Ticket {
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct News {
    verdict: Option<Verdict>,
    is_cancelled: bool,
}

impl Ticket {
    pub(super) fn new() -> Self {
        Self {
            news: Mutex::new(News::default()),
            changed: Condvar::new(),
        }
    }

    pub(super) fn settle(&self, verdict: Verdict) {
        self.news().verdict = Some(verdict);
        self.changed.notify_one();
    }

    pub(super) fn cancel(&self) {
        self.news().is_cancelled = true;
        self.changed.notify_one();
    }

    /// Sleeps until there is news. A verdict comes before everything else.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> WokenBy {
        let mut news = self.news();
        loop {
            if let Some(verdict) = news.verdict {
                return WokenBy::Verdict(verdict);
            }
            if news.is_cancelled {
                return WokenBy::Cancellation;
            }
            news = match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
                None => self
                    .changed
                    .wait(news)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Some(left)) => {
                    let woken = self.changed.wait_timeout(news, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(None) => return WokenBy::Deadline,
            };
        }
    }

    /// Sleeps until the verdict is there, whatever else happens.
    pub(super) fn wait_for_verdict(&self) -> Verdict {
        let mut news = self.news();
        loop {
            if let Some(verdict) = news.verdict {
                return verdict;
            }
            let woken = self.changed.wait(news);
            news = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
