//! Futures that become owned guards: for tasks that outlive the frame of the lock, which is what
//! most executors ask of a task.
//!
//! Touches what the borrowing futures touch.

use std::fmt;
use std::future::Future;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::future::{ReadFuture, WriteFuture};
use crate::lock::RangeLock;
use crate::owned::{Owned, OwnedReadGuard, OwnedWriteGuard, lock_of};
use crate::sync::Arc;

impl RangeLock {
    /// Like [`read_async`](Self::read_async), with a future and a guard that keep the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let lock = Arc::new(rangelock::RangeLock::new());
    /// let mut reading = Box::pin(lock.read_owned_async(0..10));
    /// // An executor does this.
    /// let mut context = Context::from_waker(Waker::noop());
    /// let Poll::Ready(guard) = reading.as_mut().poll(&mut context) else { unreachable!() };
    /// drop((lock, reading)); // the guard has the lock still
    /// assert_eq!(guard.range(), Some(0..=9));
    /// ```
    #[track_caller]
    pub fn read_owned_async(self: &Arc<Self>, range: impl RangeBounds<u64>) -> OwnedReadFuture {
        let future = lock_of(self).read_async(range);
        OwnedReadFuture(Owned::new(future, Arc::clone(self)))
    }

    /// Like [`write_async`](Self::write_async), with a future and a guard that keep the lock alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rangelock::RangeLock;
    ///
    /// /// What the `spawn` of an executor asks for.
    /// fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    ///     # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    ///     # assert!(Box::pin(task).as_mut().poll(&mut context).is_ready());
    /// }
    ///
    /// let lock = Arc::new(RangeLock::new());
    /// let writing = lock.write_owned_async(0..4096);
    /// spawn(async move {
    ///     let guard = writing.await;
    ///     assert_eq!(guard.range(), Some(0..=4095));
    /// });
    /// ```
    #[track_caller]
    pub fn write_owned_async(self: &Arc<Self>, range: impl RangeBounds<u64>) -> OwnedWriteFuture {
        let future = lock_of(self).write_async(range);
        OwnedWriteFuture(Owned::new(future, Arc::clone(self)))
    }
}

/// Becomes an [`OwnedReadGuard`]; made by
/// [`RangeLock::read_owned_async`](crate::RangeLock::read_owned_async).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// // It may outlive the frame of the lock, and dropping it gives its place up.
/// fn later(lock: Arc<rangelock::RangeLock>) -> rangelock::OwnedReadFuture {
///     lock.read_owned_async(0..512)
/// }
/// drop(later(Arc::default()));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct OwnedReadFuture(Owned<ReadFuture<'static>>);

/// Becomes an [`OwnedWriteGuard`]; made by
/// [`RangeLock::write_owned_async`](crate::RangeLock::write_owned_async).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// fn must_be_static<T: Send + 'static>(_: T) {}
/// let lock = Arc::new(rangelock::RangeLock::new());
/// must_be_static(lock.write_owned_async(0..512));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct OwnedWriteFuture(Owned<WriteFuture<'static>>);

impl Future for OwnedReadFuture {
    type Output = OwnedReadGuard;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<OwnedReadGuard> {
        let Owned {
            guard: future,
            lock,
        } = &mut self.0;
        let poll = Pin::new(&mut **future).poll(context);
        poll.map(|guard| OwnedReadGuard::new(guard, lock))
    }
}

impl Future for OwnedWriteFuture {
    type Output = OwnedWriteGuard;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<OwnedWriteGuard> {
        let Owned {
            guard: future,
            lock,
        } = &mut self.0;
        let poll = Pin::new(&mut **future).poll(context);
        poll.map(|guard| OwnedWriteGuard::new(guard, lock))
    }
}

impl fmt::Debug for OwnedReadFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedReadFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedWriteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedWriteFuture").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn futures_and_their_guards_keep_the_lock_alive_and_no_longer() {
        let lock = Arc::new(RangeLock::new());
        let witness = Arc::downgrade(&lock);
        let (mut reading, mut writing) =
            (lock.read_owned_async(0..10), lock.write_owned_async(10..20));
        drop(lock);
        let (reader, writer) = (ready(&mut reading), ready(&mut writing));
        drop((reading, writing));
        let (reader, writer) = (reader.expect("free"), writer.expect("free"));
        assert_eq!(
            (reader.range(), writer.range()),
            (Some(0..=9), Some(10..=19))
        );
        assert!(writer.lock().try_write(0..1).is_none());
        drop(reader);
        assert!(writer.lock().try_write(0..1).is_some());
        drop(writer);
        assert!(witness.upgrade().is_none());
    }

    #[test]
    fn a_future_that_is_dropped_while_it_waits_leaves_nothing_behind() {
        let lock = Arc::new(RangeLock::new());
        let witness = Arc::downgrade(&lock);
        let holder = lock.read_owned(0..10);
        let mut writing = lock.write_owned_async(..);
        assert!(ready(&mut writing).is_none());
        let mut behind = lock.read_owned_async(0..1);
        assert!(ready(&mut behind).is_none(), "behind the writer");
        drop((holder, lock));
        drop(writing);
        let reader = ready(&mut behind).expect("nobody is in the way");
        drop((behind, reader));
        assert!(witness.upgrade().is_none());
    }

    #[test]
    fn a_task_of_another_thread_may_have_them() {
        let lock = Arc::new(RangeLock::new());
        let mut holder = Some(lock.write_owned(0..10));
        let mut writing = lock.write_owned_async(5..6);
        assert!(ready(&mut writing).is_none());
        let waiting = thread::spawn(move || {
            holder.take();
            ready(&mut writing).and_then(|guard| guard.range())
        });
        assert_eq!(waiting.join().unwrap(), Some(5..=5));
        assert!(!lock.is_locked(..));
    }

    #[test]
    fn timed_attempts_end_with_a_guard_or_without() {
        let lock = Arc::new(RangeLock::new());
        let holder = lock.read_owned(0..10);
        let (past, moment) = (Instant::now(), Duration::from_micros(1));
        assert!(lock.try_write_owned_for(9..20, moment).is_none());
        assert!(lock.try_write_owned_until(9..20, past).is_none());
        assert!(lock.try_read_owned_for(9..20, moment).is_some());
        assert!(lock.try_read_owned_until(9..20, past).is_some());
        drop(holder);
        let writer = lock.try_write_owned_for(0..10, Duration::MAX);
        let writer = writer.expect("nobody is in the way");
        assert!(lock.try_read_owned_for(9..20, moment).is_none());
        assert!(lock.try_read_owned_until(9..20, past).is_none());
        let witness = Arc::downgrade(&lock);
        drop(lock);
        drop(writer);
        assert!(witness.upgrade().is_none());
    }
}
