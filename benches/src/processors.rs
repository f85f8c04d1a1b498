//! Which processor a thread runs on. Takes no lock.
//!
//! Left to itself the scheduler may keep two threads that wait for each other on one processor,
//! above all when the others have work. Threads that are measured together each stay on their own:
//! on different cores as far as there are enough, for two hardware threads of one core share its
//! caches.
//!
//! Only Linux is asked; elsewhere threads stay where they are put.

/// Keeps the calling thread on one processor, another for each `index` as long as they last.
#[cfg(target_os = "linux")]
pub(crate) fn stay_on(index: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let allowed: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|&processor| allowed.is_set(processor))
        .collect();
    let order = cores_first(&allowed, hardware_threads_of_core);
    if order.is_empty() {
        return;
    }
    let mut own = CpuSet::new();
    own.set(order[index % order.len()]);
    // Where it is refused, threads stay where they are put.
    let _ = sched_setaffinity(None, &own);
}

/// Nothing to ask.
#[cfg(not(target_os = "linux"))]
pub(crate) fn stay_on(_index: usize) {}

/// The processors that share a core with this one, itself among them.
#[cfg(target_os = "linux")]
fn hardware_threads_of_core(processor: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    match std::fs::read_to_string(path) {
        Ok(list) => numbers_in(&list),
        Err(_) => vec![processor],
    }
}

/// The numbers of a list like `0-2,8`.
#[cfg(target_os = "linux")]
fn numbers_in(list: &str) -> Vec<usize> {
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

/// One processor of each core, then a second of each, and so on.
#[cfg(target_os = "linux")]
fn cores_first(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut order = allowed.to_vec();
    // Which of the allowed processors of its core it is.
    order.sort_by_cached_key(|processor| {
        let before = |sibling: &usize| sibling < processor && allowed.contains(sibling);
        (
            siblings(*processor)
                .iter()
                .filter(|sibling| before(sibling))
                .count(),
            *processor,
        )
    });
    order
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_core_is_used_before_any_is_used_twice() {
        let neighbours = |processor: usize| vec![processor & !1, processor | 1];
        assert_eq!(cores_first(&[0, 1, 2, 3], neighbours), [0, 2, 1, 3]);
        assert_eq!(cores_first(&[1, 2, 3], neighbours), [1, 2, 3]);
        let halves = |processor: usize| vec![processor % 2, processor % 2 + 2];
        assert_eq!(cores_first(&[0, 1, 2, 3], halves), [0, 1, 2, 3]);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers_in("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(numbers_in("5"), [5]);
    }

    #[test]
    fn a_thread_stays_where_it_was_told() {
        use rustix::thread::sched_getaffinity;
        std::thread::spawn(|| {
            stay_on(0);
            let allowed = sched_getaffinity(None).expect("Linux tells");
            assert_eq!(allowed.count(), 1);
        })
        .join()
        .expect("no panic");
    }
}
