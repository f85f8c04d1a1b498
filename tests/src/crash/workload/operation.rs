//! What a workload can ask of a filesystem: plain values, in no filesystem's own terms.
//!
//! Touches nothing. Takes no locks.

use std::fmt;

/// A path from the root, with slashes.
pub type Path = &'static str;

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where they begin.
    pub offset_bytes: u64,
    /// How many they are.
    pub len_bytes: u64,
}

impl Span {
    /// The first byte after them.
    #[must_use]
    pub fn end_bytes(self) -> u64 {
        self.offset_bytes + self.len_bytes
    }
}

/// What happens to the length of a file of which space is allocated past the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// It stays.
    Kept,
    /// It grows.
    Extended,
}

/// How bytes get into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    /// By a write.
    Write,
    /// By stores through a shared mapping of the file.
    Mapping,
}

/// One call of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Makes an empty file.
    Create(Path),
    /// Makes an empty directory.
    MakeDirectory(Path),
    /// Allocates blocks.
    Allocate(Path, Span, Length),
    /// Makes bytes zero, and frees what blocks it can. The length stays.
    Punch(Path, Span),
    /// Puts bytes into a file.
    Write(Path, Span, Means),
    /// Makes a file this long.
    Truncate(Path, u64),
    /// Gives the first file the second name, too.
    Link(Path, Path),
    /// Makes the second a symbolic link to the first.
    SymbolicLink(Path, Path),
    /// Takes a file's name away.
    Unlink(Path),
    /// The same by `remove(3)`.
    Remove(Path),
    /// Takes an empty directory away.
    RemoveDirectory(Path),
    /// Gives the first the name of the second, which it replaces.
    Rename(Path, Path),
    /// The same if there is no second.
    RenameNoReplace(Path, Path),
    /// Gives each the name of the other.
    Exchange(Path, Path),
    /// Gives a file an extended attribute.
    SetAttribute(Path),
    /// The same, a large one.
    SetLargeAttribute(Path),
    /// Takes it away.
    RemoveAttribute(Path),
    /// Gives a file other permission bits and another owner.
    SetOwner(Path),
    /// Puts this many bytes at the end of a file.
    Append(Path, u64),
    /// Makes bytes zero and gives them blocks.
    Zero(Path, Span, Length),
    /// Takes bytes out of a file.
    Collapse(Path, Span),
    /// Puts zeroes between bytes of a file.
    Insert(Path, Span),
    /// Gives the second file all blocks of the first, too.
    Clone(Path, Path),
    /// Makes a file without a name, fills it, and gives it this name.
    Publish(Path),
    /// Makes a file durable.
    Sync(Path),
    /// Makes a file's bytes durable, and what it takes to find them.
    SyncData(Path),
    /// Makes all durable.
    SyncAll,
    /// Lets the filesystem tidy up: nothing is seen of it.
    Checkpoint,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |span: &Span| format!("{}..{}", span.offset_bytes, span.end_bytes());
        match self {
            Self::Create(path) => write!(formatter, "creat {path}"),
            Self::MakeDirectory(path) => write!(formatter, "mkdir {path}"),
            Self::Allocate(path, bytes, Length::Kept) => {
                write!(formatter, "fallocate (keep size) {path} {}", span(bytes))
            }
            Self::Allocate(path, bytes, Length::Extended) => {
                write!(formatter, "fallocate {path} {}", span(bytes))
            }
            Self::Punch(path, bytes) => write!(formatter, "punch {path} {}", span(bytes)),
            Self::Write(path, bytes, Means::Write) => {
                write!(formatter, "write {path} {}", span(bytes))
            }
            Self::Write(path, bytes, Means::Mapping) => {
                write!(formatter, "store {path} {}", span(bytes))
            }
            Self::Truncate(path, len_bytes) => write!(formatter, "truncate {path} {len_bytes}"),
            Self::Link(from, to) => write!(formatter, "link {from} {to}"),
            Self::SymbolicLink(from, to) => write!(formatter, "symlink {from} {to}"),
            Self::Unlink(path) => write!(formatter, "unlink {path}"),
            Self::Remove(path) => write!(formatter, "remove {path}"),
            Self::RemoveDirectory(path) => write!(formatter, "rmdir {path}"),
            Self::Rename(from, to) => write!(formatter, "rename {from} {to}"),
            Self::RenameNoReplace(from, to) => {
                write!(formatter, "rename (no replace) {from} {to}")
            }
            Self::Exchange(from, to) => write!(formatter, "exchange {from} {to}"),
            Self::SetAttribute(path) => write!(formatter, "setxattr {path}"),
            Self::SetLargeAttribute(path) => write!(formatter, "setxattr (large) {path}"),
            Self::SetOwner(path) => write!(formatter, "chown {path}"),
            Self::Append(path, len_bytes) => write!(formatter, "append {path} {len_bytes}"),
            Self::Zero(path, bytes, Length::Kept) => {
                write!(formatter, "zero (keep size) {path} {}", span(bytes))
            }
            Self::Zero(path, bytes, Length::Extended) => {
                write!(formatter, "zero {path} {}", span(bytes))
            }
            Self::Collapse(path, bytes) => write!(formatter, "collapse {path} {}", span(bytes)),
            Self::Insert(path, bytes) => write!(formatter, "insert {path} {}", span(bytes)),
            Self::Clone(from, to) => write!(formatter, "clone {from} {to}"),
            Self::Publish(path) => write!(formatter, "publish {path}"),
            Self::RemoveAttribute(path) => write!(formatter, "removexattr {path}"),
            Self::Sync(path) => write!(formatter, "fsync {path}"),
            Self::SyncData(path) => write!(formatter, "fdatasync {path}"),
            Self::SyncAll => write!(formatter, "sync"),
            Self::Checkpoint => write!(formatter, "checkpoint"),
        }
    }
}
