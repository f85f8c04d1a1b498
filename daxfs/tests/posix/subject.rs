//! Doing operations to daxfs, which also stops and starts again.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daxfs::{
    CreateOptions, DataChecksums, Device, Error, File, FileKind, Filesystem, FormatOptions,
    Metadata, MountOptions, PersistenceChoice, SetAttributes, SpecialFile,
};
use rustix::fs::makedev;
use rustix::io::Errno;

use crate::operation::{
    Last, Operation, Outcome, Path, SLOTS, Special, Status, Stop, System, Time, Value, When,
    pattern, pieces, read_into,
};

const DEVICE_BYTES: u64 = 8 << 20;

/// A filesystem on memory, and its open files.
pub(crate) struct Subject {
    /// `None` only while it is replaced.
    fs: Option<Filesystem>,
    files: [Option<File>; SLOTS],
}

impl Subject {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let device = Device::create_memfd(DEVICE_BYTES, PersistenceChoice::Detect).unwrap();
        // What is taken for damage by mistake is a difference.
        let options = FormatOptions {
            data_checksums: DataChecksums::On,
            ..FormatOptions::default()
        };
        Filesystem::format(&device, &options).unwrap();
        Self {
            fs: Some(mount(Arc::new(device))),
            files: Default::default(),
        }
    }

    pub(crate) fn fs(&self) -> &Filesystem {
        self.fs.as_ref().expect("mounted")
    }

    fn stop(&mut self, stop: Stop) -> Result<(), Error> {
        let device = match stop {
            Stop::Unmount => {
                self.files = Default::default();
                let fs = self.fs.take().expect("mounted");
                let device = Arc::clone(fs.device());
                fs.unmount()?;
                device
            }
            Stop::Drop => {
                self.files = Default::default();
                Arc::clone(self.fs.take().expect("mounted").device())
            }
            Stop::Crash => {
                self.fs().sync()?;
                let device = Arc::new(copy(self.fs().device()));
                // Whatever these still write goes to the device that is left behind.
                self.files = Default::default();
                device
            }
        };
        self.fs = Some(mount(device));
        Ok(())
    }
}

fn mount(device: Arc<Device>) -> Filesystem {
    Filesystem::mount(device, MountOptions::default()).expect("what was stored can be mounted")
}

/// What is on a device now, on another one.
fn copy(device: &Device) -> Device {
    let copy = Device::create_memfd(device.len_bytes(), PersistenceChoice::Detect).unwrap();
    let mut bytes = vec![0; device.len_bytes() as usize];
    device.read(0, &mut bytes).unwrap();
    copy.fence(copy.copy(0, &bytes).unwrap()).unwrap();
    copy
}

impl System for Subject {
    fn apply(&mut self, operation: &Operation) -> Outcome {
        match self.try_apply(operation) {
            Ok(value) => Ok(value.unwrap_or(Value::Done)),
            Err(Error::Corrupt {
                structure, problem, ..
            }) => panic!("{operation:?} finds a damaged {structure}: {problem}"),
            Err(error) => Err(Errno::from_raw_os_error(error.errno())),
        }
    }

    fn inode_number(&mut self, path: &Path) -> Option<u64> {
        let metadata = self.fs().symlink_metadata(&path.0);
        metadata.ok().map(|metadata| metadata.inode)
    }
}

impl Subject {
    fn try_apply(&mut self, operation: &Operation) -> Result<Option<Value>, Error> {
        match operation {
            Operation::Stop(stop) => return self.stop(*stop).map(|()| None),
            Operation::Close { slot } => {
                self.files[*slot] = None;
                return Ok(None);
            }
            Operation::Checkpoint => return self.fs().checkpoint().map(|()| None),
            _ => {}
        }
        if self.change_names(operation)? {
            return Ok(None);
        }
        if let Some(value) = look(self.fs(), operation)? {
            return Ok(Some(value));
        }
        if change_attributes(self.fs(), operation)? {
            return Ok(None);
        }
        self.use_file(operation)
    }

