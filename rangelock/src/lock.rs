//! [`RangeLock`], the public lock.
//!
//! Touches the layers; takes what that takes, the tree's mutex.

use std::fmt;
use std::ops::RangeBounds;

use crate::guard::{Held, ReadGuard, WriteGuard};
use crate::layers::Layers;
use crate::mode::Mode;
use crate::pinned::RangeNode;
use crate::probe::Probe;
use crate::slots::Granule;
use crate::span::Span;
use crate::sync::const_unless_modelled;
use crate::tree::Census;

#[cfg(all(test, loom))]
#[path = "lock/tests/loom/mod.rs"]
mod loom_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/model.rs"]
mod model_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/sequential.rs"]
mod sequential_tests;
#[cfg(all(test, not(loom)))]
#[path = "lock/tests/slots.rs"]
mod slots_tests;

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
/// A thread that asks for a range that conflicts with one it holds waits for itself, for ever.
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
    layers: Layers,
}

impl Default for RangeLock {
    fn default() -> Self {
        Self::new()
    }
}

impl RangeLock {
    const_unless_modelled! {
        /// Makes a lock that nobody holds. Allocates nothing.
        pub const fn new() -> Self {
            Self { layers: Layers::new() }
        }
    }

    /// Makes a lock on which `guards` movable guards can be held at once before it allocates again.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rangelock::RangeLock::with_capacity(2);
    /// let (_first, _second) = (lock.read(0..10), lock.read(5..20)); // neither allocates
    /// ```
    #[must_use]
    pub fn with_capacity(guards: usize) -> Self {
        let mut lock = Self::new();
        lock.layers.reserve(guards);
        lock
    }

    /// Makes a lock in which threads that use different granules do not meet.
    ///
    /// A request for a range inside one granule costs two atomic operations on a cache line that
    /// few other granules share, and neither takes the lock's mutex nor allocates. It falls back
    /// to the ordinary way while a conflicting request, or one for a wider range, is waiting or
    /// held on that line. The grants are the same, byte for byte, and so is the order among
    /// requests that wait. A try may in addition fail because of a conflicting request that is only
    /// just being made.
    ///
    /// Allocates the table now: about 2 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::{Granule, RangeLock};
    ///
    /// let lock = RangeLock::with_slots(Granule::from_len(1 << 20).expect("a power of two"));
    /// let page = lock.write(0..4096); // narrow: the fast way
    /// assert!(lock.try_read(..).is_none()); // wide: the ordinary way
    /// # drop(page);
    /// ```
    #[must_use]
    pub fn with_slots(granule: Granule) -> Self {
        Self {
            layers: Layers::with_slots(granule, Probe::new()),
        }
    }

    /// Waits for shared use of `range`.
    ///
    /// Allocates only when more movable guards are held at once than ever before on this lock; to
    /// allocate never, use [`node`](Self::node).
    ///
    /// Locks: the range, after every conflicting request that came earlier; inside, briefly, the
    /// lock's own mutex.
    #[inline]
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
    pub fn write(&self, range: impl RangeBounds<u64>) -> WriteGuard<'_> {
        WriteGuard::new(self.hold(Span::of(&range), Mode::Write))
    }

    /// Takes shared use of `range` if no conflicting request holds it or waits for it.
    ///
    /// Never waits for a range, and so never overtakes a request that does.
    #[inline]
    pub fn try_read(&self, range: impl RangeBounds<u64>) -> Option<ReadGuard<'_>> {
        self.try_hold(Span::of(&range), Mode::Read)
            .map(ReadGuard::new)
    }

    /// Takes exclusive use of `range` if no other request holds any of it or waits for it.
    #[inline]
    pub fn try_write(&self, range: impl RangeBounds<u64>) -> Option<WriteGuard<'_>> {
        self.try_hold(Span::of(&range), Mode::Write)
            .map(WriteGuard::new)
    }

    /// Makes a node with which to lock ranges from the caller's own memory, one at a time.
    ///
    /// Nothing is ever allocated for it. See [`RangeNode`].
    #[inline]
    pub fn node(&self) -> RangeNode<'_> {
        RangeNode::new(&self.layers)
    }

    #[inline]
    fn hold(&self, span: Option<Span>, mode: Mode) -> Held<'_> {
        match span {
            Some(span) => Held::granted(&self.layers, self.layers.lock_pooled(span, mode)),
            None => Held::nothing(&self.layers),
        }
    }

    #[inline]
    fn try_hold(&self, span: Option<Span>, mode: Mode) -> Option<Held<'_>> {
        match span {
            Some(span) => self
                .layers
                .try_lock_pooled(span, mode)
                .map(|holding| Held::granted(&self.layers, holding)),
            None => Some(Held::nothing(&self.layers)),
        }
    }

    /// Nobody is in the tree or in a slot, and all slots are open to everybody.
    #[cfg(test)]
    fn assert_unused(&self) {
        let (slots, linked) = self.layers.parts();
        assert_eq!((linked.granted, linked.waiting), (0, 0), "left in the tree");
        if let Some(slots) = slots {
            assert_eq!(slots.taken(), 0, "left in a slot");
            assert_eq!(slots.closings(), 0, "left closed");
        }
    }

    #[cfg(test)]
    fn with_fault(fault: crate::probe::Fault) -> Self {
        let lock = Self::new();
        lock.layers.with_probe(|probe| probe.fault = Some(fault));
        lock
    }

    #[cfg(all(test, loom))]
    fn with_slots_and_fault(granule: Granule, fault: crate::probe::Fault) -> Self {
        let layers = Layers::with_slots(granule, Probe::committing(fault));
        layers.with_probe(|probe| probe.fault = Some(fault));
        Self { layers }
    }
}

/// Shows how many ranges are granted and how many requests wait. Takes the lock's own mutex, so it
/// may not be called from within a signal handler that interrupted a lock operation.
impl fmt::Debug for RangeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Census { granted, waiting } = self.layers.census();
        f.debug_struct("RangeLock")
            .field("granted", &granted)
            .field("waiting", &waiting)
            .finish()
    }
}
