//! Creating and opening devices.
//!
//! An image file is held by a `flock`: exclusive to change it, shared to read it. Its space is
//! allocated when it is created, since a page that the host cannot allocate later would be a
//! `SIGBUS` in the middle of a store. Touches the file and the new mapping. The `flock` is taken
//! without waiting and released when the device is dropped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, FlockOperation, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, flock,
    ftruncate, memfd_create,
};
use rustix::io::Errno;

use super::tag::DeviceTag;
use super::{Backing, Device, DeviceAccess, DeviceError, PersistenceChoice};
use crate::persistence::{Engine, ShardedCounts};
use crate::sys::{self, Permission, Synchrony};
use crate::{HUGE_PAGE_BYTES, PAGE_BYTES, Persistence};

impl Device {
    /// Creates an image file of `len_bytes`, with its space allocated, and opens it.
    ///
    /// A file that exists is left alone; a new file that could not be finished is removed.
    ///
    /// # Errors
    /// [`DeviceError::AlreadyExists`], [`DeviceError::NoSpace`], [`DeviceError::BadLength`] below
    /// one page, [`DeviceError::NoFlushInstruction`], or what the kernel says.
    pub fn create_file(
        path: &Path,
        len_bytes: u64,
        choice: PersistenceChoice,
    ) -> Result<Self, DeviceError> {
        check_len(len_bytes)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DeviceError::AlreadyExists {
                path: path.to_owned(),
            },
            _ => file_error("create", path, source),
        })?;
        let device = hold(&file, path, DeviceAccess::ReadWrite)
            .and_then(|()| allocate(&file, path, len_bytes))
            .and_then(|()| make_name_durable(&file, path))
            .and_then(|()| from_file(file, path, len_bytes, DeviceAccess::ReadWrite, choice));
        if device.is_err() {
            // The first error is the one to report; a file that cannot be removed stays behind.
            let _ = std::fs::remove_file(path);
        }
        device
    }

    /// Opens an image file.
    ///
    /// The image may have any length of at least one page; only its whole pages can be used. To be
    /// changed, it gets all its space allocated, should it have holes.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] if someone holds it, [`DeviceError::NotRegularFile`],
    /// [`DeviceError::NoSpace`], [`DeviceError::BadLength`] below one page,
    /// [`DeviceError::NoFlushInstruction`], or what the kernel says.
    pub fn open_file(
        path: &Path,
        access: DeviceAccess,
        choice: PersistenceChoice,
    ) -> Result<Self, DeviceError> {
        // Opening a pipe would wait for its other end, so ask what it is first.
        let kind = std::fs::metadata(path).map_err(|source| file_error("open", path, source))?;
        if !kind.is_file() {
            return Err(DeviceError::NotRegularFile {
                path: path.to_owned(),
            });
        }
        let writing = access == DeviceAccess::ReadWrite;
        let file = OpenOptions::new().read(true).write(writing).open(path);
        let file = file.map_err(|source| file_error("open", path, source))?;
        hold(&file, path, access)?;
        // Asked of the open file, and after it is held: now nobody changes its length.
        let metadata = file.metadata();
        let len_bytes = metadata
            .map_err(|source| file_error("examine", path, source))?
            .len();
        check_len(len_bytes)?;
        if access == DeviceAccess::ReadWrite {
            // A copied image may have got holes, which the host may have no space for later.
            allocate(&file, path, len_bytes)?;
        }
        from_file(file, path, len_bytes, access, choice)
    }

    /// Creates a device of anonymous memory, sealed against a change of its length.
    ///
    /// # Errors
    /// [`DeviceError::BadLength`] below one page, [`DeviceError::NoFlushInstruction`], or what the
    /// kernel says.
    pub fn create_memfd(len_bytes: u64, choice: PersistenceChoice) -> Result<Self, DeviceError> {
        check_len(len_bytes)?;
        let engine = engine(choice, Persistence::Volatile)?;
        let failed = |errno: Errno| memory_error(errno.into());
        let fd = memfd_create(c"daxfs-device", sealable()).map_err(failed)?;
        ftruncate(&fd, len_bytes).map_err(failed)?;
        seal_length(&fd).map_err(failed)?;
        let map = MmapOptions::new().map_raw(&fd).map_err(memory_error)?;
        // Refused where the kernel does not join pages of shared memory: nothing is lost.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(assemble(map, fd, len_bytes, Backing::Memfd, engine))
    }

    /// Creates a device of reserved huge pages, sealed against a change of its length.
    ///
    /// # Errors
    /// [`DeviceError::NoHugePages`] if the kernel's pool has too few free,
    /// [`DeviceError::BadLength`] unless a positive multiple of 2 MiB,
    /// [`DeviceError::NoFlushInstruction`], or what the kernel says.
    pub fn create_huge_memfd(
        len_bytes: u64,
        choice: PersistenceChoice,
    ) -> Result<Self, DeviceError> {
        if len_bytes == 0 || !len_bytes.is_multiple_of(HUGE_PAGE_BYTES) {
            let requirement = "it must be a positive multiple of 2 MiB";
            return Err(DeviceError::BadLength {
                len_bytes,
                requirement,
            });
        }
        let engine = engine(choice, Persistence::Volatile)?;
        let failed = |errno: Errno| match errno {
            Errno::NOMEM => DeviceError::NoHugePages {
                pages: len_bytes / HUGE_PAGE_BYTES,
            },
            _ => memory_error(errno.into()),
        };
        let flags = sealable() | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let fd = memfd_create(c"daxfs-huge-device", flags).map_err(failed)?;
        ftruncate(&fd, len_bytes).map_err(failed)?;
        seal_length(&fd).map_err(failed)?;
        // Mapping reserves the pages, so that touching one later cannot fail.
        let map = MmapOptions::new().len(len_bytes as usize).map_raw(&fd);
        let map = map.map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => failed(Errno::NOMEM),
            _ => memory_error(source),
        })?;
        Ok(assemble(map, fd, len_bytes, Backing::HugeMemfd, engine))
    }
}

