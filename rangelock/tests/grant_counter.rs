//! What the feature `grant_counter` counts: every range that is granted, whichever way it went,
//! once.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rangelock::{Access, RangeLock, RangeLocked, RangeNode};

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nobody is in the way"),
    }
}

fn pinned(lock: &RangeLock, act: impl FnOnce(Pin<&mut RangeNode<'_>>)) {
    act(pin!(lock.node()));
}

/// How many grants `act` adds.
fn grants(lock: &RangeLock, act: impl FnOnce()) -> u64 {
    let before = lock.counters().grants;
    act();
    lock.counters().grants - before
}

#[test]
fn every_way_to_a_range_counts_once() {
    for lock in [
        RangeLock::new(),
        RangeLock::tree_only(),
        RangeLock::with_capacity(50),
    ] {
        let lock = Arc::new(lock);
        let soon = || Instant::now() + Duration::from_secs(1);
        let ways: [&dyn Fn(); 14] = [
            &|| drop(lock.read(0..10)),
            &|| drop(lock.write(..)),
            &|| drop(lock.try_read(0..10).expect("free")),
            &|| drop(lock.try_write_for(0..10, Duration::ZERO).expect("free")),
            &|| drop(lock.try_write_until(7.., soon()).expect("free")),
            &|| drop(now(lock.read_async(0..10))),
            &|| drop(now(lock.write_async(0..10))),
            &|| drop(lock.write_owned(0..10)),
            &|| drop(lock.try_read_owned_until(0..10, soon()).expect("free")),
            &|| drop(now(lock.write_owned_async(0..10))),
            &|| drop(lock.append(10, || 50)),
            &|| pinned(&lock, |node| drop(node.read(0..10))),
            &|| pinned(&lock, |node| drop(node.try_write(0..10).expect("free"))),
            &|| {
                pinned(&lock, |node| {
                    drop(node.try_write_until(0..10, soon()).expect("free"));
                });
            },
        ];
        for (number, way) in ways.iter().enumerate() {
            assert_eq!(grants(&lock, way), 1, "way {number}");
        }
        let both = || [(0..10, Access::Read), (20..30, Access::Write)];
        assert_eq!(grants(&lock, || drop(lock.lock_many(both()))), 2);
        assert_eq!(
            grants(&lock, || drop(lock.try_lock_many(both()).expect("free"))),
            2
        );
        assert_eq!(grants(&lock, || drop(now(lock.lock_many_async(both())))), 2);
    }
}

#[test]
fn what_is_not_granted_or_only_changed_does_not_count() {
    let lock = RangeLock::new();
    let holder = lock.write(0..10);
    let refused = grants(&lock, || {
        assert!(lock.try_read(5..6).is_none());
        assert!(lock.try_read_for(5..6, Duration::ZERO).is_none());
        let mut future = Box::pin(lock.read_async(5..6));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        drop(future);
        drop(lock.read(7..7));
    });
    assert_eq!(refused, 0);
    let changed = grants(&lock, || {
        let (below, above) = holder.split_at(5);
        drop(below);
        let mut guard = above.downgrade().try_upgrade().expect("not shared");
        guard.shrink_to(6..7);
    });
    assert_eq!(changed, 0);
}

#[test]
fn grants_to_those_who_waited_and_of_many_threads_are_all_counted() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 1_000;
    let buffer = RangeLocked::new(vec![0_u8; 64]);
    thread::scope(|scope| {
        for worker in 0..THREADS as usize {
            let buffer = &buffer;
            scope.spawn(move || {
                for round in 0..ROUNDS as usize {
                    let first = (worker * 7 + round) % 60;
                    buffer.write(first..first + 4).fill(1);
                }
            });
        }
    });
    let counters = buffer.lock().counters();
    assert_eq!(counters.grants, THREADS * ROUNDS);
    assert!(counters.to_string().starts_with("grants 4000, slow paths "));
}
