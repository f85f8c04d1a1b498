//! Two threads that hold 100 ranges each, and replace the oldest all the time. Dave Chinner's
//! workload; see [`Ring`]. Locks that know no ranges cannot take part. Takes the locks measured.

use std::time::Duration;

use daxfs_benches::contender::{Exclusive, Ours, ParkingLot, TreeOnly};
use daxfs_benches::each_range_lock;
use daxfs_benches::workload::{Layout, Ring, Workload};

use crate::group::Bench;
use crate::report::Bar;

const THREADS: usize = 2;
const HELD: usize = 100;
const DURATION: Duration = Duration::from_secs(5);

/// Pairs of threads whose ranges lie in areas of their own, and of threads whose ranges alternate.
pub(crate) fn run(bench: &mut Bench) {
    for (layout, name) in [
        (Layout::Areas, "two threads, 100 held each, own areas"),
        (
            Layout::Interleaved,
            "two threads, 100 held each, interleaved",
        ),
    ] {
        let workloads = each_range_lock!(ring(layout));
        let group = bench.compare(name, THREADS, DURATION, &workloads);
        group.print(TreeOnly::NAME);
        println!("  million pairs a second, both threads together:");
        for workload in &workloads {
            let name = workload.name();
            println!("  {name:34} {:10.2}", millions_a_second(group.ns(name)));
        }
        println!("  {:34} {:>10}", ParkingLot::NAME, "no ranges");
        println!();
        bench.report.judge(
            name,
            group.ratio(TreeOnly::NAME, Ours::NAME),
            Bar::AtLeast(3.0),
            "x the tree alone",
        );
        let measured = format!(
            "{:.2} M pairs/s; the tree {:.2} M",
            millions_a_second(group.ns(Ours::NAME)),
            millions_a_second(group.ns(TreeOnly::NAME)),
        );
        bench
            .report
            .show("   the same, both threads together", measured);
    }
}

fn millions_a_second(pair_ns: f64) -> f64 {
    THREADS as f64 * 1e3 / pair_ns
}

fn ring<L: Exclusive + 'static>(layout: Layout) -> Box<dyn Workload> {
    Box::new(Ring::<L>::new(THREADS, HELD, layout))
}
