//! An open file: reads and writes at offsets, holes, length, mappings.
//!
//! # Locking
//! Each method says which; [`crate::dax`] has the order.

use std::any::Any;
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

use super::byte_range_locks::Description;
use super::metadata::{ExtentInfo, Metadata};
use super::mounted::OpenHandle;
use crate::dax::{self, Content, Length, LockState, MapOptions, Mapping};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::format::geometry::BLOCK_BYTES;
use crate::format::item::Sharing;
use crate::format::record::ShiftDirection;
use crate::inode::Inode;

/// An open regular file. Clones are handles of the same file; it closes with the last of them and
/// of its mappings.
#[derive(Clone)]
pub struct File {
    /// Of the file, whoever opened it.
    pub(super) handle: Arc<OpenHandle>,
    /// Of this opening of it.
    pub(super) description: Arc<Description>,
}

impl File {
    /// Opens a file once more.
    pub(super) fn open(handle: Arc<OpenHandle>) -> Self {
        Self {
            description: Description::new(Arc::clone(&handle)),
            handle,
        }
    }

    /// Reads into `buffer` from `offset_bytes` on. Returns how many bytes were read: fewer than the
    /// buffer holds at the end of file, 0 past it. Holes read as zeroes.
    ///
    /// Locks the bytes that are read, shared: a read sees each overlapping write whole or not at
    /// all.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails.
    pub fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> Result<usize> {
        dax::read_at(&self.handle.file, buffer, offset_bytes)
    }

    /// Reads into `buffers`, one after the other, as `preadv` does: all of it is one read.
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use std::sync::Arc;
    /// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/messages")?;
    /// file.write_vectored_at(&[IoSlice::new(b"head"), IoSlice::new(b"body")], 0)?;
    ///
    /// let (mut head, mut body) = ([0; 4], [0; 10]);
    /// let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    /// assert_eq!(file.read_vectored_at(&mut buffers, 0)?, 8);
    /// assert_eq!((&head, &body[..4]), (b"head", &b"body"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`File::read_at`]; [`Error::InvalidOption`] for more than 1024 buffers, or more bytes
    /// than `i64::MAX`.
    pub fn read_vectored_at(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        offset_bytes: u64,
    ) -> Result<usize> {
        dax::read_vectored_at(&self.handle.file, buffers, offset_bytes)
    }