    fn change_names(&mut self, operation: &Operation) -> Result<bool, Error> {
        let fs = self.fs();
        match operation {
            Operation::Create { slot, path, mode } => {
                let file = fs.create_with(&path.0, &options(*mode))?;
                self.files[*slot] = Some(file);
            }
            Operation::CreateAnonymous {
                slot,
                directory,
                mode,
            } => {
                let file = fs.create_anonymous(&directory.0, &options(*mode))?;
                self.files[*slot] = Some(file);
            }
            Operation::CreateDirectory { path, mode } => {
                fs.create_directory_with(&path.0, &options(*mode))?;
            }
            Operation::CreateSymbolicLink { target, path } => {
                fs.create_symbolic_link(&target.0, &path.0)?;
            }
            Operation::CreateSpecial {
                path,
                special,
                mode,
            } => fs.create_special(&path.0, special_file(*special), &options(*mode))?,
            Operation::HardLink { existing, new } => fs.hard_link(&existing.0, &new.0)?,
            Operation::LinkFile { slot, new } => {
                if let Some(file) = &self.files[*slot] {
                    fs.link_file(file, &new.0)?;
                }
            }
            Operation::Rename { from, to, mode } => fs.rename_with(&from.0, &to.0, *mode)?,
            Operation::RemoveFile { path } => fs.remove_file(&path.0)?,
            Operation::RemoveDirectory { path } => fs.remove_directory(&path.0)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn use_file(&mut self, operation: &Operation) -> Result<Option<Value>, Error> {
        if let Operation::Open { slot, path } = operation {
            self.files[*slot] = Some(self.fs().open(&path.0)?);
            return Ok(None);
        }
        let slot = match operation {
            Operation::FileStatus { slot }
            | Operation::Read { slot, .. }
            | Operation::Write { slot, .. }
            | Operation::Append { slot, .. }
            | Operation::ReadVectored { slot, .. }
            | Operation::WriteVectored { slot, .. }
            | Operation::AppendVectored { slot, .. }
            | Operation::CopyRange { slot, .. }
            | Operation::Truncate { slot, .. }
            | Operation::PunchHole { slot, .. }
            | Operation::Allocate { slot, .. }
            | Operation::ZeroRange { slot, .. }
            | Operation::CollapseRange { slot, .. }
            | Operation::InsertRange { slot, .. }
            | Operation::SeekData { slot, .. }
            | Operation::SeekHole { slot, .. }
            | Operation::Sync { slot } => *slot,
            other => unreachable!("{other:?} is done elsewhere"),
        };
        let Some(file) = &self.files[slot] else {
            return Ok(None);
        };
        Ok(Some(match operation {
            Operation::FileStatus { .. } => Value::Status(status(&file.metadata())),
            Operation::Read { at, len, .. } => {
                let mut bytes = vec![0; *len];
                let read = file.read_at(&mut bytes, *at)?;
                bytes.truncate(read);
                Value::Bytes(bytes)
            }
            Operation::Write { at, len, byte, .. } => {
                Value::Count(file.write_at(&pattern(*len, *byte), *at)?)
            }
            Operation::Append { len, byte, .. } => {
                Value::Count(file.append(&pattern(*len, *byte))? as usize)
            }
            Operation::ReadVectored { at, lens, .. } => {
                read_into(lens, |buffers| file.read_vectored_at(buffers, *at))?
            }
            Operation::WriteVectored { at, lens, byte, .. } => {
                let bytes = pattern(lens.iter().sum(), *byte);
                Value::Count(file.write_vectored_at(&pieces(&bytes, lens), *at)?)
            }
            Operation::AppendVectored { lens, byte, .. } => {
                let bytes = pattern(lens.iter().sum(), *byte);
                Value::Count(file.append_vectored(&pieces(&bytes, lens))? as usize)
            }
            Operation::CopyRange {
                at, to, to_at, len, ..
            } => match &self.files[*to] {
                Some(to) => {
                    let copied = file.copy_range(*at, to, *to_at, *len as u64)?;
                    Value::Count(copied as usize)
                }
                None => return Ok(None),
            },
            Operation::Truncate { len, .. } => done(file.truncate(*len))?,
            Operation::PunchHole { at, len, .. } => done(file.punch_hole(*at, *len))?,
            Operation::Allocate {
                at, len, length, ..
            } => done(file.allocate(*at, *len, *length))?,
            Operation::ZeroRange {
                at, len, length, ..
            } => done(file.zero_range(*at, *len, *length))?,
            Operation::CollapseRange { at, len, .. } => done(file.collapse_range(*at, *len))?,
            Operation::InsertRange { at, len, .. } => done(file.insert_range(*at, *len))?,
            Operation::SeekData { at, .. } => Value::Found(file.seek_data(*at)),
            Operation::SeekHole { at, .. } => Value::Found(file.seek_hole(*at)),
            _ => done(file.sync())?,
        }))
    }
}

fn done(result: Result<(), Error>) -> Result<Value, Error> {
    result.map(|()| Value::Done)
}

fn look(fs: &Filesystem, operation: &Operation) -> Result<Option<Value>, Error> {
    Ok(Some(match operation {
        Operation::ReadDirectory { path } => {
            let entries = fs.read_directory(&path.0)?.into_iter();
            Value::Names(
                entries
                    .map(|entry| (entry.name.into_vec(), Some(entry.kind)))
                    .collect(),
            )
        }
        Operation::ReadLink { path } => {
            Value::Bytes(fs.read_link(&path.0)?.into_os_string().into_vec())
        }
        Operation::Status { path, last } => Value::Status(status(&match last {
            Last::Follow => fs.metadata(&path.0)?,
            Last::Keep => fs.symlink_metadata(&path.0)?,
        })),
        Operation::GetExtended { path, name } => {
            Value::Bytes(fs.extended_attribute(&path.0, &name.0)?)
        }
        Operation::ListExtended { path } => {
            let names = fs.extended_attributes(&path.0)?.into_iter();
            Value::Names(names.map(|name| (name.into_vec(), None)).collect())
        }
        Operation::ReadWhole { path } => {
            let file = fs.open(&path.0)?;
            let mut bytes = vec![0; file.len_bytes() as usize];
            let read = file.read_at(&mut bytes, 0)?;
            assert_eq!(read, bytes.len());
            Value::Bytes(bytes)
        }
        _ => return Ok(None),
    }))
}

fn change_attributes(fs: &Filesystem, operation: &Operation) -> Result<bool, Error> {
    match operation {
        Operation::SetMode { path, last, mode } => {
            let change = SetAttributes {
                mode: Some(*mode),
                ..SetAttributes::default()
            };
            set(fs, path, *last, &change)?;
        }
        Operation::SetOwner {
            path,
            last,
            uid,
            gid,
        } => {
            let change = SetAttributes {
                uid: *uid,
                gid: *gid,
                ..SetAttributes::default()
            };
            set(fs, path, *last, &change)?;
        }
        Operation::SetTimes {
            path,
            last,
            accessed,
            modified,
        } => {
            let change = SetAttributes {
                accessed: accessed.map(system_time),
                modified: modified.map(system_time),
                ..SetAttributes::default()
            };
            set(fs, path, *last, &change)?;
        }
        Operation::SetExtended {
            path,
            name,
            value,
            mode,
        } => fs.set_extended_attribute(&path.0, attribute(name), value, *mode)?,
        Operation::RemoveExtended { path, name } => {
            fs.remove_extended_attribute(&path.0, attribute(name))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn set(fs: &Filesystem, path: &Path, last: Last, change: &SetAttributes) -> Result<(), Error> {
    match last {
        Last::Follow => fs.set_attributes(&path.0, change),
        Last::Keep => fs.symlink_set_attributes(&path.0, change),
    }
}

fn attribute(name: &Path) -> &OsStr {
    OsStr::from_bytes(name.0.as_bytes())
}

fn options(mode: u16) -> CreateOptions {
    CreateOptions {
        mode,
        ..CreateOptions::file()
    }
}

fn special_file(special: Special) -> SpecialFile {
    match special {
        Special::Fifo => SpecialFile::Fifo,
        Special::Socket => SpecialFile::Socket,
        Special::Character { major, minor } => SpecialFile::CharacterDevice(makedev(major, minor)),
        Special::Block { major, minor } => SpecialFile::BlockDevice(makedev(major, minor)),
    }
}

fn status(metadata: &Metadata) -> Status {
    Status {
        kind: metadata.kind,
        mode: metadata.mode,
        links: metadata.links,
        uid: metadata.uid,
        gid: metadata.gid,
        device_number: metadata.device_number,
        len_bytes: (metadata.kind != FileKind::Directory).then_some(metadata.len_bytes),
        accessed: when(metadata.accessed),
        modified: when(metadata.modified),
        changed: when(metadata.changed),
    }
}

fn when(time: SystemTime) -> When {
    let nanoseconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(error) => -(error.duration().as_nanos() as i128),
    };
    let second = 1_000_000_000;
    When::new(
        nanoseconds.div_euclid(second) as i64,
        nanoseconds.rem_euclid(second) as u32,
    )
}

fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
    match time.seconds {
        0.. => UNIX_EPOCH + seconds + nanoseconds,
        _ => UNIX_EPOCH - seconds + nanoseconds,
    }
}
