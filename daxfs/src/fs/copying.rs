//! From one file to another: the same blocks for both, or the bytes copied.
//!
//! # Locking
//! Those of [`dax::clone_range`], and of reads and writes.

use std::sync::Arc;

use super::file::File;
use crate::dax::{self, CloneRange, MAX_FILE_BYTES};
use crate::error::{Error, Result};
use crate::format::geometry::BLOCK_BYTES;

/// Bytes that are copied at a time.
const BUFFER_BYTES: u64 = 256 << 10;

impl File {
    /// Gives `to` the blocks of a range of this file, as `FICLONERANGE` does: both have them until
    /// one is written, so it takes no space and hardly any time, however long the range is. A range
    /// of no bytes goes to the end of this file. The source may be mapped: what was stored into it
    /// before is in the clone.
    ///
    /// Both offsets and the length are multiples of the block size (2 MiB on devices of huge
    /// pages); a range that ends with this file may end within a block, if it is not within `to`.
    ///
    /// Locks the bytes of this file shared and those of `to` exclusive, in the order of the
    /// inodes' numbers.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use daxfs::{Device, Filesystem, FormatOptions, MountOptions, PersistenceChoice};
    ///
    /// let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect)?;
    /// Filesystem::format(&device, &FormatOptions::default())?;
    /// let fs = Filesystem::mount(Arc::new(device), MountOptions::default())?;
    /// let (day, night) = (fs.create("/day")?, fs.create("/night")?);
    /// day.write_all_at(&[7; 9000], 0)?;
    ///
    /// day.clone_range(0, 0, &night, 0)?;
    /// night.write_all_at(b"!", 4096)?;
    ///
    /// let mut byte = [0; 1];
    /// day.read_at(&mut byte, 4096)?;
    /// assert_eq!((byte, night.len_bytes()), ([7], 9000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherFilesystem`]; [`Error::InvalidOption`] when the range is not aligned, not in
    /// this file, overlaps itself, or ends within a block of `to`; [`Error::InvalidRange`] past the
    /// largest file; [`Error::NoSpace`] when there is no room for metadata, and some of the range
    /// may be shared; [`Error::ReadOnly`], [`Error::Device`].
    pub fn clone_range(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        to: &File,
        to_offset_bytes: u64,
    ) -> Result<()> {
        let operation = "clone_range";
        to.check_writable(operation)?;
        if !self.shares_filesystem_with(to) {
            return Err(Error::OtherFilesystem { operation });
        }
        let len_bytes = match len_bytes {
            0 => self.len_bytes().saturating_sub(offset_bytes),
            given => given,
        };
        self.share(offset_bytes, len_bytes, to, to_offset_bytes)
    }

    /// Copies at most `len_bytes` from `offset_bytes` on to `to`, as `copy_file_range(2)` does.
    /// Returns how many bytes were copied: fewer at the end of this file. Whole blocks at the same
    /// place within a block on both sides are not copied but shared, as by [`File::clone_range`].
    ///
    /// Locks as reads and writes and [`File::clone_range`] do, one after the other: whoever writes
    /// either file meanwhile may find some of it copied and some not.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when the ranges overlap in one file; otherwise as
    /// [`File::read_at`], [`File::write_at`] and [`File::clone_range`] when nothing was copied.
    pub fn copy_range(
        &self,
        offset_bytes: u64,
        to: &File,
        to_offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<u64> {
        to.check_writable("copy_range")?;
        let rest = self.len_bytes().saturating_sub(offset_bytes);
        let room = MAX_FILE_BYTES.saturating_sub(to_offset_bytes);
        let len_bytes = len_bytes.min(rest).min(room);
        self.check_copy(offset_bytes, to, to_offset_bytes, len_bytes)?;
        if len_bytes > 0 {
            // Brought into the log when the file is synced or closed: it is open.
            let _is_new = self.inode().note_read();
        }
        let mut done = 0;
        while done < len_bytes {
            let (from_at, to_at) = (offset_bytes + done, to_offset_bytes + done);
            let copied = match self.shareable(from_at, to, to_at, len_bytes - done) {
                Piece::Share(len) => self.share(from_at, len, to, to_at).map(|()| len),
                Piece::Copy(len) => self.copy_bytes(from_at, to, to_at, len),
            };
            match copied {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn check_copy(&self, from: u64, to: &File, at: u64, len_bytes: u64) -> Result<()> {
        let operation = "copy_range";
        // As Linux does: where no file can have bytes, not even none can be copied to.
        if at >= MAX_FILE_BYTES {
            return Err(Error::InvalidRange {
                operation,
                offset_bytes: at,
                len_bytes,
                max_bytes: MAX_FILE_BYTES,
            });
        }
        let is_same =
            self.shares_filesystem_with(to) && self.inode().number() == to.inode().number();
        if is_same && at < from + len_bytes && from < at + len_bytes {
            return Err(Error::InvalidOption {
                reason: format!("{operation}: the ranges overlap in one file"),
            });
        }
        Ok(())
    }

    fn shares_filesystem_with(&self, to: &File) -> bool {
        Arc::ptr_eq(&self.handle.mounted, &to.handle.mounted)
    }

    fn share(&self, offset_bytes: u64, len_bytes: u64, to: &File, to_bytes: u64) -> Result<()> {
        let range = CloneRange {
            from: &self.handle.file,
            from_bytes: offset_bytes,
            to: &to.handle.file,
            to_bytes,
            len_bytes,
        };
        let volume = to.handle.file.volume();
        volume.with_reclaim(|| dax::clone_range(range))
    }

    /// What to do from here on: share as many whole blocks as there are, or copy up to the first.
    fn shareable(&self, from: u64, to: &File, at: u64, len_bytes: u64) -> Piece {
        let unit_bytes = to.handle.file.mapped.unit_pages() * BLOCK_BYTES;
        let is_congruent = from % unit_bytes == at % unit_bytes;
        if !is_congruent || !self.shares_filesystem_with(to) {
            return Piece::Copy(len_bytes.min(BUFFER_BYTES));
        }
        let to_next_unit = from.next_multiple_of(unit_bytes) - from;
        if to_next_unit > 0 {
            return Piece::Copy(len_bytes.min(to_next_unit).min(BUFFER_BYTES));
        }
        let ends_both = from + len_bytes >= self.len_bytes() && at + len_bytes >= to.len_bytes();
        match len_bytes / unit_bytes * unit_bytes {
            _ if ends_both => Piece::Share(len_bytes),
            0 => Piece::Copy(len_bytes.min(BUFFER_BYTES)),
            whole => Piece::Share(whole),
        }
    }

    fn copy_bytes(&self, from: u64, to: &File, at: u64, len_bytes: u64) -> Result<u64> {
        let mut buffer = vec![0; len_bytes as usize];
        let read = self.read_at(&mut buffer, from)?;
        Ok(to.write_at(&buffer[..read], at)? as u64)
    }
}

/// The next part of a copy, in bytes.
enum Piece {
    Share(u64),
    Copy(u64),
}
