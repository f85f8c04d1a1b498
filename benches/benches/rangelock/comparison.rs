//! One criterion group, and the table that is printed at its end. Takes no lock of its own.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};

/// What one lock and unlock took, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct PairTime {
    pub(crate) median_ns: f64,
    pub(crate) best_ns: f64,
}

/// One criterion group and what was measured in it.
pub(crate) struct Comparison<'criterion> {
    name: String,
    group: BenchmarkGroup<'criterion, WallTime>,
    times: Vec<(&'static str, PairTime)>,
}

impl<'criterion> Comparison<'criterion> {
    pub(crate) fn new(criterion: &'criterion mut Criterion, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: criterion.benchmark_group(name),
            times: Vec::new(),
        }
    }

    /// Runs one criterion benchmark of `pair`.
    pub(crate) fn time(&mut self, name: &'static str, mut pair: impl FnMut()) -> PairTime {
        self.time_batches(name, |pairs| {
            let start = Instant::now();
            for _ in 0..pairs {
                pair();
            }
            start.elapsed()
        })
    }

    /// Runs one criterion benchmark of `batch`, which does so many pairs and says how long it took.
    pub(crate) fn time_batches(
        &mut self,
        name: &'static str,
        mut batch: impl FnMut(u64) -> Duration,
    ) -> PairTime {
        let mut batches_ns = Vec::new();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|pairs| {
                let elapsed = batch(pairs);
                batches_ns.push(elapsed.as_nanos() as f64 / pairs as f64);
                elapsed
            });
        });
        batches_ns.sort_by(f64::total_cmp);
        let at = |index: usize| batches_ns.get(index).copied().unwrap_or(f64::NAN);
        let time = PairTime {
            median_ns: at(batches_ns.len() / 2),
            best_ns: at(0),
        };
        self.times.push((name, time));
        time
    }

    /// Ends the group with a table. `baseline` is what the ratios are to, by name and time.
    pub(crate) fn print(self, baseline_name: &str, baseline: PairTime) {
        self.group.finish();
        println!(
            "\n{}: median and best, with ratios to {baseline_name}",
            self.name
        );
        for (name, PairTime { median_ns, best_ns }) in self.times {
            let median_ratio = median_ns / baseline.median_ns;
            let best_ratio = best_ns / baseline.best_ns;
            print!("  {name:34} {median_ns:8.1} ns {median_ratio:6.2} x");
            println!("{best_ns:8.1} ns {best_ratio:6.2} x");
        }
        println!();
    }
}
