//! The operations that workloads are made of, before it is known what the files hold by then.
//!
//! # ACE
//! The Automatic Crash Explorer (Mohan and others, OSDI 2018) makes all sequences of one, two or
//! three operations over a small set of files, and puts before each what it needs. For
//! persistent-memory filesystems (LeBlanc and others, EuroSys 2023) its operations and their
//! parameters are these, 56 in all, so 3,136 sequences of two:
//!
//! | Operation | Parameters | Number |
//! |---|---|---|
//! | creat | `foo`, `A/foo` | 2 |
//! | mkdir | `A` | 1 |
//! | fallocate, size kept | the two files; at the end, at the start, over the end | 6 |
//! | write | the two files; at the end, at the start | 4 |
//! | link | from `foo`, `A/foo`, `bar`, `A/bar`, `A/C/bar` to another of the last three | 12 |
//! | unlink | the five | 5 |
//! | remove | the five | 5 |
//! | rename | as link; and from `A`, `B`, `A/C` to another of the last two | 12 + 4 |
//! | truncate | the two files; to nothing, to 256 bytes | 4 |
//! | rmdir | `A` | 1 |
//!
//! [`more`] adds what ACE has for other filesystems and leaves out there.
//!
//! Touches nothing. Takes no locks.

use super::operation::{Length, Means, Operation, Path, Span};

/// How much a write at the end of a file adds, in bytes.
pub(super) const APPENDED_BYTES: u64 = 4096;
const PIECE_BYTES: u64 = 1024;
/// How long a file must be to have a middle.
pub(super) const WITH_MIDDLE_BYTES: u64 = 3 * APPENDED_BYTES;
const UNALIGNED_BYTES: u64 = 256;

const FIRST_FILES: [Path; 2] = ["/foo", "/A/foo"];
const SECOND_FILES: [Path; 3] = ["/bar", "/A/bar", "/A/C/bar"];
const FIRST_DIRECTORY: Path = "/A";
const SECOND_DIRECTORIES: [Path; 2] = ["/B", "/A/C"];

/// Which bytes, given the length of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// From the end on.
    End,
    /// The first.
    Start,
    /// The last, and as many after the end.
    OverEnd,
    /// The last.
    BeforeEnd,
    /// A whole block, and half a block on both sides.
    Middle,
    /// A whole block.
    MiddleBlock,
    /// From the first block to past the end.
    Across,
}

impl Place {
    /// The bytes of a file of `len_bytes`.
    pub(super) fn span(self, len_bytes: u64) -> Span {
        let tail = len_bytes.saturating_sub(PIECE_BYTES);
        let (offset_bytes, len_bytes) = match self {
            Self::End => (len_bytes, APPENDED_BYTES),
            Self::Start => (0, PIECE_BYTES),
            Self::OverEnd => (tail, 2 * PIECE_BYTES),
            Self::BeforeEnd => (tail, PIECE_BYTES),
            Self::Middle => (APPENDED_BYTES / 2, 2 * APPENDED_BYTES),
            Self::MiddleBlock => (APPENDED_BYTES, APPENDED_BYTES),
            Self::Across => (APPENDED_BYTES / 2, len_bytes),
        };
        Span {
            offset_bytes,
            len_bytes,
        }
    }

    /// How many bytes the file must have for it.
    pub(super) fn needs_bytes(self) -> u64 {
        match self {
            Self::End => 0,
            Self::Start | Self::OverEnd | Self::BeforeEnd => APPENDED_BYTES,
            Self::Middle | Self::MiddleBlock | Self::Across => WITH_MIDDLE_BYTES,
        }
    }
}

/// An operation whose bytes follow from what the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Core {
    /// As it stands.
    Plain(Operation),
    /// An allocation.
    Allocate(Path, Place, Length),
    /// A hole.
    Punch(Path, Place),
    /// A write or store.
    Write(Path, Place, Means),
    /// An allocation of zeroes.
    Zero(Path, Place, Length),
    /// A block less.
    Collapse(Path),
    /// A block more.
    Insert(Path),
}

