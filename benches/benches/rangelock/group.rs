//! A group of workloads measured in turns; what comes of it goes to criterion and to a table of its
//! own. Takes the locks measured.

use std::time::Duration;

use criterion::Criterion;
use daxfs_benches::interleaved::{Plan, Round, Timings, measure};
use daxfs_benches::workload::Workload;

use crate::report::Report;

/// What criterion gets of each workload.
const SAMPLES: usize = 30;
/// Long enough that reading the clock twice does not matter.
const ROUND_ALONE: Duration = Duration::from_micros(40);
/// Short enough that most rounds end before the scheduler looks again.
const ROUND_TOGETHER_PAIRS: u64 = 1_000;
/// Where fewer rounds were begun together, a warning stands under the table.
const ENOUGH_TOGETHER: f64 = 0.25;

/// One run of the suite.
pub(crate) struct Bench {
    pub(crate) report: Report,
    criterion: Option<Criterion>,
    effort: Effort,
}

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    Quick,
    Thorough,
}

impl Bench {
    /// Measures hardly anything, tells criterion nothing.
    pub(crate) fn quick() -> Self {
        Self {
            report: Report::default(),
            criterion: None,
            effort: Effort::Quick,
        }
    }

    /// Measures properly. Names of baselines are criterion's.
    pub(crate) fn thorough(save_baseline: Option<String>, baseline: Option<String>) -> Self {
        let mut criterion = Criterion::default()
            .without_plots()
            .sample_size(SAMPLES)
            .nresamples(10_000)
            // The measuring has been done: these are the shortest that it allows.
            .warm_up_time(Duration::from_nanos(1))
            .measurement_time(Duration::from_millis(100));
        if let Some(name) = save_baseline {
            criterion = criterion.save_baseline(name);
        }
        if let Some(name) = baseline {
            criterion = criterion.retain_baseline(name, true);
        }
        Self {
            report: Report::default(),
            criterion: Some(criterion),
            effort: Effort::Thorough,
        }
    }

    /// `thorough`, or a part of it that is only enough to see that the suite works.
    pub(crate) fn duration(&self, thorough: Duration) -> Duration {
        match self.effort {
            Effort::Quick => thorough / 20,
            Effort::Thorough => thorough,
        }
    }

    /// Measures `workloads` in turns, on one thread or more, for `duration` in all.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        threads: usize,
        duration: Duration,
        workloads: &[Box<dyn Workload + '_>],
    ) -> Group {
        eprintln!("measuring: {name}");
        let round = match threads {
            1 => Round::Lasting(ROUND_ALONE),
            _ => Round::Pairs(ROUND_TOGETHER_PAIRS),
        };
        let plan = Plan {
            threads,
            duration: self.duration(duration),
            round,
        };
        let timings = measure(workloads, plan);
        let names = workloads.iter().map(|workload| workload.name());
        let group = Group {
            name: name.to_owned(),
            results: names.zip(timings).collect(),
        };
        if let Some(criterion) = &mut self.criterion {
            group.record(criterion);
        }
        group
    }

    /// Prints the table of all bars.
    pub(crate) fn finish(self) {
        if let Some(criterion) = self.criterion {
            criterion.final_summary();
        }
        println!();
        self.report.print();
        if self.effort == Effort::Quick {
            println!("\nA quick look: it shows that the suite works, and no more.");
        }
    }
}

/// What was measured in turns.
pub(crate) struct Group {
    name: String,
    results: Vec<(&'static str, Timings)>,
}

impl Group {
    /// What a pair of the lock called `name` took.
    ///
    /// # Panics
    ///
    /// If it did not take part.
    pub(crate) fn ns(&self, name: &str) -> f64 {
        let result = self
            .results
            .iter()
            .find(|(candidate, _)| *candidate == name);
        let (_, timings) = result.unwrap_or_else(|| panic!("{name} is not in {}", self.name));
        timings.lower_quartile_ns()
    }

    /// How many times as long as a pair of `other` one of `name` took.
    pub(crate) fn ratio(&self, name: &str, other: &str) -> f64 {
        self.ns(name) / self.ns(other)
    }

    /// The lower quartile of the rounds, its ratio to that of `baseline`, and the median.
    pub(crate) fn print(&self, baseline: &str) {
        println!(
            "\n{}: ns for each pair, ratio to {baseline}, (median)",
            self.name
        );
        for (name, timings) in &self.results {
            let ns = timings.lower_quartile_ns();
            let ratio = ns / self.ns(baseline);
            let median_ns = timings.median_ns();
            println!("  {name:34} {ns:10.1} {ratio:8.2} x  ({median_ns:.1})");
        }
        let together = self
            .results
            .iter()
            .map(|(_, timings)| timings.together_part());
        let together = together.fold(1.0, f64::min);
        if together < ENOUGH_TOGETHER {
            println!(
                "  Beware: the processors were busy with other things; of the rounds of a lock,"
            );
            println!(
                "  no more than {:.0} % were begun by all threads together.",
                together * 100.0
            );
        }
        println!();
    }

    /// Has criterion analyse what was measured, and compare it with the last run. Every sample is
    /// the lower quartile of a stretch of rounds.
    fn record(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(&self.name);
        for (name, timings) in &self.results {
            let samples_ns = timings.samples_ns(SAMPLES);
            let mut turns = samples_ns.iter().cycle();
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|pairs| {
                    let pair_ns = turns.next().expect("a cycle has no end");
                    Duration::from_nanos((pair_ns * pairs as f64) as u64)
                });
            });
        }
        group.finish();
    }
}
