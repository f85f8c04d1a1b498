//! How often each pair allocates once a lock has run for a while, counted by this program's
//! allocator. Takes the locks measured.

use std::thread;

use daxfs_benches::allocations::of_this_thread;
use daxfs_benches::contender::{Exclusive, Ours, OursPinned, ParkingLot, Std};
use daxfs_benches::each_range_lock;
use daxfs_benches::workload::{Beside, Contended, Layout, Ring, Whole, Workload};

use crate::group::Bench;
use crate::report::Bar;

/// Done before counting begins.
const WARM_UP_PAIRS: u64 = 5_000;
const PAIRS: u64 = 20_000;

/// Counts for every scenario; the bar is for ours.
pub(crate) fn run(bench: &mut Bench) {
    eprintln!("counting allocations");
    println!("\nallocations for each pair, after {WARM_UP_PAIRS} pairs:");
    scenario(bench, "uncontended narrow", 1, each_range_lock!(beside(0)));
    scenario(bench, "beside 256 held", 1, each_range_lock!(beside(256)));
    scenario(
        bench,
        "256 held, oldest replaced",
        1,
        each_range_lock!(ring()),
    );
    scenario(bench, "whole range", 1, each_range_lock!(whole()));
    scenario(
        bench,
        "two threads, same page",
        2,
        each_range_lock!(contended()),
    );
    scenario(bench, "pinned", 1, vec![beside::<OursPinned>(0)]);
    let pinned = vec![contended::<OursPinned>()];
    scenario(bench, "pinned, two threads, same page", 2, pinned);
    let others = vec![contended::<Std>(), contended::<ParkingLot>()];
    scenario(bench, "two threads, no ranges", 2, others);
    println!();
}

fn scenario(bench: &mut Bench, what: &str, threads: usize, workloads: Vec<Box<dyn Workload>>) {
    for workload in workloads {
        let allocations = count(&*workload, threads);
        let pairs = threads as u64 * PAIRS;
        let per_pair = allocations as f64 / pairs as f64;
        let name = workload.name();
        println!("  {what:32} {name:34} {per_pair:8.4}  ({allocations} in {pairs})");
        if [Ours::NAME, OursPinned::NAME].contains(&name) {
            let what = format!("allocations per lock, {what}");
            bench
                .report
                .judge(&what, per_pair, Bar::Exactly(0.0), "each");
        }
    }
}

fn count(workload: &dyn Workload, threads: usize) -> u64 {
    let allocations = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut pairs = workload.start(thread);
                    pairs(WARM_UP_PAIRS);
                    let before = of_this_thread();
                    pairs(PAIRS);
                    of_this_thread() - before
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread found a mistake"))
            .sum()
    });
    workload.check();
    allocations
}

fn beside<L: Exclusive + 'static>(held: u64) -> Box<dyn Workload> {
    Box::new(Beside::<L>::new(held))
}

fn ring<L: Exclusive + 'static>() -> Box<dyn Workload> {
    Box::new(Ring::<L>::new(1, 256, Layout::Areas))
}

fn whole<L: Exclusive + 'static>() -> Box<dyn Workload> {
    Box::new(Whole::<L>::new())
}

fn contended<L: Exclusive + 'static>() -> Box<dyn Workload> {
    Box::new(Contended::<L>::new())
}
