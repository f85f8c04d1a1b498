//! How long requests wait when writers of the whole file and readers of single pages ask again and
//! again; see [`mix`](daxfs_benches::mix). Takes the locks measured.

use std::time::Duration;

use daxfs_benches::contender::{Exclusive, Ours, ParkingLot, Shared};
use daxfs_benches::each_shared_lock;
use daxfs_benches::mix::{self, Mix, MixWaits, Waits};

use crate::group::Bench;
use crate::report::Bar;

const DURATION: Duration = Duration::from_secs(2);
/// Nobody may wait for more of the time than this: with six threads and few processors a thread
/// waits for its turn as well, and a lock under which somebody starves shows waits near the whole.
const BOUND_PART: f64 = 0.1;

/// One wide writer and two, each against four readers.
pub(crate) fn run(bench: &mut Bench) {
    for (wide_writers, what) in [
        (1, "1 wide writer, 4 narrow readers"),
        (2, "2 wide writers, 4 narrow readers"),
    ] {
        eprintln!("measuring: waits, {what}");
        let mix = Mix {
            wide_writers,
            narrow_readers: 4,
            duration: bench.duration(DURATION),
        };
        println!("\nwaits, {what}:  longest, 99 of 100, grants; of writers, then of readers");
        let all: Vec<(&str, MixWaits)> = each_shared_lock!(row(mix));
        println!();
        let longest = |name| {
            let found = all.iter().find(|(candidate, _)| *candidate == name);
            let (_, waits) = found.expect("both take part");
            waits.writers.longest().max(waits.readers.longest())
        };
        let ours = longest(Ours::NAME);
        let bound = mix.duration.mul_f64(BOUND_PART);
        bench.report.judge(
            &format!("longest wait, {what}"),
            milliseconds(ours),
            Bar::AtMost(milliseconds(bound)),
            "ms",
        );
        let measured = format!("{:.2} ms", milliseconds(longest(ParkingLot::NAME)));
        let what = format!("   the same, {}", ParkingLot::NAME);
        bench.report.show(&what, measured);
    }
}

fn row<L: Shared>(mix: Mix) -> (&'static str, MixWaits) {
    let waits = mix::run::<L>(mix);
    print!("  {:34}", L::NAME);
    for class in [&waits.writers, &waits.readers] {
        print_class(class);
    }
    println!();
    (L::NAME, waits)
}

fn print_class(waits: &Waits) {
    let longest = milliseconds(waits.longest());
    let percentile_99 = waits.percentile_99().as_secs_f64() * 1e6;
    print!(
        "{longest:10.3} ms {percentile_99:10.2} us {:9}",
        waits.grants()
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
