//! The two primitives and both platforms' futex contract, with real threads.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::{Expiry, Mutex, Spin, WaitWord, fallback};

/// One platform's functions.
struct Futex {
    wait: fn(&AtomicU32, u32),
    wait_until: fn(&AtomicU32, u32, Instant) -> Expiry,
    wake_one: fn(*const AtomicU32),
}

const FUTEXES: &[Futex] = &[
    Futex {
        wait: fallback::wait,
        wait_until: fallback::wait_until,
        wake_one: fallback::wake_one,
    },
    #[cfg(target_os = "linux")]
    Futex {
        wait: super::linux::wait,
        wait_until: super::linux::wait_until,
        wake_one: super::linux::wake_one,
    },
];

#[test]
fn wait_returns_at_once_if_the_word_has_changed() {
    for futex in FUTEXES {
        let word = AtomicU32::new(1);
        (futex.wait)(&word, 0);
    }
}

#[test]
fn wake_needs_no_sleeper_and_no_memory() {
    for futex in FUTEXES {
        let word = AtomicU32::new(0);
        (futex.wake_one)(&word);
        (futex.wake_one)(std::ptr::without_provenance(0x1000));
    }
}

#[test]
fn a_change_followed_by_a_wake_is_never_missed() {
    for futex in FUTEXES {
        let word = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for turn in (0..2_000).step_by(2) {
                    while word.load(Ordering::Acquire) == turn {
                        (futex.wait)(&word, turn);
                    }
                    word.fetch_add(1, Ordering::AcqRel);
                    (futex.wake_one)(&word);
                }
            });
            for turn in (1..2_000).step_by(2) {
                word.fetch_add(1, Ordering::AcqRel);
                (futex.wake_one)(&word);
                while word.load(Ordering::Acquire) == turn {
                    (futex.wait)(&word, turn);
                }
            }
            word.fetch_add(1, Ordering::AcqRel);
        });
        assert_eq!(word.into_inner(), 2_001);
    }
}

#[test]
fn a_timed_wait_ends_at_its_deadline_and_not_before() {
    for futex in FUTEXES {
        let word = AtomicU32::new(0);
        let past = Instant::now();
        assert_eq!((futex.wait_until)(&word, 0, past), Expiry::Passed);
        let deadline = Instant::now() + Duration::from_millis(2);
        while (futex.wait_until)(&word, 0, deadline) == Expiry::NotYet {}
        assert!(Instant::now() >= deadline);
    }
}

#[test]
fn a_timed_wait_ends_with_a_change() {
    for futex in FUTEXES {
        let word = AtomicU32::new(0);
        let far = Instant::now() + Duration::from_secs(3_600);
        assert_eq!((futex.wait_until)(&word, 1, far), Expiry::NotYet);
        thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Relaxed) == 0 {
                    assert_eq!((futex.wait_until)(&word, 0, far), Expiry::NotYet);
                }
            });
            thread::yield_now();
            word.store(1, Ordering::Relaxed);
            (futex.wake_one)(&word);
        });
    }
}

/// The kernel refuses a time it cannot count to, and the wait would turn into a spin.
#[cfg(target_os = "linux")]
#[test]
fn the_farthest_deadline_is_one_the_kernel_takes() {
    let word = Arc::new(AtomicU32::new(0));
    let mut far = Instant::now();
    for exponent in (0..64).rev() {
        far = far
            .checked_add(Duration::from_secs(1 << exponent))
            .unwrap_or(far);
    }
    let waiter = Arc::clone(&word);
    let thread = thread::spawn(move || {
        let mut returns = 0;
        while waiter.load(Ordering::Relaxed) == 0 {
            super::linux::wait_until(&waiter, 0, far);
            returns += 1;
        }
        returns
    });
    thread::sleep(Duration::from_millis(20));
    word.store(1, Ordering::Relaxed);
    super::linux::wake_one(&raw const *word);
    // A refused call returns at once, hundreds of times in a millisecond.
    assert!(thread.join().unwrap() < 1_000);
}

#[cfg(target_os = "linux")]
#[test]
fn the_futex_calls_leave_errno_alone() {
    // SAFETY: the C library's pointer to this thread's `errno` is valid while the thread lives.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { errno.write(libc::EXDEV) };
    // Fails inside with EAGAIN, because the word does not hold 0.
    super::linux::wait(&AtomicU32::new(1), 0);
    // Fails inside with ETIMEDOUT.
    let soon = Instant::now() + Duration::from_micros(10);
    super::linux::wait_until(&AtomicU32::new(0), 0, soon);
    // Fails inside with EINVAL: a futex is aligned.
    super::linux::wake_one(std::ptr::without_provenance(3));
    // SAFETY: as above.
    assert_eq!(unsafe { errno.read() }, libc::EXDEV);
}

#[test]
fn the_mutex_admits_one_thread_at_a_time() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let counter = Mutex::new(0_usize);
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let mut count = counter.lock();
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    *count += 1;
                    if round % 1_000 == 0 {
                        // Long enough for others to go to sleep on the mutex.
                        thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(*counter.lock(), THREADS * ROUNDS);
}

#[test]
fn a_granted_word_does_not_wait() {
    let word = WaitWord::new();
    for spin in [Spin::Briefly, Spin::No] {
        word.arm();
        // SAFETY: armed on the line above.
        unsafe { WaitWord::grant(&word) };
        word.wait(spin);
    }
}

#[test]
fn a_wait_that_ended_at_its_deadline_can_be_taken_up_again() {
    for spin in [Spin::Briefly, Spin::No] {
        let word = WaitWord::new();
        word.arm();
        for _ in 0..2 {
            assert!(!word.wait_until(spin, Instant::now()));
        }
        // SAFETY: armed above.
        unsafe { WaitWord::grant(&word) };
        assert!(word.wait_until(spin, Instant::now()));
        word.wait(spin);
    }
}

#[test]
fn a_grant_reaches_a_waiter_whenever_it_comes() {
    const ROUNDS: usize = 5_000;
    for spin in [Spin::Briefly, Spin::No] {
        let shared = Arc::new((WaitWord::new(), Barrier::new(2)));
        let waiter = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for _ in 0..ROUNDS {
                waiter.0.arm();
                waiter.1.wait();
                waiter.0.wait(spin);
                waiter.1.wait();
            }
        });
        for _ in 0..ROUNDS {
            shared.1.wait();
            // SAFETY: the waiter armed the word before the barrier.
            unsafe { WaitWord::grant(&shared.0) };
            shared.1.wait();
        }
        thread.join().expect("the waiter returned each time");
    }
}
