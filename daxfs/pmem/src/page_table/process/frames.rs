//! The frames of a window, by one mechanism or the other.
//!
//! Everything but `new` may be called from a signal handler. Touches the window's own addresses.
//! Takes the locks of the mechanism: see `reservation` and `veil`.

use std::ptr::NonNull;

use rustix::io::Errno;

use super::reservation::Reservation;
use super::userfault::Userfault;
use super::veil::Veiled;
use crate::page_table::{Access, Frame, MappingMechanism, PageTableError, Protection, frame};
use crate::sys::Permission;
use crate::{Backing, Device};

/// A window's addresses and what lies there.
#[derive(Debug)]
pub(super) enum Frames {
    Remapped(Reservation),
    Veiled(Veiled),
}

/// Which mechanism a window asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Fastest,
    This(MappingMechanism),
}

/// What [`Choice::Fastest`] comes to.
pub(super) fn fastest(device: &Device) -> MappingMechanism {
    match userfault_for(device) {
        Some(_) => MappingMechanism::Userfault,
        None => MappingMechanism::Remap,
    }
}

impl Frames {
    /// Reserves the addresses of a window.
    pub(super) fn new(
        device: &Device,
        len_pages: u64,
        protection: Protection,
        choice: Choice,
    ) -> Result<Self, PageTableError> {
        frame::check_window(device, len_pages)?;
        let userfault = match choice {
            Choice::This(MappingMechanism::Remap) => None,
            Choice::Fastest => userfault_for(device),
            Choice::This(mechanism) => Some(
                userfault_for(device).ok_or(PageTableError::MechanismUnavailable { mechanism })?,
            ),
        };
        let unit_bytes = device.mapping_granule_bytes();
        let reservation = Reservation::new(len_pages, protection, unit_bytes)
            .map_err(|errno| super::window::failed("reserve", errno))?;
        Ok(match userfault {
            Some(userfault) => Self::Veiled(Veiled::new(reservation, userfault, unit_bytes)),
            None => Self::Remapped(reservation),
        })
    }

    pub(super) fn mechanism(&self) -> MappingMechanism {
        match self {
            Self::Remapped(_) => MappingMechanism::Remap,
            Self::Veiled(_) => MappingMechanism::Userfault,
        }
    }

    fn reservation(&self) -> &Reservation {
        match self {
            Self::Remapped(reservation) => reservation,
            Self::Veiled(veiled) => veiled.reservation(),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.reservation().start()
    }

    /// One past the last address.
    pub(super) fn end(&self) -> usize {
        self.reservation().end()
    }

    /// The most that any frame allows.
    pub(super) fn permission(&self) -> Permission {
        self.reservation().permission()
    }

    /// The page of the window that an address inside it lies in.
    pub(super) fn page_of(&self, address: usize) -> u64 {
        self.reservation().page_of(address)
    }

    /// Puts a frame, which was checked, under whole granules.
    pub(super) fn place(
        &self,
        device: &Device,
        first_page: u64,
        len_pages: u64,
        frame: Frame,
    ) -> Result<(), Errno> {
        match self {
            Self::Remapped(reservation) => reservation.place(device, first_page, len_pages, frame),
            Self::Veiled(veiled) => veiled.place(device, first_page, len_pages, frame),
        }
    }

    /// Takes the frames from a range of whole granules.
    pub(super) fn revoke(
        &self,
        device: &Device,
        first_page: u64,
        len_pages: u64,
    ) -> Result<(), Errno> {
        match self {
            Self::Remapped(reservation) => reservation.revoke(first_page, len_pages),
            Self::Veiled(veiled) => veiled.revoke_range(device, first_page, len_pages),
        }
    }

    /// Takes the frames from the whole window, though the process may have no mapping more.
    pub(super) fn revoke_all(&self) -> Result<(), Errno> {
        match self {
            Self::Remapped(reservation) => reservation.revoke_all().map(drop),
            Self::Veiled(veiled) => veiled.revoke_all(),
        }
    }

    /// Deals with an access that raised `SIGSEGV`: repeated, it raises `SIGBUS` or succeeds.
    pub(super) fn revoke_at(&self, address: usize, access: Access) -> Result<(), Errno> {
        match self {
            Self::Remapped(reservation) => reservation.revoke_at(address),
            Self::Veiled(veiled) => veiled.revoke_at(address, access),
        }
    }

    /// Whether the next access of a page, if it cannot proceed, is a fault of ours in any case, so
    /// that nothing is gained from trying it.
    pub(super) fn is_veiled(&self, page: u64) -> bool {
        match self {
            Self::Remapped(_) => false,
            Self::Veiled(veiled) => veiled.is_veiled(page),
        }
    }

    /// Forbids every access, as when the process may have no mapping more.
    #[cfg(all(test, not(loom)))]
    pub(super) fn forbid(&self) -> Result<(), Errno> {
        match self {
            Self::Remapped(reservation) => reservation.forbid(),
            Self::Veiled(veiled) => veiled.forbid(),
        }
    }
}

/// The kernel's `userfaultfd`, if it has one that can veil the pages of this device.
fn userfault_for(device: &Device) -> Option<&'static Userfault> {
    match device.backing() {
        Backing::Memfd | Backing::HugeMemfd => Userfault::get(),
        Backing::File => None,
    }
}
