//! What a crash may leave of a sequence of operations.
//!
//! Each operation is all or nothing, and is there when it returned: so a crash leaves what was
//! before the operation under way, or what is after it. Three exceptions, as
//! `daxfs/docs/durability.md` has them:
//! - Writes put bytes onto blocks that are there 8 at a time; so do punches and zeroing at their
//!   edges. What is cut short leaves some, and nothing but the bytes that it is about.
//! - What allocates gives a file its blocks run by run, and its length last; a clone gives it the
//!   length with each run.
//!   (Neither is so in the mode `atomic`: a write or an append is all or nothing.)
//! - Bytes stored through a mapping may be there or not until the file is synced. They are not
//!   torn where they are stored 8 at a time, aligned.

use std::collections::BTreeMap;
use std::ops::Range;

use daxfs::DataMode;
use daxfs_tests::crash::CHUNK_BYTES;
use daxfs_tests::crash::workload::{Means, Operation, Span};
use daxfs_tests::model::FileId;

use crate::snapshot::{Shown, Snapshot, Version};

const BLOCK_BYTES: usize = 4096;

/// What is there whole or not at all, when bytes are put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grain(usize);

impl Grain {
    /// Copying through a mapping is many stores of the program's own choice. Those of 8 aligned
    /// bytes are not torn; and where it begins so, it is made of such.
    fn of_store(span: &Range<usize>) -> Self {
        match span.start.is_multiple_of(CHUNK_BYTES) {
            true => Self(CHUNK_BYTES),
            false => Self(1),
        }
    }

    fn of(operation: Operation) -> Self {
        match operation {
            Operation::Write(_, span, Means::Mapping) => Self::of_store(&bytes(span)),
            _ => Self(CHUNK_BYTES),
        }
    }

    fn pieces(self, bytes: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let end = bytes.end;
        bytes
            .step_by(self.0)
            .map(move |start| start..(start + self.0).min(end))
    }
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) operation: Operation,
    /// The file whose bytes it is about.
    pub(crate) file: Option<FileId>,
}

/// Operations, and what should have come of them.
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    /// Before each operation, and after the last.
    pub(crate) versions: Vec<Version>,
    /// What is promised of writes.
    pub(crate) data: DataMode,
}

/// Bytes stored through a mapping that may not be durable.
struct Unsynced {
    file: FileId,
    bytes: Range<usize>,
    /// The version before they were stored.
    since: usize,
}

impl History {
    pub(crate) fn new(first: Version) -> Self {
        Self {
            steps: Vec::new(),
            versions: vec![first],
            data: DataMode::InPlace,
        }
    }

    pub(crate) fn push(&mut self, step: Step, after: Version) {
        self.steps.push(step);
        self.versions.push(after);
    }

