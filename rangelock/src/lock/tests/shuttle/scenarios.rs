//! What must hold in every schedule and on every way. That no wake-up is lost shows in all of them:
//! a thread that sleeps for ever is a deadlock, which shuttle reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use ::shuttle::rand::Rng;
use ::shuttle::{rand, thread};

use super::{
    BYTES, Fault, Request, Setting, Shared, THREADS, Way, factor, join_all, spawn, switch,
};

macro_rules! scenarios {
    ($($scenario:ident $schedules:literal)*) => {$(
        mod $scenario {
            use super::{Setting, Way, factor};

            scenarios! {
                @ $scenario $schedules
                tree Tree, narrow Narrow, mixed Mixed, grown Grown, wide Wide,
                apart Apart
            }
        }
    )*};
    (@ $scenario:ident $schedules:literal $($name:ident $way:ident),*) => {$(
        #[test]
        fn $name() {
            let schedules = $schedules * factor();
            super::$scenario(Setting { way: Way::$way, fault: None, schedules });
        }
    )*};
}

scenarios! {
    short_ranges_exclude_each_other 2_000
    long_ranges_exclude_each_other 2_000
    long_ranges_pass_through_short_ones 2_000
    conflicting_requests_are_served_in_order 2_000
    a_release_wakes_all_it_unblocks 2_000
    readers_meet_inside 2_000
}

pub(super) fn short_ranges_exclude_each_other(setting: Setting) {
    everybody_at_random(setting, |_| 2);
}

pub(super) fn long_ranges_exclude_each_other(setting: Setting) {
    everybody_at_random(setting, |_| BYTES);
}

pub(super) fn long_ranges_pass_through_short_ones(setting: Setting) {
    everybody_at_random(setting, |thread| if thread < 2 { BYTES } else { 1 });
}

/// Every thread makes a few requests; `longest` says of how many bytes.
fn everybody_at_random(setting: Setting, longest: fn(usize) -> u64) {
    const TURNS: usize = 3;
    setting.run(move |shared| {
        let finished = Arc::new(AtomicUsize::new(0));
        let threads = (0..THREADS).map(|number| {
            let finished = Arc::clone(&finished);
            spawn(shared, move |shared| {
                for _ in 0..TURNS {
                    let request = Request::random(longest(number));
                    match rand::thread_rng().gen_range(0..4) {
                        0 => shared.try_hold(&request),
                        _ => shared.hold(&request, || ()),
                    }
                }
                finished.fetch_add(1, Relaxed);
            })
        });
        join_all(threads.collect());
        assert_eq!(finished.load(Relaxed), THREADS);
    });
}

/// Seven threads queue up one after the other behind holders of all bytes. Whoever enters asserts
/// that those who came earlier and conflict have been there and left.
pub(super) fn conflicting_requests_are_served_in_order(setting: Setting) {
    setting.run(|shared| {
        let requests: Arc<Vec<Request>> =
            Arc::new((1..THREADS).map(|_| Request::random(5)).collect());
        let left: Arc<[AtomicBool; THREADS - 1]> = Arc::default();
        let mut threads = Vec::new();
        behind_all_bytes(shared, |shared| {
            for number in 0..requests.len() {
                let (requests, left) = (Arc::clone(&requests), Arc::clone(&left));
                threads.push(spawn(shared, move |shared| {
                    let own = &requests[number];
                    shared.hold(own, || {
                        for (earlier, left) in requests[..number].iter().zip(&*left) {
                            if earlier.conflicts_with(own) {
                                assert!(left.load(Relaxed), "{earlier:?} was overtaken by {own:?}");
                            }
                        }
                        switch();
                        left[number].store(true, Relaxed);
                    });
                }));
                shared.until_waiting(number + 1);
            }
        });
        join_all(threads);
        assert!(left.iter().all(|left| left.load(Relaxed)));
    });
}

/// Holds every byte, at random with one guard or with several, which are given back in turn.
fn behind_all_bytes(shared: &Arc<Shared>, inside: impl FnOnce(&Arc<Shared>)) {
    let pieces = [1, 2, 6][rand::thread_rng().gen_range(0..3)];
    let len = BYTES / pieces;
    let guards = (0..pieces).map(|piece| shared.lock.write(piece * len..(piece + 1) * len));
    let guards: Vec<_> = guards.collect();
    inside(shared);
    guards.into_iter().for_each(drop);
}

/// None of those who wait for one release and do not conflict with each other leaves before all of
/// them have come.
pub(super) fn a_release_wakes_all_it_unblocks(setting: Setting) {
    setting.run(|shared| {
        let met = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        behind_all_bytes(shared, |shared| {
            for number in 1..THREADS {
                let met = Arc::clone(&met);
                let request = match number as u64 {
                    byte @ 1..4 => Request::write(byte..=byte),
                    _ => Request::read(5..=BYTES - 1),
                };
                threads.push(spawn(shared, move |shared| {
                    shared.hold(&request, || until_all_have_come(&met, THREADS - 1));
                }));
                shared.until_waiting(number);
            }
        });
        join_all(threads);
    });
}

/// Eight readers of one byte, more than there are slots, none of whom leaves before all have come.
pub(super) fn readers_meet_inside(setting: Setting) {
    setting.run(|shared| {
        let met = Arc::new(AtomicUsize::new(0));
        let threads = (0..THREADS as u64).map(|number| {
            let met = Arc::clone(&met);
            let request = Request::read(number.min(4)..=4 + number / 2);
            spawn(shared, move |shared| {
                shared.hold(&request, || until_all_have_come(&met, THREADS));
            })
        });
        join_all(threads.collect());
    });
}

fn until_all_have_come(met: &AtomicUsize, all: usize) {
    met.fetch_add(1, Relaxed);
    while met.load(Relaxed) != all {
        thread::yield_now();
    }
}

impl Setting {
    pub(super) fn faulty(way: Way, fault: Fault) -> Self {
        Self {
            way,
            fault: Some(fault),
            schedules: 8_000,
        }
    }
}
