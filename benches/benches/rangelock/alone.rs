//! One thread, nobody in the way: a pair on an idle lock, beside ranges that are held, and of the
//! whole range. Takes the locks measured.

use std::time::Duration;

use daxfs_benches::contender::{
    Exclusive, Ours, OursPinned, ParkingLot, RangeLockCrate, RangeMutexCrate, Segments, Shared,
    SplitMap, Std, TreeOnly,
};
use daxfs_benches::workload::{Beside, ReadAlone, Whole, Workload};
use daxfs_benches::{each_range_lock, each_whole_lock};

use crate::group::Bench;
use crate::report::Bar;

const DURATION: Duration = Duration::from_secs(3);
/// Ranges held beside the one that is timed.
const HELD: [u64; 4] = [16, 256, 4096, 65_536];
const OURS_EMPTY: &str = "rangelock, nothing held";
const OURS_GROWN: &str = "rangelock, 4096 held before";

type Boxed = Box<dyn Workload>;

/// Pairs on an idle lock.
pub(crate) fn idle(bench: &mut Bench) {
    let mut workloads = each_whole_lock!(beside(0));
    workloads.push(beside::<OursPinned>(0));
    workloads.extend(each_range_lock!(beside(0)));
    let write = bench.compare("write pair, idle lock", 1, DURATION, &workloads);
    write.print(Std::NAME);
    let unit = |name| format!("x std RwLock, {:.1} ns (aim 1.3 x)", write.ns(name));
    bench.report.judge(
        "uncontended narrow write pair",
        write.ratio(Ours::NAME, Std::NAME),
        Bar::AtMost(1.8),
        &unit(Ours::NAME),
    );
    let ratio = write.ratio(OursPinned::NAME, Std::NAME);
    let measured = format!("{ratio:.2} {}", unit(OursPinned::NAME));
    bench.report.show("   the same, pinned node", measured);

    let workloads = [
        read::<Std>(),
        read::<ParkingLot>(),
        read::<Ours>(),
        read::<TreeOnly>(),
        read::<SplitMap>(),
        read::<Segments>(),
    ];
    let read = bench.compare("read pair, idle lock", 1, DURATION, &workloads);
    read.print(Std::NAME);
    let ratio = read.ratio(Ours::NAME, Std::NAME);
    let pair_ns = read.ns(Ours::NAME);
    let measured = format!("{ratio:.2} x std RwLock's read, {pair_ns:.1} ns");
    bench.report.show("uncontended narrow read pair", measured);
}

/// Write pairs in the middle of disjoint ranges that are held.
pub(crate) fn held(bench: &mut Bench) {
    for held in HELD {
        let mut workloads = each_range_lock!(beside(held));
        workloads.push(beside::<OursPinned>(held));
        workloads.push(Box::new(Beside::<Ours>::new(0).named(OURS_EMPTY)));
        let name = format!("write pair, {held} ranges held");
        let group = bench.compare(&name, 1, DURATION, &workloads);
        group.print(OURS_EMPTY);
        for rival in [RangeLockCrate::NAME, RangeMutexCrate::NAME] {
            let ratio = group.ratio(Ours::NAME, rival);
            let unit = format!("x {rival}");
            bench.report.judge(&name, ratio, Bar::LessThan(1.0), &unit);
        }
        let ratio = group.ratio(Ours::NAME, OURS_EMPTY);
        if held == HELD[HELD.len() - 1] {
            bench
                .report
                .judge(&name, ratio, Bar::AtMost(12.0), "x the empty lock");
        } else {
            let measured = format!("{ratio:.2} x the empty lock");
            bench.report.show(&name, measured);
        }
    }
}

/// Write pairs of the whole range on a lock that nobody else uses.
pub(crate) fn whole(bench: &mut Bench) {
    let mut workloads = each_whole_lock!(whole_of());
    workloads.push(whole_of::<OursPinned>());
    workloads.push(Box::new(Whole::<Ours>::grown(OURS_GROWN, 4096)));
    workloads.extend(each_range_lock!(whole_of()));
    let group = bench.compare("whole-range write pair, idle lock", 1, DURATION, &workloads);
    group.print(Std::NAME);
    bench.report.judge(
        "whole-range write pair, idle lock",
        group.ratio(Ours::NAME, Std::NAME),
        Bar::AtMost(3.0),
        "x std RwLock",
    );
    let ratio = group.ratio(OURS_GROWN, Std::NAME);
    bench.report.show(
        "   the same after 4096 ranges were held",
        format!("{ratio:.2} x std RwLock"),
    );
}

fn beside<L: Exclusive + 'static>(held: u64) -> Boxed {
    Box::new(Beside::<L>::new(held))
}

fn read<L: Shared + 'static>() -> Boxed {
    Box::new(ReadAlone::<L>::new())
}

fn whole_of<L: Exclusive + 'static>() -> Boxed {
    Box::new(Whole::<L>::new())
}
