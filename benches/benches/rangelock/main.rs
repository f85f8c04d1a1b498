//! What one uncontended lock and unlock costs: on an idle lock, beside ranges that others hold, and
//! while another thread does the same elsewhere.
//!
//! Every group ends with a table: the median and the best batch of each contender, and the ratio of
//! each to the pair of `parking_lot`'s `RwLock` taken in the same run. `parking_lot` and `std` know
//! no ranges, so they take part on the idle lock only and stand there for the price of locking at
//! all.
//!
//! With slots, a granule is 2 MiB, so the ranges held in the second part crowd into few shards, and
//! most are held in the tree: the worst case for slots.
//!
//! A pair is timed as a whole, guard dropped included. On a virtual machine that does other work at
//! the same time, the best batch says more about the code and the median more about the machine.
//!
//! Run: `cargo bench -p daxfs-benches --bench rangelock`.

mod comparison;
mod two_threads;

use std::hint::black_box;
use std::pin::pin;
use std::time::Duration;

use criterion::Criterion;
use daxfs_benches::contender::{
    Exclusive, ParkingLot, RangeLockCrate, RangeMutexCrate, Shared, Slots, Std,
};
use daxfs_benches::rivals::{SegmentLock, SplitMapLock};
use rangelock::{Granule, RangeLock};

use self::comparison::{Comparison, PairTime};

/// The size of every range, a page.
const RANGE_BYTES: u64 = 4096;
/// Held ranges lie this far apart, so that there is a free page after each.
const STRIDE_BYTES: u64 = 2 * RANGE_BYTES;

const BASELINE: &str = "the parking_lot pair of this run";
const TREE_PINNED: &str = "rangelock, pinned node";
const SLOTS_PINNED: &str = "rangelock with slots, pinned node";

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(30)
        .nresamples(10_000)
        .configure_from_args();
    let baseline = idle_lock(&mut criterion);
    for held in [16, 256, 4096] {
        beside_held_ranges(&mut criterion, held, baseline);
    }
    two_threads::run(&mut criterion);
    criterion.final_summary();
}

/// Times pairs on an idle lock; returns the `parking_lot` write pair.
fn idle_lock(criterion: &mut Criterion) -> PairTime {
    let mut write = Comparison::new(criterion, "write pair, idle lock");
    let baseline = exclusive::<ParkingLot>(&mut write, 0);
    exclusive::<RangeLock>(&mut write, 0);
    pinned(&mut write, 0, TREE_PINNED, &RangeLock::new());
    exclusive::<Slots>(&mut write, 0);
    pinned(&mut write, 0, SLOTS_PINNED, &with_slots());
    exclusive::<Std>(&mut write, 0);
    exclusive::<SplitMapLock>(&mut write, 0);
    exclusive::<SegmentLock>(&mut write, 0);
    exclusive::<RangeLockCrate>(&mut write, 0);
    exclusive::<RangeMutexCrate>(&mut write, 0);
    write.print(BASELINE, baseline);

    let mut read = Comparison::new(criterion, "read pair, idle lock");
    let read_baseline = shared::<ParkingLot>(&mut read);
    shared::<RangeLock>(&mut read);
    shared::<Slots>(&mut read);
    shared::<Std>(&mut read);
    shared::<SplitMapLock>(&mut read);
    shared::<SegmentLock>(&mut read);
    read.print(BASELINE, read_baseline);
    baseline
}

/// Times write pairs in the middle of `held` disjoint ranges.
fn beside_held_ranges(criterion: &mut Criterion, held: u64, baseline: PairTime) {
    let mut write = Comparison::new(criterion, &format!("write pair, {held} ranges held"));
    exclusive::<RangeLock>(&mut write, held);
    pinned(&mut write, held, TREE_PINNED, &RangeLock::new());
    exclusive::<Slots>(&mut write, held);
    pinned(&mut write, held, SLOTS_PINNED, &with_slots());
    exclusive::<SplitMapLock>(&mut write, held);
    exclusive::<SegmentLock>(&mut write, held);
    exclusive::<RangeLockCrate>(&mut write, held);
    exclusive::<RangeMutexCrate>(&mut write, held);
    write.print(BASELINE, baseline);
}

fn exclusive<L: Exclusive>(group: &mut Comparison, held: u64) -> PairTime {
    let lock = L::new(len_bytes(held), held as usize + 1);
    let guards: Vec<_> = (0..held).map(|at| lock.write(held_range(at))).collect();
    let range = free_range(held);
    let time = group.time(L::NAME, || {
        black_box(&lock.write(black_box(range.clone())));
    });
    drop(guards);
    time
}

fn shared<L: Shared>(group: &mut Comparison) -> PairTime {
    let lock = L::new(len_bytes(0), 1);
    let range = free_range(0);
    group.time(L::NAME, || {
        black_box(&lock.read(black_box(range.clone())));
    })
}

/// With a node made anew for each pair, as one does in a function's own frame.
fn pinned(group: &mut Comparison, held: u64, name: &'static str, lock: &RangeLock) {
    let guards: Vec<_> = (0..held).map(|at| lock.write(held_range(at))).collect();
    let range = free_range(held);
    group.time(name, || {
        let node = pin!(lock.node());
        black_box(&node.write(black_box(range.clone())));
    });
    drop(guards);
}

/// A lock whose granule is a huge page.
fn with_slots() -> RangeLock {
    RangeLock::with_slots(Granule::from_len(Granule::MAX_LEN).expect("the longest is a granule"))
}

fn len_bytes(held: u64) -> u64 {
    (held + 2) * STRIDE_BYTES
}

fn held_range(at: u64) -> std::ops::Range<u64> {
    at * STRIDE_BYTES..at * STRIDE_BYTES + RANGE_BYTES
}

/// The free page after the middle one of the held ranges.
fn free_range(held: u64) -> std::ops::Range<u64> {
    let start = held / 2 * STRIDE_BYTES + RANGE_BYTES;
    start..start + RANGE_BYTES
}
