//! Wake-ups for each grant to a thread that slept; see [`herd`](daxfs_benches::herd) for how they
//! are counted. Takes the locks measured.

use daxfs_benches::contender::{
    Exclusive, Ours, OursPinned, ParkingLot, RangeMutexCrate, SplitMap, Std, TreeOnly,
};
use daxfs_benches::herd::{Queue, WakeUps, count};

use crate::group::Bench;
use crate::report::Bar;

const WAITERS: usize = 8;
const ROUNDS: usize = 40;

/// Eight that wait for pages of one holder, and eight that wait for one page.
pub(crate) fn run(bench: &mut Bench) {
    eprintln!("counting wake-ups");
    for (queue, what, knows_ranges_only) in [
        (Queue::Fan, "one release frees eight", true),
        (Queue::Chain, "eight wait for one page", false),
    ] {
        println!("\nwake-ups for each grant that had slept, {what}:");
        let ours = row::<Ours>(queue);
        let what = format!("wake-ups per grant, {what}");
        match ours {
            Some(counted) if counted.slept > 0 => {
                let bar = Bar::Exactly(1.0);
                bench.report.judge(&what, counted.per_grant(), bar, "each");
            }
            _ => bench.report.show(&what, "not counted: needs Linux's /proc"),
        }
        row::<OursPinned>(queue);
        row::<TreeOnly>(queue);
        row::<RangeMutexCrate>(queue);
        row::<SplitMap>(queue);
        if !knows_ranges_only {
            row::<ParkingLot>(queue);
            row::<Std>(queue);
        }
    }
    println!();
}

fn row<L: Exclusive>(queue: Queue) -> Option<WakeUps> {
    let counted = count::<L>(queue, WAITERS, ROUNDS);
    match counted {
        Some(counted) => println!(
            "  {:34} {:8.4}  ({} in {})",
            L::NAME,
            counted.per_grant(),
            counted.wakes,
            counted.slept
        ),
        None => println!("  {:34} does not sleep, or nobody counts it", L::NAME),
    }
    counted
}
