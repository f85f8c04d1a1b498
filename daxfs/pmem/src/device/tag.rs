//! The number that tells the tokens of one device from those of another.
//!
//! Touches one process-wide counter. Takes no locks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which device a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeviceTag(u64);

/// Belongs to no device: tokens of two devices were joined.
const MIXED: DeviceTag = DeviceTag(0);

impl DeviceTag {
    pub(super) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn and(self, other: Self) -> Self {
        if self == other { self } else { MIXED }
    }
}
