//! Futures that become guards.
//!
//! A future takes its place in the order when it is first polled. Dropped before it is ready, it
//! gives the place up: those behind it go on, nobody loses a wake-up. It blocks no thread, and runs
//! on any executor. Takes the tree's mutex, briefly, on each poll that finds it waiting.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::guard::{Held, ReadGuard, WriteGuard};
use crate::layers::{Enqueued, Holding, Layers};
use crate::mode::Mode;
use crate::span::Span;
use crate::tree::Node;
use crate::watch::{Asker, Outcome, Place, Waiting};

/// Becomes a [`ReadGuard`]; made by [`RangeLock::read_async`](crate::RangeLock::read_async).
///
/// # Examples
///
/// ```
/// async fn read_header(lock: &rangelock::RangeLock) {
///     let guard = lock.read_async(0..512).await;
///     // ... read, and await as you like
///     drop(guard);
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct ReadFuture<'lock> {
    request: Request<'lock>,
}

/// Becomes a [`WriteGuard`]; made by [`RangeLock::write_async`](crate::RangeLock::write_async).
///
/// # Examples
///
/// ```
/// use rangelock::{RangeLock, WriteFuture};
///
/// // It can be stored, or raced against a timer: dropping it gives its place up.
/// struct Saving<'lock> {
///     locking: WriteFuture<'lock>,
/// }
/// let lock = RangeLock::new();
/// let saving = Saving { locking: lock.write_async(0..512) };
/// drop(saving);
/// assert!(!lock.is_locked(..));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct WriteFuture<'lock> {
    request: Request<'lock>,
}

impl<'lock> ReadFuture<'lock> {
    pub(crate) fn new(layers: &'lock Layers, span: Option<Span>, place: Place) -> Self {
        let request = Request::new(layers, span, Mode::Read, place);
        Self { request }
    }
}

impl<'lock> WriteFuture<'lock> {
    pub(crate) fn new(layers: &'lock Layers, span: Option<Span>, place: Place) -> Self {
        let request = Request::new(layers, span, Mode::Write, place);
        Self { request }
    }
}

impl<'lock> Future for ReadFuture<'lock> {
    type Output = ReadGuard<'lock>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ReadGuard<'lock>> {
        self.request.poll(context).map(ReadGuard::new)
    }
}

impl<'lock> Future for WriteFuture<'lock> {
    type Output = WriteGuard<'lock>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WriteGuard<'lock>> {
        self.request.poll(context).map(WriteGuard::new)
    }
}

impl fmt::Debug for ReadFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for WriteFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteFuture").finish_non_exhaustive()
    }
}

/// A request on its way.
struct Request<'lock> {
    layers: &'lock Layers,
    stage: Stage,
    /// Where it was made.
    place: Place,
}

enum Stage {
    /// Nobody knows of it yet.
    New(Option<Span>, Mode),
    /// Invariant: the node is that of a waiting or granted request of this lock.
    Waiting(NonNull<Node>, Waiting),
    /// What became of it belongs to a guard.
    Done,
}

// SAFETY: the node belongs to whoever has the future, and the lock does not care which thread polls
// or cancels it.
unsafe impl Send for Request<'_> {}
// SAFETY: a shared future offers nothing.
unsafe impl Sync for Request<'_> {}

impl<'lock> Request<'lock> {
    fn new(layers: &'lock Layers, span: Option<Span>, mode: Mode, place: Place) -> Self {
        Self {
            layers,
            stage: Stage::New(span, mode),
            place,
        }
    }

    /// # Panics
    ///
    /// If it was ready before.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Held<'lock>> {
        if let Stage::New(span, mode) = self.stage {
            let Some(span) = span else {
                self.stage = Stage::Done;
                return Poll::Ready(Held::nothing(self.layers));
            };
            let asker = Asker::new(self.layers.id(), self.place);
            let (enqueued, waiting) = self.layers.enqueue(span, mode, asker);
            match enqueued {
                Enqueued::Held(holding) => {
                    self.stage = Stage::Done;
                    return Poll::Ready(self.granted(holding));
                }
                Enqueued::Waiting(node) => self.stage = Stage::Waiting(node, waiting),
            }
        }
        let Stage::Waiting(node, _) = self.stage else {
            panic!("a future of a range lock was polled after it was ready");
        };
        // SAFETY: see the invariant of the stage.
        let poll = unsafe { self.layers.poll(node, context.waker()) };
        poll.map(|holding| {
            if let Stage::Waiting(_, waiting) = mem::replace(&mut self.stage, Stage::Done) {
                waiting.over(Outcome::Granted);
            }
            self.granted(holding)
        })
    }

    /// What a task holds belongs to no thread, because tasks travel.
    fn granted(&self, holding: Holding) -> Held<'lock> {
        // SAFETY: it was granted to this request just now.
        let span = unsafe { self.layers.span_of(holding) };
        Held::granted(self.layers, holding, self.layers.granted_to_task(span))
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(node, waiting) = mem::replace(&mut self.stage, Stage::Done) {
            // SAFETY: see the invariant of the stage; it ends here.
            unsafe { self.layers.cancel(node) };
            waiting.over(Outcome::Cancelled);
        }
    }
}
