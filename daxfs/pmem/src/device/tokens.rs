//! Tokens that say in their type how far a store is on its way to being durable.
//!
//! ```text
//!   store ------> Dirty --flush--> InFlight --fence--> Durable
//!   copy, zero ---------------------^  |
//!   flush_range ---------------------  +--defer--> nothing (the next sync will see to it)
//! ```
//!
//! A token carries the range it speaks of and the device it belongs to. [`InFlight`] is not `Send`:
//! a store fence drains the flushes and streaming stores of the processor it runs on, so the thread
//! that started them has to fence them. (When the kernel moves a thread to another processor it
//! executes a full barrier on the way.) Touches no memory. Takes no locks.

use std::marker::PhantomData;
use std::sync::Arc;

use super::bounds::ByteRange;
use super::tag::DeviceTag;
use crate::persistence::{Recorder, store_fence};

/// Bytes that were stored but whose cache lines nobody has begun to write back.
#[derive(Debug)]
#[must_use = "stored bytes stay in the cache until `Device::flush` and `Device::fence`"]
pub struct Dirty {
    pub(super) tag: DeviceTag,
    pub(super) range: ByteRange,
}

/// Bytes on their way to the device: durable after the next fence of this thread.
///
/// ```compile_fail,E0277
/// # use daxfs_pmem::{Device, PersistenceChoice};
/// # let device = Device::create_memfd(4096, PersistenceChoice::Detect).unwrap();
/// let in_flight = device.copy(0, b"x").unwrap();
/// std::thread::spawn(move || in_flight.defer()); // another processor's fence would not help
/// ```
#[derive(Debug)]
#[must_use = "bytes in flight are durable only after `Device::fence`; `defer` says so on purpose"]
pub struct InFlight {
    pub(super) tag: DeviceTag,
    pub(super) range: ByteRange,
    deferral: Deferral,
    not_send: PhantomData<*const ()>,
}

/// What it takes to leave durability to a later sync.
#[derive(Debug)]
pub(super) enum Deferral {
    /// Nothing: the later sync finds the bytes.
    Nothing,
    /// A store fence at once: a later one runs on some other processor.
    StoreFence,
    /// A note of such a fence.
    Recorded(Arc<Recorder>),
}

/// Bytes that survive a power failure, as far as the back end can promise it.
///
/// Only [`Device::fence`](crate::Device::fence) makes one.
///
/// ```compile_fail,E0451
/// # let range = unimplemented!();
/// let forged = daxfs_pmem::Durable { range };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    pub(super) range: ByteRange,
}

impl Dirty {
    /// Where the stored bytes begin, in bytes from the start of the device.
    pub fn offset_bytes(&self) -> u64 {
        self.range.offset_bytes
    }

    /// How many bytes were stored.
    pub fn len_bytes(&self) -> u64 {
        self.range.len_bytes
    }
}

impl InFlight {
    pub(super) fn new(tag: DeviceTag, range: ByteRange, deferral: Deferral) -> Self {
        Self {
            tag,
            range,
            deferral,
            not_send: PhantomData,
        }
    }

    /// One token for both ranges and what lies between them, so that one fence serves both.
    ///
    /// With `msync` the whole hull is synced, so join what lies close together. Tokens of two
    /// devices make a token that [`Device::fence`](crate::Device::fence) refuses.
    pub fn and(self, other: Self) -> Self {
        Self::new(
            self.tag.and(other.tag),
            self.range.hull(other.range),
            self.deferral,
        )
    }

    /// Leaves durability to the next sync of this range: a crash before it may lose the bytes.
    ///
    /// With `msync` that sync is yet to be asked for ([`Device::flush_range`] and a fence). On
    /// hardware this executes the store fence at once: a later fence runs on some other processor
    /// and would not drain what this one has in flight.
    ///
    /// [`Device::flush_range`]: crate::Device::flush_range
    pub fn defer(self) {
        match self.deferral {
            Deferral::Nothing => {}
            Deferral::StoreFence => store_fence(),
            Deferral::Recorded(recorder) => recorder.fence(),
        }
    }

    /// Where the bytes begin, in bytes from the start of the device.
    pub fn offset_bytes(&self) -> u64 {
        self.range.offset_bytes
    }

    /// How many bytes the token speaks of.
    pub fn len_bytes(&self) -> u64 {
        self.range.len_bytes
    }
}

impl Durable {
    /// Where the durable bytes begin, in bytes from the start of the device.
    pub fn offset_bytes(&self) -> u64 {
        self.range.offset_bytes
    }

    /// How many bytes are durable.
    pub fn len_bytes(&self) -> u64 {
        self.range.len_bytes
    }
}
