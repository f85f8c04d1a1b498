//! A map from ranges to values in which ranges may overlap: the lock's interval tree by itself, for
//! those who decide otherwise than the lock who excludes whom.
//!
//! The nodes are boxes of the map's. Takes no lock: shared references only read, and everything
//! that changes a map takes it mutably.

use std::fmt;
use std::ops::{RangeBounds, RangeInclusive};
use std::ptr::NonNull;

use crate::interval::{Anchor, Anchored, IntervalTree};
use crate::span::Span;

/// A set of ranges of `u64` that may overlap, each with a value.
///
/// Inserting, removing and each step from one overlapping entry to the next take O(log n), so that
/// the k entries that overlap a range are found in O(log n + k log n) at worst, and in O(log n + k)
/// where they lie beside each other. Each entry is one allocation.
///
/// ```
/// use rangelock::IntervalMap;
///
/// let mut owners = IntervalMap::new();
/// let first = owners.insert(0..100, "one").expect("a range of at least one byte");
/// owners.insert(50..=149, "two");
/// owners.insert(200.., "three");
///
/// let found: Vec<_> = owners.overlapping(90..200).map(|(_, _, owner)| *owner).collect();
/// assert_eq!(found, ["one", "two"]);
///
/// assert_eq!(owners.remove(first), Some((0..=99, "one")));
/// assert!(owners.overlapping(..50).next().is_none());
/// ```
pub struct IntervalMap<V> {
    /// Every linked node is a leaked box of this map.
    tree: IntervalTree<Node<V>>,
    len: usize,
    /// How many entries there have been: the source of sequences.
    inserted: u64,
}

struct Node<V> {
    anchor: Anchor<Node<V>>,
    value: V,
}

// SAFETY: always the same field, which only its own methods write.
unsafe impl<V> Anchored for Node<V> {
    #[inline]
    fn anchor(&self) -> &Anchor<Self> {
        &self.anchor
    }
}

// SAFETY: a map owns its nodes, so to send it is to send the values.
unsafe impl<V: Send> Send for IntervalMap<V> {}
// SAFETY: through a shared reference the cells of the nodes are only read, and values are shared.
unsafe impl<V: Sync> Sync for IntervalMap<V> {}

/// Names one entry of the map that returned it, as long as the entry is there.
///
/// In another map it names nothing, or some other entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntervalKey {
    first: u64,
    sequence: u64,
}

impl<V> IntervalMap<V> {
    /// An empty map. Allocates nothing.
    ///
    /// ```
    /// # use rangelock::IntervalMap;
    /// assert!(IntervalMap::<u8>::new().is_empty());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tree: IntervalTree::new(),
            len: 0,
            inserted: 0,
        }
    }

    /// How many entries there are.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// map.insert(0..10, 'a');
    /// map.insert(0..10, 'b'); // the same range again is another entry
    /// assert_eq!(map.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry. A range without a byte can overlap nothing: it is not added, and the value is
    /// dropped.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// assert!(map.insert(3..4, ()).is_some());
    /// assert!(map.insert(3..3, ()).is_none());
    /// ```
    pub fn insert(&mut self, range: impl RangeBounds<u64>, value: V) -> Option<IntervalKey> {
        let span = Span::of(&range)?;
        let anchor = Anchor::new();
        anchor.set_span(span);
        anchor.set_sequence(self.inserted);
        let key = IntervalKey {
            first: span.first,
            sequence: self.inserted,
        };
        let node = NonNull::from(Box::leak(Box::new(Node { anchor, value })));
        // SAFETY: the node is new, so not linked; it is freed when it has been taken out, and not
        // touched before, but for the cells of its anchor that are the tree's.
        unsafe { self.tree.insert(node) };
        self.len += 1;
        self.inserted += 1;
        Some(key)
    }

    /// Takes an entry out. `None` when it is gone already.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// let key = map.insert(7.., "rest").unwrap();
    /// assert_eq!(map.remove(key), Some((7..=u64::MAX, "rest")));
    /// assert_eq!(map.remove(key), None);
    /// ```
    pub fn remove(&mut self, key: IntervalKey) -> Option<(RangeInclusive<u64>, V)> {
        let node = self.tree.take(key.first, key.sequence)?;
        self.len -= 1;
        // SAFETY: it was linked until now, so it is a box that `insert` has leaked.
        let node = unsafe { Box::from_raw(node.as_ptr()) };
        Some((node.anchor.span().into(), node.value))
    }

    /// The range and the value of an entry.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// let key = map.insert(..8, 1).unwrap();
    /// assert_eq!(map.get(key), Some((0..=7, &1)));
    /// ```
    #[must_use]
    pub fn get(&self, key: IntervalKey) -> Option<(RangeInclusive<u64>, &V)> {
        let node = self.tree.find(key.first, key.sequence)?;
        Some((node.anchor.span().into(), &node.value))
    }

    /// The entries that share a byte with `range`, by ascending first byte, and among equals in the
    /// order in which they were inserted.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// map.insert(0..10, 'a');
    /// map.insert(20..30, 'c');
    /// map.insert(5..25, 'b');
    /// let found: String = map.overlapping(9..=20).map(|(_, _, letter)| letter).collect();
    /// assert_eq!(found, "abc");
    /// ```
    pub fn overlapping(
        &self,
        range: impl RangeBounds<u64>,
    ) -> impl Iterator<Item = (IntervalKey, RangeInclusive<u64>, &V)> {
        let spans = Span::of(&range).into_iter();
        spans
            .flat_map(|span| self.tree.overlapping(span))
            .map(Node::entry)
    }

    /// All entries, in the same order.
    ///
    /// ```
    /// # let mut map = rangelock::IntervalMap::new();
    /// map.insert(20..30, 'b');
    /// map.insert(0..10, 'a');
    /// assert!(map.iter().map(|(_, _, letter)| *letter).eq(['a', 'b']));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (IntervalKey, RangeInclusive<u64>, &V)> {
        self.tree.iter().map(Node::entry)
    }
}

impl<V> Node<V> {
    fn entry(&self) -> (IntervalKey, RangeInclusive<u64>, &V) {
        let key = IntervalKey {
            first: self.anchor.first(),
            sequence: self.anchor.sequence(),
        };
        (key, self.anchor.span().into(), &self.value)
    }
}

impl<V> Drop for IntervalMap<V> {
    fn drop(&mut self) {
        while let Some(node) = self.tree.take_first() {
            // SAFETY: it was linked until now, so it is a box that `insert` has leaked.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
        }
    }
}

impl<V> Default for IntervalMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for IntervalMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().map(|(_, range, value)| (range, value));
        f.debug_map().entries(entries).finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[path = "interval_map/tests.rs"]
mod tests;
