//! Units: what a crash state has whole or not at all; which unit needs which.
//!
//! # Grain
//! What small stores left pending is taken chunk by chunk. An event that left more than
//! [`MOST_LINES_BY_CHUNK`] lines of a block pending is a bulk copy: of each block of 4 KiB its
//! first line, its last line and all between are a unit each. So states stay countable, and little
//! is lost: a block in flight is either named by nothing, or by a checksum over all of it, or holds
//! nothing but a file's data. To each of these any missing part is like any other, and states that
//! lack the first, the last or the middle are built. Random states also tear units chunk by chunk.
//!
//! Where even that leaves too many units, [`Grain::Coarse`] makes a unit of each line of a small
//! store and of each block of a bulk copy.
//!
//! Units are in the order of the trace. One that writes a line needs all that wrote it before;
//! making units of several lines can only add such needs, so every state built is one that the
//! model of [`medium`](super::medium) allows.
//!
//! Touches memory alone; takes no locks.

use std::collections::BTreeMap;

use super::medium::{CHUNK_BYTES, LINE_BYTES, LineBytes, Medium, Write, chunk_mask};

/// An event with more lines than this pending in one block is a bulk copy.
pub const MOST_LINES_BY_CHUNK: usize = 4;
const BLOCK_LINES: u64 = 4096 / LINE_BYTES as u64;

/// How finely pending stores are taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    Fine,
    Coarse,
}

/// Bytes of one line.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) line: u64,
    pub(super) mask: u64,
    pub(super) bytes: LineBytes,
}

/// What is there whole or not at all.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The event that stored it.
    pub(super) event: usize,
    pub(super) parts: Vec<Part>,
}

impl Unit {
    /// Whether there is nothing of it to tear.
    pub(super) fn is_one_chunk(&self) -> bool {
        let in_one_chunk = |part: &Part| {
            (0..LINE_BYTES / CHUNK_BYTES).any(|chunk| part.mask & !chunk_mask(chunk) == 0)
        };
        matches!(self.parts.as_slice(), [part] if in_one_chunk(part))
    }
}

/// All units of a moment, and which needs which.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) units: Vec<Unit>,
    /// For each unit those that must be there if it is, directly or through others.
    pub(super) needs: Vec<Set>,
}

/// A set of units.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Set(Vec<u64>);

impl Set {
    pub(super) fn has(&self, unit: usize) -> bool {
        self.0
            .get(unit / 64)
            .is_some_and(|word| word >> (unit % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, unit: usize) {
        if self.0.len() <= unit / 64 {
            self.0.resize(unit / 64 + 1, 0);
        }
        self.0[unit / 64] |= 1 << (unit % 64);
    }

    pub(super) fn remove(&mut self, unit: usize) {
        if let Some(word) = self.0.get_mut(unit / 64) {
            *word &= !(1 << (unit % 64));
        }
        self.trim();
    }

    pub(super) fn insert_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, others) in self.0.iter_mut().zip(&other.0) {
            *word |= others;
        }
    }

    pub(super) fn includes(&self, other: &Self) -> bool {
        let own = self.0.iter().copied().chain(std::iter::repeat(0));
        own.zip(&other.0).all(|(own, others)| others & !own == 0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// One set has one form.
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl Units {
    /// The units of what is pending.
    pub(super) fn of(medium: &Medium, grain: Grain) -> Self {
        let mut by_event: BTreeMap<(usize, u64), Vec<(u64, &Write)>> = BTreeMap::new();
        for (line, write) in medium.pending() {
            let writes = by_event
                .entry((write.event, line / BLOCK_LINES))
                .or_default();
            writes.push((line, write));
        }
        let units = by_event
            .into_values()
            .flat_map(|writes| split(&writes, grain));
        let units: Vec<Unit> = units.collect();
        let needs = needs(&units);
        Self { units, needs }
    }

    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether no unit of `set` is needed by another of it.
    pub(super) fn is_last(&self, unit: usize, set: &Set) -> bool {
        (unit + 1..self.len()).all(|later| !set.has(later) || !self.needs[later].has(unit))
    }
}

/// The units of what one event stored into one block.
fn split(writes: &[(u64, &Write)], grain: Grain) -> Vec<Unit> {
    let is_bulk = writes.len() > MOST_LINES_BY_CHUNK;
    match (grain, writes) {
        (Grain::Fine, [first, middle @ .., last]) if is_bulk => {
            vec![unit(&[*first]), unit(middle), unit(&[*last])]
        }
        (Grain::Fine, _) => writes.iter().flat_map(|write| chunks(*write)).collect(),
        (Grain::Coarse, _) if is_bulk => vec![unit(writes)],
        (Grain::Coarse, _) => writes.iter().map(|write| unit(&[*write])).collect(),
    }
}

fn unit(writes: &[(u64, &Write)]) -> Unit {
    let part = |(line, write): &(u64, &Write)| Part {
        line: *line,
        mask: write.mask,
        bytes: write.bytes,
    };
    Unit {
        event: writes[0].1.event,
        parts: writes.iter().map(part).collect(),
    }
}

fn chunks((line, write): (u64, &Write)) -> impl Iterator<Item = Unit> {
    let masks = (0..LINE_BYTES / CHUNK_BYTES).map(|chunk| write.mask & chunk_mask(chunk));
    masks.filter(|mask| *mask != 0).map(move |mask| Unit {
        event: write.event,
        parts: vec![Part {
            line,
            mask,
            bytes: write.bytes,
        }],
    })
}

fn needs(units: &[Unit]) -> Vec<Set> {
    /// Who wrote a line last, and who before that.
    #[derive(Default)]
    struct Writers {
        event: usize,
        last: Vec<usize>,
        before: Vec<usize>,
    }
    let mut lines: BTreeMap<u64, Writers> = BTreeMap::new();
    let mut needs: Vec<Set> = Vec::with_capacity(units.len());
    for (number, unit) in units.iter().enumerate() {
        let mut own = Set::default();
        for part in &unit.parts {
            let writers = lines.entry(part.line).or_default();
            if writers.event != unit.event {
                writers.before = std::mem::take(&mut writers.last);
                writers.event = unit.event;
            }
            for before in &writers.before {
                own.insert_all(&needs[*before]);
                own.insert(*before);
            }
            writers.last.push(number);
        }
        needs.push(own);
    }
    needs
}
