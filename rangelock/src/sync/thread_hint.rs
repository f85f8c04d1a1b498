//! A number that tells most threads apart, for whoever wants threads out of each other's way.
//!
//! Not an identity: two threads may have the same, and one may change its own. A thread-local
//! variable would be better at it, but a signal handler may not touch one. Takes no lock.

/// Where the stack of this thread is, mixed up: stacks lie far apart, and frames of one do not.
#[cfg(not(any(loom, shuttle)))]
#[inline]
pub(crate) fn thread_hint() -> usize {
    const FAR_APART_BITS: u32 = 16;
    /// 2^64 / golden ratio, as in the hash of granules.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let here = 0_u8;
    let stack = std::ptr::from_ref(&here).addr() as u64 >> FAR_APART_BITS;
    (stack.wrapping_mul(SPREAD) >> 48) as usize
}

/// In a model: the thread's number, the same in every run of a schedule.
#[cfg(any(loom, shuttle))]
pub(crate) fn thread_hint() -> usize {
    #[cfg(loom)]
    use ::loom::thread;
    #[cfg(shuttle)]
    use ::shuttle::thread;

    let said = format!("{:?}", thread::current().id());
    let digits: String = said.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use super::thread_hint;

    /// Threads that live at the same time have stacks of their own.
    #[test]
    fn most_threads_are_told_apart() {
        const THREADS: usize = 16;
        let together = Barrier::new(THREADS);
        let hint = || {
            let hint = thread_hint();
            together.wait();
            hint
        };
        let hints: HashSet<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(hint)).collect();
            let hints = threads.into_iter().map(|thread| thread.join().unwrap());
            hints.collect()
        });
        assert!(hints.len() > THREADS / 2, "{hints:?}");
    }
}
