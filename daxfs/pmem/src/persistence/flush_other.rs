//! Processors whose flush instructions this crate does not know: the hardware back end is refused.
//!
//! Touches nothing. Takes no locks.

use std::sync::atomic::{Ordering, fence};

/// The alignment that streaming copies keep to.
pub(crate) const CACHE_LINE_BYTES: usize = 64;

/// No instruction: a value of this type cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushInstruction {}

impl FlushInstruction {
    /// Always nothing here.
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    pub(crate) fn name(self) -> &'static str {
        match self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn write_back(self, _address: *const u8, _len_bytes: usize) {
        match self {}
    }
}

/// Orders stores before it with stores after it.
pub(crate) fn store_fence() {
    // Release: partners with whoever reads what is stored next; there is nothing to drain here.
    fence(Ordering::Release);
}