fn check_len(len_bytes: u64) -> Result<(), DeviceError> {
    if len_bytes < PAGE_BYTES {
        let requirement = "it must have one page of 4096 bytes or more";
        return Err(DeviceError::BadLength {
            len_bytes,
            requirement,
        });
    }
    if isize::try_from(len_bytes).is_err() {
        let requirement = "it must fit into the address space";
        return Err(DeviceError::BadLength {
            len_bytes,
            requirement,
        });
    }
    Ok(())
}

/// Gives the file its length and, where the filesystem can, all its space. Changes no bytes.
fn allocate(file: &File, path: &Path, len_bytes: u64) -> Result<(), DeviceError> {
    match fallocate(file, FallocateFlags::empty(), 0, len_bytes) {
        Err(Errno::OPNOTSUPP) => ftruncate(file, len_bytes),
        other => other,
    }
    .map_err(|errno| match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => DeviceError::NoSpace {
            path: path.to_owned(),
            len_bytes,
        },
        _ => file_error("allocate", path, errno.into()),
    })
}

/// A device that was created is there after a power failure.
fn make_name_durable(file: &File, path: &Path) -> Result<(), DeviceError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    file.sync_all()
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(|source| file_error("sync", path, source))
}

/// Takes the image for this opener, or says that another one has it.
fn hold(file: &File, path: &Path, access: DeviceAccess) -> Result<(), DeviceError> {
    let operation = match access {
        DeviceAccess::ReadWrite => FlockOperation::NonBlockingLockExclusive,
        DeviceAccess::ReadOnly => FlockOperation::NonBlockingLockShared,
    };
    flock(file, operation).map_err(|errno| match errno {
        Errno::WOULDBLOCK => DeviceError::Busy {
            path: path.to_owned(),
        },
        _ => file_error("lock", path, errno.into()),
    })
}

