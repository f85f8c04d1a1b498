//! Two threads, each in a region of its own, eight megabytes apart: what they pay for sharing a
//! lock. The control shares nothing. Takes the locks measured.

use std::time::Duration;

use daxfs_benches::contender::{Exclusive, Ours, OursPinned, RangeMutexCrate, SplitMap, TreeOnly};
use daxfs_benches::workload::{Apart, CopyPage, Inside, NoLock, Nothing, PrivateMutexes, Workload};
use daxfs_benches::{each_range_lock, each_whole_lock};

use crate::group::{Bench, Group};
use crate::report::Bar;

const DISTANCE_BYTES: u64 = 8 << 20;
const DURATION: Duration = Duration::from_secs(6);
const DURATION_ALONE: Duration = Duration::from_secs(1);

/// Pairs around nothing, and pairs around a copy.
pub(crate) fn run(bench: &mut Bench) {
    side_by_side::<Nothing>(bench, "two threads, disjoint narrow writes", vec![]);
    let no_lock = Box::new(NoLock::<CopyPage>::new());
    side_by_side::<CopyPage>(bench, "two threads, disjoint 4 KiB copies", vec![no_lock]);
    beside_a_wide_holder(bench);
}

/// What a backup or a truncation elsewhere in the file costs those who have nothing to do with it.
fn beside_a_wide_holder(bench: &mut Bench) {
    let name = "two threads, beside 32 MiB held elsewhere";
    let control = PrivateMutexes::<Nothing>::NAME;
    let workloads: Vec<Box<dyn Workload>> = vec![
        Box::new(PrivateMutexes::<Nothing>::new(2)),
        beside_wide::<Ours>(),
        beside_wide::<OursPinned>(),
        beside_wide::<TreeOnly>(),
        beside_wide::<RangeMutexCrate>(),
        beside_wide::<SplitMap>(),
    ];
    let group = bench.compare(name, 2, DURATION, &workloads);
    group.print(control);
    for lock in [Ours::NAME, TreeOnly::NAME, RangeMutexCrate::NAME] {
        let measured = format!("{:.2} x a mutex each", group.ratio(control, lock));
        bench.report.show(&format!("{name}, {lock}"), measured);
    }
}

fn beside_wide<L: Exclusive + 'static>() -> Box<dyn Workload> {
    let workload = Apart::<L, Nothing>::beside_a_wide_holder(2, DISTANCE_BYTES);
    Box::new(workload)
}

fn side_by_side<I: Inside + 'static>(
    bench: &mut Bench,
    name: &str,
    mut workloads: Vec<Box<dyn Workload>>,
) {
    let rivals = || {
        let mut rivals = each_range_lock!(apart<I>(2));
        rivals.extend(each_whole_lock!(apart<I>(2)));
        rivals.retain(|rival| !rival.name().starts_with(Ours::NAME));
        rivals
    };
    let control = PrivateMutexes::<I>::NAME;
    workloads.extend(ours_and_control::<I>(2));
    workloads.extend(rivals());
    let group = bench.compare(name, 2, DURATION, &workloads);
    group.print(control);
    let alone_name = format!("{name}: one of them alone");
    let alone = bench.compare(&alone_name, 1, DURATION_ALONE, &ours_and_control::<I>(1));

    let unit = "x a mutex each";
    let ours = throughput::<I>(&group, Ours::NAME);
    bench.report.judge(name, ours, Bar::AtLeast(0.85), unit);
    // How much of it is the price of the lock and how much that of company: one thread's share of
    // the control's throughput would stay the same if company were free.
    let kept = ours / throughput::<I>(&alone, Ours::NAME);
    let measured = format!("{kept:.2} x its own, as the control counts");
    let what = "   the same, beside one thread's throughput";
    bench.report.show(what, measured);
    let (best, best_name) = rivals()
        .iter()
        .map(|rival| (throughput::<I>(&group, rival.name()), rival.name()))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .expect("there are rivals");
    let measured = format!("{best:.2} {unit} ({best_name})");
    bench.report.show("   the same, best rival", measured);
}

/// Relative to the control: the other way round than time.
fn throughput<I: Inside>(group: &Group, name: &str) -> f64 {
    group.ratio(PrivateMutexes::<I>::NAME, name)
}

fn ours_and_control<I: Inside + 'static>(threads: usize) -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(PrivateMutexes::<I>::new(threads)),
        apart::<Ours, I>(threads),
        apart::<OursPinned, I>(threads),
        apart::<TreeOnly, I>(threads),
    ]
}

fn apart<L: Exclusive + 'static, I: Inside + 'static>(threads: usize) -> Box<dyn Workload> {
    Box::new(Apart::<L, I>::new(threads, DISTANCE_BYTES))
}
