//! The numbers of the range lock, each beside the bar it is held to.
//!
//! One run measures everything, and every ratio is between two things measured in turns in that
//! run; at the end a table says what was measured, what was asked for, and whether it holds. A
//! missed bar is printed as `MISSED` and is no failure; a lock that excludes too little, or is
//! still held when everyone is done, is.
//!
//! ```text
//! cargo bench -p daxfs-benches --bench rangelock                        everything
//! cargo bench -p daxfs-benches --bench rangelock -- held whole          these parts
//! cargo bench -p daxfs-benches --bench rangelock -- --quick             a look, in seconds
//! cargo bench -p daxfs-benches --bench rangelock -- --save-baseline A   criterion's baselines
//! ```
//!
//! What is timed is handed to criterion, which says how it changed since the last run.
//!
//! | Module | What is measured |
//! |---|---|
//! | `alone` | a pair on an idle lock, beside ranges held, of the whole range; one thread |
//! | `together` | pairs of two threads that want nothing of each other |
//! | `chinner` | two threads that hold 100 ranges each |
//! | `allocation` | allocations for each pair |
//! | `wake_ups` | wake-ups for each grant |
//! | `waits` | waits under wide writers and narrow readers |
//! | `instructions` | instructions for each pair, counted by callgrind |
//! | `group`, `report` | what they share: a group measured in turns, and the table |

mod allocation;
mod alone;
mod chinner;
mod group;
mod instructions;
mod report;
mod together;
mod waits;
mod wake_ups;

use clap::{Parser, ValueEnum};
use daxfs_benches::allocations::Counting;

use self::group::Bench;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures the range lock beside others.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything unless said.
    parts: Vec<Part>,
    /// Measure for a short time: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Keep what criterion learns under this name.
    #[arg(long, value_name = "NAME")]
    save_baseline: Option<String>,
    /// Compare with what criterion kept under this name.
    #[arg(long, value_name = "NAME", conflicts_with = "save_baseline")]
    baseline: Option<String>,
    /// Passed by `cargo bench`; without it, as under `cargo test`, this is a quick look.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Idle,
    Held,
    Whole,
    Threads,
    Chinner,
    Allocations,
    Wakes,
    Mix,
    Instructions,
}

fn main() {
    // First of all, and without parsing: callgrind counts this as well.
    if instructions::is_child() {
        return;
    }
    let arguments = Arguments::parse();
    let is_quick = arguments.quick || !arguments.bench;
    let mut bench = if is_quick {
        Bench::quick()
    } else {
        Bench::thorough(arguments.save_baseline, arguments.baseline)
    };
    let parts = match &arguments.parts[..] {
        [] => Part::value_variants(),
        parts => parts,
    };
    for part in parts {
        match part {
            Part::Idle => alone::idle(&mut bench),
            Part::Held => alone::held(&mut bench),
            Part::Whole => alone::whole(&mut bench),
            Part::Threads => together::run(&mut bench),
            Part::Chinner => chinner::run(&mut bench),
            Part::Allocations => allocation::run(&mut bench),
            Part::Wakes => wake_ups::run(&mut bench),
            Part::Mix => waits::run(&mut bench),
            Part::Instructions => instructions::run(&mut bench),
        }
    }
    bench.finish();
}
