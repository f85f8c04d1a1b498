//! Two threads, each in a region of its own, eight megabytes apart: what they pay for sharing a
//! lock.
//!
//! The control is a mutex for each thread on a cache line of its own. A time is that of both
//! threads together, from the start of the first to the end of the last, by pairs of one. Run it on
//! a machine with nothing else to do: when the two do not really run at the same time, a shared
//! cache line costs nothing.

use std::hint::black_box;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use criterion::Criterion;
use daxfs_benches::contender::{Exclusive, ParkingLot, Slots, Std};
use daxfs_benches::rivals::{SegmentLock, SplitMapLock};
use rangelock::RangeLock;

use super::comparison::{Comparison, PairTime};
use super::{RANGE_BYTES, SLOTS_PINNED, TREE_PINNED, with_slots};

const REGION_BYTES: u64 = 8 << 20;

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
        let barrier = Barrier::new(2);
        let run = |thread| {
            let mut pages = Padded([[thread as u8; RANGE_BYTES as usize]; 2]);
            barrier.wait();
            let start = Instant::now();
            for _ in 0..pairs {
                pair(thread, &mut || work.run(&mut pages.0));
            }
            (start, Instant::now())
        };
        thread::scope(|scope| {
            let other = scope.spawn(|| run(1));
            let (start, end) = run(0);
            let (other_start, other_end) = other.join().expect("no pair panics");
            end.max(other_end) - start.min(other_start)
        })
    })
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
