//! How often a thread slept, as the kernel counts it.
//!
//! A voluntary context switch is one sleep, ended by one wake-up; being preempted or yielding is
//! not counted. Everything is read from `/proc`, so nothing is known elsewhere than on Linux. Takes
//! no lock.

use std::fs;

/// How often the calling thread has gone to sleep so far.
pub(crate) fn sleeps_of_this_thread() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    sleeps_in(&status)
}

fn sleeps_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// The kernel's number for the calling thread.
pub(crate) fn id_of_this_thread() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// Whether thread `id` of this process sleeps, as of now.
pub(crate) fn is_asleep(id: u32) -> bool {
    fs::read_to_string(format!("/proc/self/task/{id}/stat"))
        .is_ok_and(|stat| state_in(&stat) == Some('S'))
}

/// The letter after the name, which stands in parentheses and may contain some.
fn state_in(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_waits_sleeps_and_counts_it() {
        let (ids, id) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let sleeper = scope.spawn(move || {
                let before = sleeps_of_this_thread().expect("there is a /proc");
                ids.send(id_of_this_thread().expect("there is a /proc"))
                    .expect("the other end waits");
                woken.recv().expect("the other end lives");
                sleeps_of_this_thread().expect("there is a /proc") - before
            });
            let id = id.recv().expect("the thread tells");
            assert_ne!(Some(id), id_of_this_thread());
            while !is_asleep(id) {
                thread::yield_now();
            }
            wake.send(()).expect("the thread waits");
            assert_eq!(sleeper.join().expect("no panic"), 1);
        });
    }

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        assert_eq!(state_in("12 (a) R (b)) S 1 2"), Some('S'));
        assert_eq!(
            sleeps_in("nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\n"),
            Some(3)
        );
    }
}
