//! What can be done to a filesystem, and what comes of it. Plain values.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};

use daxfs::{FileKind, Length, RenameMode, SetMode};
use rustix::io::Errno;

/// Files that can be open at once.
pub(crate) const SLOTS: usize = 4;

/// A path, shown without the many letters of long names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(pub(crate) String);

/// When something happened. What the clock said is not compared, only that it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// During the test.
    Recently,
    /// Whenever an operation said, in seconds and nanoseconds.
    At(i64, u32),
}

/// A time that an operation sets. Never one that the clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// Special files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Fifo,
    Socket,
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// How daxfs stops, and starts again. The kernel's filesystem only closes all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// In good order.
    Unmount,
    /// In good order too, by letting go of it.
    Drop,
    /// At once, after a sync: what is on the device at that moment is mounted.
    Crash,
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    // Names.
    Create {
        slot: usize,
        path: Path,
        mode: u16,
    },
    CreateAnonymous {
        slot: usize,
        directory: Path,
        mode: u16,
    },
    CreateDirectory {
        path: Path,
        mode: u16,
    },
    CreateSymbolicLink {
        target: Path,
        path: Path,
    },
    CreateSpecial {
        path: Path,
        special: Special,
        mode: u16,
    },
    HardLink {
        existing: Path,
        new: Path,
    },
    LinkFile {
        slot: usize,
        new: Path,
    },
    Rename {
        from: Path,
        to: Path,
        mode: RenameMode,
    },
    RemoveFile {
        path: Path,
    },
    RemoveDirectory {
        path: Path,
    },
    ReadDirectory {
        path: Path,
    },
    ReadLink {
        path: Path,
    },
    // Attributes.
    Status {
        path: Path,
        last: Last,
    },
    SetMode {
        path: Path,
        last: Last,
        mode: u16,
    },
    SetOwner {
        path: Path,
        last: Last,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    SetTimes {
        path: Path,
        last: Last,
        accessed: Option<Time>,
        modified: Option<Time>,
    },
    GetExtended {
        path: Path,
        name: Path,
    },
    ListExtended {
        path: Path,
    },
    SetExtended {
        path: Path,
        name: Path,
        value: Vec<u8>,
        mode: SetMode,
    },
    RemoveExtended {
        path: Path,
        name: Path,
    },
    // Content.
    Open {
        slot: usize,
        path: Path,
    },
    Close {
        slot: usize,
    },
    FileStatus {
        slot: usize,
    },
    Read {
        slot: usize,
        at: u64,
        len: usize,
    },
    Write {
        slot: usize,
        at: u64,
        len: usize,
        byte: u8,
    },
    Append {
        slot: usize,
        len: usize,
        byte: u8,
    },
    ReadVectored {
        slot: usize,
        at: u64,
        /// How long each buffer is.
        lens: Vec<usize>,
    },
    WriteVectored {
        slot: usize,
        at: u64,
        lens: Vec<usize>,
        byte: u8,
    },
    AppendVectored {
        slot: usize,
        lens: Vec<usize>,
        byte: u8,
    },
    CopyRange {
        slot: usize,
        at: u64,
        /// The slot of the file that gets the bytes.
        to: usize,
        to_at: u64,
        len: usize,
    },
    Truncate {
        slot: usize,
        len: u64,
    },
    PunchHole {
        slot: usize,
        at: u64,
        len: u64,
    },
    Allocate {
        slot: usize,
        at: u64,
        len: u64,
        length: Length,
    },
    ZeroRange {
        slot: usize,
        at: u64,
        len: u64,
        length: Length,
    },
    CollapseRange {
        slot: usize,
        at: u64,
        len: u64,
    },
    InsertRange {
        slot: usize,
        at: u64,
        len: u64,
    },
    SeekData {
        slot: usize,
        at: u64,
    },
    SeekHole {
        slot: usize,
        at: u64,
    },
    Sync {
        slot: usize,
    },
    /// All of a file, in one step.
    ReadWhole {
        path: Path,
    },
    // The whole.
    Checkpoint,
    Stop(Stop),
}

