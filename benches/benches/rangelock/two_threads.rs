//! Two threads, each in a region of its own, eight megabytes apart: what they pay for sharing a
//! lock.
//!
//! The control is a mutex for each thread on a cache line of its own. Both threads do short rounds
//! of pairs, which they start together, spinning; the time of a round is from the first start to
//! the last end. Of all rounds of a batch the lower quartile counts: in the others somebody else
//! had one of the processors, and then the threads take turns and a shared cache line costs
//! nothing.

use std::hint::{black_box, spin_loop};
use std::ops::Range;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::thread;
use std::time::Instant;

use criterion::Criterion;
use daxfs_benches::contender::{Exclusive, ParkingLot, Slots, Std};
use daxfs_benches::rivals::{SegmentLock, SplitMapLock};
use rangelock::RangeLock;

use super::comparison::{Comparison, PairTime};
use super::{RANGE_BYTES, SLOTS_PINNED, TREE_PINNED, with_slots};

const REGION_BYTES: u64 = 8 << 20;
/// Short enough that most rounds end before the scheduler looks again.
const ROUND_PAIRS: u64 = 500;

pub(super) fn run(criterion: &mut Criterion) {
    for (work, name) in [
        (Work::Nothing, "write pair, two threads"),
        (
            Work::CopyPage,
            "write pair around a copy of 4 KiB, two threads",
        ),
    ] {
        let mut group = Comparison::new(criterion, name);
        if work == Work::CopyPage {
            time(&mut group, "no lock", work, |_, work| work());
        }
        let control = private_mutexes(&mut group, work);
        exclusive::<Slots>(&mut group, work);
        pinned(&mut group, work, SLOTS_PINNED, &with_slots());
        exclusive::<RangeLock>(&mut group, work);
        pinned(&mut group, work, TREE_PINNED, &RangeLock::new());
        exclusive::<ParkingLot>(&mut group, work);
        exclusive::<Std>(&mut group, work);
        exclusive::<SegmentLock>(&mut group, work);
        exclusive::<SplitMapLock>(&mut group, work);
        group.print("a private mutex for each thread", control);
    }
}

/// What a thread does while it holds its range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    CopyPage,
}

/// On two cache lines of its own.
#[repr(align(128))]
struct Padded<T>(T);

fn private_mutexes(group: &mut Comparison, work: Work) -> PairTime {
    let mutexes = [(); 2].map(|()| Padded(Mutex::new(())));
    time(group, "a mutex each", work, |thread, work| {
        let _guard = mutexes[thread].0.lock().expect("no holder panics");
        work();
    })
}

fn exclusive<L: Exclusive>(group: &mut Comparison, work: Work) {
    let lock = L::new(2 * REGION_BYTES, 2);
    time(group, L::NAME, work, |thread, work| {
        let _guard = lock.write(black_box(range_of(thread)));
        work();
    });
}

fn pinned(group: &mut Comparison, work: Work, name: &'static str, lock: &RangeLock) {
    time(group, name, work, |thread, work| {
        let node = pin!(lock.node());
        let _guard = node.write(black_box(range_of(thread)));
        work();
    });
}

fn range_of(thread: usize) -> Range<u64> {
    let start = thread as u64 * REGION_BYTES + RANGE_BYTES;
    start..start + RANGE_BYTES
}

/// Times `pair`, which is told which thread it is and what to do inside.
fn time(
    group: &mut Comparison,
    name: &'static str,
    work: Work,
    pair: impl Fn(usize, &mut dyn FnMut()) + Sync,
) -> PairTime {
    group.time_batches(name, |pairs| {
        let rounds = pairs.div_ceil(ROUND_PAIRS);
        let arrivals = Padded(AtomicU64::new(0));
        let run = |thread| {
            let mut pages = Padded([[thread as u8; RANGE_BYTES as usize]; 2]);
            let mut times = Vec::with_capacity(rounds as usize);
            for round in 1..=rounds {
                arrive(&arrivals.0, 2 * round);
                let start = Instant::now();
                for _ in 0..ROUND_PAIRS {
                    pair(thread, &mut || work.run(&mut pages.0));
                }
                times.push((start, Instant::now()));
            }
            times
        };
        let (times, other_times) = thread::scope(|scope| {
            let other = scope.spawn(|| run(1));
            (run(0), other.join().expect("no pair panics"))
        });
        let mut round_times: Vec<_> = times
            .into_iter()
            .zip(other_times)
            .map(|((start, end), (other_start, other_end))| {
                end.max(other_end) - start.min(other_start)
            })
            .collect();
        round_times.sort_unstable();
        round_times[round_times.len() / 4].mul_f64(pairs as f64 / ROUND_PAIRS as f64)
    })
}

/// Waits until `all` have arrived, and as a rule is then running on its processor.
fn arrive(arrivals: &AtomicU64, all: u64) {
    arrivals.fetch_add(1, AcqRel);
    let mut spins = 0_u32;
    while arrivals.load(Acquire) < all {
        spins += 1;
        if spins.is_multiple_of(10_000) {
            thread::yield_now();
        }
        spin_loop();
    }
}

impl Work {
    #[inline]
    fn run(self, [from, to]: &mut [[u8; RANGE_BYTES as usize]; 2]) {
        if self == Self::CopyPage {
            to.copy_from_slice(black_box(from));
            black_box(to);
        }
    }
}
