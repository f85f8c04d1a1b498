//! Room in the log, promised before it is needed.
//!
//! What a promise of `bytes` holds is [`held_bytes`]: twice as much, less 64. The second half is
//! for skips: a record that does not fit before the end of the ring leaves out fewer bytes than it
//! has itself, by at least 64, and so do all records of a promise together. Counting it per promise
//! makes the count exact without knowing who will meet the end of the ring, or how often the ring
//! turns while the promise is kept.
//!
//! One number, `free_bytes`, holds the invariant that makes promises good (number 7 of the log's):
//!
//! ```text
//!   free  +  held by all reservations  +  used (tail - first)  <=  length of the ring
//! ```
//!
//! An append moves bytes from held to used and returns the rest to free; a release moves used bytes
//! to free; nothing else changes any of them. The sum is smaller than the ring only between two
//! steps of an append.
//!
//! # Locking
//! None: one atomic number. Adding to it releases and taking from it acquires, so that who gets
//! bytes comes after the checkpoint that freed them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::record::header::{ALIGNMENT_BYTES, padded};

/// The bytes of the ring that are neither used nor promised.
pub(super) struct Room {
    free_bytes: AtomicU64,
}

impl Room {
    pub(super) fn new(free_bytes: u64) -> Self {
        Self {
            free_bytes: AtomicU64::new(free_bytes),
        }
    }

    /// What was free a moment ago.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Promises `bytes`, rounded up to whole lines, or nothing.
    pub(super) fn try_reserve(&self, bytes: u64) -> Option<Reservation<'_>> {
        let left_bytes = bytes.checked_next_multiple_of(ALIGNMENT_BYTES)?;
        let held = held_bytes(left_bytes)?;
        // Acquire: partners with `give`, so that what is written into this room comes after what
        // made it free.
        self.free_bytes
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |free| {
                free.checked_sub(held)
            })
            .ok()?;
        Some(Reservation {
            room: self,
            left_bytes,
        })
    }

    /// Adds bytes that are free from now on.
    pub(super) fn give(&self, bytes: u64) {
        // Release: partners with `try_reserve`.
        self.free_bytes.fetch_add(bytes, Ordering::Release);
    }
}

/// How much a promise of `bytes`, a multiple of 64, holds; `None` for more than any ring has.
pub(super) fn held_bytes(bytes: u64) -> Option<u64> {
    let twice = bytes.checked_mul(2)?;
    Some(twice.saturating_sub(ALIGNMENT_BYTES))
}

/// Room for records that are yet to be appended. What is left is given back when it is dropped.
#[must_use = "the room is given back when this is dropped"]
pub(crate) struct Reservation<'log> {
    room: &'log Room,
    left_bytes: u64,
}

impl Reservation<'_> {
    /// How many bytes of records can still be appended, padding included.
    pub(crate) fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// Whether it is room of this log.
    pub(super) fn is_of(&self, room: &Room) -> bool {
        std::ptr::eq(self.room, room)
    }

    /// A record of `record_bytes`, at most what is left, was appended behind a skip of
    /// `skip_bytes`, fewer than the record has.
    pub(super) fn spend(&mut self, record_bytes: u64, skip_bytes: u64) {
        debug_assert!(record_bytes <= self.left_bytes && skip_bytes < record_bytes);
        debug_assert_eq!(record_bytes, padded(record_bytes));
        let before = self.held();
        self.left_bytes -= record_bytes;
        self.room
            .give(before - self.held() - record_bytes - skip_bytes);
    }

    fn held(&self) -> u64 {
        // It was computed for as much or more when the promise was made.
        held_bytes(self.left_bytes).unwrap_or_default()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.room.give(self.held());
    }
}
