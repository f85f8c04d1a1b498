//! [`RangeLock`], the public lock.
//!
//! Touches the layers; takes what that takes, the tree's mutex.

use std::ops::RangeBounds;
use std::time::{Duration, Instant};

use crate::future::{ReadFuture, WriteFuture};
use crate::guard::{Held, ReadGuard, WriteGuard};
use crate::inspect::{Counters, Entry, Snapshot};
use crate::layers::Layers;
use crate::mode::Mode;
use crate::pinned::RangeNode;
use crate::probe::Probe;
use crate::slots::{Division, Granule};
use crate::span::Span;
use crate::sync::const_unless_modelled;
use crate::tree::Standing;
use crate::watch::{Asker, place};

mod shown;

#[cfg(all(test, not(loom)))]
#[path = "lock/tests/levels.rs"]
mod levels_tests;
#[cfg(all(test, loom))]
#[path = "lock/tests/loom/mod.rs"]
mod loom_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/model.rs"]
mod model_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/sequential.rs"]
mod sequential_tests;
#[cfg(all(test, shuttle))]
#[path = "lock/tests/shuttle/mod.rs"]
mod shuttle_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/slots.rs"]
mod slots_tests;
#[cfg(all(test, not(any(loom, shuttle)), feature = "deadlock_detection"))]
#[path = "lock/tests/watched.rs"]
mod watched_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/wide.rs"]
mod wide_tests;

/// A fair reader/writer lock over ranges of `u64`.
///
/// The lock protects no data of its own: it says who may use which bytes of something that lives
/// elsewhere. Any number of readers may hold a byte, or one writer alone. Requests that conflict
/// are served in order of arrival, and a request that conflicts with nobody ahead of it never
/// waits, whatever else is queued.
///
/// A range is anything that implements [`RangeBounds<u64>`]: `0..4096`, `0..=4095`, `4096..`, `..`.
/// A range without a byte, such as `7..7`, is granted at once and excludes nobody. The byte
/// `u64::MAX` can be locked: `u64::MAX..=u64::MAX`.
///
/// A thread that asks for a range that conflicts with one it holds waits for itself, for ever. With
/// the feature `deadlock_detection` it panics instead, and so does one that closes a circle of
/// threads that wait for each other, over several locks or one.
///
/// # Examples
///
/// ```
/// use rangelock::RangeLock;
///
/// let lock = RangeLock::new();
/// let head = lock.write(0..4096);
/// let tail = lock.write(4096..8192); // disjoint: does not wait
/// assert!(lock.try_read(4000..4200).is_none());
/// drop(head);
/// assert!(lock.try_read(..4096).is_some());
/// # drop(tail);
/// ```
pub struct RangeLock {
    pub(crate) layers: Layers,
}

impl Default for RangeLock {
    fn default() -> Self {
        Self::new()
    }
}

impl RangeLock {
    const_unless_modelled! {
        /// Makes a lock that nobody holds. Allocates nothing.
        ///
        /// As its use grows, the lock grows a table, in which threads that use different parts of
        /// the range do not meet. It chooses the size of those parts, the granules, by what it
        /// sees. If you know better, say it: [`with_granule`](Self::with_granule).
        ///
        /// # Examples
        ///
        /// ```
        /// static LOCK: rangelock::RangeLock = rangelock::RangeLock::new();
        /// let guard = LOCK.write(0..10);
        /// # drop(guard);
        /// ```
        pub const fn new() -> Self {
            Self { layers: Layers::new(Division::Adaptive, Probe::new()) }
        }

        /// Makes a lock whose granules are as long as you say. Allocates nothing.
        ///
        /// # Examples
        ///
        /// ```
        /// use rangelock::{Granule, RangeLock};
        ///
        /// // Records of 512 bytes, and each thread has a megabyte of its own.
        /// const RECORDS: Granule = Granule::from_len(64 << 10).expect("a power of two");
        /// static LOCK: RangeLock = RangeLock::with_granule(RECORDS);
        /// assert!(LOCK.try_write(512..1024).is_some());
        /// ```
        pub const fn with_granule(granule: Granule) -> Self {
            Self { layers: Layers::new(Division::Fixed(granule), Probe::new()) }
        }

        /// Makes a lock without a fast path: every request goes through the interval tree.
        ///
        /// It grants the same as any other. It is the reference that the fast path is compared
        /// with, and better where nearly all requests are wide.
        ///
        /// # Examples
        ///
        /// ```
        /// let lock = rangelock::RangeLock::tree_only();
        /// let guard = lock.read(0..10);
        /// assert!(lock.try_write(9..20).is_none());
        /// # drop(guard);
        /// ```
        pub const fn tree_only() -> Self {
            Self { layers: Layers::tree_only() }
        }
    }