/// What is known of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) kind: FileKind,
    pub(crate) mode: u16,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Of special files.
    pub(crate) device_number: u64,
    /// Not of directories.
    pub(crate) len_bytes: Option<u64>,
    pub(crate) accessed: When,
    pub(crate) modified: When,
    pub(crate) changed: When,
}

/// What comes of an operation that worked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Done,
    Count(usize),
    /// A file offset, if there is such a one.
    Found(Option<u64>),
    Bytes(Vec<u8>),
    Status(Status),
    /// Names in a directory, each with its kind; or of extended attributes.
    Names(Vec<(Vec<u8>, Option<FileKind>)>),
}

pub(crate) type Outcome = Result<Value, Errno>;

/// Something that operations can be done to.
pub(crate) trait System {
    fn apply(&mut self, operation: &Operation) -> Outcome;

    /// A number that tells inodes apart.
    fn inode_number(&mut self, path: &Path) -> Option<u64>;
}

/// What a write of `len` bytes at a file offset writes: no two neighbours alike.
pub(crate) fn pattern(len: usize, byte: u8) -> Vec<u8> {
    (0..len).map(|at| byte.wrapping_add(at as u8) | 1).collect()
}

/// `bytes` in pieces of these lengths, which are as many together.
pub(crate) fn pieces<'b>(mut bytes: &'b [u8], lens: &[usize]) -> Vec<IoSlice<'b>> {
    let piece = |len: &usize| {
        let (piece, rest) = bytes.split_at(*len);
        bytes = rest;
        IoSlice::new(piece)
    };
    lens.iter().map(piece).collect()
}

/// Reads into buffers of these lengths by `read`, which says how many bytes it read. Returns them.
pub(crate) fn read_into<E>(
    lens: &[usize],
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
) -> Result<Value, E> {
    let mut buffers: Vec<_> = lens.iter().map(|len| vec![0; *len]).collect();
    let mut slices: Vec<_> = buffers
        .iter_mut()
        .map(|buffer| IoSliceMut::new(buffer))
        .collect();
    let count = read(&mut slices)?;
    let mut bytes = buffers.concat();
    // What was not read was not touched either.
    assert!(bytes[count..].iter().all(|byte| *byte == 0));
    bytes.truncate(count);
    Ok(Value::Bytes(bytes))
}

impl When {
    pub(crate) fn new(seconds: i64, nanoseconds: u32) -> Self {
        // From 2008 to 2096; no operation sets such a time.
        match seconds {
            1_200_000_000..4_000_000_000 => Self::Recently,
            _ => Self::At(seconds, nanoseconds),
        }
    }
}

impl From<&str> for Path {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.split('/').map(shorten).collect();
        write!(formatter, "{:?}", shown.join("/"))
    }
}

fn shorten(name: &str) -> String {
    match name.chars().next() {
        Some(first) if name.len() > 20 => format!("<{first} {} bytes>", name.len()),
        _ => name.to_string(),
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(formatter, "done"),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Found(found) => write!(formatter, "{found:?}"),
            Self::Bytes(bytes) if bytes.len() > 64 => {
                let (pieces, mut start) = (bytes.chunk_by(|a, b| (*a == 0) == (*b == 0)), 0);
                write!(formatter, "{} bytes:", bytes.len())?;
                for piece in pieces {
                    let what = if piece[0] == 0 { "zeroes" } else { "data from" };
                    write!(formatter, " {start} {what} {:?}", piece[0])?;
                    start += piece.len();
                }
                Ok(())
            }
            Self::Bytes(bytes) => write!(formatter, "{}", bytes.escape_ascii()),
            Self::Status(status) => status.fmt(formatter),
            Self::Names(names) => {
                let show = |(name, kind): &(Vec<u8>, Option<FileKind>)| {
                    let name = shorten(&String::from_utf8_lossy(name));
                    kind.map_or(name.clone(), |kind| format!("{name}: {kind:?}"))
                };
                formatter
                    .debug_list()
                    .entries(names.iter().map(show))
                    .finish()
            }
        }
    }
}
