//! A device: an image that is mapped whole and changed only through bounded, tokened stores.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `open` | creating and opening images; who may hold one |
//! | `bounds` | byte ranges that were checked |
//! | `tokens`, `tag` | [`Dirty`] -> [`InFlight`] -> [`Durable`] |
//! | `settled` | [`Settled`]: durable, or left to the sync that comes first |
//! | `recording` | a device that writes down what is done to it |
//! | `describe` | what a device is, in words |
//! | `error` | [`DeviceError`] |
//!
//! Ownership: `Device` owns the file descriptor (and with it the `flock` on an image file) and the
//! mapping. Only raw pointers into the mapping exist, never references: programs write to the same
//! bytes through their windows, so no reference could keep its promises.
//!
//! # Locking
//! None. No method takes a lock, so a copy whose buffer is itself a window may fault and be
//! resolved while it runs. (A device that records has a mutex; `recording` says why that holds.)
//! Two calls on overlapping bytes race as two processors do; keeping them apart is the caller's
//! job.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use memmap2::MmapRaw;

use crate::persistence::{Counted, Engine, Recorder, ShardedCounts, copy, store_fence};
use crate::sys::Synchrony;
use crate::{HUGE_PAGE_BYTES, PAGE_BYTES, Persistence, PersistenceCounts};

mod bounds;
mod describe;
mod error;
mod open;
mod recording;
mod settled;
mod tag;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use bounds::ByteRange;
pub use error::DeviceError;
pub use recording::Recording;
pub use settled::Settled;
pub use tokens::{Dirty, Durable, InFlight};

use tag::DeviceTag;
use tokens::Deferral;

/// Where a device's bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backing {
    /// A file that outlives the process.
    File,
    /// Anonymous memory in pages of 4 KiB (the kernel may join them).
    Memfd,
    /// Anonymous memory in reserved huge pages of 2 MiB.
    HugeMemfd,
}

/// Whether a device may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceAccess {
    /// Reads and stores; nobody else may open the image.
    ReadWrite,
    /// Reads only; others may read the image at the same time.
    ReadOnly,
}

/// Which persistence back end to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PersistenceChoice {
    /// A file that can be mapped with `MAP_SYNC` (it lies on a DAX filesystem) gets
    /// [`Persistence::Hardware`], any other file [`Persistence::Msync`], memory
    /// [`Persistence::Volatile`].
    Detect,
    /// This one, whatever the device is. It is not checked that it suits: flush instructions on a
    /// file that is not on DAX cost what they cost on persistent memory and protect from nothing.
    /// [`Device::survives_power_failure`] tells the truth.
    Use(Persistence),
}

/// An image that is mapped whole.
///
/// ```
/// use daxfs_pmem::{Device, PersistenceChoice};
///
/// # fn main() -> Result<(), daxfs_pmem::DeviceError> {
/// let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect)?;
/// let dirty = device.store(64, b"a record")?;
/// let durable = device.fence(device.flush(dirty))?;
/// assert_eq!(durable.offset_bytes(), 64);
///
/// let mut back = [0; 8];
/// device.read(64, &mut back)?;
/// assert_eq!(&back, b"a record");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Device {
    map: MmapRaw,
    fd: OwnedFd,
    /// The file's name, for messages; nothing for memory.
    path: Option<PathBuf>,
    /// The whole length of the backing.
    len_bytes: u64,
    /// `len_bytes` rounded down to whole pages: all that is ever accessed.
    usable_bytes: u64,
    backing: Backing,
    access: DeviceAccess,
    engine: Engine,
    /// How windows of this device are to be mapped.
    synchrony: Synchrony,
    tag: DeviceTag,
    counts: ShardedCounts,
    /// A sync failed: the kernel has dropped pages that it could not write and will not say so
    /// again, hence no later sync can be believed.
    sync_failed: AtomicBool,
    /// Takes the engine's place.
    recorder: Option<Arc<Recorder>>,
}

