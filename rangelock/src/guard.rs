//! Guards that can be moved, stored and sent to other threads.
//!
//! Touches the layers on drop, which may take the tree's mutex.

use std::fmt;
use std::ops::RangeInclusive;

use crate::layers::{Holding, Layers};

/// Shared use of a range; given back when dropped.
///
/// May be dropped on another thread than the one that took it. A guard that is forgotten
/// ([`std::mem::forget`]) leaves its range locked for good, and does no other harm.
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct ReadGuard<'lock> {
    held: Held<'lock>,
}

/// Exclusive use of a range; given back when dropped. Otherwise like [`ReadGuard`].
#[must_use = "the range is given back at once if the guard is dropped"]
pub struct WriteGuard<'lock> {
    held: Held<'lock>,
}

impl<'lock> ReadGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
    }
}

impl<'lock> WriteGuard<'lock> {
    #[inline]
    pub(crate) fn new(held: Held<'lock>) -> Self {
        Self { held }
    }

    /// The range held, or `None` if it was asked for no byte at all.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u64>> {
        self.held.range()
    }
}

impl fmt::Debug for ReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadGuard").field(&self.range()).finish()
    }
}

impl fmt::Debug for WriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteGuard").field(&self.range()).finish()
    }
}

/// What a guard holds: a granted request, or nothing for the empty range.
pub(crate) struct Held<'lock> {
    layers: &'lock Layers,
    holding: Option<Holding>,
}

// SAFETY: a granted request belongs to whoever has the guard; the lock is made to be used by many
// threads and does not care which of them gives the range back.
unsafe impl Send for Held<'_> {}
// SAFETY: a shared guard can only be asked for its range, which is constant while it is held.
unsafe impl Sync for Held<'_> {}

impl<'lock> Held<'lock> {
    /// Takes charge of what `layers` granted to a request without a node of its own.
    #[inline]
    pub(crate) fn granted(layers: &'lock Layers, holding: Holding) -> Self {
        Self {
            layers,
            holding: Some(holding),
        }
    }

    #[inline]
    pub(crate) fn nothing(layers: &'lock Layers) -> Self {
        Self {
            layers,
            holding: None,
        }
    }

    fn range(&self) -> Option<RangeInclusive<u64>> {
        // SAFETY: `granted` was called with a holding of this lock, and only `drop` gives it back.
        self.holding
            .map(|holding| unsafe { self.layers.span_of(holding) }.into())
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(holding) = self.holding {
            // SAFETY: `granted` was called with a holding of this lock, and this is its end.
            unsafe { self.layers.unlock_pooled(holding) };
        }
    }
}
