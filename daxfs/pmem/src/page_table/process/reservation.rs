//! The addresses of a window: reserved as long as it lives, whether or not frames lie there.
//!
//! A page without a frame is a shared mapping of an empty file: any touch of it raises `SIGBUS`
//! with its address, and it is a load or a store as the program made it. The file is a memfd of
//! length zero, sealed for ever, one for the whole process; page `n` of a window maps page `n` of
//! it, so that the kernel joins neighbouring pages without frames into one mapping again.
//!
//! Mappings are not populated: on the machine of `persistence::copy` a page costs 1 to 3
//! microseconds whether it is brought in with `MAP_POPULATE`, `madvise` or by touching it, so
//! populating wins little, loses where not every page is touched, and dirties a file's pages.
//! Only the page of a fault is brought in at once, in place of the touch that follows.
//!
//! Everything but `new` may be called from a signal handler. Touches its own addresses. Takes no
//! locks but the kernel's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use super::ballast;
use crate::page_table::{Frame, Protection};
use crate::sys::{self, Permission, Synchrony};
use crate::{Device, HUGE_PAGE_BYTES, PAGE_BYTES};

/// How the frames of a whole window were taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    /// The empty file lies there.
    Replaced,
    /// Everything lies where it lay, and may not be accessed.
    Forbidden,
}

/// Reserved addresses, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    start: NonNull<u8>,
    len_bytes: usize,
    permission: Permission,
    granule_bytes: u64,
    empty: BorrowedFd<'static>,
}