impl Device {
    /// The length of the image, in bytes. Only its whole pages can be used.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes can be read and stored: the length rounded down to whole pages.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        self.usable_bytes
    }

    /// Where the bytes live.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Whether the device may be changed.
    #[must_use]
    pub fn access(&self) -> DeviceAccess {
        self.access
    }

    /// The persistence back end in use.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.engine.persistence()
    }

    /// The smallest unit that windows of this device can be mapped in, in bytes: 4 KiB, or 2 MiB
    /// for [`Backing::HugeMemfd`], whose huge pages the kernel maps whole or not at all.
    #[must_use]
    pub fn mapping_granule_bytes(&self) -> u64 {
        match self.backing {
            Backing::File | Backing::Memfd => PAGE_BYTES,
            Backing::HugeMemfd => HUGE_PAGE_BYTES,
        }
    }

    /// Copies bytes of the device into `buffer`.
    ///
    /// Bytes that are being stored at the same time may come out old or new, each for itself; an
    /// aligned read of 8 bytes is never torn.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`].
    pub fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let source = self.address(self.readable(offset_bytes, buffer.len() as u64)?);
        // SAFETY: the source was checked to lie inside the mapping; the buffer is Rust's.
        unsafe { copy::cached(buffer.as_mut_ptr(), source, buffer.len()) };
        Ok(())
    }

    /// Stores bytes through the cache: for metadata, of which several stores share a line.
    ///
    /// An aligned store of 8 bytes is never seen torn and never becomes durable torn.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`], [`DeviceError::ReadOnly`].
    pub fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<Dirty, DeviceError> {
        let range = self.writable(offset_bytes, bytes.len() as u64)?;
        // SAFETY: the target was checked to lie inside a writable mapping; the source is Rust's.
        unsafe { self.store_cached(range, bytes.as_ptr()) };
        self.counts.count(Counted::Store);
        Ok(Dirty {
            tag: self.tag,
            range,
        })
    }

    /// Copies bulk data to the device; only a fence is missing to make it durable.
    ///
    /// On hardware whole lines go past the cache, and what is left at the edges is written back.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`], [`DeviceError::ReadOnly`].
    pub fn copy(&self, offset_bytes: u64, bytes: &[u8]) -> Result<InFlight, DeviceError> {
        let range = self.writable(offset_bytes, bytes.len() as u64)?;
        match &self.recorder {
            // SAFETY: the target was checked to lie inside a writable mapping of whole lines; the
            // source is Rust's.
            Some(recorder) => unsafe { recorder.copy(self.target(range), bytes.as_ptr()) },
            // SAFETY: as above.
            None => unsafe {
                self.engine
                    .copy(self.address(range), bytes.as_ptr(), bytes.len());
            },
        }
        Ok(self.in_flight(range))
    }

    /// Zeroes a range; only a fence is missing to make the zeroes durable.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`], [`DeviceError::ReadOnly`].
    pub fn zero(&self, offset_bytes: u64, len_bytes: u64) -> Result<InFlight, DeviceError> {
        let range = self.writable(offset_bytes, len_bytes)?;
        match &self.recorder {
            // SAFETY: the range was checked to lie inside a writable mapping of whole lines.
            Some(recorder) => unsafe { recorder.zero(self.target(range)) },
            // SAFETY: as above.
            None => unsafe { self.engine.zero(self.address(range), len_bytes as usize) },
        }
        Ok(self.in_flight(range))
    }

    /// Starts writing back what was stored.
    pub fn flush(&self, dirty: Dirty) -> InFlight {
        if dirty.tag == self.tag {
            self.start_write_back(dirty.range);
        }
        // A token of another device keeps its tag, and the fence refuses it.
        InFlight::new(dirty.tag, dirty.range, self.deferral())
    }

    /// Starts writing back a range that was stored to without a token: through mappings, or by a
    /// copy whose durability was deferred.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`], [`DeviceError::ReadOnly`].
    pub fn flush_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<InFlight, DeviceError> {
        let range = self.writable(offset_bytes, len_bytes)?;
        self.start_write_back(range);
        Ok(self.in_flight(range))
    }

    /// Waits until the bytes in flight are durable.
    ///
    /// On hardware this is a store fence of the calling processor; with `msync` it syncs the
    /// token's range; on volatile memory it orders the stores and no more.
    ///
    /// # Errors
    /// [`DeviceError::Sync`] if the kernel could not write the bytes, from then on always
    /// [`DeviceError::SyncFailedBefore`]; [`DeviceError::ForeignToken`].
    pub fn fence(&self, in_flight: InFlight) -> Result<Durable, DeviceError> {
        if in_flight.tag != self.tag {
            return Err(DeviceError::ForeignToken);
        }
        self.counts.count(Counted::Fence);
        let range = in_flight.range;
        match self.engine {
            Engine::Hardware(_) => store_fence(),
            Engine::Recorded => self.recorder.iter().for_each(|recorder| recorder.fence()),
            Engine::Msync => self.sync(range)?,
            // Release: partners with whatever the caller publishes the bytes by, so that they are
            // not seen after their commit. Nothing here outlives the process.
            Engine::Volatile => fence(Ordering::Release),
        }
        Ok(Durable { range })
    }

    /// How often the device was stored to, flushed and fenced since it was opened.
    #[must_use]
    pub fn counts(&self) -> PersistenceCounts {
        self.counts.sample()
    }

    /// Brings the pages of a range into memory, ready to be written, so that a benchmark does not
    /// measure the kernel's first allocation of them.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`], [`DeviceError::ReadOnly`], or what the kernel says when it has
    /// no memory or space for the pages.
    pub fn populate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), DeviceError> {
        let range = self.writable(offset_bytes, len_bytes)?;
        if range.len_bytes == 0 {
            return Ok(());
        }
        let skipped_bytes = range.offset_bytes % PAGE_BYTES;
        let address = self.address(range).wrapping_sub(skipped_bytes as usize);
        // SAFETY: the whole pages around a range inside the mapping lie inside it, too; populating
        // changes no byte.
        let populated = unsafe {
            rustix::mm::madvise(
                address.cast(),
                (range.len_bytes + skipped_bytes) as usize,
                rustix::mm::Advice::LinuxPopulateWrite,
            )
        };
        populated.map_err(|errno| self.io_error("populate", errno.into()))
    }

    /// The descriptor that windows are mapped from.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code)
    )]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code)
    )]
    pub(crate) fn synchrony(&self) -> Synchrony {
        self.synchrony
    }

    /// Checks a range that is to be read.
    pub(crate) fn readable(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<ByteRange, DeviceError> {
        ByteRange::checked(offset_bytes, len_bytes, self.usable_bytes)
    }

    /// The address of a checked range, valid as long as the device.
    pub(crate) fn address(&self, range: ByteRange) -> *mut u8 {
        self.map
            .as_mut_ptr()
            .wrapping_add(range.offset_bytes as usize)
    }

    /// The address of a whole page, given by an offset that was checked before.
    pub(crate) fn page_address(&self, offset_bytes: u64) -> *mut u8 {
        self.address(ByteRange {
            offset_bytes,
            len_bytes: PAGE_BYTES,
        })
    }

    fn writable(&self, offset_bytes: u64, len_bytes: u64) -> Result<ByteRange, DeviceError> {
        match self.access {
            DeviceAccess::ReadWrite => self.readable(offset_bytes, len_bytes),
            DeviceAccess::ReadOnly => Err(DeviceError::ReadOnly),
        }
    }

    /// Stores through the cache.
    ///
    /// # Safety
    /// The range was checked to be writable, and `source` is readable for as many bytes.
    pub(crate) unsafe fn store_cached(&self, range: ByteRange, source: *const u8) {
        match &self.recorder {
            // SAFETY: the caller vouches for both.
            Some(recorder) => unsafe { recorder.store(self.target(range), source) },
            // SAFETY: the caller vouches for both.
            None => unsafe { copy::cached(self.address(range), source, range.len_bytes as usize) },
        }
    }

    fn in_flight(&self, range: ByteRange) -> InFlight {
        InFlight::new(self.tag, range, self.deferral())
    }

    fn deferral(&self) -> Deferral {
        match (&self.recorder, self.engine) {
            (Some(recorder), _) => Deferral::Recorded(Arc::clone(recorder)),
            (None, Engine::Hardware(_)) => Deferral::StoreFence,
            (None, _) => Deferral::Nothing,
        }
    }

    fn start_write_back(&self, range: ByteRange) {
        self.counts.count(Counted::Flush);
        match &self.recorder {
            // SAFETY: every range was checked to lie inside the mapping when its token was made,
            // and the mapping has whole lines.
            Some(recorder) => unsafe { recorder.write_back(self.target(range)) },
            // SAFETY: as above.
            None => unsafe {
                self.engine
                    .write_back(self.address(range), range.len_bytes as usize);
            },
        }
    }

    fn sync(&self, range: ByteRange) -> Result<(), DeviceError> {
        // Acquire: partners with the release below, so that whoever sees the flag also sees the
        // failed thread's stores; without it a report could precede what it reports on.
        if self.sync_failed.load(Ordering::Acquire) {
            return Err(DeviceError::SyncFailedBefore);
        }
        if range.len_bytes == 0 {
            return Ok(());
        }
        let ByteRange {
            offset_bytes,
            len_bytes,
        } = range;
        self.map
            .flush_range(offset_bytes as usize, len_bytes as usize)
            .map_err(|source| {
                self.sync_failed.store(true, Ordering::Release);
                DeviceError::Sync {
                    offset_bytes,
                    len_bytes,
                    source,
                }
            })
    }
}