    /// Writes `bytes` at `offset_bytes`. Returns how many were written: fewer only when the device
    /// became full after some.
    ///
    /// Locks the bytes that are written, exclusive; past the end of file from the end on. What
    /// overwrites is durable when this returns where the device can make it so without a system
    /// call ([`Persistence`](crate::Persistence)); what fills a hole or extends the file is found
    /// again after a crash from the next sync on, as is everything on other devices.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when nothing could be written, [`Error::InvalidRange`] past the largest
    /// file, [`Error::ReadOnly`], [`Error::Device`].
    pub fn write_at(&self, bytes: &[u8], offset_bytes: u64) -> Result<usize> {
        self.check_writable("write_at")?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::write_at(file, bytes, offset_bytes))
    }

    /// Writes the bytes of `buffers` at `offset_bytes`, one after the other, as `pwritev` does: all
    /// of it is one write, under one lock and with one fence, however many buffers there are.
    ///
    /// # Errors
    /// As [`File::write_at`]; [`Error::InvalidOption`] for more than 1024 buffers, or more bytes
    /// than `i64::MAX`.
    pub fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset_bytes: u64) -> Result<usize> {
        self.check_writable("write_vectored_at")?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::write_vectored_at(file, buffers, offset_bytes))
    }

    /// Writes all of `bytes` at `offset_bytes`.
    ///
    /// # Errors
    /// As [`File::write_at`]; [`Error::NoSpace`] also when only some could be written.
    pub fn write_all_at(&self, bytes: &[u8], offset_bytes: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.write_at(&bytes[done..], offset_bytes + done as u64)?;
        }
        Ok(())
    }

    /// Writes all of `bytes` at the end of the file, or nothing. Returns where they went.
    ///
    /// Appends to one file are in turn; each locks just the bytes that it adds, exclusive.
    ///
    /// # Errors
    /// As [`File::write_at`].
    pub fn append(&self, bytes: &[u8]) -> Result<u64> {
        self.check_writable("append")?;
        let file = &self.handle.file;
        file.volume().with_reclaim(|| dax::append(file, bytes))
    }

    /// Writes all bytes of `buffers`, one after the other, at the end of the file, or nothing.
    /// Returns where they went. It is one append, however many buffers there are.
    ///
    /// # Errors
    /// As [`File::write_vectored_at`].
    pub fn append_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<u64> {
        self.check_writable("append_vectored")?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::append_vectored(file, buffers))
    }

    /// Makes the file `len_bytes` long. What is cut off is gone; what is added is a hole.
    ///
    /// Locks everything from the shorter length on, exclusive.
    ///
    /// # Errors
    /// [`Error::InvalidRange`] past the largest file, [`Error::ReadOnly`], [`Error::Device`].
    pub fn truncate(&self, len_bytes: u64) -> Result<()> {
        self.check_writable("truncate")?;
        dax::truncate(&self.handle.file, len_bytes)
    }

    /// Makes `len_bytes` bytes at `offset_bytes` read as zeroes and frees the blocks that lie in
    /// them whole. The length stays.
    ///
    /// Locks the bytes, exclusive.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for no bytes, [`Error::InvalidRange`] past the largest file,
    /// [`Error::NoSpace`] when the hole splits
    /// extents and there is no room to say so, [`Error::ReadOnly`], [`Error::Device`].
    pub fn punch_hole(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.check_writable("punch_hole")?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::punch_hole(file, offset_bytes, len_bytes))
    }

    /// Gives a range blocks where it has none, so that writing there cannot fail for want of space.
    /// They read as zeroes. `length` says whether the file grows to cover the range.
    ///
    /// Locks the range, exclusive; from the old end on where the file grows.
    ///
    /// # Errors
    /// [`Error::NoSpace`] (some of it may have blocks then), [`Error::InvalidRange`] past the
    /// largest file, [`Error::InvalidOption`] for no bytes, [`Error::ReadOnly`], [`Error::Device`].
    pub fn allocate(&self, offset_bytes: u64, len_bytes: u64, length: Length) -> Result<()> {
        self.allocate_with("allocate", offset_bytes, len_bytes, length, Content::Stays)
    }

    /// Makes a range read as zeroes and gives it blocks where it has none.
    ///
    /// # Errors
    /// As [`File::allocate`].
    pub fn zero_range(&self, offset_bytes: u64, len_bytes: u64, length: Length) -> Result<()> {
        self.allocate_with("zero_range", offset_bytes, len_bytes, length, Content::Zero)
    }

    fn allocate_with(
        &self,
        operation: &'static str,
        offset_bytes: u64,
        len_bytes: u64,
        length: Length,
        content: Content,
    ) -> Result<()> {
        self.check_writable(operation)?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::allocate(file, offset_bytes, len_bytes, length, content))
    }

    /// Takes a range out of the file: what comes after moves up, and the file is that much shorter.
    /// Both numbers are multiples of the block size, and the range ends before the file does.
    ///
    /// Locks everything from the range on, exclusive; nothing is copied.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when the range is not such a one, [`Error::NoSpace`],
    /// [`Error::ReadOnly`], [`Error::Device`].
    pub fn collapse_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.shift(
            "collapse_range",
            offset_bytes,
            len_bytes,
            ShiftDirection::TowardsStart,
        )
    }

    /// Puts a hole of `len_bytes` at `offset_bytes`, within the file: what was there and after
    /// moves, and the file is that much longer.
    ///
    /// # Errors
    /// As [`File::collapse_range`]; [`Error::InvalidRange`] past the largest file.
    pub fn insert_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.shift(
            "insert_range",
            offset_bytes,
            len_bytes,
            ShiftDirection::TowardsEnd,
        )
    }

    fn shift(
        &self,
        operation: &'static str,
        offset_bytes: u64,
        len_bytes: u64,
        direction: ShiftDirection,
    ) -> Result<()> {
        self.check_writable(operation)?;
        let file = &self.handle.file;
        file.volume()
            .with_reclaim(|| dax::shift(file, offset_bytes, len_bytes, direction))
    }

    /// The first byte at or after `offset_bytes` that has a block (`SEEK_DATA`); `None` when there
    /// is none before the end of file. Takes no lock.
    #[must_use]
    pub fn seek_data(&self, offset_bytes: u64) -> Option<u64> {
        dax::seek_data(&self.handle.file, offset_bytes)
    }

    /// The first byte at or after `offset_bytes` that has no block (`SEEK_HOLE`), the end of file
    /// if all have; `None` when `offset_bytes` is not before the end. Takes no lock.
    #[must_use]
    pub fn seek_hole(&self, offset_bytes: u64) -> Option<u64> {
        dax::seek_hole(&self.handle.file, offset_bytes)
    }

    /// The file's length in bytes, as of now. Takes no lock.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.handle.file.inode().len_bytes()
    }

    /// Whether the file has no bytes. Takes no lock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// What is known of the file.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata::of(self.handle.file.inode())
    }

    /// The pieces of the file that lie together on the device, in order; holes are left out.
    #[must_use]
    pub fn extents(&self) -> Vec<ExtentInfo> {
        let extents = self.handle.file.mapped.blocks.extents();
        extents
            .iter()
            .map(|extent| ExtentInfo {
                file_offset_bytes: extent.file_block * BLOCK_BYTES,
                device_offset_bytes: extent.run.block * BLOCK_BYTES,
                len_bytes: extent.run.len_blocks * BLOCK_BYTES,
                is_shared: extent.sharing == Sharing::Shared,
            })
            .collect()
    }

    /// Makes the file's data and metadata durable, as `fsync` does: what was stored through
    /// mappings and the times of the last read and write; and on files, where nothing is durable
    /// without a system call, everything else that was done to the filesystem as well.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails; nothing can be said then of what is durable beyond
    /// the last sync.
    pub fn sync(&self) -> Result<()> {
        if self.check_writable("sync").is_err() {
            return Ok(());
        }
        self.handle.file.flush_mapped(0..u64::MAX)?;
        self.handle.file.settle_times()?;
        self.handle.mounted.sync_log()
    }

    /// The same without the times, as `fdatasync` does.
    ///
    /// # Errors
    /// As [`File::sync`].
    pub fn sync_data(&self) -> Result<()> {
        if self.check_writable("sync_data").is_err() {
            return Ok(());
        }
        self.handle.file.flush_mapped(0..u64::MAX)?;
        self.handle.mounted.sync_log()
    }

    /// Maps part of the file, shared.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use daxfs::{Device, Filesystem, FormatOptions, MapOptions, MountOptions, PersistenceChoice};
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let file = fs.create("/numbers")?;
    /// file.truncate(8192)?;
    ///
    /// let mapping = file.map(MapOptions::new(8192))?;
    /// mapping.store(4096, b"mapped")?;
    /// let mut read = [0; 6];
    /// file.read_at(&mut read, 4096)?;
    /// assert_eq!(&read, b"mapped");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when the range is empty or not aligned, [`Error::PageTable`] when
    /// the system refuses, [`Error::ReadOnly`] for a writable mapping of a read-only filesystem.
    pub fn map(&self, options: MapOptions) -> Result<Mapping> {
        if options.protection == crate::Protection::ReadWrite {
            self.check_writable("map")?;
        }
        let keep_open: Arc<dyn Any + Send + Sync> = self.description.clone();
        Mapping::new(Arc::clone(&self.handle.file), keep_open, &options)
    }

    /// What keeps the file's mappings coherent takes, and how often threads waited for it. Takes no
    /// lock, and a time that grows with the number of mapping entries.
    #[must_use]
    pub fn lock_state(&self) -> LockState {
        self.handle.file.lock_state()
    }

    pub(super) fn inode(&self) -> &Arc<Inode> {
        self.handle.file.inode()
    }

    pub(super) fn check_writable(&self, operation: &'static str) -> Result<()> {
        self.handle.mounted.check_writable(operation)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("File")
            .field("inode", &self.handle.file.inode().number())
            .field("len_bytes", &self.len_bytes())
            .finish_non_exhaustive()
    }
}
