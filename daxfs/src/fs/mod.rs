//! The filesystem as its users see it: make, mount, paths, files.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`options`] | how to make and how to mount |
//! | [`path`] | paths inside an image |
//! | [`metadata`] | what can be asked about files and space |
//! | [`superblock`] | reading and writing the two superblock copies |
//! | [`make`] | an empty filesystem |
//! | [`checkpoint`], [`background`] | memory to image, and the thread that does it ahead of time |
//! | [`mount`] | image to memory |
//! | [`mounted`], [`open_files`] | what handles share: volume, checkpointer, open files |
//! | [`walk`] | from paths to inodes |
//! | [`namespace`], [`rename`] | making, linking, removing and moving names |
//! | [`attributes`], [`attribute_calls`] | owners, permission bits, times, extended attributes |
//! | [`acl`] | access control lists: attributes that go with the permission bits |
//! | [`mod@file`], [`byte_range_locks`] | an open file; its locks for programs |
//! | [`copying`] | from one file to another: shared blocks, or bytes |
//!
//! # Locking
//! Outermost first: moves between directories -> directories (ancestors first) -> what
//! [`dax`](crate::dax) takes -> the gate -> open files. A checkpoint's own lock comes before the
//! gate and is never taken inside a transaction.

mod acl;
mod attribute_calls;
mod attributes;
mod background;
mod byte_range_locks;
mod checkpoint;
mod copying;
mod file;
mod make;
mod metadata;
mod mount;
mod mounted;
mod namespace;
mod open_files;
mod options;
mod path;
mod rename;
mod superblock;
#[cfg(test)]
mod tests;
mod walk;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daxfs_pmem::Device;

pub use attributes::{SetAttributes, SetMode};
pub use file::File;
pub use metadata::{DirectoryEntry, ExtentInfo, FileKind, LogSpace, Metadata, Space};
pub use options::{
    Checkpoints, CreateOptions, DataChecksums, ExistingImage, FormatOptions, MountAccess,
    MountOptions, SpecialFile,
};
pub use rename::RenameMode;

use crate::error::{Error, Result};
use crate::format::FileType;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::{MAXIMUM_TARGET_BYTES, target_problem};
use crate::inode::{Body, Inode};
use mounted::Mounted;
use namespace::NewInode;
use walk::LastLink;

/// A mounted filesystem.
///
/// ```
/// use std::sync::Arc;
/// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
///
/// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
/// Filesystem::format(&device, &FormatOptions::default())?;
/// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
///
/// fs.create_directory("/notes")?;
/// fs.create("/notes/today")?.write_all_at(b"hello", 0)?;
/// let mut text = [0; 5];
/// assert_eq!(fs.open("/notes/today")?.read_at(&mut text, 0)?, 5);
/// assert_eq!(&text, b"hello");
/// fs.unmount()?;
/// # Ok::<(), daxfs::Error>(())
/// ```
pub struct Filesystem {
    mounted: Arc<Mounted>,
}

impl Filesystem {
    /// Makes an empty filesystem on the whole blocks of `device`.
    ///
    /// # Errors
    /// [`Error::AlreadyFormatted`] when there is one already and `options` does not say to replace
    /// it; [`Error::UnusableDevice`] when the device is too small, too large or read-only;
    /// [`Error::InvalidOption`] for a label that cannot be stored; [`Error::Device`].
    pub fn format(device: &Device, options: &FormatOptions) -> Result<()> {
        make::make(device, options)
    }

    /// Mounts the filesystem on `device`.
    ///
    /// # Errors
    /// [`Error::NotAnImage`], [`Error::UnsupportedVersion`], [`Error::UnsupportedFeatures`],
    /// [`Error::Truncated`], [`Error::Corrupt`] when the image cannot be used; nothing is written
    /// to it then. [`Error::InvalidOption`] when the options contradict the device.
    pub fn mount(device: Arc<Device>, options: MountOptions) -> Result<Self> {
        let (volume, stored) = mount::load(device, &options)?;
        Ok(Self {
            mounted: Mounted::new(volume, options, stored)?,
        })
    }

