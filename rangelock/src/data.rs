//! A buffer whose parts can be read and written by different threads at the same time.
//!
//! Owns the data, and hands out slices of exactly the ranges that a lock has granted. Takes that
//! lock.
//!
//! # Why the slices do not alias
//!
//! 1. The elements are reached through one raw pointer, made when the buffer was taken over, and
//!    never through a reference to all of them, except by functions that have the buffer for
//!    themselves.
//! 2. A slice covers the range of its guard and nothing else, and ends before the guard does.
//! 3. The lock grants an element to one writer or to readers.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, DerefMut, RangeBounds, RangeInclusive};
use std::ptr::NonNull;

use crate::guard::{ReadGuard, WriteGuard};
use crate::lock::RangeLock;

/// A buffer of `T` that is locked by ranges of its indices.
///
/// # Examples
///
/// ```
/// use rangelock::RangeLocked;
///
/// let buffer = RangeLocked::new(vec![0_u8; 100]);
/// std::thread::scope(|scope| {
///     scope.spawn(|| buffer.write(..50).fill(1));
///     scope.spawn(|| buffer.write(50..).fill(2));
/// });
/// assert_eq!(buffer.read(49..51)[..], [1, 2]);
/// assert_eq!(buffer.into_inner()[99], 2);
/// ```
///
/// A buffer of references takes none that live shorter than its type says:
///
/// ```compile_fail,E0597
/// let buffer: rangelock::RangeLocked<&'static str> = rangelock::RangeLocked::new([""]);
/// {
///     let short = String::from("short");
///     fn put<'a>(buffer: &rangelock::RangeLocked<&'a str>, text: &'a str) {
///         buffer.write(..)[0] = text;
///     }
///     put(&buffer, &short);
/// }
/// assert_eq!(buffer.read(..)[0], "");
/// ```
pub struct RangeLocked<T> {
    elements: NonNull<[T]>,
    lock: RangeLock,
    /// A shared buffer can be written to, so `T` must not be taken for a type it outlives.
    _writable: PhantomData<UnsafeCell<T>>,
}

// SAFETY: it owns its elements like a vector does.
unsafe impl<T: Send> Send for RangeLocked<T> {}
// SAFETY: threads that share it get shared references to an element, and one at a time an
// exclusive one, by which it may also be moved out to another thread.
unsafe impl<T: Send + Sync> Sync for RangeLocked<T> {}

/// A part of a [`RangeLocked`] buffer, shared with other readers.
///
/// # Examples
///
/// ```
/// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
/// let (head, all) = (buffer.read(..2), buffer.read(..)); // readers share
/// assert_eq!(head[..], all[..2]);
/// ```
#[must_use = "the range is given back at once if the slice is dropped"]
pub struct ReadSlice<'buffer, T> {
    elements: NonNull<[T]>,
    guard: ReadGuard<'buffer>,
}

/// A part of a [`RangeLocked`] buffer, for its holder alone.
///
/// # Examples
///
/// ```
/// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
/// let mut tail = buffer.write(2..);
/// tail.swap(0, 1);
/// assert_eq!(tail[..], [4, 3]);
/// ```
#[must_use = "the range is given back at once if the slice is dropped"]
pub struct WriteSlice<'buffer, T> {
    elements: NonNull<[T]>,
    guard: WriteGuard<'buffer>,
    /// As for what it stands for, `T` is taken for no other type.
    _exclusive: PhantomData<&'buffer mut [T]>,
}

// SAFETY: to send or share the slice is to do so with `&[T]`.
unsafe impl<T: Sync> Send for ReadSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for ReadSlice<'_, T> {}
// SAFETY: to send the slice is to send `&mut [T]`.
unsafe impl<T: Send> Send for WriteSlice<'_, T> {}
// SAFETY: to share the slice is to share `&[T]`.
unsafe impl<T: Sync> Sync for WriteSlice<'_, T> {}

impl<T> RangeLocked<T> {
    /// Takes over a buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// use rangelock::RangeLocked;
    ///
    /// let bytes = RangeLocked::new(vec![0_u8; 4096]);
    /// let words = RangeLocked::new([7_u32; 16]);
    /// assert_eq!((bytes.len(), words.len()), (4096, 16));
    /// ```
    pub fn new(elements: impl Into<Box<[T]>>) -> Self {
        Self {
            elements: NonNull::from(Box::leak(elements.into())),
            lock: RangeLock::new(),
            _writable: PhantomData,
        }
    }