    /// Makes a lock with room for `ranges` ranges at once: see [`reserve`](Self::reserve).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::with_capacity(2);
    /// let (_first, _second) = (lock.read(0..10), lock.read(5..20)); // neither allocates
    /// ```
    #[must_use]
    pub fn with_capacity(ranges: usize) -> Self {
        let lock = Self::new();
        lock.reserve(ranges);
        lock
    }

    /// Allocates now what `ranges` ranges held at once are going to need, if they are spread over
    /// the granules; of many in one granule some may need more.
    ///
    /// Locks grow by themselves, when movable guards find them crowded. Pinned nodes never
    /// allocate, so a lock that only they use does not grow unless asked to.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// lock.reserve(4096);
    /// // However many are held from here on, up to so many: none of them makes the table grow.
    /// let page = |index: u64| index << 16..(index << 16) + 4096;
    /// let guards: Vec<_> = (0..4096).map(|index| lock.write(page(index))).collect();
    /// # drop(guards);
    /// ```
    pub fn reserve(&self, ranges: usize) {
        self.layers.reserve(ranges);
    }

    /// Waits for shared use of `range`.
    ///
    /// Allocates only when more movable guards are held at once than ever before on this lock; to
    /// allocate never, use [`node`](Self::node).
    ///
    /// Locks: the range, after every conflicting request that came earlier; inside, briefly, the
    /// lock's own mutex.
    ///
    /// # Panics
    ///
    /// With the feature `deadlock_detection`, if the wait would never end. So does everything else
    /// that waits without a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let (first, second) = (lock.read(0..100), lock.read(50..150)); // readers share
    /// assert!(lock.try_write(120..).is_none());
    /// # drop((first, second));
    /// ```
    #[inline]
    #[track_caller]
    pub fn read(&self, range: impl RangeBounds<u64>) -> ReadGuard<'_> {
        ReadGuard::new(self.hold(Span::of(&range), Mode::Read))
    }

    /// Waits for exclusive use of `range`. Otherwise like [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let whole = lock.write(..);
    /// assert_eq!(whole.range(), Some(0..=u64::MAX));
    /// ```
    #[inline]
    #[track_caller]
    pub fn write(&self, range: impl RangeBounds<u64>) -> WriteGuard<'_> {
        WriteGuard::new(self.hold(Span::of(&range), Mode::Write))
    }

    /// Takes shared use of `range` if no conflicting request holds it or waits for it.
    ///
    /// Never waits for a range, and so never overtakes a request that does.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let writer = lock.write(0..10);
    /// assert!(lock.try_read(9..20).is_none());
    /// assert!(lock.try_read(10..20).is_some());
    /// # drop(writer);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_read(&self, range: impl RangeBounds<u64>) -> Option<ReadGuard<'_>> {
        self.try_hold(Span::of(&range), Mode::Read)
            .map(ReadGuard::new)
    }

    /// Takes exclusive use of `range` if no other request holds any of it or waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let reader = lock.read(0..10);
    /// assert!(lock.try_write(9..20).is_none());
    /// assert!(lock.try_write(10..20).is_some());
    /// # drop(reader);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_write(&self, range: impl RangeBounds<u64>) -> Option<WriteGuard<'_>> {
        self.try_hold(Span::of(&range), Mode::Write)
            .map(WriteGuard::new)
    }

    /// Like [`read`](Self::read), but gives up after `timeout`.
    ///
    /// Locks: as `read`. A request that gives up leaves its place in the order to those behind it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.try_read_for(0..10, Duration::from_secs(1)).expect("nobody is in the way");
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_read_for(
        &self,
        range: impl RangeBounds<u64>,
        timeout: Duration,
    ) -> Option<ReadGuard<'_>> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.try_read_until(range, deadline),
            None => Some(self.read(range)),
        }
    }

    /// Like [`write`](Self::write), but gives up after `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.read(0..10);
    /// assert!(lock.try_write_for(9..20, Duration::from_millis(1)).is_none());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_write_for(
        &self,
        range: impl RangeBounds<u64>,
        timeout: Duration,
    ) -> Option<WriteGuard<'_>> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.try_write_until(range, deadline),
            None => Some(self.write(range)),
        }
    }

    /// Like [`read`](Self::read), but gives up at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.write(0..10);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert!(lock.try_read_until(0..10, deadline).is_none());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_read_until(
        &self,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<ReadGuard<'_>> {
        self.hold_until(Span::of(&range), Mode::Read, deadline)
            .map(ReadGuard::new)
    }

    /// Like [`write`](Self::write), but gives up at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.read(0..10);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert!(lock.try_write_until(0..10, deadline).is_none());
    /// # drop(guard);
    /// ```
    #[track_caller]
    pub fn try_write_until(
        &self,
        range: impl RangeBounds<u64>,
        deadline: Instant,
    ) -> Option<WriteGuard<'_>> {
        self.hold_until(Span::of(&range), Mode::Write, deadline)
            .map(WriteGuard::new)
    }

    /// Becomes shared use of `range`, without blocking the thread.
    ///
    /// The request takes its place in the order when the future is first polled. A future that is
    /// dropped gives its place up, and what it was granted meanwhile; those behind it go on. Runs
    /// on any executor.
    ///
    /// Locks: the range; inside, briefly, the lock's own mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    ///
    /// let lock = rangelock::RangeLock::new();
    /// let writer = lock.write(0..10);
    /// let mut reading = Box::pin(lock.read_async(5..6));
    /// // An executor does this.
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(reading.as_mut().poll(&mut context).is_pending());
    /// drop(writer);
    /// assert!(reading.as_mut().poll(&mut context).is_ready());
    /// ```
    #[track_caller]
    pub fn read_async(&self, range: impl RangeBounds<u64>) -> ReadFuture<'_> {
        ReadFuture::new(&self.layers, Span::of(&range), place())
    }

    /// Becomes exclusive use of `range`. Otherwise like [`read_async`](Self::read_async).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn block_on<F: std::future::Future>(future: F) -> F::Output {
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     match std::pin::pin!(future).poll(&mut context) {
    /// #         std::task::Poll::Ready(output) => output,
    /// #         std::task::Poll::Pending => unreachable!(),
    /// #     }
    /// # }
    /// let lock = rangelock::RangeLock::new();
    /// block_on(async {
    ///     let guard = lock.write_async(0..4096).await;
    ///     assert_eq!(guard.range(), Some(0..=4095));
    /// });
    /// ```
    #[track_caller]
    pub fn write_async(&self, range: impl RangeBounds<u64>) -> WriteFuture<'_> {
        WriteFuture::new(&self.layers, Span::of(&range), place())
    }

    /// Waits for exclusive use of the `len` bytes that begin where `end` says.
    ///
    /// No two calls of `end` overlap, and the ranges take their places in the order in which `end`
    /// was called. So `end` may read the end of a file and move it on, and each appender gets bytes
    /// of its own, without locking all that follows. `end` is called once.
    ///
    /// Where `end + len` exceeds `u64::MAX`, the range ends there.
    ///
    /// Locks: an internal mutex around `end` and until the request has its place; then the range.
    /// `end` must not wait for any range of the same lock, nor append to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// let (lock, length) = (rangelock::RangeLock::new(), Cell::new(1000));
    /// let record = lock.append(24, || length.replace(length.get() + 24));
    /// assert_eq!(record.range(), Some(1000..=1023));
    /// assert_eq!(length.get(), 1024);
    /// # drop(record);
    /// ```
    #[track_caller]
    pub fn append(&self, len: u64, end: impl FnOnce() -> u64) -> WriteGuard<'_> {
        let span_from = |first: u64| {
            let last = first.saturating_add(len.checked_sub(1)?);
            Some(Span { first, last })
        };
        let asker = Asker::new(self.layers.id(), place());
        let appended = self.layers.append(|| span_from(end()), asker);
        WriteGuard::new(match appended {
            Some((holding, span)) => Held::granted(
                &self.layers,
                holding,
                self.layers.granted(asker, span, Mode::Write),
            ),
            None => Held::nothing(&self.layers),
        })
    }

    /// Whether a writer would have to wait for some of `range`, as of now.
    ///
    /// Locks: the lock's own mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.read(0..10);
    /// assert!(lock.is_locked(9..20));
    /// assert!(!lock.is_locked(10..20));
    /// # drop(guard);
    /// ```
    pub fn is_locked(&self, range: impl RangeBounds<u64>) -> bool {
        Span::of(&range).is_some_and(|span| self.layers.is_contested(span, Mode::Write))
    }

    /// Who holds and who waits.
    ///
    /// Allocates. Locks: the lock's own mutex, while it looks at all requests that wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let guard = lock.read(0..4096);
    /// println!("{}", lock.snapshot()); // who is behind whom, as a table
    /// assert_eq!(lock.snapshot().holders[0].range, 0..=4095);
    /// # drop(guard);
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        let (mut holders, mut waiters) = (Vec::new(), Vec::new());
        self.layers.visit(|span, mode, standing| {
            let list = match standing {
                Standing::Waiting => &mut waiters,
                Standing::Granted | Standing::Proxy => &mut holders,
            };
            list.push(Entry::new(span, mode));
        });
        Snapshot::new(holders, waiters)
    }

    /// What was counted since the lock was made.
    ///
    /// Locks: the lock's own mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// drop(lock.write(0..10));
    /// assert_eq!(lock.counters().slow_paths, 0);
    /// ```
    pub fn counters(&self) -> Counters {
        let counted = self.layers.counters();
        let longest_wait = Duration::from_nanos(counted.longest_wait_ns);
        let counters = Counters::new(counted.entered, counted.waits, longest_wait);
        #[cfg(all(not(any(loom, shuttle)), feature = "grant_counter"))]
        let counters = counters.with_grants(self.layers.grants());
        counters
    }

    /// What the lock takes now, in bytes: itself, its table, and nodes for movable guards. Locks:
    /// briefly, its own mutex.
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// assert_eq!(lock.memory_bytes(), size_of_val(&lock));
    /// ```
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.layers.heap_bytes()
    }

    /// Makes a node with which to lock ranges from the caller's own memory, one at a time.
    ///
    /// Nothing is ever allocated for it. See [`RangeNode`].
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::new();
    /// let mut node = std::pin::pin!(lock.node());
    /// for page in 0..4 {
    ///     let guard = node.as_mut().write(page * 4096..(page + 1) * 4096);
    ///     drop(guard);
    /// }
    /// ```
    #[inline]
    pub fn node(&self) -> RangeNode<'_> {
        RangeNode::new(&self.layers)
    }

    #[inline]
    #[track_caller]
    fn hold(&self, span: Option<Span>, mode: Mode) -> Held<'_> {
        match span {
            Some(span) => {
                let asker = Asker::new(self.layers.id(), place());
                let holding = self.layers.lock_pooled(span, mode, asker);
                Held::granted(
                    &self.layers,
                    holding,
                    self.layers.granted(asker, span, mode),
                )
            }
            None => Held::nothing(&self.layers),
        }
    }

    #[inline]
    #[track_caller]
    fn try_hold(&self, span: Option<Span>, mode: Mode) -> Option<Held<'_>> {
        match span {
            Some(span) => {
                let asker = Asker::new(self.layers.id(), place());
                let holding = self.layers.try_lock_pooled(span, mode)?;
                let ticket = self.layers.granted(asker, span, mode);
                Some(Held::granted(&self.layers, holding, ticket))
            }
            None => Some(Held::nothing(&self.layers)),
        }
    }

    #[track_caller]
    fn hold_until(&self, span: Option<Span>, mode: Mode, deadline: Instant) -> Option<Held<'_>> {
        match span {
            Some(span) => {
                let asker = Asker::new(self.layers.id(), place());
                let holding = (self.layers).lock_pooled_until(span, mode, deadline, asker)?;
                let ticket = self.layers.granted(asker, span, mode);
                Some(Held::granted(&self.layers, holding, ticket))
            }
            None => Some(Held::nothing(&self.layers)),
        }
    }

    /// Nobody is in the tree or in a slot, and all slots are open to everybody.
    #[cfg(test)]
    fn assert_unused(&self) {
        let (slots, linked) = self.layers.parts();
        assert_eq!((linked.granted, linked.waiting), (0, 0), "left in the tree");
        assert_eq!(slots.taken(), 0, "left in a slot");
        assert_eq!(slots.closings(), 0, "left closed");
        assert_eq!(self.layers.id().claims(), (0, 0), "left on record");
    }

    #[cfg(test)]
    fn with_fault(self, fault: crate::probe::Fault) -> Self {
        self.layers.with_probe(|probe| probe.fault = Some(fault));
        self
    }

    #[cfg(all(test, any(loom, shuttle)))]
    fn with_granule_and_fault(granule: Granule, fault: crate::probe::Fault) -> Self {
        let probe = Probe::committing(fault);
        let layers = Layers::new(Division::Fixed(granule), probe);
        Self { layers }.with_fault(fault)
    }
}
