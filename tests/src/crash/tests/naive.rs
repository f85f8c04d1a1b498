//! The model once more, by another way: not event by event, but by asking of each store whether
//! anything makes it durable. Slow, and too simple to be wrong; for images of a few lines.

use std::collections::BTreeSet;

use daxfs_pmem::{Action, Event, ThreadNumber};

use crate::crash::{CHUNK_BYTES, LINE_BYTES};

/// Part of a store: what one event put into one line.
struct Write {
    event: usize,
    streamed_by: Option<ThreadNumber>,
    /// Offset in the line, and bytes.
    from: usize,
    bytes: Vec<u8>,
}

/// All images that a crash before event `crash` can leave.
pub(super) fn images(base: &[u8], trace: &[Event], crash: usize) -> BTreeSet<Vec<u8>> {
    let trace = &trace[..crash];
    let mut images = BTreeSet::from([Vec::new()]);
    for (line, old) in base.chunks_exact(LINE_BYTES).enumerate() {
        let contents = contents(old, line, trace);
        let join = |image: &Vec<u8>| {
            let image = image.clone();
            let joined = contents.iter().map(move |line| [&image[..], line].concat());
            joined.collect::<Vec<_>>()
        };
        images = images.iter().flat_map(join).collect();
    }
    images
}

/// All that one line can hold.
fn contents(old: &[u8], line: usize, trace: &[Event]) -> BTreeSet<Vec<u8>> {
    let writes = writes_to(old, line, trace);
    let certain = (0..writes.len())
        .filter(|write| is_certain(&writes, *write, line, trace))
        .max()
        .map_or(0, |last| last + 1);
    let mut contents = BTreeSet::new();
    for whole in certain..=writes.len() {
        let mut bytes = old.to_vec();
        for write in &writes[..whole] {
            bytes[write.from..][..write.bytes.len()].copy_from_slice(&write.bytes);
        }
        match writes.get(whole) {
            Some(torn) => contents.extend(torn_by(&bytes, torn)),
            None => drop(contents.insert(bytes)),
        }
    }
    contents
}

/// Every subset of the chunks of a write.
fn torn_by(old: &[u8], write: &Write) -> Vec<Vec<u8>> {
    let chunks = LINE_BYTES / CHUNK_BYTES;
    let subsets = 0..1u32 << chunks;
    let tear = |subset: u32| {
        let mut bytes = old.to_vec();
        for (at, byte) in (write.from..).zip(&write.bytes) {
            if subset >> (at / CHUNK_BYTES) & 1 == 1 {
                bytes[at] = *byte;
            }
        }
        bytes
    };
    subsets.map(tear).collect()
}

fn writes_to(old: &[u8], line: usize, trace: &[Event]) -> Vec<Write> {
    let mut visible = old.to_vec();
    let mut writes = Vec::new();
    for (event, done) in trace.iter().enumerate() {
        let (offset_bytes, bytes, streamed_by) = match &done.action {
            Action::Store {
                offset_bytes,
                bytes,
            }
            | Action::Flush {
                offset_bytes,
                bytes,
            } => (*offset_bytes as usize, bytes, None),
            Action::Stream {
                offset_bytes,
                bytes,
            } => (*offset_bytes as usize, bytes, Some(done.thread)),
            Action::Fence | Action::Mark(_) => continue,
        };
        let start = offset_bytes.max(line * LINE_BYTES);
        let end = (offset_bytes + bytes.len()).min((line + 1) * LINE_BYTES);
        if start >= end {
            continue;
        }
        let from = start - line * LINE_BYTES;
        let bytes = bytes[start - offset_bytes..end - offset_bytes].to_vec();
        let seen = &mut visible[from..from + bytes.len()];
        if seen != bytes {
            seen.copy_from_slice(&bytes);
            writes.push(Write {
                event,
                streamed_by,
                from,
                bytes,
            });
        }
    }
    writes
}

/// Whether some thread flushed or streamed the write, and fenced after that.
fn is_certain(writes: &[Write], write: usize, line: usize, trace: &[Event]) -> bool {
    let begins = |at: usize| {
        let thread = trace[at].thread;
        let covers = |offset_bytes: u64, bytes: &[u8]| {
            let lines = offset_bytes as usize / LINE_BYTES;
            (lines..(offset_bytes as usize + bytes.len()).div_ceil(LINE_BYTES)).contains(&line)
        };
        let covered = match &trace[at].action {
            Action::Flush {
                offset_bytes,
                bytes,
            }
            | Action::Stream {
                offset_bytes,
                bytes,
            } => covers(*offset_bytes, bytes),
            _ => false,
        };
        let waits_elsewhere = writes[..=write].iter().any(|earlier| {
            earlier.streamed_by.is_some_and(|by| by != thread) && !was_drained(earlier, trace, at)
        });
        (covered && !waits_elsewhere).then_some(thread)
    };
    (writes[write].event..trace.len())
        .any(|at| begins(at).is_some_and(|thread| is_fenced(&trace[at..], thread)))
}

/// Whether a streaming store left its processor before event `at`.
fn was_drained(write: &Write, trace: &[Event], at: usize) -> bool {
    let by = write.streamed_by.expect("only such are asked about");
    is_fenced(&trace[write.event..at], by)
}

fn is_fenced(trace: &[Event], thread: ThreadNumber) -> bool {
    let is_fence = |event: &Event| event.thread == thread && event.action == Action::Fence;
    trace.iter().any(is_fence)
}