    /// How many elements there are.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// assert_eq!(buffer.len(), 4);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// assert!(!buffer.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lock, in units of elements.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let slice = buffer.write(1..3);
    /// assert!(buffer.lock().is_locked(2..4));
    /// assert!(!buffer.lock().is_locked(3..4));
    /// # drop(slice);
    /// ```
    #[must_use]
    pub fn lock(&self) -> &RangeLock {
        &self.lock
    }

    /// Waits for shared use of the elements in `range`.
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// assert_eq!(buffer.read(1..3)[..], [2, 3]);
    /// ```
    #[track_caller]
    pub fn read(&self, range: impl RangeBounds<usize>) -> ReadSlice<'_, T> {
        let (first, len) = self.bounds(range);
        let guard = self.lock.read(units(first, len));
        // SAFETY: `bounds` has checked that the part is within the buffer.
        let elements = unsafe { part(self.elements, first, len) };
        ReadSlice { elements, guard }
    }

    /// Waits for exclusive use of the elements in `range`.
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// buffer.write(1..3).fill(0);
    /// assert_eq!(buffer.into_inner()[..], [1, 0, 0, 4]);
    /// ```
    #[track_caller]
    pub fn write(&self, range: impl RangeBounds<usize>) -> WriteSlice<'_, T> {
        let (first, len) = self.bounds(range);
        let guard = self.lock.write(units(first, len));
        // SAFETY: `bounds` has checked that the part is within the buffer.
        let elements = unsafe { part(self.elements, first, len) };
        WriteSlice {
            elements,
            guard,
            _exclusive: PhantomData,
        }
    }

    /// Like [`read`](Self::read), but nothing if that would have to wait.
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let writer = buffer.write(..2);
    /// assert!(buffer.try_read(1..3).is_none());
    /// assert!(buffer.try_read(2..4).is_some());
    /// # drop(writer);
    /// ```
    #[track_caller]
    pub fn try_read(&self, range: impl RangeBounds<usize>) -> Option<ReadSlice<'_, T>> {
        let (first, len) = self.bounds(range);
        let guard = self.lock.try_read(units(first, len))?;
        // SAFETY: `bounds` has checked that the part is within the buffer.
        let elements = unsafe { part(self.elements, first, len) };
        Some(ReadSlice { elements, guard })
    }

    /// Like [`write`](Self::write), but nothing if that would have to wait.
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let reader = buffer.read(..2);
    /// assert!(buffer.try_write(1..3).is_none());
    /// assert!(buffer.try_write(2..4).is_some());
    /// # drop(reader);
    /// ```
    #[track_caller]
    pub fn try_write(&self, range: impl RangeBounds<usize>) -> Option<WriteSlice<'_, T>> {
        let (first, len) = self.bounds(range);
        let guard = self.lock.try_write(units(first, len))?;
        // SAFETY: `bounds` has checked that the part is within the buffer.
        let elements = unsafe { part(self.elements, first, len) };
        Some(WriteSlice {
            elements,
            guard,
            _exclusive: PhantomData,
        })
    }

    /// All elements, for whoever has the buffer for himself: no lock is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// buffer.get_mut()[0] = 7;
    /// assert_eq!(buffer.read(..1)[..], [7]);
    /// ```
    pub fn get_mut(&mut self) -> &mut [T] {
        // SAFETY: no slice borrows the buffer. A guard that was forgotten took its slice with it.
        unsafe { self.elements.as_mut() }
    }

    /// Gives the buffer back.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// assert_eq!(buffer.into_inner()[..], [1, 2, 3, 4]);
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Box<[T]> {
        let mut this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, but for its lock, which is dropped here.
        unsafe { std::ptr::drop_in_place(&raw mut this.lock) };
        // SAFETY: `new` leaked this box; `this` is not dropped, so it is taken back only here.
        unsafe { Box::from_raw(this.elements.as_ptr()) }
    }

    #[track_caller]
    fn bounds(&self, range: impl RangeBounds<usize>) -> (usize, usize) {
        let len = self.len();
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(len),
        };
        match start.zip(end) {
            Some((start, end)) if start <= end && end <= len => (start, end - start),
            _ => panic!("the range is not within a buffer of {len} elements"),
        }
    }
}

impl<T> Drop for RangeLocked<T> {
    fn drop(&mut self) {
        // SAFETY: `new` leaked this box, and it was not taken back by `into_inner`.
        drop(unsafe { Box::from_raw(self.elements.as_ptr()) });
    }
}

