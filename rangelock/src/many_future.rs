//! A future that becomes several ranges at once.
//!
//! All requests take their places in the order at one moment, when the future is first polled, and
//! are given up together if it is dropped. Takes the tree's mutex, briefly, on each poll.

use std::fmt;
use std::future::Future;
use std::mem;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::inspect::Access;
use crate::layers::{Enqueued, Layers};
use crate::lock::RangeLock;
use crate::many::{ManyGuard, disjoint, wanted};
use crate::mode::Mode;
use crate::span::Span;
use crate::watch::{Asker, Outcome, Place, Waiting, place};

impl RangeLock {
    /// Becomes several ranges at once, each in its mode, without blocking the thread. Otherwise
    /// like [`lock_many`](Self::lock_many).
    ///
    /// All of them take their places in the order when the future is first polled. A future that is
    /// dropped gives all of them up, also those it was granted meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// use rangelock::{Access, RangeLock};
    ///
    /// let lock = RangeLock::new();
    /// let reader = lock.read(0..10);
    /// let mut copying = Box::pin(lock.lock_many_async([
    ///     (100..110, Access::Read),
    ///     (0..10, Access::Write),
    /// ]));
    /// // An executor does this.
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(copying.as_mut().poll(&mut context).is_pending());
    /// drop(reader);
    /// assert!(copying.as_mut().poll(&mut context).is_ready());
    /// ```
    #[track_caller]
    pub fn lock_many_async<R: RangeBounds<u64>>(
        &self,
        requests: impl IntoIterator<Item = (R, Access)>,
    ) -> ManyFuture<'_> {
        ManyFuture {
            layers: &self.layers,
            requests: disjoint(&wanted(requests)),
            stage: Stage::New,
            place: place(),
        }
    }
}

/// Becomes a [`ManyGuard`]; made by
/// [`RangeLock::lock_many_async`](crate::RangeLock::lock_many_async).
///
/// # Examples
///
/// ```
/// use rangelock::{Access, RangeLock};
///
/// async fn copy_page(lock: &RangeLock, from: u64, to: u64) {
///     let page = |at| at..at + 4096;
///     let both = lock.lock_many_async([(page(from), Access::Read), (page(to), Access::Write)]);
///     let guard = both.await;
///     // ... copy, and await as you like
///     drop(guard);
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct ManyFuture<'lock> {
    layers: &'lock Layers,
    /// They share no byte.
    requests: Vec<(Span, Mode)>,
    stage: Stage,
    /// Where it was made.
    place: Place,
}

enum Stage {
    /// Nobody knows of it yet.
    New,
    /// Invariant: these are requests of this lock, one for each that is wanted, which were not
    /// given back.
    Waiting(Vec<Enqueued>, Waiting),
    /// What became of it belongs to a guard.
    Done,
}

// SAFETY: the requests belong to whoever has the future, and the lock does not care which thread
// polls or cancels them.
unsafe impl Send for ManyFuture<'_> {}
// SAFETY: a shared future offers nothing.
unsafe impl Sync for ManyFuture<'_> {}

impl<'lock> Future for ManyFuture<'lock> {
    type Output = ManyGuard<'lock>;

    /// # Panics
    ///
    /// If it was ready before.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ManyGuard<'lock>> {
        let this = &mut *self;
        if let Stage::New = this.stage {
            let asker = Asker::new(this.layers.id(), this.place);
            let (enqueued, waiting) = this.layers.enqueue_many(&this.requests, asker);
            this.stage = Stage::Waiting(enqueued, waiting);
        }
        let Stage::Waiting(enqueued, _) = &mut this.stage else {
            panic!("a future of a range lock was polled after it was ready");
        };
        // One after the other: until the first of them is granted nothing is gained by hearing of
        // the others.
        for request in enqueued {
            if let Enqueued::Waiting(node) = *request {
                // SAFETY: see the invariant of the stage.
                match unsafe { this.layers.poll(node, context.waker()) } {
                    Poll::Ready(holding) => *request = Enqueued::Held(holding),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        let Stage::Waiting(granted, waiting) = mem::replace(&mut this.stage, Stage::Done) else {
            unreachable!("it was seen to be in that stage");
        };
        waiting.over(Outcome::Granted);
        let holdings = granted.into_iter().filter_map(|request| match request {
            Enqueued::Held(holding) => Some(holding),
            Enqueued::Waiting(_) => None,
        });
        Poll::Ready(ManyGuard::of_a_task(
            this.layers,
            &this.requests,
            holdings.collect(),
        ))
    }
}

impl Drop for ManyFuture<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(enqueued, waiting) = mem::replace(&mut self.stage, Stage::Done) {
            // SAFETY: see the invariant of the stage; it ends here.
            unsafe { self.layers.give_up(enqueued.into_iter()) };
            waiting.over(Outcome::Cancelled);
        }
    }
}

