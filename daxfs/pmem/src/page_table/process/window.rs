//! A window as its faults see it: what is mapped where, and who resolves what is not.
//!
//! Touches its own addresses. Takes no locks but the kernel's.

use std::ptr::NonNull;
use std::sync::Arc;

use rustix::io::Errno;

use super::copy::{Report, tolerant_copy};
use super::frames::{Choice, Frames};
use crate::page_table::{
    Access, AccessCause, AccessError, Counters, Event, Fault, FaultError, FaultHandler, Frame,
    MappingMechanism, PageTable, PageTableCounts, PageTableError, Protection, frame,
};
use crate::sys::{self, Permission, Populated};
use crate::{Device, PAGE_BYTES};

/// How often a fault is delivered again when its page cannot be accessed after all. Losing the page
/// to a revocation so often in a row does not happen; what does is a device that cannot read the
/// page, or a host that has no space for it.
const ATTEMPTS: u32 = 64;

/// A window, owned by its [`ProcessPageTable`](super::ProcessPageTable) and, for the time of a
/// fault, by the signal handler.
pub(super) struct Window {
    device: Arc<Device>,
    frames: Arc<Frames>,
    len_pages: u64,
    handler: Arc<dyn FaultHandler>,
    counters: Counters,
}

impl Window {
    pub(super) fn new(
        device: Arc<Device>,
        len_pages: u64,
        handler: Arc<dyn FaultHandler>,
        protection: Protection,
        choice: Choice,
    ) -> Result<Self, PageTableError> {
        let frames = Arc::new(Frames::new(&device, len_pages, protection, choice)?);
        Ok(Self {
            device,
            frames,
            len_pages,
            handler,
            counters: Counters::default(),
        })
    }

    pub(super) fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    pub(super) fn mechanism(&self) -> MappingMechanism {
        self.frames.mechanism()
    }

    /// Resolves a fault at an address inside the window. Called from the signal handler.
    pub(super) fn resolve(&self, address: usize, access: Access) -> Result<(), FaultError> {
        let permission = match access {
            Access::Read => Permission::Read,
            Access::Write => Permission::ReadWrite,
        };
        let window_page = self.frames.page_of(address);
        let page_offset_bytes = (window_page * PAGE_BYTES) as usize;
        let page = self.frames.start().as_ptr().wrapping_add(page_offset_bytes);
        for _ in 0..ATTEMPTS {
            self.counters.count(Event::Fault);
            self.handler.fault(
                self,
                Fault {
                    window_page,
                    access,
                },
            )?;
            if self.frames.is_veiled(window_page) {
                // Shown, or taken away again at once: the access tells which, and in memory there
                // is no third.
                return Ok(());
            }
            // The access would bring the page in by a fault of the kernel's; doing it here costs no
            // more and tells a page that the device cannot deliver from one that was revoked.
            // SAFETY: a page of the window, whose addresses belong to the reservation.
            let populated = unsafe { sys::populate(page, PAGE_BYTES as usize, permission) };
            if populated == Populated::Ready {
                return Ok(());
            }
        }
        Err(FaultError::Device)
    }

    /// The address of a byte that was checked to lie in the window.
    fn address(&self, offset_bytes: u64) -> *mut u8 {
        self.frames
            .start()
            .as_ptr()
            .wrapping_add(offset_bytes as usize)
    }

    /// What a tolerant copy that began at `offset_bytes` amounts to.
    fn outcome(
        &self,
        offset_bytes: u64,
        len_bytes: usize,
        left_bytes: usize,
        report: &Report,
    ) -> Result<(), AccessError> {
        let Some((address, error)) = report.failure else {
            debug_assert_eq!(left_bytes, 0, "a copy ends early only with a failure");
            return Ok(());
        };
        let window = self.frames.start().addr().get()..self.frames.end();
        let cause = if window.contains(&address) {
            AccessCause::Fault(error)
        } else {
            AccessCause::Buffer(error)
        };
        let offset_bytes = offset_bytes + (len_bytes - left_bytes) as u64;
        Err(AccessError {
            offset_bytes,
            cause,
        })
    }
}

impl PageTable for Window {
    fn len_pages(&self) -> u64 {
        self.len_pages
    }

    fn map(&self, first_page: u64, len_pages: u64, frame: Frame) -> Result<(), PageTableError> {
        frame::check(&self.device, self.len_pages, first_page, len_pages, frame)?;
        self.counters.count(Event::Map);
        if len_pages == 0 {
            return Ok(());
        }
        let placed = self
            .frames
            .place(&self.device, first_page, len_pages, frame);
        placed.map_err(|errno| failed("map pages of", errno))
    }

    fn unmap(&self, first_page: u64, len_pages: u64) -> Result<(), PageTableError> {
        frame::check_pages(self.len_pages, first_page, len_pages)?;
        self.counters.count(Event::Unmap);
        let (first_page, len_pages) = frame::granule_hull(&self.device, first_page, len_pages);
        if len_pages == 0 {
            return Ok(());
        }
        // Splitting a mapping may be one too many. Revoking has to succeed all the same, and
        // revoking more than was asked for is allowed.
        self.frames
            .revoke(&self.device, first_page, len_pages)
            .or_else(|_| self.frames.revoke_all())
            .map_err(|errno| failed("unmap pages of", errno))
    }

    fn load(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        frame::check_access(self.len_pages, offset_bytes, buffer.len())?;
        let mut report = Report::default();
        let (target, source) = (buffer.as_mut_ptr(), self.address(offset_bytes));
        // SAFETY: the buffer is the caller's; the source was checked to lie in this window, which
        // is registered for faults as long as it can be reached.
        let left_bytes = unsafe { tolerant_copy(target, source, buffer.len(), &mut report) };
        self.outcome(offset_bytes, buffer.len(), left_bytes, &report)
    }

    fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), AccessError> {
        frame::check_access(self.len_pages, offset_bytes, bytes.len())?;
        if self.frames.permission() == Permission::Read && !bytes.is_empty() {
            let cause = AccessCause::Fault(FaultError::ReadOnly);
            return Err(AccessError {
                offset_bytes,
                cause,
            });
        }
        let mut report = Report::default();
        let (target, source) = (self.address(offset_bytes), bytes.as_ptr());
        // SAFETY: as in `load`, with the window as the target.
        let left_bytes = unsafe { tolerant_copy(target, source, bytes.len(), &mut report) };
        self.outcome(offset_bytes, bytes.len(), left_bytes, &report)
    }

    fn as_ptr(&self) -> Option<NonNull<u8>> {
        Some(self.frames.start())
    }

    fn counts(&self) -> PageTableCounts {
        self.counters.sample()
    }
}

pub(super) fn failed(operation: &'static str, errno: Errno) -> PageTableError {
    match errno {
        Errno::NOMEM => PageTableError::TooManyMappings,
        _ => PageTableError::Io {
            operation,
            source: errno.into(),
        },
    }
}
