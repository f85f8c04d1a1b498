//! What a power failure leaves of a device: what is durable for certain, and what may be.
//!
//! # The model
//! Memory reaches the medium by cache lines of 64 bytes, and is whole there by aligned chunks of 8.
//! - Stores to one line become durable in the order in which they were made: a crash leaves the
//!   line as it was after some of them. The chunks of one store (a `memcpy`, whose order nobody
//!   promises) have no order: of the store that was cut short, any of them are there.
//! - Lines have no order among each other.
//! - A line that nobody flushed may all the same be written back at any time after its stores.
//! - A flush by a thread covers what the line held then. With that thread's next fence that is
//!   durable for certain. So are its streaming stores. A fence of another thread does nothing for
//!   either, nor does another thread's flush for a streaming store that waits in its own processor.
//!
//! A chunk that is stored as it is already is dropped: whichever prefix of the line's stores
//! survives, with or without it the bytes are the same.
//!
//! Touches memory alone; takes no locks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use daxfs_pmem::{Action, Event, ThreadNumber};

/// The unit of flushing and of order.
pub const LINE_BYTES: usize = 64;
/// The unit that a power failure does not tear.
pub const CHUNK_BYTES: usize = 8;

/// The bytes of one line.
pub(super) type LineBytes = [u8; LINE_BYTES];

/// What one event stored into one line and is not durable for certain yet.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// The number of the event.
    pub(super) event: usize,
    /// Which bytes it stored, the line's first in the lowest bit.
    pub(super) mask: u64,
    /// The line's bytes, of which `mask` says which count.
    pub(super) bytes: LineBytes,
    streamed_by: Option<ThreadNumber>,
}

/// The writes of a line in their order, and how many of them each thread has in flight.
#[derive(Debug, Default)]
struct Line {
    writes: Vec<Write>,
    in_flight: HashMap<ThreadNumber, usize>,
}

/// A device's medium, as the events so far have left it.
#[derive(Debug)]
pub(super) struct Medium {
    durable: Vec<u8>,
    /// Lines of which something is pending.
    lines: BTreeMap<u64, Line>,
    in_flight: HashMap<ThreadNumber, BTreeSet<u64>>,
}

impl Medium {
    /// A medium that holds `base`, all of it durable.
    pub(super) fn new(base: &[u8]) -> Self {
        assert_eq!(base.len() % LINE_BYTES, 0, "a device has whole lines");
        Self {
            durable: base.to_vec(),
            lines: BTreeMap::new(),
            in_flight: HashMap::new(),
        }
    }

    /// Lets an event happen. Returns the lines that became durable, with their old bytes.
    pub(super) fn apply(&mut self, number: usize, event: &Event) -> Vec<(u64, LineBytes)> {
        let thread = event.thread;
        match &event.action {
            Action::Store {
                offset_bytes,
                bytes,
            } => self.write(number, *offset_bytes, bytes, None),
            Action::Stream {
                offset_bytes,
                bytes,
            } => {
                self.write(number, *offset_bytes, bytes, Some(thread));
                self.begin_write_back(thread, *offset_bytes, bytes.len());
            }
            Action::Flush {
                offset_bytes,
                bytes,
            } => {
                // What is found there and was not stored by recorded means.
                self.write(number, *offset_bytes, bytes, None);
                self.begin_write_back(thread, *offset_bytes, bytes.len());
            }
            Action::Fence => return self.fence(thread),
            Action::Mark(_) => {}
        }
        Vec::new()
    }