    /// Makes everything durable, marks the image clean, and lets go of the device.
    ///
    /// (Dropping does the same, and cannot say whether it worked.)
    ///
    /// # Errors
    /// [`Error::Busy`] while files or mappings are open: they keep working, and the last of them
    /// does what this would have done. [`Error::NoSpace`], [`Error::Device`] when the last changes
    /// could not be stored.
    pub fn unmount(self) -> Result<()> {
        match self.mounted.open_count() {
            0 => self.mounted.finish(),
            open_files => Err(Error::Busy { open_files }),
        }
    }

    /// Makes everything durable, as `syncfs` does.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Device`].
    pub fn sync(&self) -> Result<()> {
        self.mounted.sync()
    }

    // ---- Files --------------------------------------------------------------------------------

    /// Makes an empty file and opens it. Locks the directory that holds it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotFound`] or [`Error::NotADirectory`] for the directory,
    /// [`Error::InvalidPath`], [`Error::NameTooLong`], [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File> {
        self.create_with(path, &CreateOptions::file())
    }

    /// The same, with permission bits and owners.
    ///
    /// # Errors
    /// As [`Filesystem::create`].
    pub fn create_with(&self, path: impl AsRef<Path>, options: &CreateOptions) -> Result<File> {
        let path = path.as_ref();
        let inode = self.make(path, options.new_inode(FileType::File))?;
        self.open_inode(&inode, path)
    }

    /// Makes a file without a name, in a directory as far as its group is concerned
    /// (`O_TMPFILE`). It goes with its last handle, unless [`Filesystem::link_file`] names it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use daxfs::{CreateOptions, Device, Filesystem, FormatOptions, MountOptions};
    /// use daxfs::PersistenceChoice;
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    ///
    /// // A reader of `/settings` sees all of it or nothing, whenever the machine stops.
    /// let file = fs.create_anonymous("/", &CreateOptions::file())?;
    /// file.write_all_at(b"complete", 0)?;
    /// fs.link_file(&file, "/settings")?;
    /// assert_eq!(fs.metadata("/settings")?.links, 1);
    /// # Ok::<(), daxfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Filesystem::create`], for the directory.
    pub fn create_anonymous(
        &self,
        directory: impl AsRef<Path>,
        options: &CreateOptions,
    ) -> Result<File> {
        let path = directory.as_ref();
        self.mounted.check_writable("create_anonymous")?;
        let new = options.new_inode(FileType::File);
        let volume = &self.mounted.volume;
        let inode = volume.with_reclaim(|| self.mounted.create_anonymous(path, &new))?;
        self.open_inode(&inode, path)
    }

    /// Opens a file, through symbolic links.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::WrongKind`] for special files,
    /// [`Error::NotADirectory`], [`Error::TooManyLinks`], [`Error::InvalidPath`],
    /// [`Error::NameTooLong`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let inode = self.mounted.find(path, LastLink::Follow)?;
        match inode.body() {
            Body::File(_) => self.open_inode(&inode, path),
            Body::Directory(_) => Err(Error::IsADirectory {
                path: path.to_path_buf(),
            }),
            _ => Err(Error::WrongKind {
                path: path.to_path_buf(),
                reason: "a special file has no content here",
            }),
        }
    }

    fn open_inode(&self, inode: &Arc<Inode>, path: &Path) -> Result<File> {
        let handle = self.mounted.open(inode)?;
        let handle = handle.ok_or_else(|| Error::NotFound {
            path: path.to_path_buf(),
        })?;
        Ok(File::open(handle))
    }

    fn make(&self, path: &Path, new: NewInode) -> Result<Arc<Inode>> {
        self.mounted.check_writable("create")?;
        let volume = &self.mounted.volume;
        volume.with_reclaim(|| self.mounted.create(path, &new))
    }

    // ---- Other inodes -------------------------------------------------------------------------

    /// Makes an empty directory. Locks the directory that holds it.
    ///
    /// # Errors
    /// As [`Filesystem::create`]; [`Error::TooManyNames`] beyond 64 998 subdirectories.
    pub fn create_directory(&self, path: impl AsRef<Path>) -> Result<()> {
        self.create_directory_with(path, &CreateOptions::directory())
    }

    /// The same, with permission bits and owners.
    ///
    /// # Errors
    /// As [`Filesystem::create_directory`].
    pub fn create_directory_with(
        &self,
        path: impl AsRef<Path>,
        options: &CreateOptions,
    ) -> Result<()> {
        self.make(path.as_ref(), options.new_inode(FileType::Directory))
            .map(drop)
    }

    /// Makes a symbolic link that leads to `target`, which need not be there.
    ///
    /// # Errors
    /// As [`Filesystem::create`]; [`Error::NotFound`] for an empty target, [`Error::NameTooLong`]
    /// for one of more than 4095 bytes, [`Error::InvalidPath`] for one with a NUL byte.
    pub fn create_symbolic_link(
        &self,
        target: impl AsRef<Path>,
        path: impl AsRef<Path>,
    ) -> Result<()> {
        self.create_symbolic_link_with(target, path, &CreateOptions::symbolic_link())
    }

    /// The same, with owners. (Nobody looks at the permission bits of a symbolic link.)
    ///
    /// # Errors
    /// As [`Filesystem::create_symbolic_link`].
    pub fn create_symbolic_link_with(
        &self,
        target: impl AsRef<Path>,
        path: impl AsRef<Path>,
        options: &CreateOptions,
    ) -> Result<()> {
        let target = target.as_ref().as_os_str().as_bytes().to_vec();
        check_target(&target)?;
        let new = NewInode {
            target,
            ..options.new_inode(FileType::Symlink)
        };
        self.make(path.as_ref(), new).map(drop)
    }

    /// Makes a special file: it has a name and attributes, and what it stands for is elsewhere.
    ///
    /// # Errors
    /// As [`Filesystem::create`].
    pub fn create_special(
        &self,
        path: impl AsRef<Path>,
        special: SpecialFile,
        options: &CreateOptions,
    ) -> Result<()> {
        let (kind, device_number) = special.stored();
        let new = NewInode {
            device_number,
            ..options.new_inode(kind)
        };
        self.make(path.as_ref(), new).map(drop)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it is none, and as [`Filesystem::metadata`].
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let inode = self.mounted.find(path, LastLink::Keep)?;
        match inode.body() {
            Body::SymbolicLink(target) => {
                self.mounted.note_looked_at(&inode);
                Ok(OsString::from_vec(target.to_vec()).into())
            }
            _ => Err(Error::WrongKind {
                path: path.to_path_buf(),
                reason: "not a symbolic link",
            }),
        }
    }

    // ---- Names --------------------------------------------------------------------------------

    /// Gives what `existing` names (a symbolic link itself, not where it leads) one more name.
    ///
    /// # Errors
    /// As [`Filesystem::create`] for the new name; [`Error::NotFound`] for the old one;
    /// [`Error::NotPermitted`] for directories; [`Error::TooManyNames`] beyond 65 000.
    pub fn hard_link(&self, existing: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<()> {
        let inode = self.mounted.find(existing.as_ref(), LastLink::Keep)?;
        self.link_inode(&inode, new.as_ref())
    }

    /// Gives an open file one more name; or, if it was made without one, its first.
    ///
    /// # Errors
    /// As [`Filesystem::hard_link`]; [`Error::NotFound`] also when the file has lost its last name.
    pub fn link_file(&self, file: &File, new: impl AsRef<Path>) -> Result<()> {
        self.link_inode(file.inode(), new.as_ref())
    }

    fn link_inode(&self, inode: &Arc<Inode>, new: &Path) -> Result<()> {
        self.mounted.check_writable("hard_link")?;
        let volume = &self.mounted.volume;
        volume.with_reclaim(|| self.mounted.link(inode, new))
    }

    /// Moves what `from` names to `to`, in the place of what is there: in one step, whenever the
    /// machine stops.
    ///
    /// # Errors
    /// As [`Filesystem::rename_with`].
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        self.rename_with(from, to, RenameMode::Replace)
    }

    /// Moves what `from` names to `to`. Locks both directories, and a directory that is replaced.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::AlreadyExists`] as `mode` says; [`Error::IsADirectory`],
    /// [`Error::NotADirectory`] and [`Error::DirectoryNotEmpty`] for what cannot replace what;
    /// [`Error::IntoItself`]; and as [`Filesystem::create`] for the new name.
    pub fn rename_with(
        &self,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        mode: RenameMode,
    ) -> Result<()> {
        self.mounted.check_writable("rename")?;
        let (from, to) = (from.as_ref(), to.as_ref());
        let volume = &self.mounted.volume;
        volume.with_reclaim(|| self.mounted.rename(from, to, mode))
    }

    /// Removes a name of anything but a directory. A file that is open lives on, without a name,
    /// until its last handle goes. Locks the directory that holds it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::NotADirectory`],
    /// [`Error::InvalidPath`], [`Error::ReadOnly`].
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        self.mounted.check_writable("remove_file")?;
        self.mounted.remove_file(path.as_ref())
    }

    /// Removes an empty directory. Locks the directory that holds it, and then it.
    ///
    /// # Errors
    /// [`Error::DirectoryNotEmpty`], and as [`Filesystem::remove_file`].
    pub fn remove_directory(&self, path: impl AsRef<Path>) -> Result<()> {
        self.mounted.check_writable("remove_directory")?;
        self.mounted.remove_directory(path.as_ref())
    }

    /// The names in a directory, in ascending order of their bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::InvalidPath`].
    pub fn read_directory(&self, path: impl AsRef<Path>) -> Result<Vec<DirectoryEntry>> {
        self.mounted.read_directory(path.as_ref())
    }

    /// At most `limit` names of a directory, from `position` on in the directory's own order. The
    /// next ones are found from the last one's position plus one on; names that are there all the
    /// time are told exactly once, whatever comes and goes meanwhile.
    ///
    /// # Errors
    /// As [`Filesystem::read_directory`].
    pub fn read_directory_from(
        &self,
        path: impl AsRef<Path>,
        position: u64,
        limit: usize,
    ) -> Result<Vec<DirectoryEntry>> {
        let path = path.as_ref();
        self.mounted.read_directory_from(path, position, limit)
    }

    // ---- The whole ----------------------------------------------------------------------------

    /// Folds all changes into the tree, so that the log is empty and what was freed can be used.
    /// (A background thread does so in good time; nothing becomes more durable by it.)
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Device`].
    pub fn checkpoint(&self) -> Result<()> {
        self.mounted.check_writable("checkpoint")?;
        self.mounted
            .checkpoint(crate::format::SuperblockState::InUse)
    }

    /// How the space is used, as of now.
    #[must_use]
    pub fn space(&self) -> Space {
        let volume = &self.mounted.volume;
        let free = volume.allocator.space();
        Space {
            total_bytes: volume.device.usable_bytes(),
            free_bytes: free.free_blocks * BLOCK_BYTES,
            available_bytes: free.available_blocks * BLOCK_BYTES,
            metadata_bytes: self.mounted.metadata_blocks() * BLOCK_BYTES,
            inodes: volume.inodes.live(),
        }
    }

    /// How full the log is, as of now.
    #[must_use]
    pub fn log_space(&self) -> LogSpace {
        let log = &self.mounted.volume.log;
        LogSpace {
            capacity_bytes: log.capacity_bytes(),
            used_bytes: log.used_bytes(),
        }
    }

    /// How many checkpoints the image has had; it rises with each one that had something to store.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.mounted.generation()
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.mounted.volume.device
    }

    /// How it is mounted.
    #[must_use]
    pub fn options(&self) -> &MountOptions {
        &self.mounted.options
    }
}

/// Errors as for a path, which it is.
fn check_target(target: &[u8]) -> Result<()> {
    let path = || OsStr::from_bytes(target).into();
    match target_problem(target) {
        None => Ok(()),
        Some(_) if target.is_empty() => Err(Error::NotFound { path: path() }),
        Some(_) if target.len() > MAXIMUM_TARGET_BYTES => Err(Error::NameTooLong { path: path() }),
        Some(reason) => Err(Error::InvalidPath {
            path: path(),
            reason,
        }),
    }
}

impl fmt::Debug for Filesystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Filesystem")
            .field("options", &self.mounted.options)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
