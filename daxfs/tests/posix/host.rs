//! Doing operations to the kernel's filesystem, in a folder that is its root meanwhile.
//!
//! Absolute paths, `..` and symbolic links then mean the same as inside an image. A thread changes
//! its root for one operation at a time; other threads of the process keep theirs.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use daxfs::{FileKind, Length, RenameMode, SetMode};
use rustix::fs::{
    self, AtFlags, CWD, Dir, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, SeekFrom,
    Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::{self, Errno, ReadWriteFlags};
use rustix::process::{chroot, fchdir, umask};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

use crate::differences::OPENING_A_SPECIAL_FILE;
use crate::operation::{
    Last, Operation, Outcome, Path, SLOTS, Special, Status, System, Time, Value, When, pattern,
    pieces, read_into,
};

/// The most bytes of a value or of all names of extended attributes.
const MOST_EXTENDED_BYTES: usize = 64 << 10;

/// A folder of the kernel's filesystem, as a filesystem of its own.
pub(crate) struct Host {
    folder: OwnedFd,
    /// The root and the current folder of everybody else.
    outside: [OwnedFd; 2],
    files: Files,
    /// Removed when this is dropped.
    _place: TempDir,
}

type Files = [Option<OwnedFd>; SLOTS];

impl Host {
    /// An empty one; `None`, and a line that says so, for whom it is not allowed.
    pub(crate) fn new() -> Option<Self> {
        if let Err(error) = leave_shared_root() {
            eprintln!("skipped: only root may have a root of its own: {error}");
            return None;
        }
        let place = TempDir::new().expect("a folder for the host's files");
        let folder = open_folder(place.path());
        // A folder for temporary files is its owner's alone; the root of an image is not.
        fs::chmod(place.path(), Mode::from_raw_mode(0o755)).unwrap();
        fs::chown(place.path(), Some(Uid::ROOT), Some(Gid::ROOT)).unwrap();
        Some(Self {
            folder,
            outside: [open_folder("/".as_ref()), open_folder(".".as_ref())],
            files: Files::default(),
            _place: place,
        })
    }

    /// Runs `act` with the folder as root and current folder, and no mask.
    fn inside<T>(&mut self, act: impl FnOnce(&mut Files) -> T) -> T {
        fchdir(&self.folder).and_then(|()| chroot(".")).unwrap();
        let mask = umask(Mode::empty());
        let result = act(&mut self.files);
        umask(mask);
        let [root, current] = &self.outside;
        fchdir(root).and_then(|()| chroot(".")).unwrap();
        fchdir(current).unwrap();
        result
    }
}

/// From now on the calling thread has a root, a current folder and a mask of its own.
#[expect(
    deprecated,
    reason = "it is deprecated for what it can do to file descriptors, which are not unshared here"
)]
fn leave_shared_root() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Errno::PERM);
    }
    rustix::thread::unshare(UnshareFlags::FS)
}

fn open_folder(path: &std::path::Path) -> OwnedFd {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).expect("a folder of the host")
}

impl System for Host {
    fn apply(&mut self, operation: &Operation) -> Outcome {
        self.inside(|files| apply(files, operation))
    }

    fn inode_number(&mut self, path: &Path) -> Option<u64> {
        let found = self.inside(|_| fs::lstat(path.0.as_str()));
        found.ok().map(|found| found.st_ino)
    }
}

fn apply(files: &mut Files, operation: &Operation) -> Outcome {
    names(files, operation)
        .or_else(|| attributes(operation))
        .or_else(|| content(files, operation))
        .unwrap_or(Ok(Value::Done))
}

// ---- Names ------------------------------------------------------------------------------------

fn names(files: &mut Files, operation: &Operation) -> Option<Outcome> {
    let done = match operation {
        Operation::Create { slot, path, mode } => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            keep(files, *slot, fs::open(text(path), flags, bits(*mode)))
        }
        Operation::CreateAnonymous {
            slot,
            directory,
            mode,
        } => {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            keep(files, *slot, fs::open(text(directory), flags, bits(*mode)))
        }
        Operation::CreateDirectory { path, mode } => fs::mkdir(text(path), bits(*mode)),
        Operation::CreateSymbolicLink { target, path } => fs::symlink(text(target), text(path)),
        Operation::CreateSpecial {
            path,
            special,
            mode,
        } => {
            let (kind, device) = match *special {
                Special::Fifo => (FileType::Fifo, 0),
                Special::Socket => (FileType::Socket, 0),
                Special::Character { major, minor } => {
                    (FileType::CharacterDevice, fs::makedev(major, minor))
                }
                Special::Block { major, minor } => {
                    (FileType::BlockDevice, fs::makedev(major, minor))
                }
            };
            fs::mknodat(CWD, text(path), kind, bits(*mode), device)
        }
        Operation::HardLink { existing, new } => {
            fs::linkat(CWD, text(existing), CWD, text(new), AtFlags::empty())
        }
        Operation::LinkFile { slot, new } => match &files[*slot] {
            Some(file) => fs::linkat(file, "", CWD, text(new), AtFlags::EMPTY_PATH),
            None => Ok(()),
        },
        Operation::Rename { from, to, mode } => {
            let flags = match mode {
                RenameMode::Replace => RenameFlags::empty(),
                RenameMode::NoReplace => RenameFlags::NOREPLACE,
                RenameMode::Exchange => RenameFlags::EXCHANGE,
            };
            fs::renameat_with(CWD, text(from), CWD, text(to), flags)
        }
        Operation::RemoveFile { path } => fs::unlink(text(path)),
        Operation::RemoveDirectory { path } => fs::rmdir(text(path)),
        Operation::ReadDirectory { path } => return Some(read_directory(path)),
        Operation::ReadLink { path } => {
            let target = fs::readlink(text(path), Vec::new());
            return Some(target.map(|target| Value::Bytes(target.into_bytes())));
        }
        _ => return None,
    };
    Some(done.map(|()| Value::Done))
}

