//! Windows of the process's own addresses: loads and stores by pointer, at the processor's speed.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `window` | a window as its faults see it |
//! | `frames` | its frames, by one of two mechanisms |
//! | `reservation` | its addresses, and frames that are mappings of their own there |
//! | `veil` | large mappings under veils, whose pages are shown one by one |
//! | `userfault` | the system calls of the veil |
//! | `ballast` | mappings in reserve, so that revoking never fails for want of one |
//! | `registry` | finding the window of an address, from a signal handler |
//! | `signal` | `SIGBUS` and `SIGSEGV` |
//! | `context` | what the processor's state at a fault says |
//! | `copy` | copies that end early instead of killing the process |
//!
//! Ownership: `ProcessPageTable` -> `Window` -> `Frames` -> `Reservation`. The registry has weak
//! handles only; a signal handler holds a strong one for as long as it works. Dropping the table
//! takes the window out of the registry first; the addresses go when the last of these lets go.
//!
//! # Locking
//! With mappings of their own, none but the kernel's lock of the address space, which every change
//! of a window takes: threads that change windows of one process all the time wait for each other
//! there. With veils, a lock for each chunk of 512 pages, and that of the kernel exclusive only
//! when mappings of the chunk change.

use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use super::{
    AccessError, FaultHandler, Frame, MappingMechanism, PageTable, PageTableCounts, PageTableError,
    Protection,
};
use crate::Device;

mod ballast;
mod context;
mod copy;
mod frames;
mod registry;
mod reservation;
mod signal;
mod userfault;
mod veil;
mod window;

use frames::{Choice, Frames};
use registry::Registry;
use window::Window;

/// What a signal handler finds for an address.
#[derive(Clone, Debug)]
struct Registered {
    window: Weak<Window>,
    frames: Weak<Frames>,
}

#[cfg(not(loom))]
static WINDOWS: Registry<Registered> = Registry::new();
#[cfg(loom)]
loom::lazy_static! {
    static ref WINDOWS: Registry<Registered> = Registry::new();
}

/// A window of the process's own addresses.
///
/// Loads and stores through [`as_ptr`](PageTable::as_ptr) fault to the handler, for as long as the
/// table lives; afterwards they kill the process. Addresses given to system calls do not fault: the
/// call fails with `EFAULT` unless the pages have been touched before.
///
/// The first table installs handlers for `SIGBUS` and `SIGSEGV` that pass on what is not theirs.
/// Whoever installs handlers later has to pass on in the same way.
///
/// # Locking
/// No method holds anything while the handler runs or the caller's buffer is touched.
pub struct ProcessPageTable {
    window: Arc<Window>,
}

impl ProcessPageTable {
    /// A window of `len_pages` pages of 4 KiB without frames, whose faults go to `handler`, by the
    /// fastest mechanism that this device and this kernel allow.
    ///
    /// `protection` bounds what any frame allows. The handler is owned by the table, so it must not
    /// own the table in turn.
    ///
    /// # Errors
    /// [`PageTableError::BadLength`], [`PageTableError::TooManyMappings`], or what the kernel says.
    pub fn new(
        device: Arc<Device>,
        len_pages: u64,
        handler: Arc<dyn FaultHandler>,
        protection: Protection,
    ) -> Result<Arc<Self>, PageTableError> {
        Self::make(device, len_pages, handler, protection, Choice::Fastest)
    }

    /// The same by a given mechanism.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`PageTableError::MechanismUnavailable`].
    pub fn with_mechanism(
        device: Arc<Device>,
        len_pages: u64,
        handler: Arc<dyn FaultHandler>,
        protection: Protection,
        mechanism: MappingMechanism,
    ) -> Result<Arc<Self>, PageTableError> {
        let choice = Choice::This(mechanism);
        Self::make(device, len_pages, handler, protection, choice)
    }

    /// The mechanism that [`new`](Self::new) takes for this device, on this kernel.
    #[must_use]
    pub fn fastest_mechanism(device: &Device) -> MappingMechanism {
        frames::fastest(device)
    }

    /// How frames are put under the pages.
    #[must_use]
    pub fn mechanism(&self) -> MappingMechanism {
        self.window.mechanism()
    }

    fn make(
        device: Arc<Device>,
        len_pages: u64,
        handler: Arc<dyn FaultHandler>,
        protection: Protection,
        choice: Choice,
    ) -> Result<Arc<Self>, PageTableError> {
        let install = |source| PageTableError::Io {
            operation: "handle the faults of",
            source,
        };
        signal::install().map_err(install)?;
        ballast::fill();
        let window = Arc::new(Window::new(device, len_pages, handler, protection, choice)?);
        let frames = window.frames();
        WINDOWS.insert(
            frames.start().addr().get()..frames.end(),
            Registered {
                window: Arc::downgrade(&window),
                frames: Arc::downgrade(frames),
            },
        );
        Ok(Arc::new(Self { window }))
    }
}

impl Drop for ProcessPageTable {
    fn drop(&mut self) {
        WINDOWS.remove(self.window.frames().start().addr().get());
    }
}

impl PageTable for ProcessPageTable {
    fn len_pages(&self) -> u64 {
        self.window.len_pages()
    }

    fn map(&self, first_page: u64, len_pages: u64, frame: Frame) -> Result<(), PageTableError> {
        self.window.map(first_page, len_pages, frame)
    }

    fn unmap(&self, first_page: u64, len_pages: u64) -> Result<(), PageTableError> {
        self.window.unmap(first_page, len_pages)
    }

    fn load(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        self.window.load(offset_bytes, buffer)
    }

    fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), AccessError> {
        self.window.store(offset_bytes, bytes)
    }

    fn as_ptr(&self) -> Option<NonNull<u8>> {
        self.window.as_ptr()
    }

    fn counts(&self) -> PageTableCounts {
        self.window.counts()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