fn from_file(
    file: File,
    path: &Path,
    len_bytes: u64,
    access: DeviceAccess,
    choice: PersistenceChoice,
) -> Result<Device, DeviceError> {
    let permission = match access {
        DeviceAccess::ReadWrite => Permission::ReadWrite,
        DeviceAccess::ReadOnly => Permission::Read,
    };
    let synchrony = detect_synchrony(&file, permission);
    let detected = match synchrony {
        Synchrony::Synchronous => Persistence::Hardware,
        Synchrony::Ordinary => Persistence::Msync,
    };
    let engine = engine(choice, detected)?;
    let failed = |source| file_error("map", path, source);
    let mut options = MmapOptions::new();
    options.len(len_bytes as usize);
    let map = match permission {
        Permission::ReadWrite => options.map_raw(&file),
        Permission::Read => options.map_raw_read_only(&file),
    }
    .map_err(failed)?;
    if synchrony == Synchrony::Synchronous {
        make_synchronous(&map, &file, permission).map_err(failed)?;
    }
    let mut device = assemble(map, file.into(), len_bytes, Backing::File, engine);
    device.path = Some(path.to_owned());
    device.access = access;
    device.synchrony = synchrony;
    Ok(device)
}

/// Whether the file can be mapped with `MAP_SYNC`, hence lies in persistent memory.
fn detect_synchrony(file: &File, permission: Permission) -> Synchrony {
    let len_bytes = PAGE_BYTES as usize;
    let fd = file.as_fd();
    match sys::map_shared_anywhere(len_bytes, permission, fd, 0, Synchrony::Synchronous) {
        Ok(probe) => {
            // SAFETY: the probe was just mapped here and its address goes nowhere else. A failure
            // would leave a page mapped that nobody uses.
            let _ = unsafe { sys::unmap(probe.as_ptr(), len_bytes) };
            Synchrony::Synchronous
        }
        Err(_) => Synchrony::Ordinary,
    }
}

/// Maps the file once more, with `MAP_SYNC`, over the mapping that `map` owns and will remove.
fn make_synchronous(map: &MmapRaw, file: &File, permission: Permission) -> io::Result<()> {
    // SAFETY: the range is exactly the mapping of `map`, of which no pointer is in use yet.
    unsafe {
        sys::map_shared_over(
            map.as_mut_ptr(),
            map.len(),
            permission,
            file.as_fd(),
            0,
            Synchrony::Synchronous,
        )
    }
    .map_err(io::Error::from)
}

fn engine(choice: PersistenceChoice, detected: Persistence) -> Result<Engine, DeviceError> {
    let persistence = match choice {
        PersistenceChoice::Detect => detected,
        PersistenceChoice::Use(persistence) => persistence,
    };
    Engine::new(persistence).ok_or(DeviceError::NoFlushInstruction)
}

fn assemble(map: MmapRaw, fd: OwnedFd, len_bytes: u64, backing: Backing, engine: Engine) -> Device {
    Device {
        map,
        fd,
        path: None,
        len_bytes,
        usable_bytes: len_bytes - len_bytes % PAGE_BYTES,
        backing,
        access: DeviceAccess::ReadWrite,
        engine,
        synchrony: Synchrony::Ordinary,
        tag: DeviceTag::unique(),
        counts: ShardedCounts::default(),
        sync_failed: AtomicBool::new(false),
        recorder: None,
    }
}

fn sealable() -> MemfdFlags {
    MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING
}

/// Nobody may cut off pages under a mapping, nor add to them.
fn seal_length(fd: &OwnedFd) -> Result<(), Errno> {
    fcntl_add_seals(fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> DeviceError {
    DeviceError::Io {
        operation,
        object: path.display().to_string(),
        source,
    }
}

fn memory_error(source: io::Error) -> DeviceError {
    DeviceError::Io {
        operation: "create",
        object: "a device in memory".to_owned(),
        source,
    }
}