    /// What may be durable or not, by lines, in the order in which it was stored.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u64, &Write)> {
        let lines = self.lines.iter();
        lines.flat_map(|(line, state)| state.writes.iter().map(|write| (*line, write)))
    }

    /// What is durable for certain.
    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// What is durable for certain of one line.
    pub(super) fn durable_line(&self, line: u64) -> LineBytes {
        let start = line as usize * LINE_BYTES;
        let bytes = &self.durable[start..start + LINE_BYTES];
        bytes.try_into().expect("it is as long as a line")
    }

    /// What programs see of one line.
    fn visible_line(&self, line: u64) -> LineBytes {
        let mut bytes = self.durable_line(line);
        for write in self.lines.get(&line).iter().flat_map(|line| &line.writes) {
            overlay(&mut bytes, &write.bytes, write.mask);
        }
        bytes
    }

    fn write(
        &mut self,
        event: usize,
        offset_bytes: u64,
        bytes: &[u8],
        streamed_by: Option<ThreadNumber>,
    ) {
        for (line, from, part) in parts(offset_bytes, bytes) {
            let visible = self.visible_line(line);
            let mut stored = visible;
            stored[from..from + part.len()].copy_from_slice(part);
            let mask = chunks_that_differ(&visible, &stored) & byte_mask(from, part.len());
            if mask != 0 {
                self.lines.entry(line).or_default().writes.push(Write {
                    event,
                    mask,
                    bytes: stored,
                    streamed_by,
                });
            }
        }
    }

    fn begin_write_back(&mut self, thread: ThreadNumber, offset_bytes: u64, len_bytes: usize) {
        let first = offset_bytes / LINE_BYTES as u64;
        let end = (offset_bytes + len_bytes as u64).div_ceil(LINE_BYTES as u64);
        let waiting = self.in_flight.entry(thread).or_default();
        for (number, line) in self.lines.range_mut(first..end) {
            let is_foreign = |write: &Write| write.streamed_by.is_some_and(|by| by != thread);
            let foreign = line.writes.iter().position(is_foreign);
            let covered = foreign.unwrap_or(line.writes.len());
            let in_flight = line.in_flight.entry(thread).or_default();
            *in_flight = covered.max(*in_flight);
            waiting.insert(*number);
        }
    }

    fn fence(&mut self, thread: ThreadNumber) -> Vec<(u64, LineBytes)> {
        let mut before = Vec::new();
        for number in self.in_flight.remove(&thread).unwrap_or_default() {
            let old = self.durable_line(number);
            let Some(line) = self.lines.get_mut(&number) else {
                continue;
            };
            let drained = line.in_flight.remove(&thread).unwrap_or_default();
            let mut new = old;
            for write in line.writes.drain(..drained) {
                overlay(&mut new, &write.bytes, write.mask);
            }
            for others in line.in_flight.values_mut() {
                *others = others.saturating_sub(drained);
            }
            if line.writes.is_empty() {
                self.lines.remove(&number);
            }
            let start = number as usize * LINE_BYTES;
            self.durable[start..start + LINE_BYTES].copy_from_slice(&new);
            before.push((number, old));
        }
        before
    }
}

/// Replaces the bytes that `mask` names.
pub(super) fn overlay(line: &mut LineBytes, bytes: &LineBytes, mask: u64) {
    for at in (0..LINE_BYTES).filter(|at| mask >> at & 1 == 1) {
        line[at] = bytes[at];
    }
}

/// Bytes at an offset, line by line: the line's number, where in it they begin, and they.
fn parts(offset_bytes: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = &bytes[done..];
        let at = offset_bytes + done as u64;
        let from = (at % LINE_BYTES as u64) as usize;
        let part = &left[..left.len().min(LINE_BYTES - from)];
        done += part.len();
        (!part.is_empty()).then_some((at / LINE_BYTES as u64, from, part))
    })
}

fn byte_mask(from: usize, len: usize) -> u64 {
    let ones = if len == LINE_BYTES {
        u64::MAX
    } else {
        (1 << len) - 1
    };
    ones << from
}

/// All bytes of the chunks in which two lines differ.
fn chunks_that_differ(one: &LineBytes, other: &LineBytes) -> u64 {
    let pairs = one
        .chunks_exact(CHUNK_BYTES)
        .zip(other.chunks_exact(CHUNK_BYTES));
    (0..)
        .zip(pairs)
        .filter(|(_, (one, other))| one != other)
        .map(|(chunk, _)| chunk_mask(chunk))
        .sum()
}

/// The bytes of one chunk of a line.
pub(super) fn chunk_mask(chunk: usize) -> u64 {
    byte_mask(chunk * CHUNK_BYTES, CHUNK_BYTES)
}
