//! Covering units: putting an underlay and its veil there.
//!
//! May be called from a signal handler. Touches the window's own addresses. Whoever calls holds the
//! chunk's lock exclusive.

use std::ops::Range;

use rustix::io::Errno;

use super::Veiled;
use super::chunk::{State, Underlay};
use super::span::Span;
use crate::page_table::process::userfault::Registered;
use crate::sys::{self, Permission, Source};
use crate::{Device, PAGE_BYTES};

impl Veiled {
    /// Puts the chunk's underlay and its veil under units, whatever lies there.
    pub(super) fn cover_span(
        &self,
        device: &Device,
        state: &mut State,
        span: &Span,
    ) -> Result<(), Errno> {
        match self.cover(device, span, state.underlay) {
            Ok(()) => state.apart.remove(&span.units),
            Err(errno) => {
                state.apart.insert(&span.units);
                // What matters is that nothing of what was half done can be reached.
                let _ = self.revoke(span);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Puts an underlay and its veil under units: see the diagram of the module.
    pub(super) fn cover(
        &self,
        device: &Device,
        span: &Span,
        underlay: Underlay,
    ) -> Result<(), Errno> {
        let pages = self.pages(span);
        let (shown_pages, kind) = match underlay {
            Underlay::Nothing => return self.revoke(span),
            Underlay::Zeroes => (pages.clone(), Registered::Zeroes),
            Underlay::Device { displacement_bytes } => {
                let on_device = self.pages_on(device, displacement_bytes);
                let first = pages.start.max(on_device.start);
                let shown = first..pages.end.min(on_device.end).max(first);
                (shown, Registered::Memory)
            }
        };
        if shown_pages != pages {
            self.revoke(span)?;
        }
        if shown_pages.is_empty() {
            return Ok(());
        }
        let first_bytes = shown_pages.start * PAGE_BYTES;
        let (source, permission) = match underlay {
            Underlay::Device { displacement_bytes } => {
                let source = Source::File {
                    fd: device.fd(),
                    offset_bytes: first_bytes.wrapping_add_signed(displacement_bytes),
                };
                (source, self.reservation.permission())
            }
            _ => (Source::Zeroes, Permission::Read),
        };
        let (start, len_bytes) = self
            .reservation
            .span(shown_pages.start, shown_pages.end - shown_pages.start);
        // SAFETY: pages of the window, whose addresses belong to the reservation.
        unsafe { sys::map_hidden_over(start, len_bytes, source) }?;
        let addresses = start.addr()..start.addr() + len_bytes;
        // SAFETY: as above; this is the mapping that was just made.
        unsafe { self.userfault.register(addresses, kind) }?;
        // SAFETY: as above.
        unsafe { sys::allow_access(start, len_bytes, permission) }
    }

    /// The pages of the window that have a place on the device at that displacement, in whole
    /// units.
    pub(super) fn pages_on(&self, device: &Device, displacement_bytes: i64) -> Range<u64> {
        // Displacements are multiples of a unit; a device may end within one.
        let unit_bytes = self.unit_bytes() as i64;
        let device_bytes = device.usable_bytes() as i64 / unit_bytes * unit_bytes;
        let page = |bytes: i64| bytes.max(0) as u64 / PAGE_BYTES;
        page(-displacement_bytes)..page(device_bytes - displacement_bytes)
    }
}
