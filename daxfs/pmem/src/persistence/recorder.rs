//! The back end that records: does what it is asked, and writes down what the hardware was asked.
//!
//! # Locking
//! One mutex of the standard library around the list of events. It is held for the move of bytes
//! and the note of it together, so the list is the order in which the bytes changed. While it is
//! held only memory of the device's own mapping and of the list is touched. Neither ever faults
//! into a handler: a window's bytes, from which a copy may come, are first taken into a buffer with
//! nothing held. So a fault handler, which interrupts an access to a window, never finds the mutex
//! taken by its own thread, nor the memory allocator busy in it.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::thread::gettid;

use super::trace::{Action, Event, ThreadNumber};
use super::{CACHE_LINE_BYTES, STREAM_FROM_BYTES, copy};

/// Writes down what happens to one device.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
}

/// Bytes of a device: where they are in it, and where in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) offset_bytes: u64,
    pub(crate) address: *mut u8,
    pub(crate) len_bytes: usize,
}

impl Target {
    fn part(self, from_bytes: usize, len_bytes: usize) -> Self {
        Self {
            offset_bytes: self.offset_bytes + from_bytes as u64,
            address: self.address.wrapping_add(from_bytes),
            len_bytes,
        }
    }

    /// The whole lines around it. A device begins and ends with a line.
    fn lines(self) -> Self {
        let line_bytes = CACHE_LINE_BYTES as u64;
        let before = self.offset_bytes % line_bytes;
        let len_bytes = (before + self.len_bytes as u64).next_multiple_of(line_bytes);
        Self {
            offset_bytes: self.offset_bytes - before,
            address: self.address.wrapping_sub(before as usize),
            len_bytes: len_bytes as usize,
        }
    }
}

impl Recorder {
    /// Stores through the cache.
    ///
    /// # Safety
    /// `source` is readable and `target` writable for `target.len_bytes`.
    pub(crate) unsafe fn store(&self, target: Target, source: *const u8) {
        // SAFETY: the caller vouches for the source.
        let bytes = unsafe { take(source, target.len_bytes) };
        let mut events = self.lock();
        // SAFETY: the caller vouches for the target.
        unsafe { store(&mut events, target, bytes) };
    }

    /// Copies so that a fence alone makes the bytes durable.
    ///
    /// # Safety
    /// As for [`Recorder::store`]; `target` and the lines around it lie in one mapping.
    pub(crate) unsafe fn copy(&self, target: Target, source: *const u8) {
        // SAFETY: the caller vouches for the source.
        let bytes = unsafe { take(source, target.len_bytes) };
        // SAFETY: the caller vouches for the target.
        unsafe { self.write(target, &bytes) };
    }

    /// Zeroes so that a fence alone makes the zeroes durable.
    ///
    /// # Safety
    /// `target` is writable, and the lines around it lie in one mapping.
    pub(crate) unsafe fn zero(&self, target: Target) {
        // SAFETY: the caller vouches for the target.
        unsafe { self.write(target, &vec![0; target.len_bytes]) };
    }

    /// Starts writing back the lines around `target`.
    ///
    /// # Safety
    /// `target` and the lines around it lie in one mapping.
    pub(crate) unsafe fn write_back(&self, target: Target) {
        // SAFETY: the caller vouches for the target.
        unsafe { write_back(&mut self.lock(), target) };
    }

    /// Notes that the calling thread waits for its flushes and streams.
    pub(crate) fn fence(&self) {
        self.note(Action::Fence);
    }

    /// Notes something that touches no bytes.
    pub(crate) fn note(&self, action: Action) {
        push(&mut self.lock(), action);
    }

    /// The events so far. From now on the recorder begins anew.
    pub(crate) fn take(&self) -> Vec<Event> {
        mem::take(&mut *self.lock())
    }

    /// The hardware back end's copy: whole lines past the cache, edges through it and written back.
    ///
    /// # Safety
    /// `bytes` are as many as `target` has, which is writable; the lines around it lie in one
    /// mapping.
    unsafe fn write(&self, target: Target, bytes: &[u8]) {
        let edges = if target.len_bytes >= STREAM_FROM_BYTES {
            copy::edges(target.address, target.len_bytes)
        } else {
            copy::CachedEdges {
                head_bytes: target.len_bytes,
                tail_bytes: 0,
            }
        };
        let tail_from = target.len_bytes - edges.tail_bytes;
        let mut events = self.lock();
        // SAFETY: the first bytes of a target that the caller vouches for.
        unsafe { store_flushed(&mut events, target, bytes, 0, edges.head_bytes) };
        if edges.head_bytes < tail_from {
            let lines = target.part(edges.head_bytes, tail_from - edges.head_bytes);
            let bytes = &bytes[edges.head_bytes..tail_from];
            // SAFETY: the lines in the middle of the target, and as many bytes.
            unsafe { copy::cached(lines.address, bytes.as_ptr(), bytes.len()) };
            let offset_bytes = lines.offset_bytes;
            let bytes = bytes.into();
            push(
                &mut events,
                Action::Stream {
                    offset_bytes,
                    bytes,
                },
            );
        }
        // SAFETY: the last bytes of the target.
        unsafe { store_flushed(&mut events, target, bytes, tail_from, edges.tail_bytes) };
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        // A panic while it is held leaves a list without its last event, which is still a list.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes bytes that may change, or fault, meanwhile.
///
/// # Safety
/// `source` is readable for `len_bytes`.
unsafe fn take(source: *const u8, len_bytes: usize) -> Box<[u8]> {
    let mut bytes = vec![0; len_bytes].into_boxed_slice();
    // SAFETY: the caller vouches for the source; the buffer is as long, and nobody else's.
    unsafe { copy::cached(bytes.as_mut_ptr(), source, len_bytes) };
    bytes
}

/// # Safety
/// `target` is writable, and `bytes` are as many.
unsafe fn store(events: &mut Vec<Event>, target: Target, bytes: Box<[u8]>) {
    if bytes.is_empty() {
        return;
    }
    // SAFETY: the caller vouches for the target.
    unsafe { copy::cached(target.address, bytes.as_ptr(), bytes.len()) };
    let offset_bytes = target.offset_bytes;
    push(
        events,
        Action::Store {
            offset_bytes,
            bytes,
        },
    );
}

/// Stores some of `bytes` and begins to write their lines back.
///
/// # Safety
/// As for [`Recorder::write`]; the part lies inside `target`.
unsafe fn store_flushed(
    events: &mut Vec<Event>,
    target: Target,
    bytes: &[u8],
    from: usize,
    len_bytes: usize,
) {
    let part = target.part(from, len_bytes);
    // SAFETY: a part of a target that the caller vouches for.
    unsafe { store(events, part, bytes[from..from + len_bytes].into()) };
    // SAFETY: the lines around a part are lines around the whole.
    unsafe { write_back(events, part) };
}

/// # Safety
/// As for [`Recorder::write_back`].
unsafe fn write_back(events: &mut Vec<Event>, target: Target) {
    if target.len_bytes == 0 {
        return;
    }
    let lines = target.lines();
    // SAFETY: the caller vouches for the lines.
    let bytes = unsafe { take(lines.address, lines.len_bytes) };
    let offset_bytes = lines.offset_bytes;
    push(
        events,
        Action::Flush {
            offset_bytes,
            bytes,
        },
    );
}

fn push(events: &mut Vec<Event>, action: Action) {
    let thread = ThreadNumber(gettid().as_raw_nonzero().get().unsigned_abs());
    events.push(Event { thread, action });
}