/// The 56 operations of ACE for persistent memory.
#[must_use]
pub fn ace() -> Vec<Core> {
    let plain = |operations: Vec<Operation>| operations.into_iter().map(Core::Plain);
    let mut all = Vec::new();
    all.extend(plain(FIRST_FILES.map(Operation::Create).to_vec()));
    all.extend(plain(vec![Operation::MakeDirectory(FIRST_DIRECTORY)]));
    for file in FIRST_FILES {
        let places = [Place::End, Place::Start, Place::OverEnd];
        all.extend(places.map(|place| Core::Allocate(file, place, Length::Kept)));
    }
    for file in FIRST_FILES {
        let places = [Place::End, Place::Start];
        all.extend(places.map(|place| Core::Write(file, place, Means::Write)));
    }
    all.extend(plain(pairs_of_files(Operation::Link)));
    all.extend(plain(files().map(Operation::Unlink).collect()));
    all.extend(plain(files().map(Operation::Remove).collect()));
    all.extend(plain(pairs_of_files(Operation::Rename)));
    let directories = [FIRST_DIRECTORY].into_iter().chain(SECOND_DIRECTORIES);
    all.extend(plain(pairs(
        directories,
        SECOND_DIRECTORIES,
        Operation::Rename,
    )));
    for file in FIRST_FILES {
        all.extend([0, UNALIGNED_BYTES].map(|len| Core::Plain(Operation::Truncate(file, len))));
    }
    all.extend(plain(vec![Operation::RemoveDirectory(FIRST_DIRECTORY)]));
    all
}

/// What ACE has for other filesystems: fallocate that extends, holes, overlapping writes, stores
/// through a mapping, symbolic links, extended attributes, syncs. And what it has not: the other
/// kinds of fallocate and rename, appends, clones, files that get their name last, owners,
/// checkpoints.
#[must_use]
pub fn more() -> Vec<Core> {
    let mut all = Vec::new();
    for file in FIRST_FILES {
        let places = [Place::End, Place::Start, Place::OverEnd];
        all.extend(places.map(|place| Core::Allocate(file, place, Length::Extended)));
        let places = [Place::Start, Place::BeforeEnd, Place::Middle];
        all.extend(places.map(|place| Core::Punch(file, place)));
        all.extend([
            Core::Zero(file, Place::Middle, Length::Kept),
            Core::Zero(file, Place::OverEnd, Length::Extended),
            Core::Collapse(file),
            Core::Insert(file),
        ]);
        let places = [
            Place::OverEnd,
            Place::BeforeEnd,
            Place::Middle,
            Place::Across,
        ];
        all.extend(places.map(|place| Core::Write(file, place, Means::Write)));
        let places = [Place::Start, Place::BeforeEnd];
        all.extend(places.map(|place| Core::Write(file, place, Means::Mapping)));
        let plain: [fn(Path) -> Operation; 9] = [
            Operation::SetAttribute,
            Operation::SetLargeAttribute,
            Operation::RemoveAttribute,
            Operation::SetOwner,
            Operation::Publish,
            |file| Operation::Append(file, APPENDED_BYTES + PIECE_BYTES),
            |file| Operation::Append(file, PIECE_BYTES),
            Operation::SyncData,
            Operation::Sync,
        ];
        all.extend(plain.map(|operation| Core::Plain(operation(file))));
    }
    all.extend(
        pairs_of_files(Operation::SymbolicLink)
            .into_iter()
            .map(Core::Plain),
    );
    let clone = |from, to| Core::Plain(Operation::Clone(from, to));
    all.extend([clone("/foo", "/A/bar"), clone("/A/foo", "/bar")]);
    let moves: [fn(Path, Path) -> Operation; 2] = [Operation::RenameNoReplace, Operation::Exchange];
    for rename in moves {
        let operation = |from, to| Core::Plain(rename(from, to));
        all.extend([operation("/foo", "/A/bar"), operation("/A/foo", "/A/C/bar")]);
        all.push(operation(FIRST_DIRECTORY, SECOND_DIRECTORIES[0]));
    }
    let directories = [FIRST_DIRECTORY, "/B"];
    all.extend(directories.map(|directory| Core::Plain(Operation::Sync(directory))));
    all.extend([Operation::SyncAll, Operation::Checkpoint].map(Core::Plain));
    all
}

fn files() -> impl Iterator<Item = Path> {
    FIRST_FILES.into_iter().chain(SECOND_FILES)
}

fn pairs_of_files(operation: impl Fn(Path, Path) -> Operation) -> Vec<Operation> {
    pairs(files(), SECOND_FILES, operation)
}

fn pairs(
    from: impl Iterator<Item = Path>,
    to: impl IntoIterator<Item = Path> + Clone,
    operation: impl Fn(Path, Path) -> Operation,
) -> Vec<Operation> {
    let pairs = from.flat_map(|from| to.clone().into_iter().map(move |to| (from, to)));
    let differ = pairs.filter(|(from, to)| from != to);
    differ.map(|(from, to)| operation(from, to)).collect()
}