    /// Whether a crash may leave this when so many operations had begun and returned. At most one
    /// is under way.
    pub(crate) fn judge(
        &self,
        begun: usize,
        returned: usize,
        shown: &Snapshot,
    ) -> Result<(), String> {
        if self.is(returned, begun, shown) || self.is(begun, begun, shown) {
            return Ok(());
        }
        if begun > returned && self.is_between(returned, shown) {
            return Ok(());
        }
        let under_way = self.steps[returned..begun].first();
        let done = self.steps[..begun].iter();
        let done: Vec<String> = done.map(|step| step.operation.to_string()).collect();
        let text = |snapshot: &Snapshot| {
            let nodes = snapshot.0.iter();
            let lines = nodes.map(|(path, node)| format!("  {path}: {node:?}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        Err(format!(
            "of {done:?} {returned} returned, under way is {}: should be\n{}\nand is\n{}",
            under_way.map_or("none".to_owned(), |step| step.operation.to_string()),
            text(&self.versions[returned].shown),
            text(shown)
        ))
    }

    /// Whether `shown` is one of the versions from `synced` on, each byte of a file as it was then
    /// or at any time since. On image files bytes are written in place and records are kept
    /// until a sync; how many blocks a file has is not looked at.
    pub(crate) fn is_since(&self, synced: usize, shown: &Snapshot) -> bool {
        let last = self.versions.len() - 1;
        (synced..=last).any(|at| {
            all(&self.versions[at].shown, shown, |path, wanted, shown| {
                let len = wanted.content.len();
                let id = self.versions[at].ids[path];
                let could_be = |place: usize| {
                    let shown = shown.content[place];
                    wanted.content[place] == shown
                        || (at..=last).any(|at| self.may_have_had(at, id, place, shown))
                };
                has_same_metadata(wanted, shown)
                    && len == shown.content.len()
                    && (0..len).all(could_be)
            })
        })
    }

    /// What was done since a sync, and where `shown` differs from it.
    pub(crate) fn tell_since(&self, synced: usize, shown: &Snapshot) -> String {
        let steps = self.steps[synced..].iter();
        let steps: Vec<String> = steps.map(|step| step.operation.to_string()).collect();
        let wanted = &self.versions[synced].shown;
        let differs = |(path, node): (&String, &Shown)| {
            let wanted = wanted.0.get(path)?;
            let bytes = node.content.iter().zip(&wanted.content);
            let first = bytes.clone().position(|(is, was)| is != was);
            let last = bytes.clone().rposition(|(is, was)| is != was);
            first.map(|first| format!("{path} from byte {first} to {last:?}"))
        };
        let differences: Vec<String> = shown.0.iter().filter_map(differs).collect();
        format!("since then {steps:?}; differs {differences:?}: {wanted:#?}\nand is {shown:#?}")
    }

    /// Whether `shown` is the version `at`, but for what was stored and not synced until `until`.
    fn is(&self, at: usize, until: usize, shown: &Snapshot) -> bool {
        let is_same = |path: &String, wanted: &Shown, shown: &Shown| {
            self.is_node(at, until, path, wanted, shown)
        };
        all(&self.versions[at].shown, shown, is_same)
    }

    fn is_node(&self, at: usize, until: usize, path: &str, wanted: &Shown, shown: &Shown) -> bool {
        has_same_metadata(wanted, shown)
            && wanted.allocated_bytes == shown.allocated_bytes
            && self.has_content(at, until, path, &wanted.content, shown)
    }

    fn has_content(
        &self,
        at: usize,
        until: usize,
        path: &str,
        wanted: &[u8],
        shown: &Shown,
    ) -> bool {
        if wanted.len() != shown.content.len() {
            return false;
        }
        let differing = Grain(CHUNK_BYTES)
            .pieces(0..wanted.len())
            .filter(|chunk| wanted[chunk.clone()] != shown.content[chunk.clone()]);
        let unsynced = self.unsynced(at, until);
        let id = self.versions[at].ids.get(path);
        let mut excused = differing.map(|chunk| {
            unsynced.iter().any(|stored| {
                let mut pieces = Grain::of_store(&stored.bytes).pieces(chunk.clone());
                Some(&stored.file) == id
                    && overlap(&stored.bytes, &chunk)
                    && pieces.all(|piece| {
                        let bytes = &shown.content[piece.clone()];
                        let mut versions = stored.since..=until;
                        versions.any(|version| {
                            let start = self.place_at(version, at, stored.file, piece.start);
                            start.is_some_and(|start| self.held(version, stored.file, start, bytes))
                        })
                    })
            })
        });
        excused.all(|is_excused| is_excused)
    }

    /// Whether a file had these bytes there.
    fn held(&self, version: usize, file: FileId, start: usize, bytes: &[u8]) -> bool {
        let Some(version) = self.versions[version].file(file) else {
            return false;
        };
        let had = |at: usize| version.content.get(at).copied().unwrap_or(0);
        (start..).zip(bytes).all(|(at, byte)| had(at) == *byte)
    }

    /// Whether a file had this byte there. Past its end it may have had any: a mapping shows the
    /// rest of the last page, and takes what is stored there.
    fn may_have_had(&self, version: usize, file: FileId, place: usize, byte: u8) -> bool {
        let file = self.versions[version].file(file);
        file.is_some_and(|file| file.content.get(place).is_none_or(|had| *had == byte))
    }

    /// Where in a version of a file that is which has its place in the version `at`: what comes
    /// out of it or goes into it moves the rest. Nothing, when it was not there.
    fn place_at(&self, version: usize, at: usize, file: FileId, place: usize) -> Option<usize> {
        let mut place = place;
        for step in self.steps[version.min(at)..at].iter().rev() {
            if step.file == Some(file) {
                place = place_before(step.operation, place)?;
            }
        }
        Some(place)
    }

    /// What was stored through mappings before `until`, and not synced before `at`.
    fn unsynced(&self, at: usize, until: usize) -> Vec<Unsynced> {
        let mut unsynced: Vec<Unsynced> = Vec::new();
        for (number, step) in self.steps[..until].iter().enumerate() {
            match step.operation {
                Operation::Write(_, span, Means::Mapping) => {
                    unsynced.extend(step.file.map(|file| Unsynced {
                        file,
                        bytes: bytes(span),
                        since: number,
                    }));
                }
                Operation::Collapse(..) | Operation::Insert(..) if number < at => {
                    for stored in unsynced.iter_mut().filter(|it| Some(it.file) == step.file) {
                        stored.bytes = moved(step.operation, &stored.bytes);
                    }
                }
                Operation::SyncAll if number < at => unsynced.clear(),
                Operation::Sync(_) | Operation::SyncData(_) if number < at => {
                    // A directory is synced with everything.
                    unsynced.retain(|stored| step.file.is_some_and(|file| file != stored.file));
                }
                _ => {}
            }
        }
        unsynced
    }

    /// Whether `shown` is what the operation `number` may leave when it is cut short.
    fn is_between(&self, number: usize, shown: &Snapshot) -> bool {
        let step = self.steps[number];
        let (before, after) = (&self.versions[number], &self.versions[number + 1]);
        let Some(file) = step.file else {
            return false;
        };
        let Some(end) = after.file(file) else {
            return false;
        };
        all(&before.shown, shown, |path, start, shown| {
            if before.ids.get(path) != Some(&file) {
                return self.is_node(number, number + 1, path, start, shown);
            }
            let blocks = [start.allocated_bytes, end.allocated_bytes];
            let has_blocks = (blocks[0].min(blocks[1])..=blocks[0].max(blocks[1]))
                .contains(&shown.allocated_bytes);
            let mix = |span: Span| {
                let expected = mix(start, end, shown, &bytes(span), Grain::of(step.operation));
                self.has_content(number, number + 1, path, &expected, shown)
            };
            let is_content = match step.operation {
                Operation::Write(_, _, Means::Write) | Operation::Append(..)
                    if self.data == DataMode::Atomic =>
                {
                    false
                }
                Operation::Write(_, span, _) | Operation::Zero(_, span, _) => mix(span),
                Operation::Punch(_, span) => mix(span) && is_one_step(start, end, shown, span),
                Operation::Clone(..) => {
                    let expected = cloned_in_part(start, end, shown);
                    self.has_content(number, number + 1, path, &expected, shown)
                }
                Operation::Append(..) | Operation::Allocate(..) => {
                    self.has_content(number, number + 1, path, &start.content, shown)
                }
                _ => false,
            };
            has_blocks && has_same_metadata(start, shown) && is_content
        })
    }
}

/// Where was before an operation what is at `place` after it.
fn place_before(operation: Operation, place: usize) -> Option<usize> {
    match operation {
        Operation::Collapse(_, span) if place >= bytes(span).start => {
            Some(place + bytes(span).len())
        }
        Operation::Insert(_, span) if place >= bytes(span).end => Some(place - bytes(span).len()),
        Operation::Insert(_, span) if place >= bytes(span).start => None,
        _ => Some(place),
    }
}

/// Where bytes are after an operation.
fn moved(operation: Operation, stored: &Range<usize>) -> Range<usize> {
    let after = |place: usize| match operation {
        Operation::Collapse(_, span) if place >= bytes(span).start => place
            .saturating_sub(bytes(span).len())
            .max(bytes(span).start),
        Operation::Insert(_, span) if place >= bytes(span).start => place + bytes(span).len(),
        _ => place,
    };
    after(stored.start)..after(stored.end)
}

fn bytes(span: Span) -> Range<usize> {
    span.offset_bytes as usize..span.end_bytes() as usize
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Whether both have the same names, and all that they stand for is alike.
fn all(
    wanted: &Snapshot,
    shown: &Snapshot,
    is_alike: impl Fn(&String, &Shown, &Shown) -> bool,
) -> bool {
    let nodes: &BTreeMap<_, _> = &wanted.0;
    nodes.len() == shown.0.len()
        && nodes
            .iter()
            .zip(&shown.0)
            .all(|(wanted, shown)| wanted.0 == shown.0 && is_alike(wanted.0, wanted.1, shown.1))
}

fn has_same_metadata(one: &Shown, other: &Shown) -> bool {
    one.kind == other.kind
        && one.links == other.links
        && one.mode == other.mode
        && one.owners == other.owners
        && one.attributes == other.attributes
        && one.first_name == other.first_name
}

/// What was at the start, and in each piece of `span` what is shown, if that is what it became.
fn mix(start: &Shown, end: &Shown, shown: &Shown, span: &Range<usize>, grain: Grain) -> Vec<u8> {
    let mut mix = start.content.clone();
    let len = mix.len().min(end.content.len()).min(shown.content.len());
    for piece in grain.pieces(0..len) {
        let is_new = end.content[piece.clone()] == shown.content[piece.clone()];
        if overlap(span, &piece) && is_new {
            mix[piece.clone()].copy_from_slice(&end.content[piece]);
        }
    }
    mix
}

/// What was at the start, longer if that is shown, and each block as at the end if that is shown.
fn cloned_in_part(start: &Shown, end: &Shown, shown: &Shown) -> Vec<u8> {
    let mut mix = start.content.clone();
    mix.resize(shown.content.len().clamp(mix.len(), end.content.len()), 0);
    let blocks = mix.len().min(shown.content.len());
    for block in Grain(BLOCK_BYTES).pieces(0..blocks) {
        if end.content[block.clone()] == shown.content[block.clone()] {
            mix[block.clone()].copy_from_slice(&end.content[block]);
        }
    }
    mix
}

/// Whether the whole blocks of a span are all as before or all as after.
fn is_one_step(start: &Shown, end: &Shown, shown: &Shown, span: Span) -> bool {
    let bytes = bytes(span);
    let first = bytes.start.next_multiple_of(BLOCK_BYTES);
    let whole = first..(bytes.end / BLOCK_BYTES * BLOCK_BYTES).min(shown.content.len());
    if whole.start >= whole.end {
        return true;
    }
    [start, end]
        .iter()
        .any(|version| version.content[whole.clone()] == shown.content[whole.clone()])
}
