//! Every interleaving of a search with changes of the registry.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::super::*;

/// Freed memory cannot be seen by loom, a cell can: it is written when a list that refers to it is
/// freed, and read by searches.
struct Probe(Arc<UnsafeCell<u32>>);

// SAFETY: loom checks every access of the cell.
unsafe impl Send for Probe {}
// SAFETY: as above.
unsafe impl Sync for Probe {}

impl Clone for Probe {
    /// Each list has probes of its own.
    fn clone(&self) -> Self {
        self.look();
        Self(Arc::new(UnsafeCell::new(1)))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: loom checks that no search reads now.
        self.0.with_mut(|alive| unsafe { *alive = 0 });
    }
}

impl Probe {
    fn new() -> Self {
        Self(Arc::new(UnsafeCell::new(1)))
    }

    fn look(&self) {
        // SAFETY: loom checks that nobody writes now.
        let alive = self.0.with(|alive| unsafe { *alive });
        assert_eq!(alive, 1, "a list was freed under a search");
    }
}

fn search(registry: &Registry<Probe>, shard: usize) {
    registry.find_in(shard, 5, |probe| {
        // Kept for as long as loom may switch threads: the list itself may be freed memory if the
        // registry is wrong.
        let cell = Arc::clone(&probe.0);
        thread::yield_now();
        let alive = cell.with(|alive| {
            // SAFETY: loom checks that nobody writes now.
            unsafe { *alive }
        });
        assert_eq!(alive, 1, "a list was freed under a search");
        None::<()>
    });
}

#[test]
fn a_list_is_not_freed_under_a_search() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        registry.insert(0..10, Probe::new());
        let searcher = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || search(&registry, 1))
        };
        registry.insert(10..20, Probe::new());
        registry.remove(0);
        searcher.join().unwrap();
    });
}

#[test]
fn two_searches_and_a_change_do_not_meet() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let registry = Arc::new(Registry::new());
        registry.insert(0..10, Probe::new());
        let searchers: Vec<_> = (0..2)
            .map(|shard| {
                let registry = Arc::clone(&registry);
                thread::spawn(move || search(&registry, shard))
            })
            .collect();
        registry.remove(0);
        for searcher in searchers {
            searcher.join().unwrap();
        }
    });
}
