//! What pinned guards can change, on every kind of lock and wherever the range is held: alone in
//! its shard, beside others, without a slot, and in a level that was left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::{Granule, RangeLock};

fn every_kind() -> Vec<RangeLock> {
    let granule = |len| Granule::from_len(len).expect("a power of two");
    let mut locks: Vec<_> = [1, 16, 1 << 21]
        .map(|len| RangeLock::with_granule(granule(len)))
        .into();
    locks.extend([
        RangeLock::new(),
        RangeLock::tree_only(),
        RangeLock::with_capacity(50),
    ]);
    locks
}

/// Where the range is going to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Nobody,
    /// Somebody is in the same shard.
    One,
    /// So many that there is no slot left.
    Crowd,
    /// The table grows once the range is held.
    Growth,
}

const COMPANIES: [Company; 4] = [
    Company::Nobody,
    Company::One,
    Company::Crowd,
    Company::Growth,
];
/// The last one has no word outside a head, and none at all once it is shrunk to the second.
const ENDS: [u64; 4] = [10, 100_000, 1 << 30, u64::MAX];

fn everywhere(check: impl Fn(&RangeLock, Company, u64)) {
    for lock in every_kind() {
        for company in COMPANIES {
            for end in ENDS {
                let others = match company {
                    Company::One => 1,
                    Company::Crowd => 8,
                    Company::Nobody | Company::Growth => 0,
                };
                // Below the range, in the same granule of all but the smallest.
                let others: Vec<_> = (0..others).map(|at| lock.read(at..at + 1)).collect();
                check(&lock, company, end);
                drop(others);
                assert!(!lock.is_locked(..), "{company:?}, {end}");
                assert_eq!(lock.layers.census().granted, 0, "{company:?}, {end}");
            }
        }
    }
}

fn grow(lock: &RangeLock, company: Company) {
    if company == Company::Growth {
        lock.reserve(1_000);
    }
}

#[test]
fn a_pinned_writer_becomes_a_reader_and_back() {
    everywhere(|lock, company, end| {
        let node = pin!(lock.node());
        let guard = node.write(8..end);
        grow(lock, company);
        let guard = guard.downgrade();
        assert_eq!(guard.range(), Some(8..=end - 1));
        let other = lock.try_read(9..10).expect("readers share");
        assert!(lock.try_write(9..10).is_none());
        let guard = guard.try_upgrade().expect_err("shared");
        assert!(lock.try_read(9..10).is_some());
        drop(other);
        let guard = guard.try_upgrade().expect("not shared any more");
        assert!(lock.try_read(9..10).is_none());
        assert_eq!(guard.range(), Some(8..=end - 1));
    });
}

#[test]
fn a_pinned_guard_gives_back_what_lies_outside() {
    everywhere(|lock, company, end| {
        let node = pin!(lock.node());
        let mut guard = node.write(8..end);
        grow(lock, company);
        guard.shrink_to(..end - 1);
        assert_eq!((8 < end - 1).then_some(8..=end - 2), guard.range());
        assert!(lock.try_write(end - 1..).is_some());
        assert!(lock.try_read(8..9).is_none());
        guard.shrink_to(9..u64::MAX);
        assert!(lock.try_write(8..9).is_some());
        let mut guard = guard.downgrade();
        guard.shrink_to(0..8);
        assert_eq!(guard.range(), None);
        assert!(lock.try_write(8..).is_some());
        let guard = guard.try_upgrade().expect("nothing is shared");
        assert_eq!(guard.range(), None);
    });
}

#[test]
fn a_node_serves_again_after_a_change() {
    everywhere(|lock, company, end| {
        let mut node = pin!(lock.node());
        for _ in 0..3 {
            let guard = node.as_mut().read(8..end);
            grow(lock, company);
            let mut guard = guard.try_upgrade().expect("not shared");
            guard.shrink_to(8..9);
            drop(guard);
            assert!(lock.try_write(8..).is_some());
        }
    });
}

#[test]
fn a_forgotten_guard_that_was_changed_ends_with_its_node() {
    everywhere(|lock, company, end| {
        let mut node = Box::pin(lock.node());
        let guard = node.as_mut().write(8..end);
        grow(lock, company);
        std::mem::forget(guard.downgrade());
        assert!(lock.try_write(9..10).is_none());
        drop(node);
        assert!(lock.try_write(9..10).is_some());
    });
}

#[test]
fn those_who_wait_for_what_is_given_back_are_told() {
    everywhere(|lock, company, end| {
        let node = pin!(lock.node());
        let mut guard = node.write(8..end);
        let mut reading = pin!(lock.read_async(8..9));
        let mut writing = pin!(lock.write_async(9..10));
        let mut context = Context::from_waker(Waker::noop());
        assert!(reading.as_mut().poll(&mut context).is_pending());
        assert!(writing.as_mut().poll(&mut context).is_pending());
        grow(lock, company);
        guard.shrink_to(..9);
        assert!(writing.as_mut().poll(&mut context).is_ready());
        assert!(reading.as_mut().poll(&mut context).is_pending());
        let _guard = guard.downgrade();
        assert!(reading.as_mut().poll(&mut context).is_ready());
    });
}

/// Whoever is told of a change may panic; what is held must be right by then.
#[test]
fn a_waker_that_panics_during_a_change_leaves_nothing_behind() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as intended");
        }
    }
    let waker = Waker::from(Arc::new(Panics));
    everywhere(|lock, company, end| {
        let node = pin!(lock.node());
        let guard = node.write(8..end);
        let mut future = pin!(lock.read_async(8..10));
        let mut context = Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut context).is_pending());
        grow(lock, company);
        let change = AssertUnwindSafe(|| drop(guard.downgrade()));
        assert!(catch_unwind(change).is_err());
        assert!(future.as_mut().poll(&mut context).is_ready());
        assert!(lock.try_write(8..).is_some());
    });
}
