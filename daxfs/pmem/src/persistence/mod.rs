//! What it takes to make stores durable: three back ends behind one engine, and one that records.
//!
//! | Submodule | Holds |
//! |---|---|
//! | `flush_x86`, `flush_aarch64`, `flush_other` | writing back cache lines, the store fence |
//! | `copy` | moving bytes by instructions that the compiler does not look into |
//! | `counts` | statistics that do not make threads share a cache line |
//! | `trace`, `recorder` | what was done, event by event, for tests of crashes |
//!
//! An `Engine` works on addresses that its caller has checked; it knows no offsets, no files and
//! no bounds. It takes no locks and may run in a signal handler. (The recorder has a mutex, and may
//! run there too.)

use std::fmt;

pub(crate) mod copy;
mod counts;
#[cfg(target_arch = "aarch64")]
#[path = "flush_aarch64.rs"]
mod flush;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
#[path = "flush_other.rs"]
mod flush;
#[cfg(target_arch = "x86_64")]
#[path = "flush_x86.rs"]
mod flush;
mod recorder;
mod trace;

pub use counts::PersistenceCounts;
pub(crate) use counts::{Counted, ShardedCounts};
pub(crate) use flush::{CACHE_LINE_BYTES, store_fence};
pub(crate) use recorder::{Recorder, Target};
pub use trace::{Action, Event, Mark, Moment, ThreadNumber};

use flush::FlushInstruction;

/// The back end that makes stores durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// Cache lines are written back by instructions and ordered by a store fence. Safe against a
    /// power failure on persistent memory that is mapped with `MAP_SYNC`, and only there.
    Hardware,
    /// `msync`: safe against a power failure wherever the file's filesystem and disk are.
    Msync,
    /// Nothing is made durable; a fence only orders. For memory that dies with the process.
    Volatile,
}

impl fmt::Display for Persistence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hardware => "hardware",
            Self::Msync => "msync",
            Self::Volatile => "volatile",
        })
    }
}

/// From this length on the hardware back end streams past the cache; below it no whole line can be
/// filled, so it copies through the cache and writes the lines back. `copy` has the measurement.
const STREAM_FROM_BYTES: usize = CACHE_LINE_BYTES;

/// Moves bytes to a device and writes their cache lines back as the back end wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Hardware(FlushInstruction),
    /// The hardware's place is taken by a [`Recorder`], which moves the bytes itself.
    Recorded,
    Msync,
    Volatile,
}

impl Engine {
    /// The engine for `persistence`, or nothing where the processor has no flush instruction.
    pub(crate) fn new(persistence: Persistence) -> Option<Self> {
        Some(match persistence {
            Persistence::Hardware => Self::Hardware(FlushInstruction::detect()?),
            Persistence::Msync => Self::Msync,
            Persistence::Volatile => Self::Volatile,
        })
    }

    pub(crate) fn persistence(self) -> Persistence {
        match self {
            Self::Hardware(_) | Self::Recorded => Persistence::Hardware,
            Self::Msync => Persistence::Msync,
            Self::Volatile => Persistence::Volatile,
        }
    }

    /// The name of the instruction in use, or of what stands for it, for reports.
    pub(crate) fn instruction(self) -> Option<&'static str> {
        match self {
            Self::Hardware(instruction) => Some(instruction.name()),
            Self::Recorded => Some("recorded"),
            Self::Msync | Self::Volatile => None,
        }
    }

    /// Copies so that a fence alone makes the bytes durable.
    ///
    /// # Safety
    /// `source` is readable and `target` writable for `len_bytes`, and they do not overlap.
    pub(crate) unsafe fn copy(self, target: *mut u8, source: *const u8, len_bytes: usize) {
        match self {
            Self::Hardware(_) if len_bytes >= STREAM_FROM_BYTES => {
                // SAFETY: the caller vouches for both ranges.
                let edges = unsafe { copy::streaming(target, source, len_bytes) };
                // SAFETY: the edges lie inside the range.
                unsafe { self.write_back_edges(target, len_bytes, edges) };
            }
            Self::Hardware(_) => {
                // SAFETY: the caller vouches for both ranges.
                unsafe { copy::cached(target, source, len_bytes) };
                // SAFETY: the caller vouches for the range.
                unsafe { self.write_back(target, len_bytes) };
            }
            Self::Recorded | Self::Msync | Self::Volatile => {
                // SAFETY: the caller vouches for both ranges.
                unsafe { copy::cached(target, source, len_bytes) };
            }
        }
    }

    /// Zeroes so that a fence alone makes the zeroes durable.
    ///
    /// # Safety
    /// `target` is writable for `len_bytes`.
    pub(crate) unsafe fn zero(self, target: *mut u8, len_bytes: usize) {
        match self {
            Self::Hardware(_) if len_bytes >= STREAM_FROM_BYTES => {
                // SAFETY: the caller vouches for the range.
                let edges = unsafe { copy::streaming_zero(target, len_bytes) };
                // SAFETY: the edges lie inside the range.
                unsafe { self.write_back_edges(target, len_bytes, edges) };
            }
            Self::Hardware(_) => {
                // SAFETY: the caller vouches for the range.
                unsafe { copy::cached_zero(target, len_bytes) };
                // SAFETY: the caller vouches for the range.
                unsafe { self.write_back(target, len_bytes) };
            }
            Self::Recorded | Self::Msync | Self::Volatile => {
                // SAFETY: the caller vouches for the range.
                unsafe { copy::cached_zero(target, len_bytes) };
            }
        }
    }

    /// Starts writing back the cache lines of `[address, address + len_bytes)`.
    ///
    /// # Safety
    /// The range is mapped.
    pub(crate) unsafe fn write_back(self, address: *const u8, len_bytes: usize) {
        if let Self::Hardware(instruction) = self
            && len_bytes > 0
        {
            // SAFETY: the caller vouches for the range.
            unsafe { instruction.write_back(address, len_bytes) };
        }
    }

    /// # Safety
    /// `target` is mapped for `len_bytes`, and `edges` came from a copy of that length.
    unsafe fn write_back_edges(
        self,
        target: *const u8,
        len_bytes: usize,
        edges: copy::CachedEdges,
    ) {
        // SAFETY: the head lies inside the range.
        unsafe { self.write_back(target, edges.head_bytes) };
        let tail = target.wrapping_add(len_bytes - edges.tail_bytes);
        // SAFETY: the tail lies inside the range.
        unsafe { self.write_back(tail, edges.tail_bytes) };
    }
}
