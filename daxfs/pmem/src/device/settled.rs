//! [`Settled`]: the proof that bytes may be referred to by what is written next.
//!
//! A record that names a block must never become durable before the block's content. Where a fence
//! makes bytes durable that is a fence; with `msync` nobody wants to sync each block by itself, and
//! need not: whoever syncs the record syncs all data first. `Settled` is what both have in common,
//! so that whoever writes records can ask for it and take nothing less.
//!
//! ```text
//!   InFlight --settle--> Settled      hardware, volatile: a fence was executed
//!   Durable  --from----> Settled      msync: deferred to the sync that comes before the record's
//! ```
//!
//! Touches no memory but by fencing it. Takes no locks.

use super::bounds::ByteRange;
use super::tokens::{Durable, InFlight};
use super::{Device, DeviceError};
use crate::Persistence;

/// Bytes that come before whatever refers to them from now on.
///
/// Only [`Device::settle`] and a [`Durable`] make one.
///
/// ```
/// use daxfs_pmem::{Device, PersistenceChoice, Settled};
///
/// fn refer_to(content: &Settled) -> u64 {
///     content.offset_bytes()
/// }
///
/// # fn main() -> Result<(), daxfs_pmem::DeviceError> {
/// let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect)?;
/// let content = device.settle(device.copy(4096, b"content")?)?;
/// assert_eq!(refer_to(&content), 4096);
/// # Ok(())
/// # }
/// ```
///
/// What is still in flight cannot be referred to:
///
/// ```compile_fail,E0308
/// use daxfs_pmem::{Device, PersistenceChoice, Settled};
///
/// fn refer_to(_content: &Settled) {}
///
/// let device = Device::create_memfd(1 << 20, PersistenceChoice::Detect).unwrap();
/// refer_to(&device.copy(4096, b"content").unwrap()); // an `InFlight` is not a `Settled`
/// ```
///
/// And nobody else can say that it is settled:
///
/// ```compile_fail,E0451
/// # let range = unimplemented!();
/// let forged = daxfs_pmem::Settled { range };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "whoever refers to these bytes asks for it"]
pub struct Settled {
    range: ByteRange,
}

impl Settled {
    /// Where the bytes begin, in bytes from the start of the device.
    pub fn offset_bytes(&self) -> u64 {
        self.range.offset_bytes
    }

    /// How many bytes are settled.
    pub fn len_bytes(&self) -> u64 {
        self.range.len_bytes
    }

    /// Whether all of `len_bytes` bytes at `offset_bytes` are settled.
    pub fn covers(&self, offset_bytes: u64, len_bytes: u64) -> bool {
        let end_bytes = self.range.offset_bytes + self.range.len_bytes;
        offset_bytes >= self.range.offset_bytes
            && offset_bytes
                .checked_add(len_bytes)
                .is_some_and(|end| end <= end_bytes)
    }
}

impl From<Durable> for Settled {
    fn from(durable: Durable) -> Self {
        Self {
            range: durable.range,
        }
    }
}

impl Device {
    /// Makes sure that the bytes in flight come before whatever is written after this returns.
    ///
    /// On hardware they are durable then; on volatile memory they are ordered. With `msync` this
    /// leaves them to the next sync: whoever makes something durable that refers to them has to
    /// sync the whole device before storing it, since the kernel may write back stored pages
    /// earlier than it is asked to, in any order.
    ///
    /// # Errors
    /// As [`Device::fence`].
    pub fn settle(&self, in_flight: InFlight) -> Result<Settled, DeviceError> {
        match self.persistence() {
            Persistence::Hardware | Persistence::Volatile => self.fence(in_flight).map(Into::into),
            Persistence::Msync if in_flight.tag != self.tag => Err(DeviceError::ForeignToken),
            Persistence::Msync => {
                let range = in_flight.range;
                in_flight.defer();
                Ok(Settled { range })
            }
        }
    }
}