fn keep(files: &mut Files, slot: usize, opened: io::Result<OwnedFd>) -> io::Result<()> {
    files[slot] = Some(opened?);
    Ok(())
}

fn read_directory(path: &Path) -> Outcome {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = fs::open(text(path), flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push((name, Some(kind(entry.file_type()))));
        }
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Value::Names(names))
}

// ---- Attributes -------------------------------------------------------------------------------

fn attributes(operation: &Operation) -> Option<Outcome> {
    let done = match operation {
        Operation::Status { path, last } => {
            let found = match last {
                Last::Follow => fs::stat(text(path)),
                Last::Keep => fs::lstat(text(path)),
            };
            return Some(found.map(|found| Value::Status(status(&found))));
        }
        Operation::SetMode { path, last, mode } => set_mode(path, *last, *mode),
        Operation::SetOwner {
            path,
            last,
            uid,
            gid,
        } => {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            fs::chownat(CWD, text(path), uid, gid, flags_of(*last))
        }
        Operation::SetTimes {
            path,
            last,
            accessed,
            modified,
        } => {
            let times = Timestamps {
                last_access: timespec(*accessed),
                last_modification: timespec(*modified),
            };
            fs::utimensat(CWD, text(path), &times, flags_of(*last))
        }
        Operation::GetExtended { path, name } => {
            let mut value = Vec::with_capacity(MOST_EXTENDED_BYTES);
            let room = rustix::buffer::spare_capacity(&mut value);
            let read = fs::getxattr(text(path), text(name), room);
            return Some(read.map(|_| Value::Bytes(value)));
        }
        Operation::ListExtended { path } => return Some(list_extended(path)),
        Operation::SetExtended {
            path,
            name,
            value,
            mode,
        } => {
            let flags = match mode {
                SetMode::CreateOrReplace => XattrFlags::empty(),
                SetMode::Create => XattrFlags::CREATE,
                SetMode::Replace => XattrFlags::REPLACE,
            };
            fs::setxattr(text(path), text(name), value, flags)
        }
        Operation::RemoveExtended { path, name } => fs::removexattr(text(path), text(name)),
        _ => return None,
    };
    Some(done.map(|()| Value::Done))
}

/// What `fchmodat2` does, which the system's library does not reach everywhere.
fn set_mode(path: &Path, last: Last, mode: u16) -> io::Result<()> {
    if last == Last::Keep
        && FileType::from_raw_mode(fs::lstat(text(path))?.st_mode) == FileType::Symlink
    {
        return Err(Errno::OPNOTSUPP);
    }
    fs::chmod(text(path), bits(mode))
}

fn list_extended(path: &Path) -> Outcome {
    let mut list = Vec::with_capacity(MOST_EXTENDED_BYTES);
    fs::listxattr(text(path), rustix::buffer::spare_capacity(&mut list))?;
    let mut names: Vec<_> = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| (name.to_vec(), None))
        .collect();
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Value::Names(names))
}

fn status(found: &Stat) -> Status {
    let kind = kind(FileType::from_raw_mode(found.st_mode));
    let when = |seconds: i64, nanoseconds: u64| When::new(seconds, nanoseconds as u32);
    Status {
        kind,
        mode: (found.st_mode & 0o7777) as u16,
        links: found.st_nlink as u32,
        uid: found.st_uid,
        gid: found.st_gid,
        device_number: found.st_rdev,
        len_bytes: (kind != FileKind::Directory).then_some(found.st_size as u64),
        accessed: when(found.st_atime, found.st_atime_nsec),
        modified: when(found.st_mtime, found.st_mtime_nsec),
        changed: when(found.st_ctime, found.st_ctime_nsec),
    }
}

fn kind(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::SymbolicLink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => panic!("the host does not say what its files are"),
    }
}

fn timespec(time: Option<Time>) -> Timespec {
    match time {
        Some(time) => Timespec {
            tv_sec: time.seconds,
            tv_nsec: time.nanoseconds.into(),
        },
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
    }
}

fn flags_of(last: Last) -> AtFlags {
    match last {
        Last::Follow => AtFlags::empty(),
        Last::Keep => AtFlags::SYMLINK_NOFOLLOW,
    }
}

// ---- Content ----------------------------------------------------------------------------------