// SAFETY: the address is only ever given to the kernel, which orders changes of mappings itself.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves addresses, aligned to huge pages so that the kernel can use them.
    pub(super) fn new(
        len_pages: u64,
        protection: Protection,
        granule_bytes: u64,
    ) -> Result<Self, Errno> {
        let empty = empty_file()?;
        let len_bytes = (len_pages * PAGE_BYTES) as usize;
        let start = sys::reserve_aligned(len_bytes, HUGE_PAGE_BYTES as usize)?;
        let permission = match protection {
            Protection::ReadOnly => Permission::Read,
            Protection::ReadWrite => Permission::ReadWrite,
        };
        let reservation = Self {
            start,
            len_bytes,
            permission,
            granule_bytes,
            empty,
        };
        reservation.revoke(0, len_pages)?;
        Ok(reservation)
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// One past the last address.
    pub(super) fn end(&self) -> usize {
        self.start.addr().get() + self.len_bytes
    }

    pub(super) fn len_pages(&self) -> u64 {
        self.len_bytes as u64 / PAGE_BYTES
    }

    pub(super) fn permission(&self) -> Permission {
        self.permission
    }

    /// The page of the window that an address inside it lies in.
    pub(super) fn page_of(&self, address: usize) -> u64 {
        (address - self.start.addr().get()) as u64 / PAGE_BYTES
    }

    /// Puts a frame into the window, as a mapping of its own.
    pub(super) fn place(
        &self,
        device: &Device,
        first_page: u64,
        len_pages: u64,
        frame: Frame,
    ) -> Result<(), Errno> {
        match frame {
            Frame::Zero => self.place_zeroes(first_page, len_pages),
            Frame::Device {
                offset_bytes,
                protection,
            } => {
                let permission = match protection {
                    Protection::ReadOnly => Permission::Read,
                    Protection::ReadWrite => self.permission,
                };
                self.place_device(first_page, len_pages, device, offset_bytes, permission)
            }
        }
    }

    /// Puts pages of the device into the window.
    fn place_device(
        &self,
        first_page: u64,
        len_pages: u64,
        device: &Device,
        offset_bytes: u64,
        permission: Permission,
    ) -> Result<(), Errno> {
        let (address, len_bytes) = self.span(first_page, len_pages);
        // SAFETY: `span` stays inside the window, whose addresses belong to `self`.
        let placed = unsafe {
            sys::map_shared_over(
                address,
                len_bytes,
                permission,
                device.fd(),
                offset_bytes,
                device.synchrony(),
            )
        };
        self.close_gap_after(placed, first_page, len_pages)
    }

    /// Puts pages of zeroes into the window.
    fn place_zeroes(&self, first_page: u64, len_pages: u64) -> Result<(), Errno> {
        let (address, len_bytes) = self.span(first_page, len_pages);
        // SAFETY: as in `place_device`.
        let placed = unsafe { sys::map_zeroes_over(address, len_bytes) };
        self.close_gap_after(placed, first_page, len_pages)
    }

    /// Takes the frames from a range of whole granules.
    pub(super) fn revoke(&self, first_page: u64, len_pages: u64) -> Result<(), Errno> {
        let (address, len_bytes) = self.span(first_page, len_pages);
        // SAFETY: as in `place_device`.
        unsafe {
            sys::map_shared_over(
                address,
                len_bytes,
                self.permission,
                self.empty,
                first_page * PAGE_BYTES,
                Synchrony::Ordinary,
            )
        }
    }

    /// Takes the frames from the granule that an address lies in.
    pub(super) fn revoke_at(&self, address: usize) -> Result<(), Errno> {
        let granule_pages = self.granule_bytes / PAGE_BYTES;
        let page = self.page_of(address);
        self.revoke(page - page % granule_pages, granule_pages)
    }

    /// Takes the frames from the whole window, though the process may have no mapping more.
    ///
    /// Replacing the window by one mapping needs none more, yet the kernel refuses it at the limit,
    /// so the reserve is spent on it. If other threads use that up, every access is forbidden,
    /// which needs no mapping at all: the next one is a `SIGSEGV`, whose handler puts the empty
    /// file under its page.
    pub(super) fn revoke_all(&self) -> Result<Revoked, Errno> {
        match ballast::with_room(|| self.revoke(0, self.len_pages())) {
            Ok(()) => Ok(Revoked::Replaced),
            Err(_) => self.forbid().map(|()| Revoked::Forbidden),
        }
    }

    /// Forbids every access to the window, for the `SIGSEGV` handler to allow page by page.
    pub(super) fn forbid(&self) -> Result<(), Errno> {
        // SAFETY: exactly the window, whose addresses belong to `self`.
        unsafe { sys::forbid_access(self.start.as_ptr(), self.len_bytes) }
    }

    /// A failed replacement may have removed what it was to replace, and the addresses must not be
    /// left for others to take.
    fn close_gap_after(
        &self,
        placed: Result<(), Errno>,
        first_page: u64,
        len_pages: u64,
    ) -> Result<(), Errno> {
        if placed.is_err() {
            // The first error is the one to report.
            let _ = self.revoke(first_page, len_pages);
        }
        placed
    }

    /// Where pages of the window lie, and how long they are.
    pub(super) fn span(&self, first_page: u64, len_pages: u64) -> (*mut u8, usize) {
        let offset_bytes = (first_page * PAGE_BYTES) as usize;
        let len_bytes = (len_pages * PAGE_BYTES) as usize;
        debug_assert!(offset_bytes + len_bytes <= self.len_bytes);
        (self.start.as_ptr().wrapping_add(offset_bytes), len_bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the window is gone, and with it everything that may use its addresses. Removing
        // whole mappings does not fail; if it did, addresses would leak and nothing else.
        let _ = unsafe { sys::unmap(self.start.as_ptr(), self.len_bytes) };
    }
}

/// The file of length zero that stands for every page without a frame.
fn empty_file() -> Result<BorrowedFd<'static>, Errno> {
    static EMPTY: OnceLock<OwnedFd> = OnceLock::new();
    if EMPTY.get().is_none() {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create(c"daxfs-absent", flags)?;
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        // Another thread may have been faster; then this file is closed again.
        let _ = EMPTY.set(file);
    }
    EMPTY.get().map(AsFd::as_fd).ok_or(Errno::BADF)
}
