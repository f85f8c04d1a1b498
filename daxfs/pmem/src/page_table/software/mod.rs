//! A page table that is walked by this crate.
//!
//! It needs nothing of the system, calls the handler as an ordinary function, and has no thread of
//! its own: with one thread at a time it is deterministic, which race schedules rely on. Touches
//! its entries and the device.
//!
//! # Locking
//! Takes the pin of one entry at a time (see `entry`), for the copy between the device and a bounce
//! buffer on the stack. The user's buffer, which may be a window that faults, is touched without
//! it. No pin is held while a handler runs.

use std::ops::Range;
use std::sync::Arc;

use super::{
    Access, AccessCause, AccessError, Counters, Event, Fault, FaultError, FaultHandler, Frame,
    PageTable, PageTableCounts, PageTableError, frame,
};
use crate::device::ByteRange;
use crate::persistence::copy;
use crate::{Device, PAGE_BYTES};

mod entry;

use entry::{DEVICE_LIMIT_BYTES, Entry, Translation};

/// The most that is copied under one pin. Small enough for the 8 KiB stacks of signal handlers.
const BOUNCE_BYTES: usize = 1024;

/// A window whose translations are looked up by software.
///
/// It keeps the granule of the device as a [`ProcessPageTable`](super::ProcessPageTable) does, so
/// that what works here works there.
///
/// # Locking
/// No method holds anything while the handler runs or the caller's buffer is touched.
pub struct SoftwarePageTable {
    device: Arc<Device>,
    entries: Box<[Entry]>,
    handler: Arc<dyn FaultHandler>,
    counters: Counters,
}

impl SoftwarePageTable {
    /// A window of `len_pages` pages of 4 KiB, all absent, whose faults go to `handler`.
    ///
    /// The handler is owned by the table, so it must not own the table in turn.
    ///
    /// # Errors
    /// [`PageTableError::BadLength`]; [`PageTableError::OutOfDevice`] for a device of more than
    /// 2^48 bytes, which an entry cannot name.
    pub fn new(
        device: Arc<Device>,
        len_pages: u64,
        handler: Arc<dyn FaultHandler>,
    ) -> Result<Arc<Self>, PageTableError> {
        frame::check_window(&device, len_pages)?;
        if device.len_bytes() > DEVICE_LIMIT_BYTES {
            let len_bytes = device.len_bytes();
            return Err(PageTableError::OutOfDevice {
                offset_bytes: 0,
                len_bytes,
            });
        }
        let entries = (0..len_pages).map(|_| Entry::absent()).collect();
        Ok(Arc::new(Self {
            device,
            entries,
            handler,
            counters: Counters::default(),
        }))
    }

    fn deliver(&self, window_page: u64, access: Access) -> Result<(), FaultError> {
        self.counters.count(Event::Fault);
        self.handler.fault(
            self,
            Fault {
                window_page,
                access,
            },
        )
    }

    /// Runs `copy` on the device's bytes of `piece` while its page is pinned, resolving faults
    /// until it can be. There are none for zeroes.
    fn with_page(
        &self,
        piece: &Piece,
        access: Access,
        mut copy: impl FnMut(Option<ByteRange>),
    ) -> Result<(), AccessError> {
        loop {
            if let Some(pin) = self.entries[piece.page as usize].pin(access) {
                copy(pin.device_offset_bytes.map(|page_offset_bytes| ByteRange {
                    offset_bytes: page_offset_bytes + piece.in_page_bytes as u64,
                    len_bytes: piece.buffer.len() as u64,
                }));
                return Ok(());
            }
            self.deliver(piece.page, access)
                .map_err(|error| AccessError {
                    offset_bytes: piece.page * PAGE_BYTES + piece.in_page_bytes as u64,
                    cause: AccessCause::Fault(error),
                })?;
        }
    }
}

impl PageTable for SoftwarePageTable {
    fn len_pages(&self) -> u64 {
        self.entries.len() as u64
    }

