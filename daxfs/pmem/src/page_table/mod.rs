//! Page tables: windows onto device pages, whose faults are delivered to a handler.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `software` | a table that this crate walks: deterministic, without help of the system |
//! | `process` | a window of the process's own addresses, mapped by the processor |
//! | `mechanism` | [`MappingMechanism`] |
//! | `frame` | checking what is to be mapped |
//! | `sync` | the atomics of the lock-free parts: the standard library's, or loom's |
//! | `error` | [`PageTableError`], [`AccessError`], [`FaultError`] |
//!
//! Both keep the same promises, and one suite of tests checks them on both:
//! - an access to a page without a suitable frame calls the [`FaultHandler`] on the thread that
//!   made the access, and repeats the access when it returns `Ok`;
//! - when [`PageTable::unmap`] or a [`PageTable::map`] that replaces frames returns, no access
//!   through an old translation is in flight or possible;
//! - dropping a translation that could be kept is always allowed: the next access faults again.
//!
//! # Locking
//! No lock is held while a handler runs or while a user's buffer is touched.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::shard;

mod error;
mod frame;
mod mechanism;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod process;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "process_unsupported.rs"]
mod process;
mod software;
mod sync;

pub use error::{AccessCause, AccessError, FaultError, PageTableError};
pub use mechanism::MappingMechanism;
pub use process::ProcessPageTable;
pub use software::SoftwarePageTable;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Load bytes.
    Read,
    /// Store bytes.
    Write,
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Loads; a store faults.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

/// What a page of a window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Zeroes that cannot be stored to: a hole of a file.
    Zero,
    /// Pages of the device.
    Device {
        /// Where on the device the first page lies, in bytes: a multiple of the granule.
        offset_bytes: u64,
        /// Whether they may be stored to.
        protection: Protection,
    },
}

/// An access that found no suitable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Which page of the window, counted in pages of 4 KiB from its start.
    pub window_page: u64,
    /// What the access wants to do.
    pub access: Access,
}

/// Resolves the faults of a window.
pub trait FaultHandler: Send + Sync {
    /// Maps a frame that lets the access proceed, or says why there is none.
    ///
    /// Called on the faulting thread. For a [`ProcessPageTable`] that is inside a signal handler,
    /// but on the thread's own stack and at a load or store of the window, as if the instruction
    /// had been a call: locks may be taken and memory allocated, provided that no code touches a
    /// window while it holds them. After `Ok` the access is repeated, so a handler that returns
    /// `Ok` without making progress is called for ever.
    ///
    /// # Errors
    /// A [`FaultError`] ends the access: as an [`AccessError`] of [`PageTable::load`] and
    /// [`PageTable::store`], as a signal for an access by pointer.
    fn fault(&self, table: &dyn PageTable, fault: Fault) -> Result<(), FaultError>;
}

/// How often a page table was changed and faulted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageTableCounts {
    /// Calls of [`PageTable::map`].
    pub maps: u64,
    /// Calls of [`PageTable::unmap`].
    pub unmaps: u64,
    /// Faults delivered to the handler.
    pub faults: u64,
}

/// A window onto device pages.
///
/// Pages are counted in 4 KiB from the start of the window, whatever the granule is.
pub trait PageTable: Send + Sync {
    /// The length of the window, in pages of 4 KiB.
    fn len_pages(&self) -> u64;

    /// Puts `frame` under `len_pages` pages, consecutive ones for [`Frame::Device`], and replaces
    /// what was there.
    ///
    /// When it returns no access through a replaced translation is in flight or possible. While it
    /// runs other threads may find the old frame, none, or the new one.
    ///
    /// # Errors
    /// [`PageTableError::OutOfWindow`], [`PageTableError::Granule`],
    /// [`PageTableError::OutOfDevice`], [`PageTableError::ReadOnlyDevice`];
    /// [`PageTableError::TooManyMappings`] if the process may have no more of them: unmapping
    /// everything and letting the pages fault again frees some.
    fn map(&self, first_page: u64, len_pages: u64, frame: Frame) -> Result<(), PageTableError>;

    /// Takes the frames from `len_pages` pages, and from the rest of each granule that they touch.
    ///
    /// When it returns no access through an old translation is in flight or possible.
    ///
    /// # Errors
    /// [`PageTableError::OutOfWindow`], [`PageTableError::TooManyMappings`].
    fn unmap(&self, first_page: u64, len_pages: u64) -> Result<(), PageTableError>;

    /// Loads bytes as a processor would: page by page, faulting where it must.
    ///
    /// # Errors
    /// An [`AccessError`] that says at which byte the access ended and why. The bytes before it
    /// have been loaded.
    fn load(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), AccessError>;

    /// Stores bytes as a processor would: page by page, faulting where it must.
    ///
    /// # Errors
    /// An [`AccessError`] that says at which byte the access ended and why. The bytes before it
    /// have been stored.
    fn store(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), AccessError>;

    /// The address of the window, if it is one of the process's own.
    fn as_ptr(&self) -> Option<NonNull<u8>>;

    /// How often the table was changed and faulted.
    fn counts(&self) -> PageTableCounts;
}

/// As many threads as fault one window at a time, and a kilobyte.
const SHARDS: usize = 8;

/// The counters behind [`PageTableCounts`], sharded: a line that all faults of a window change
/// would cost as much as the rest of what threads share of it.
#[derive(Debug, Default)]
struct Counters {
    shards: [CachePadded<[AtomicU64; 3]>; SHARDS],
}

/// What happens to a page table.
#[derive(Clone, Copy, Debug)]
enum Event {
    Map,
    Unmap,
    Fault,
}

impl Counters {
    fn count(&self, event: Event) {
        let shard = &self.shards[shard::of_this_thread(SHARDS)];
        shard[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn sample(&self) -> PageTableCounts {
        let sum = |event: Event| {
            let shards = self.shards.iter();
            shards
                .map(|shard| shard[event as usize].load(Ordering::Relaxed))
                .sum()
        };
        PageTableCounts {
            maps: sum(Event::Map),
            unmaps: sum(Event::Unmap),
            faults: sum(Event::Fault),
        }
    }
}