impl fmt::Debug for ManyFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManyFuture").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use crate::{Access, RangeLock};

    const WANTED: [(std::ops::Range<u64>, Access); 3] = [
        (0..10, Access::Write),
        (50..60, Access::Read),
        (5..20, Access::Read),
    ];

    fn locks() -> [RangeLock; 3] {
        [
            RangeLock::new(),
            RangeLock::tree_only(),
            RangeLock::with_capacity(50),
        ]
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn they_are_had_at_once_if_nobody_is_in_the_way() {
        for lock in locks() {
            let mut future = pin!(lock.lock_many_async(WANTED));
            assert!(!lock.is_locked(..), "nobody knows of it yet");
            let Poll::Ready(guard) = future.as_mut().poll(&mut context()) else {
                panic!("nobody is in the way");
            };
            let held: Vec<_> = guard
                .guards()
                .map(|guard| (guard.range(), guard.access()))
                .collect();
            assert_eq!(
                held,
                [
                    (Some(0..=9), Access::Write),
                    (Some(10..=19), Access::Read),
                    (Some(50..=59), Access::Read),
                ]
            );
            let again = AssertUnwindSafe(|| future.as_mut().poll(&mut context()).is_ready());
            assert!(catch_unwind(again).is_err(), "polled after it was ready");
            drop(guard);
            assert!(!lock.is_locked(..));
        }
    }

    #[test]
    fn none_at_all_are_had_at_once_too() {
        for lock in locks() {
            let nothing = [(7..7, Access::Write)];
            let mut future = pin!(lock.lock_many_async(nothing));
            assert!(future.as_mut().poll(&mut context()).is_ready());
        }
    }

    #[test]
    fn it_waits_until_the_last_of_them_is_free() {
        for lock in locks() {
            let (first, second) = (lock.read(9..10), lock.write(55..56));
            let mut future = pin!(lock.lock_many_async(WANTED));
            assert!(future.as_mut().poll(&mut context()).is_pending());
            assert!(lock.try_read(15..16).is_some(), "a reader's share");
            assert!(lock.try_write(15..16).is_none(), "its place was taken");
            drop(second);
            assert!(future.as_mut().poll(&mut context()).is_pending());
            assert!(lock.try_read(55..56).is_some(), "granted to a reader");
            assert!(lock.try_write(55..56).is_none());
            drop(first);
            let guard = future.as_mut().poll(&mut context());
            assert!(guard.is_ready());
            assert!(lock.try_read(0..1).is_none());
            drop(guard);
            assert!(!lock.is_locked(..));
        }
    }

    #[test]
    fn two_that_want_the_same_in_other_orders_both_get_them() {
        for lock in locks() {
            let holder = lock.write(..);
            let backwards = WANTED.into_iter().rev();
            let mut one = pin!(lock.lock_many_async(WANTED));
            let mut other = pin!(lock.lock_many_async(backwards));
            assert!(one.as_mut().poll(&mut context()).is_pending());
            assert!(other.as_mut().poll(&mut context()).is_pending());
            drop(holder);
            assert!(other.as_mut().poll(&mut context()).is_pending(), "second");
            let first = one.as_mut().poll(&mut context());
            assert!(first.is_ready());
            drop(first);
            assert!(other.as_mut().poll(&mut context()).is_ready());
        }
    }

    #[test]
    fn dropped_it_gives_up_what_it_has_and_what_it_waits_for() {
        for lock in locks() {
            let holder = lock.read(9..10);
            let mut future = Box::pin(lock.lock_many_async(WANTED));
            assert!(future.as_mut().poll(&mut context()).is_pending());
            let mut behind = pin!(lock.write_async(15..16));
            assert!(behind.as_mut().poll(&mut context()).is_pending());
            drop(future);
            assert!(behind.as_mut().poll(&mut context()).is_ready());
            drop(holder);
            assert!(!lock.is_locked(..));
        }
    }
}
