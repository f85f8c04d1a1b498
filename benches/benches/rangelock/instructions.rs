//! Instructions for each pair, counted by valgrind's callgrind: the same on every run, whatever
//! else the machine does.
//!
//! This program runs itself under callgrind, twice for each row, with different numbers of pairs;
//! the difference is what the pairs cost and everything else cancels out. Takes the locks measured.

use std::env;
use std::process::{Command, Stdio};

use daxfs_benches::contender::{
    Exclusive, Ours, OursPinned, ParkingLot, RangeLockCrate, RangeMutexCrate, Segments, SplitMap,
    Std, TreeOnly,
};
use daxfs_benches::workload::{Beside, ReadAlone, Whole, Workload};

use crate::group::Bench;

/// The first argument of a run under callgrind; then come the row and the number of pairs.
const CHILD: &str = "--as-callgrinds-child";
/// Numbers of as many digits, because they are parsed under callgrind.
const FEW_PAIRS: u64 = 10_000;
const MORE_PAIRS: u64 = 60_000;

struct Row {
    what: &'static str,
    workload: fn() -> Box<dyn Workload>,
}

const ROWS: &[Row] = &[
    Row {
        what: "write a page",
        workload: page::<Ours>,
    },
    Row {
        what: "write a page",
        workload: page::<OursPinned>,
    },
    Row {
        what: "write a page",
        workload: page::<TreeOnly>,
    },
    Row {
        what: "write a page",
        workload: page::<Std>,
    },
    Row {
        what: "write a page",
        workload: page::<ParkingLot>,
    },
    Row {
        what: "write a page",
        workload: page::<RangeMutexCrate>,
    },
    Row {
        what: "write a page",
        workload: page::<RangeLockCrate>,
    },
    Row {
        what: "write a page",
        workload: page::<SplitMap>,
    },
    Row {
        what: "write a page",
        workload: page::<Segments>,
    },
    Row {
        what: "read a page",
        workload: || Box::new(ReadAlone::<Ours>::new()),
    },
    Row {
        what: "write the whole",
        workload: || Box::new(Whole::<Ours>::new()),
    },
    Row {
        what: "write a page, 256 held",
        workload: beside_256::<Ours>,
    },
    Row {
        what: "write a page, 256 held",
        workload: beside_256::<TreeOnly>,
    },
];

/// Whether this is a run under callgrind; if so, the pairs have been done.
pub(crate) fn is_child() -> bool {
    let arguments: Vec<_> = env::args().collect();
    let [_, child, row, pairs, ..] = &arguments[..] else {
        return false;
    };
    if child != CHILD {
        return false;
    }
    let row: usize = row.parse().expect("written by `run_under_callgrind`");
    let pairs = pairs.parse().expect("written by `run_under_callgrind`");
    (ROWS[row].workload)().start(0)(pairs);
    true
}

/// Counts all rows, where valgrind is installed.
pub(crate) fn run(bench: &mut Bench) {
    if !is_valgrind_installed() {
        bench
            .report
            .show("instructions per pair", "valgrind not found");
        return;
    }
    eprintln!("counting instructions");
    println!("\ninstructions for each pair:");
    for (at, row) in ROWS.iter().enumerate() {
        let name = (row.workload)().name();
        let few = run_under_callgrind(at, FEW_PAIRS);
        let more = run_under_callgrind(at, MORE_PAIRS);
        let counted = match few.zip(more) {
            Some((few, more)) => per_pair(more - few, MORE_PAIRS - FEW_PAIRS),
            None => "callgrind failed".to_owned(),
        };
        println!("  {:24} {name:34} {counted:>10}", row.what);
        if name == Ours::NAME || name == OursPinned::NAME || name == Std::NAME {
            let what = format!("instructions per pair, {}, {name}", row.what);
            bench.report.show(&what, counted);
        }
    }
    println!();
}

/// Without decimals where there are none.
fn per_pair(instructions: u64, pairs: u64) -> String {
    if instructions.is_multiple_of(pairs) {
        (instructions / pairs).to_string()
    } else {
        format!("{:.3}", instructions as f64 / pairs as f64)
    }
}

fn is_valgrind_installed() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// All instructions of a run with so many pairs.
fn run_under_callgrind(row: usize, pairs: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args([CHILD, &row.to_string(), &pairs.to_string()])
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    instructions_in(&String::from_utf8_lossy(&output.stderr))
}

/// From callgrind's last words: `==123== Collected : 456`.
fn instructions_in(words: &str) -> Option<u64> {
    let line = words.lines().find(|line| line.contains("Collected :"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn page<L: Exclusive + 'static>() -> Box<dyn Workload> {
    Box::new(Beside::<L>::new(0))
}

fn beside_256<L: Exclusive + 'static>() -> Box<dyn Workload> {
    Box::new(Beside::<L>::new(256))
}
