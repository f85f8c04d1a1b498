//! The futex system call, used directly because it needs no thread-local state and no allocation.
//!
//! Touches the kernel and `errno` (which it restores). Takes no lock.

pub(super) use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::Expiry;

/// Rounds of spinning; round `n` pauses `2^n` times, so about a hundred pauses in all.
pub(super) const fn spin_rounds() -> u32 {
    7
}

/// Nothing to watch outside a model.
#[derive(Debug)]
pub(super) struct RaceWitness;

impl RaceWitness {
    pub(super) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn touch(&self) {}
}

/// Sleeps while `word` holds `expected`; may return early.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    futex_wait(word, expected, None);
}

/// Sleeps while `word` holds `expected`, but not beyond `deadline`; may return early.
pub(super) fn wait_until(word: &AtomicU32, expected: u32, deadline: Instant) -> Expiry {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Expiry::Passed;
    }
    // FUTEX_WAIT counts down on CLOCK_MONOTONIC, the clock of `Instant`. A sleep that is cut short
    // does no harm: the caller comes back, and what is left is computed anew.
    futex_wait(word, expected, Some(&timespec(left)));
    Expiry::NotYet
}

/// `SYS_futex` takes two machine words, which is what `timespec` is wherever this builds.
fn timespec(duration: Duration) -> libc::timespec {
    const { assert!(size_of::<libc::timespec>() == 2 * size_of::<libc::c_long>()) };
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().cast_signed().into(),
    }
}

fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<&libc::timespec>) {
    let timeout = timeout.map_or(std::ptr::null(), std::ptr::from_ref);
    preserving_errno(|| {
        // SAFETY: FUTEX_WAIT reads one aligned u32, which `word` keeps alive for the whole call,
        // and the timeout, which is null, meaning none, or borrowed by the caller.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected,
                timeout,
            );
        }
    });
}

/// Wakes one thread sleeping on `word`. The word is not read and may be gone.
pub(super) fn wake_one(word: *const AtomicU32) {
    preserving_errno(|| {
        // SAFETY: FUTEX_WAKE uses the address as a key only. Should the memory have been unmapped
        // the call fails with EFAULT; should it hold another futex, one early return happens there,
        // which every user of `wait` allows for.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word,
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            );
        }
    });
}

/// Runs `call` and puts `errno` back: the lock may be taken inside a signal handler, and the
/// interrupted code may be about to read its own `errno`.
fn preserving_errno(call: impl FnOnce()) {
    // SAFETY: the C library returns a pointer to the calling thread's `errno`, valid for as long
    // as the thread lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above, and no other thread uses this thread's `errno`.
    let saved = unsafe { errno.read() };
    call();
    // SAFETY: as above.
    unsafe { errno.write(saved) };
}
