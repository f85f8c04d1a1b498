//! The bytes of a device, their persistence, and page tables that map them.
//!
//! This crate is the lowest layer of the filesystem and the home of its `unsafe` code. It knows
//! three things and nothing above them (no inodes, no logs, no directories):
//!
//! | Module | Knows |
//! |---|---|
//! | [`device`] | an image that is mapped whole, bounded reads and stores, who may open it |
//! | [`persistence`] | the back end that makes stores durable: flushes, `msync`, nothing, or a record |
//! | [`page_table`] | windows: mappings of device pages whose faults are delivered to a handler |
//!
//! Imports run one way: `page_table` -> `device` -> `persistence` -> `sys`, `shard`.
//!
//! # Whether bytes are durable is a type
//! A store gives a [`Dirty`] token, flushing it an [`InFlight`] one, and a fence a [`Durable`] one.
//! Only [`Device::fence`] makes a [`Durable`], so a function that takes `&Durable` cannot be called
//! too early.
//!
//! ```
//! use daxfs_pmem::{Device, Durable, PersistenceChoice};
//!
//! fn publish(device: &Device, payload: &Durable) -> Result<(), daxfs_pmem::DeviceError> {
//!     assert_eq!(payload.len_bytes(), 5);
//!     let commit = device.store(0, &1u64.to_le_bytes())?;
//!     device.fence(device.flush(commit))?;
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect)?;
//! let payload = device.copy(4096, b"hello")?;
//! publish(&device, &device.fence(payload)?)?;
//! # Ok(())
//! # }
//! ```
//!
//! What has not been fenced cannot be passed off as durable:
//!
//! ```compile_fail,E0308
//! use daxfs_pmem::{Device, Durable, PersistenceChoice};
//!
//! fn publish(_device: &Device, _payload: &Durable) {}
//!
//! let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect).unwrap();
//! let payload = device.copy(4096, b"hello").unwrap();
//! publish(&device, &payload); // an `InFlight` is not a `Durable`
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!(
    "daxfs-pmem needs Linux: memfd_create, MAP_SYNC and the layout of its signal frames"
);
#[cfg(not(target_pointer_width = "64"))]
compile_error!("daxfs-pmem maps whole devices, which needs 64-bit addresses");

pub mod device;
pub mod page_table;
pub mod persistence;
mod shard;
mod sys;

pub use device::{
    Backing, Device, DeviceAccess, DeviceError, Dirty, Durable, InFlight, PersistenceChoice,
    Recording, Settled,
};
pub use page_table::{
    Access, AccessCause, AccessError, Fault, FaultError, FaultHandler, Frame, MappingMechanism,
    PageTable, PageTableCounts, PageTableError, ProcessPageTable, Protection, SoftwarePageTable,
};
pub use persistence::{Action, Event, Mark, Moment, Persistence, PersistenceCounts, ThreadNumber};

/// The size of a page, the unit of [`page_table`] mappings, in bytes.
pub const PAGE_BYTES: u64 = 4096;

/// The size of a huge page, the mapping granule of [`Backing::HugeMemfd`], in bytes.
pub const HUGE_PAGE_BYTES: u64 = 2 << 20;
