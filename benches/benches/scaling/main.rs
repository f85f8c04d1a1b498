//! How pairs per second grow with threads: for a machine with many processors.
//!
//! Threads take turns with the locks as in the suite `rangelock`: see
//! [`interleaved`](daxfs_benches::interleaved). The control is a mutex for each thread, and has no
//! ranges. There are no bars here.
//!
//! ```text
//! cargo bench -p daxfs-benches --bench scaling                     up to all processors
//! cargo bench -p daxfs-benches --bench scaling -- --threads 64     up to so many threads
//! cargo bench -p daxfs-benches --bench scaling -- hot many-areas   these workloads
//! ```
//!
//! | Workload | What each thread does |
//! |---|---|
//! | `few-areas` | writes one page, always the same, 8 MiB from the others |
//! | `few-interleaved` | writes one page, then the next; the pages of the threads alternate |
//! | `few-granule` | writes one page, always the same, next to the others |
//! | `many-areas` | holds 100 pages in 8 MiB of its own, replaces the oldest |
//! | `many-interleaved` | holds 100 pages, which alternate with those of the others |
//! | `many-granule` | holds 100 ranges of eight bytes, which alternate, all in one granule |
//! | `hot` | uses the same page as all others, reads nine times of ten |
//!
//! Takes the locks measured.

mod tables;

use std::num::NonZero;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use daxfs_benches::contender::{Exclusive, Segments, Shared};
use daxfs_benches::interleaved::{Plan, Round, measure};
use daxfs_benches::workload::{
    Apart, Hot, Layout, Nothing, PAGE_BYTES, PrivateMutexes, Ring, Workload,
};
use daxfs_benches::{each_range_lock, each_shared_lock, each_whole_lock};

use self::tables::Tables;

/// Ranges held by each thread where many are held.
const MANY: usize = 100;
const AREA_BYTES: u64 = 8 << 20;
/// Short enough that most rounds end before the scheduler looks again.
const ROUND: Round = Round::Pairs(500);

/// Measures locks under more and more threads.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything unless said.
    kinds: Vec<Kind>,
    /// The most threads; unless said, as many as there are processors.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// How long the locks are measured for each workload and number of threads, all together.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000)]
    time: u64,
    /// Passed by `cargo bench`; without it, as under `cargo test`, this is a quick look.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    FewAreas,
    FewInterleaved,
    FewGranule,
    ManyAreas,
    ManyInterleaved,
    ManyGranule,
    Hot,
}

fn main() {
    let arguments = Arguments::parse();
    let most = arguments
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZero::get);
    let kinds = match &arguments.kinds[..] {
        [] => Kind::value_variants(),
        kinds => kinds,
    };
    let milliseconds = if arguments.bench {
        arguments.time
    } else {
        arguments.time.min(20)
    };
    let counts = thread_counts(most);
    let mut tables = Tables::new(&counts);
    for kind in kinds {
        for &threads in &counts {
            let plan = Plan {
                threads,
                duration: Duration::from_millis(milliseconds),
                round: ROUND,
            };
            let workloads = kind.workloads(threads);
            let timings = measure(&workloads, plan);
            for (workload, timings) in workloads.iter().zip(timings) {
                tables.add(kind.name(), workload.name(), threads, &timings);
            }
        }
        tables.print_workload(kind.name());
    }
    tables.print_locks();
}

/// Powers of two, and the most.
fn thread_counts(most: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|power| 1 << power);
    let mut counts: Vec<_> = powers.take_while(|&count| count < most).collect();
    counts.push(most);
    counts
}

impl Kind {
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no kind is hidden");
        value.get_name().to_owned()
    }

    /// The control first.
    fn workloads(self, threads: usize) -> Vec<Box<dyn Workload>> {
        let mut workloads: Vec<Box<dyn Workload>> =
            vec![Box::new(PrivateMutexes::<Nothing>::new(threads))];
        workloads.extend(match self {
            Self::FewAreas => {
                let mut workloads = each_range_lock!(apart(threads, AREA_BYTES));
                workloads.extend(each_whole_lock!(apart(threads, AREA_BYTES)));
                workloads
            }
            Self::FewInterleaved => each_range_lock!(ring(threads, 1, Layout::Interleaved)),
            Self::FewGranule => each_range_lock!(apart(threads, PAGE_BYTES)),
            Self::ManyAreas => each_range_lock!(ring(threads, MANY, Layout::Areas)),
            Self::ManyInterleaved => each_range_lock!(ring(threads, MANY, Layout::Interleaved)),
            Self::ManyGranule => {
                let mut workloads = each_range_lock!(ring(threads, MANY, Layout::OneGranule));
                // To it these ranges are the same, and a thread would wait for itself.
                workloads.retain(|workload| workload.name() != Segments::NAME);
                workloads
            }
            Self::Hot => each_shared_lock!(hot(threads)),
        });
        workloads
    }
}

fn apart<L: Exclusive + 'static>(threads: usize, distance_bytes: u64) -> Box<dyn Workload> {
    Box::new(Apart::<L, Nothing>::new(threads, distance_bytes))
}

fn ring<L: Exclusive + 'static>(threads: usize, held: usize, layout: Layout) -> Box<dyn Workload> {
    Box::new(Ring::<L>::new(threads, held, layout))
}

fn hot<L: Shared + 'static>(threads: usize) -> Box<dyn Workload> {
    Box::new(Hot::<L>::new(threads))
}