impl<'buffer, T> ReadSlice<'buffer, T> {
    /// Splits the slice in two, as [`slice::split_at`] does.
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let (head, tail) = buffer.read(..).split_at(1);
    /// drop(tail);
    /// assert!(buffer.try_write(1..).is_some());
    /// # drop(head);
    /// ```
    pub fn split_at(self, at: usize) -> (Self, Self) {
        let (below, above) = halves(self.elements, at);
        let at = boundary(self.guard.range(), at);
        let (guard, rest) = self.guard.split_at(at);
        let slice = |elements, guard| Self { elements, guard };
        (slice(below, guard), slice(above, rest))
    }

    /// Says that the slice is about to be sent to another thread: see [`ReadGuard::disown`].
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let slice = buffer.read(..2);
    /// std::thread::scope(|scope| {
    ///     slice.disown();
    ///     scope.spawn(|| drop(slice));
    /// });
    /// ```
    pub fn disown(&self) {
        self.guard.disown();
    }
}

impl<'buffer, T> WriteSlice<'buffer, T> {
    /// Splits the slice in two, as [`slice::split_at_mut`] does; each goes its own way.
    ///
    /// # Panics
    ///
    /// If `at` is greater than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let (head, mut tail) = buffer.write(..).split_at(1);
    /// tail[0] = 7;
    /// drop(head);
    /// assert_eq!(buffer.read(..1)[..], [1]);
    /// assert_eq!(tail[..], [7, 3, 4]);
    /// ```
    pub fn split_at(self, at: usize) -> (Self, Self) {
        let (below, above) = halves(self.elements, at);
        let at = boundary(self.guard.range(), at);
        let (guard, rest) = self.guard.split_at(at);
        let slice = |elements, guard| Self {
            elements,
            guard,
            _exclusive: PhantomData,
        };
        (slice(below, guard), slice(above, rest))
    }

    /// Says that the slice is about to be sent to another thread: see [`ReadGuard::disown`].
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let slice = buffer.write(..2);
    /// std::thread::scope(|scope| {
    ///     slice.disown();
    ///     scope.spawn(|| drop(slice));
    /// });
    /// ```
    pub fn disown(&self) {
        self.guard.disown();
    }

    /// Lets other readers in: see [`WriteGuard::downgrade`].
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = rangelock::RangeLocked::new([1, 2, 3, 4]);
    /// let mut slice = buffer.write(..);
    /// slice[0] = 7;
    /// let slice = slice.downgrade();
    /// assert_eq!(buffer.read(..1)[..], slice[..1]);
    /// ```
    pub fn downgrade(self) -> ReadSlice<'buffer, T> {
        ReadSlice {
            elements: self.elements,
            guard: self.guard.downgrade(),
        }
    }
}

impl<T> Deref for ReadSlice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the guard, which lives as long as `self`, admits nobody who writes here (3).
        unsafe { self.elements.as_ref() }
    }
}

impl<T> Deref for WriteSlice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the guard, which lives as long as `self`, admits nobody else here (3).
        unsafe { self.elements.as_ref() }
    }
}

impl<T> DerefMut for WriteSlice<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` shows that no other reference comes from here.
        unsafe { self.elements.as_mut() }
    }
}

impl<T> fmt::Debug for RangeLocked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeLocked")
            .field("len", &self.len())
            .field("lock", &self.lock)
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadSlice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteSlice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

fn units(first: usize, len: usize) -> std::ops::Range<u64> {
    first as u64..(first + len) as u64
}

/// Where in the lock's units to split what is held at `at` elements from its start.
fn boundary(held: Option<RangeInclusive<u64>>, at: usize) -> u64 {
    held.map_or(0, |held| held.start() + at as u64)
}

/// # Safety
///
/// The part is within `elements`.
unsafe fn part<T>(elements: NonNull<[T]>, first: usize, len: usize) -> NonNull<[T]> {
    // SAFETY: the caller promises that the part is within.
    let start = unsafe { elements.cast::<T>().add(first) };
    NonNull::slice_from_raw_parts(start, len)
}

fn halves<T>(elements: NonNull<[T]>, at: usize) -> (NonNull<[T]>, NonNull<[T]>) {
    let len = elements.len();
    assert!(at <= len, "split at {at} of a slice of {len} elements");
    // SAFETY: checked just now.
    let below = unsafe { part(elements, 0, at) };
    // SAFETY: as above.
    let above = unsafe { part(elements, at, len - at) };
    (below, above)
}
