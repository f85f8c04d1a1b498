//! Mappings that are kept to be thrown away when the process may have no more of them.
//!
//! At its limit (`vm.max_map_count`) the kernel refuses even to replace a window of thousands of
//! mappings by a single one. Revoking must not fail for that, so a few mappings are held in
//! reserve: they go, the window is replaced, which frees far more, and the reserve is made anew.
//!
//! Touches its own addresses. Takes the mutex of the reserve; no window is touched under it, so a
//! signal handler never waits for the thread that it interrupted.

use std::ptr::NonNull;

use parking_lot::Mutex;

use crate::PAGE_BYTES;
use crate::sys;

/// Half as many as the reserve has mappings: enough to win against other threads that map at the
/// same moment.
const PAIRS: usize = 16;
const PAGE: usize = PAGE_BYTES as usize;
const LEN_BYTES: usize = 2 * PAIRS * PAGE;

static RESERVE: Mutex<Option<Reserve>> = Mutex::new(None);

/// Pages that cannot be joined, since every other one may be read.
struct Reserve {
    start: NonNull<u8>,
}

// SAFETY: the address is only ever given to the kernel.
unsafe impl Send for Reserve {}

impl Reserve {
    fn new() -> Option<Self> {
        let reserve = Self {
            start: sys::reserve_aligned(LEN_BYTES, PAGE).ok()?,
        };
        for pair in 0..PAIRS {
            let page = reserve.start.as_ptr().wrapping_add(2 * pair * PAGE);
            // SAFETY: a page of the range that was just reserved here.
            unsafe { sys::map_zeroes_over(page, PAGE) }.ok()?;
        }
        Some(reserve)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // SAFETY: the reserve's own range, which nobody else knows. Removing whole mappings does
        // not fail.
        let _ = unsafe { sys::unmap(self.start.as_ptr(), LEN_BYTES) };
    }
}

/// Fills the reserve. Without room for it there is none, until some is made.
pub(super) fn fill() {
    let mut reserve = RESERVE.lock();
    if reserve.is_none() {
        *reserve = Reserve::new();
    }
}

/// Runs `change`, a change of mappings, while the reserve is thrown away.
pub(super) fn with_room<R>(change: impl FnOnce() -> R) -> R {
    let mut reserve = RESERVE.lock();
    *reserve = None;
    let changed = change();
    *reserve = Reserve::new();
    changed
}