fn content(files: &mut Files, operation: &Operation) -> Option<Outcome> {
    match operation {
        Operation::Open { slot, path } => {
            let opened = open(path);
            return Some(keep(files, *slot, opened).map(|()| Value::Done));
        }
        Operation::Close { slot } => files[*slot] = None,
        Operation::Stop(_) => *files = Files::default(),
        Operation::ReadWhole { path } => return Some(read_whole(path)),
        _ => {}
    }
    let file = |slot: &usize| files[*slot].as_ref();
    let outcome = match operation {
        Operation::FileStatus { slot } => {
            fs::fstat(file(slot)?).map(|found| Value::Status(status(&found)))
        }
        Operation::Read { slot, at, len } => read(file(slot)?, *at, *len),
        Operation::Write {
            slot,
            at,
            len,
            byte,
        } => io::pwrite(file(slot)?, &pattern(*len, *byte), *at).map(Value::Count),
        Operation::Append { slot, len, byte } => append(file(slot)?, *byte, &[*len]),
        Operation::AppendVectored { slot, lens, byte } => append(file(slot)?, *byte, lens),
        Operation::ReadVectored { slot, at, lens } => {
            let file = file(slot)?;
            read_into(lens, |buffers| io::preadv(file, buffers, *at))
        }
        Operation::WriteVectored {
            slot,
            at,
            lens,
            byte,
        } => {
            let bytes = pattern(lens.iter().sum(), *byte);
            io::pwritev(file(slot)?, &pieces(&bytes, lens), *at).map(Value::Count)
        }
        Operation::CopyRange {
            slot,
            at,
            to,
            to_at,
            len,
        } => {
            let (mut at, mut to_at) = (*at, *to_at);
            fs::copy_file_range(
                file(slot)?,
                Some(&mut at),
                file(to)?,
                Some(&mut to_at),
                *len,
            )
            .map(Value::Count)
        }
        Operation::Truncate { slot, len } => fs::ftruncate(file(slot)?, *len).map(|()| Value::Done),
        Operation::SeekData { slot, at } => seek(file(slot)?, SeekFrom::Data(*at)),
        Operation::SeekHole { slot, at } => seek(file(slot)?, SeekFrom::Hole(*at)),
        _ => {
            let (slot, flags, at, len) = room(operation)?;
            fs::fallocate(file(&slot)?, flags, at, len).map(|()| Value::Done)
        }
    };
    Some(outcome)
}

/// What `fallocate` is told.
fn room(operation: &Operation) -> Option<(usize, FallocateFlags, u64, u64)> {
    let keep = |length: &Length| match length {
        Length::Grow => FallocateFlags::empty(),
        Length::Keep => FallocateFlags::KEEP_SIZE,
    };
    Some(match operation {
        Operation::PunchHole { slot, at, len } => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            (*slot, flags, *at, *len)
        }
        Operation::Allocate {
            slot,
            at,
            len,
            length,
        } => (*slot, keep(length), *at, *len),
        Operation::ZeroRange {
            slot,
            at,
            len,
            length,
        } => (*slot, FallocateFlags::ZERO_RANGE | keep(length), *at, *len),
        Operation::CollapseRange { slot, at, len } => {
            (*slot, FallocateFlags::COLLAPSE_RANGE, *at, *len)
        }
        Operation::InsertRange { slot, at, len } => {
            (*slot, FallocateFlags::INSERT_RANGE, *at, *len)
        }
        _ => return None,
    })
}

fn seek(file: &OwnedFd, to: SeekFrom) -> Outcome {
    match fs::seek(file, to) {
        Ok(at) => Ok(Value::Found(Some(at))),
        Err(Errno::NXIO) => Ok(Value::Found(None)),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    // Opening a device may do anything at all, so this looks first.
    let found = fs::open(text(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match FileType::from_raw_mode(fs::fstat(&found)?.st_mode) {
        FileType::RegularFile | FileType::Directory => {
            fs::open(text(path), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        }
        _ => Err(OPENING_A_SPECIAL_FILE),
    }
}

fn read(file: &OwnedFd, at: u64, len: usize) -> Outcome {
    let mut bytes = vec![MaybeUninit::uninit(); len];
    let (read, _) = io::pread(file, bytes.as_mut_slice(), at)?;
    Ok(Value::Bytes(read.to_vec()))
}

fn append(file: &OwnedFd, byte: u8, lens: &[usize]) -> Outcome {
    let at = fs::fstat(file)?.st_size;
    let bytes = pattern(lens.iter().sum(), byte);
    let written = io::pwritev2(file, &pieces(&bytes, lens), 0, ReadWriteFlags::APPEND)?;
    assert_eq!(written, bytes.len());
    Ok(Value::Count(at as usize))
}

fn read_whole(path: &Path) -> Outcome {
    let file = open(path)?;
    let len = fs::fstat(&file)?.st_size as usize;
    read(&file, 0, len)
}

fn text(path: &Path) -> &str {
    &path.0
}

fn bits(mode: u16) -> Mode {
    Mode::from_raw_mode(mode.into())
}
