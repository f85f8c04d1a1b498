//! What one uncontended lock and unlock costs, on an idle lock and beside ranges that others hold.
//!
//! Every group ends with a table: the median and the best batch of each contender, and the ratio of
//! each to the pair of `parking_lot`'s `RwLock` taken in the same run. `parking_lot` and `std` know
//! no ranges, so they take part on the idle lock only and stand there for the price of locking at
//! all.
//!
//! A pair is timed as a whole, guard dropped included. On a virtual machine that does other work at
//! the same time, the best batch says more about the code and the median more about the machine.
//!
//! Run: `cargo bench -p daxfs-benches --bench rangelock`.

use std::hint::black_box;
use std::pin::pin;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use daxfs_benches::contender::{
    Exclusive, ParkingLot, RangeLockCrate, RangeMutexCrate, Shared, Std,
};
use daxfs_benches::rivals::{SegmentLock, SplitMapLock};
use rangelock::RangeLock;

/// The size of every range, a page.
const RANGE_BYTES: u64 = 4096;
/// Held ranges lie this far apart, so that there is a free page after each.
const STRIDE_BYTES: u64 = 2 * RANGE_BYTES;

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
    criterion.final_summary();
}

/// Times pairs on an idle lock; returns the `parking_lot` write pair.
fn idle_lock(criterion: &mut Criterion) -> PairTime {
    let mut write = Comparison::new(criterion, "write pair, idle lock");
    let baseline = write.exclusive::<ParkingLot>(0);
    write.exclusive::<RangeLock>(0);
    write.pinned(0, PinnedNode::Reused);
    write.pinned(0, PinnedNode::Fresh);
    write.exclusive::<Std>(0);
    write.exclusive::<SplitMapLock>(0);
    write.exclusive::<SegmentLock>(0);
    write.exclusive::<RangeLockCrate>(0);
    write.exclusive::<RangeMutexCrate>(0);
    write.print(baseline);

    let mut read = Comparison::new(criterion, "read pair, idle lock");
    let read_baseline = read.shared::<ParkingLot>();
    read.shared::<RangeLock>();
    read.shared::<Std>();
    read.shared::<SplitMapLock>();
    read.shared::<SegmentLock>();
    read.print(read_baseline);
    baseline
}

/// Times write pairs in the middle of `held` disjoint ranges.
fn beside_held_ranges(criterion: &mut Criterion, held: u64, baseline: PairTime) {
    let mut write = Comparison::new(criterion, &format!("write pair, {held} ranges held"));
    write.exclusive::<RangeLock>(held);
    write.pinned(held, PinnedNode::Reused);
    write.exclusive::<SplitMapLock>(held);
    write.exclusive::<SegmentLock>(held);
    write.exclusive::<RangeLockCrate>(held);
    write.exclusive::<RangeMutexCrate>(held);
    write.print(baseline);
}

/// Whether a pinned node is made anew for each pair.
#[derive(Clone, Copy)]
enum PinnedNode {
    Reused,
    Fresh,
}

/// What one lock and unlock took, in nanoseconds.
#[derive(Clone, Copy)]
struct PairTime {
    median_ns: f64,
    best_ns: f64,
}

/// One criterion group and what was measured in it.
struct Comparison<'criterion> {
    name: String,
    group: BenchmarkGroup<'criterion, WallTime>,
    times: Vec<(&'static str, PairTime)>,
}

impl<'criterion> Comparison<'criterion> {
    fn new(criterion: &'criterion mut Criterion, name: &str) -> Self {
        let group = criterion.benchmark_group(name);
        Self {
            name: name.to_owned(),
            group,
            times: Vec::new(),
        }
    }

    fn exclusive<L: Exclusive>(&mut self, held: u64) -> PairTime {
        let lock = L::new(len_bytes(held), held as usize + 1);
        let guards: Vec<_> = (0..held).map(|at| lock.write(held_range(at))).collect();
        let range = free_range(held);
        let time = self.time(L::NAME, || {
            black_box(&lock.write(black_box(range.clone())));
        });
        drop(guards);
        time
    }

    fn shared<L: Shared>(&mut self) -> PairTime {
        let lock = L::new(len_bytes(0), 1);
        let range = free_range(0);
        self.time(L::NAME, || {
            black_box(&lock.read(black_box(range.clone())));
        })
    }

    fn pinned(&mut self, held: u64, node: PinnedNode) {
        let lock = RangeLock::new();
        let guards: Vec<_> = (0..held).map(|at| lock.write(held_range(at))).collect();
        let range = free_range(held);
        match node {
            PinnedNode::Reused => {
                let mut node = pin!(lock.node());
                self.time("rangelock, pinned node", || {
                    black_box(&node.as_mut().write(black_box(range.clone())));
                });
            }
            PinnedNode::Fresh => {
                self.time("rangelock, fresh pinned node", || {
                    let node = pin!(lock.node());
                    black_box(&node.write(black_box(range.clone())));
                });
            }
        }
        drop(guards);
    }

    /// Runs one criterion benchmark of `pair`.
    fn time(&mut self, name: &'static str, mut pair: impl FnMut()) -> PairTime {
        let mut batches_ns = Vec::new();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|pairs| {
                let start = Instant::now();
                for _ in 0..pairs {
                    pair();
                }
                let elapsed = start.elapsed();
                batches_ns.push(elapsed.as_nanos() as f64 / pairs as f64);
                elapsed
            });
        });
        batches_ns.sort_by(f64::total_cmp);
        let at = |index: usize| batches_ns.get(index).copied().unwrap_or(f64::NAN);
        let time = PairTime {
            median_ns: at(batches_ns.len() / 2),
            best_ns: at(0),
        };
        self.times.push((name, time));
        time
    }

    fn print(self, baseline: PairTime) {
        self.group.finish();
        println!(
            "\n{}: median and best, with ratios to the parking_lot pair of this run",
            self.name
        );
        for (name, PairTime { median_ns, best_ns }) in self.times {
            let median_ratio = median_ns / baseline.median_ns;
            let best_ratio = best_ns / baseline.best_ns;
            print!("  {name:34} {median_ns:8.1} ns {median_ratio:6.2} x");
            println!("{best_ns:8.1} ns {best_ratio:6.2} x");
        }
        println!();
    }
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
