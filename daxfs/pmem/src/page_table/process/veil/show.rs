//! Showing units: installing translations of what lies under a veil.
//!
//! May be called from a signal handler. Touches the window's own addresses, and has the device make
//! pages that nobody has touched. Whoever calls holds the chunk's lock, shared or exclusive.

use rustix::io::Errno;

use super::Veiled;
use super::chunk::Chunk;
use super::span::Span;
use crate::Device;
use crate::page_table::process::userfault::{Progress, Registered, Shown};
use crate::page_table::{Frame, Protection};
use crate::sys::{self, Permission, Populated};

/// Whether units could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Visible,
    /// The veil does not lie under all of them.
    NotVeiled,
}

impl Veiled {
    /// Installs translations of veiled units, or changes what those that are there allow.
    pub(super) fn show(
        &self,
        device: &Device,
        chunk: &Chunk,
        span: &Span,
        frame: Frame,
    ) -> Result<Outcome, Errno> {
        chunk.note_shown(&span.units);
        let (kind, shown) = match frame {
            Frame::Zero => (Registered::Zeroes, Shown::Full),
            Frame::Device { protection, .. } => {
                let is_less = protection == Protection::ReadOnly
                    && self.reservation.permission() == Permission::ReadWrite;
                let shown = if is_less {
                    Shown::Protected
                } else {
                    Shown::Full
                };
                (Registered::Memory, shown)
            }
        };
        let mut rest = self.addresses(span);
        let mut populated = None;
        while !rest.is_empty() {
            // SAFETY: units of this window, under which lies what `kind` says (Invariant 2).
            match unsafe { self.userfault.show(rest.clone(), kind, shown) }? {
                Progress::Done => break,
                Progress::NotRegistered => return Ok(Outcome::NotVeiled),
                Progress::Present(at) => {
                    if kind == Registered::Memory {
                        // Another thread was here first, or the frame allows less or more now.
                        // SAFETY: as above.
                        unsafe { self.userfault.protect(at..at + self.unit_bytes(), shown) }?;
                    }
                    rest.start = at + self.unit_bytes();
                }
                Progress::NoPage(at) if populated != Some(at) => {
                    self.make_page(device, at, span, frame)?;
                    populated = Some(at);
                    rest.start = at;
                }
                Progress::NoPage(_) => return Err(Errno::FAULT),
            }
        }
        Ok(Outcome::Visible)
    }

    /// Has the device make the page that is to be shown at an address: nobody has touched it yet,
    /// and the veil shows pages that are there only.
    pub(super) fn make_page(
        &self,
        device: &Device,
        address: usize,
        span: &Span,
        frame: Frame,
    ) -> Result<(), Errno> {
        let Frame::Device { offset_bytes, .. } = frame else {
            return Err(Errno::FAULT);
        };
        let behind_bytes = address - self.addresses(span).start;
        let page = device.page_address(offset_bytes + behind_bytes as u64);
        // SAFETY: a unit of the device's own mapping: the frame was checked to lie inside.
        match unsafe { sys::populate(page, self.unit_bytes(), Permission::Read) } {
            Populated::Ready => Ok(()),
            Populated::Faulting => Err(Errno::FAULT),
        }
    }
}
