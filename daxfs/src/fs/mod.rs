//! The filesystem as its users see it: make, mount, paths, files.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`options`] | how to make and how to mount |
//! | [`path`] | paths inside an image |
//! | [`metadata`] | what can be asked about files and space |
//! | [`superblock`] | reading and writing the two superblock copies |
//! | [`make`] | an empty filesystem |
//! | [`content`], [`checkpoint`] | memory to image |
//! | [`mount`] | image to memory |
//! | [`mounted`] | what handles share: volume, checkpointer, open files |
//! | [`namespace`] | looking up, making and removing names |
//! | [`mod@file`] | an open file |
//!
//! # Locking
//! Outermost first: directories (ancestors first) -> open files -> what [`dax`](crate::dax) takes.
//! A checkpoint's own lock comes before the gate and is never taken inside a transaction.

mod checkpoint;
mod content;
mod file;
mod make;
mod metadata;
mod mount;
mod mounted;
mod namespace;
mod options;
mod path;
mod superblock;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use daxfs_pmem::Device;

pub use file::File;
pub use metadata::{DirectoryEntry, ExtentInfo, FileKind, Metadata, Space};
pub use options::{ExistingImage, FormatOptions, MountAccess, MountOptions};

use crate::error::{Error, Result};
use crate::format::geometry::BLOCK_BYTES;
use mounted::Mounted;

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

    /// Makes an empty file and opens it. Locks the directory that holds it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotFound`] or [`Error::NotADirectory`] for the directory,
    /// [`Error::InvalidPath`], [`Error::NoSpace`], [`Error::ReadOnly`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        self.mounted.check_writable("create")?;
        let volume = &self.mounted.volume;
        let inode = volume.with_reclaim(|| self.mounted.create_file(path))?;
        let handle = self.mounted.open(&inode);
        let handle = handle.ok_or_else(|| Error::NotFound {
            path: path.to_path_buf(),
        })?;
        Ok(File { handle })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::NotADirectory`],
    /// [`Error::InvalidPath`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let inode = self.mounted.find(path)?;
        if inode.directory().is_some() {
            return Err(Error::IsADirectory {
                path: path.to_path_buf(),
            });
        }
        let handle = self.mounted.open(&inode);
        let handle = handle.ok_or_else(|| Error::NotFound {
            path: path.to_path_buf(),
        })?;
        Ok(File { handle })
    }

    /// Makes an empty directory. Locks the directory that holds it.
    ///
    /// # Errors
    /// As [`Filesystem::create`].
    pub fn create_directory(&self, path: impl AsRef<Path>) -> Result<()> {
        self.mounted.check_writable("create_directory")?;
        let volume = &self.mounted.volume;
        volume.with_reclaim(|| self.mounted.create_directory(path.as_ref()))
    }

    /// Removes a file. One that is open lives on, without a name, until its last handle goes.
    /// Locks the directory that holds it.
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

    /// What is known of a file or directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::InvalidPath`].
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        self.mounted.metadata(path.as_ref())
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

impl fmt::Debug for Filesystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Filesystem")
            .field("options", &self.mounted.options)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