    fn map(&self, first_page: u64, len_pages: u64, frame: Frame) -> Result<(), PageTableError> {
        frame::check(&self.device, self.len_pages(), first_page, len_pages, frame)?;
        self.counters.count(Event::Map);
        let entries = &self.entries[first_page as usize..][..len_pages as usize];
        for (index, entry) in (0..).zip(entries) {
            entry.replace(Translation::of_page(frame, index));
        }
        Ok(())
    }

    fn unmap(&self, first_page: u64, len_pages: u64) -> Result<(), PageTableError> {
        frame::check_pages(self.len_pages(), first_page, len_pages)?;
        self.counters.count(Event::Unmap);
        let (first_page, len_pages) = frame::granule_hull(&self.device, first_page, len_pages);
        for entry in &self.entries[first_page as usize..][..len_pages as usize] {
            entry.clear();
        }
        Ok(())
    }

    fn load(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        frame::check_access(self.len_pages(), offset_bytes, buffer.len())?;
        let mut bounce = [0; BOUNCE_BYTES];
        for piece in pieces(offset_bytes, buffer.len()) {
            let bounce = &mut bounce[..piece.buffer.len()];
            self.with_page(&piece, Access::Read, |device| match device {
                // SAFETY: the piece lies in one page of the device, pinned by `with_page`; the
                // bounce buffer is as long as the piece.
                Some(source) => unsafe {
                    copy::cached(
                        bounce.as_mut_ptr(),
                        self.device.address(source),
                        bounce.len(),
                    );
                },
                None => bounce.fill(0),
            })?;
            let target = buffer[piece.buffer].as_mut_ptr();
            // SAFETY: both buffers have the length of the piece. The target may be a window, hence
            // an opaque copy instead of `copy_from_slice`.
            unsafe { copy::cached(target, bounce.as_ptr(), bounce.len()) };
        }
        Ok(())
    }

    fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), AccessError> {
        frame::check_access(self.len_pages(), offset_bytes, bytes.len())?;
        let mut bounce = [0; BOUNCE_BYTES];
        for piece in pieces(offset_bytes, bytes.len()) {
            let bounce = &mut bounce[..piece.buffer.len()];
            let source = bytes[piece.buffer.clone()].as_ptr();
            // SAFETY: both buffers have the length of the piece. The source may be a window, hence
            // an opaque copy instead of `copy_from_slice`.
            unsafe { copy::cached(bounce.as_mut_ptr(), source, bounce.len()) };
            self.with_page(&piece, Access::Write, |device| {
                let target = device.expect("zeroes are never pinned for a store");
                // SAFETY: the piece lies in one page of the device, pinned by `with_page`, and a
                // page that may be stored to lies on a device that may be.
                unsafe { self.device.store_cached(target, bounce.as_ptr()) };
            })?;
        }
        Ok(())
    }

    fn as_ptr(&self) -> Option<std::ptr::NonNull<u8>> {
        None
    }

    fn counts(&self) -> PageTableCounts {
        self.counters.sample()
    }
}

/// A part of an access that lies in one page and fits the bounce buffer.
struct Piece {
    page: u64,
    in_page_bytes: usize,
    /// Which bytes of the caller's buffer it is.
    buffer: Range<usize>,
}

fn pieces(offset_bytes: u64, len_bytes: usize) -> impl Iterator<Item = Piece> {
    let mut done_bytes = 0;
    std::iter::from_fn(move || {
        if done_bytes == len_bytes {
            return None;
        }
        let position_bytes = offset_bytes + done_bytes as u64;
        let in_page_bytes = (position_bytes % PAGE_BYTES) as usize;
        let page_left_bytes = PAGE_BYTES as usize - in_page_bytes;
        let piece_bytes = (len_bytes - done_bytes)
            .min(page_left_bytes)
            .min(BOUNCE_BYTES);
        let buffer = done_bytes..done_bytes + piece_bytes;
        done_bytes = buffer.end;
        Some(Piece {
            page: position_bytes / PAGE_BYTES,
            in_page_bytes,
            buffer,
        })
    })
}
