//! What can go wrong with a window: with changing it, with accessing it, with resolving a fault.
//!
//! Touches nothing. Takes no locks.

use std::io;

use thiserror::Error;

use super::MappingMechanism;

/// Why a fault cannot be resolved; what a signal means to whoever makes the access.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultError {
    /// The page lies behind the end of the file.
    #[error("the page lies behind the end of the file")]
    BeyondEndOfFile,
    /// A hole was stored to, and the device has no block left for it.
    #[error("no space is left on the device for a page that was a hole")]
    NoSpace,
    /// The mapping, file or device may not be stored to.
    #[error("the mapping may only be read")]
    ReadOnly,
    /// The process or the kernel has no room for a translation, as when there are
    /// [`PageTableError::TooManyMappings`].
    #[error("the process has no memory or no mapping left for the page")]
    OutOfMemory,
    /// The device or what is stored on it is damaged.
    #[error("the device failed or is damaged")]
    Device,
}

/// Why an access ended before its last byte.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessCause {
    /// A fault of the window could not be resolved.
    #[error("{0}")]
    Fault(FaultError),
    /// The caller's buffer is itself a window, and a fault of that could not be resolved. Only a
    /// [`ProcessPageTable`](super::ProcessPageTable) can tell; a software one, like any ordinary
    /// access of such a buffer, dies of the signal.
    #[error("in the window that the buffer lies in: {0}")]
    Buffer(FaultError),
    /// The access reaches past the end of the window; nothing was accessed.
    #[error("the access reaches past the end of the window")]
    OutOfWindow,
}

/// An access that ended before its last byte.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[error("the access ended at byte {offset_bytes} of the window: {cause}")]
pub struct AccessError {
    /// The first byte that was not accessed, counted from the start of the window.
    pub offset_bytes: u64,
    /// Why.
    pub cause: AccessCause,
}

/// Why a window could not be made or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PageTableError {
    /// The window has no such pages.
    #[error(
        "pages {first_page} to {first_page} + {len_pages} lie outside a window of {window_pages}"
    )]
    OutOfWindow {
        /// The first page asked for.
        first_page: u64,
        /// How many were asked for.
        len_pages: u64,
        /// How many pages the window has.
        window_pages: u64,
    },
    /// The device can only be mapped in whole granules.
    #[error(
        "page {first_page}, {len_pages} pages or device offset {offset_bytes} is no multiple of \
         the granule of {granule_bytes} bytes: map whole granules"
    )]
    Granule {
        /// The first page asked for.
        first_page: u64,
        /// How many pages were asked for.
        len_pages: u64,
        /// The device offset asked for, in bytes; zero if none was.
        offset_bytes: u64,
        /// The granule, in bytes: [`Device::mapping_granule_bytes`](crate::Device).
        granule_bytes: u64,
    },
    /// The frame lies outside the device.
    #[error("{len_bytes} bytes at device offset {offset_bytes} lie outside the device")]
    OutOfDevice {
        /// Where the frame begins, in bytes.
        offset_bytes: u64,
        /// How long it is, in bytes.
        len_bytes: u64,
    },
    /// A frame to be stored to, on a device that is open for reading.
    #[error("the device is open for reading only: map its pages read-only")]
    ReadOnlyDevice,
    /// A window must have whole granules, one at least, and must fit into the address space.
    #[error(
        "a window of {len_pages} pages is not possible: \
         it must be a positive multiple of {granule_pages}"
    )]
    BadLength {
        /// The length asked for.
        len_pages: u64,
        /// How many pages the device's granule has.
        granule_pages: u64,
    },
    /// The process has as many mappings as the kernel allows it.
    #[error(
        "the process has too many mappings: unmap the window and let its pages fault again, or \
         raise the limit with `sysctl vm.max_map_count`"
    )]
    TooManyMappings,
    /// The mechanism that was asked for does not work with this device or this kernel.
    #[error(
        "this kernel or this device has no {} mappings: let the fastest mechanism be chosen",
        .mechanism.name()
    )]
    MechanismUnavailable {
        /// What was asked for.
        mechanism: MappingMechanism,
    },
    /// This processor's signal frames are not known.
    #[error("process page tables need x86-64 or 64-bit Arm: use a software page table")]
    UnsupportedProcessor,
    /// Any other failed system call.
    #[error("cannot {operation} a window")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
