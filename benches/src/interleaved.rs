//! Times several workloads in turns.
//!
//! # Why in turns
//!
//! On a machine that does other work, or whose clock changes, a ratio of two times taken a minute
//! apart says little. Here every workload runs for some microseconds, then the next, then all again
//! in another order, thousands of times: what disturbs one disturbs the others as often. Of the
//! times of one workload the lower quartile counts: below it lie rounds in which nobody else had
//! the processors.
//!
//! # A round
//!
//! ```text
//! thread 0   warm up │ pairs ........│ warm up the next
//! thread 1   warm up │ pairs ...........│ warm up the next
//!                  meet               the round: first start to last end
//! ```
//!
//! With more threads than one, each stays on a processor of its own, and a round is short, so that
//! most rounds end before the scheduler looks again. And only rounds count that all threads began
//! together, within half a microsecond for each thread: in the others one of them had no processor,
//! and then the rest have the lock to themselves and a shared cache line costs nothing. Who begins
//! late is decided before anyone touches the lock, so leaving these rounds out favours no lock.
//!
//! Locks: those measured, by way of the workloads.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use crate::gate::{Gate, Party};
use crate::processors::stay_on;
use crate::workload::{Pairs, Workload};

/// Rounds of every workload, however little time there is.
const MIN_ROUNDS: usize = 8;
/// Threads that begin a round later than this after the first, for each thread there is, had no
/// processor when they should have begun.
const LATE: Duration = Duration::from_nanos(500);
/// Of the pairs of a round, this part is done before it, to have the caches filled.
const WARM_UP_PART: u64 = 8;

/// How many pairs each thread does in a round.
#[derive(Clone, Copy, Debug)]
pub enum Round {
    /// So many.
    Pairs(u64),
    /// As many as one thread alone does in this time.
    Lasting(Duration),
}

/// What is to be measured, besides the workloads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many threads run each workload.
    pub threads: usize,
    /// How long all workloads take together.
    pub duration: Duration,
    /// How long each takes at a time.
    pub round: Round,
}

/// What one pair took in each round, in the order of the rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    /// Those that all threads began together, or all if that was hardly ever so.
    rounds_ns: Vec<f64>,
    together_part: f64,
}

impl Timings {
    /// The quarter of the rounds that went undisturbed took no longer. In nanoseconds per pair.
    #[must_use]
    pub fn lower_quartile_ns(&self) -> f64 {
        quantile(&self.rounds_ns, 0.25)
    }

    /// Half of the rounds took no longer. In nanoseconds per pair.
    #[must_use]
    pub fn median_ns(&self) -> f64 {
        quantile(&self.rounds_ns, 0.5)
    }

    /// The part of the rounds that all threads began together. If it is small, the processors were
    /// taken by others, or are too few.
    #[must_use]
    pub fn together_part(&self) -> f64 {
        self.together_part
    }

    /// The lower quartiles of `count` stretches of time, in their order.
    #[must_use]
    pub fn samples_ns(&self, count: usize) -> Vec<f64> {
        let rounds = self.rounds_ns.len();
        (0..count)
            .map(|at| {
                let start = (at * rounds / count).min(rounds - 1);
                let end = ((at + 1) * rounds / count).max(start + 1);
                quantile(&self.rounds_ns[start..end], 0.25)
            })
            .collect()
    }
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// Runs all `workloads` in turns and times each.
///
/// # Panics
///
/// If a lock is not free at the end, or a workload finds that it excluded too little.
#[must_use]
pub fn measure(workloads: &[Box<dyn Workload + '_>], plan: Plan) -> Vec<Timings> {
    assert!(plan.threads > 0, "somebody has to do it");
    let run = Run {
        workloads,
        plan,
        gate: Gate::new(plan.threads),
        round_pairs: workloads.iter().map(|_| AtomicU64::new(0)).collect(),
        is_over: AtomicBool::new(false),
    };
    // Even one thread is one of several in its process, as it would be wherever locks are used: the
    // C library takes shortcuts in a process that has never had a second.
    let by_thread: Vec<Vec<Vec<Stretch>>> = thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| scope.spawn(move || run.take_part(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread found a mistake"))
            .collect()
    });
    for workload in workloads {
        workload.check();
    }
    (0..workloads.len())
        .map(|at| {
            let stretches: Vec<_> = by_thread.iter().map(|thread| &thread[at][..]).collect();
            combine(&stretches, run.round_pairs[at].load(Relaxed))
        })
        .collect()
}

/// When a thread started with a round and when it was done.
#[derive(Clone, Copy)]
struct Stretch {
    start: Instant,
    end: Instant,
}

/// From the first start to the last end of each round.
fn combine(by_thread: &[&[Stretch]], pairs: u64) -> Timings {
    let rounds: Vec<_> = (0..by_thread[0].len())
        .map(|round| joint_round(by_thread.iter().map(|stretches| stretches[round])))
        .collect();
    let pair_ns = |round: &JointRound| round.duration.as_nanos() as f64 / pairs as f64;
    let late = LATE * by_thread.len() as u32;
    let together = rounds.iter().filter(|round| round.delay <= late);
    let mut rounds_ns: Vec<_> = together.map(pair_ns).collect();
    let together_part = rounds_ns.len() as f64 / rounds.len() as f64;
    if rounds_ns.len() < MIN_ROUNDS {
        rounds_ns = rounds.iter().map(pair_ns).collect();
    }
    Timings {
        rounds_ns,
        together_part,
    }
}

struct JointRound {
    /// From the first start to the last end.
    duration: Duration,
    /// From the first start to the last start.
    delay: Duration,
}

fn joint_round(of_threads: impl Iterator<Item = Stretch>) -> JointRound {
    let all = of_threads.map(|stretch| (stretch.start, stretch.start, stretch.end));
    let (first_start, last_start, last_end) = all
        .reduce(|all, next| (all.0.min(next.0), all.1.max(next.1), all.2.max(next.2)))
        .expect("there is at least one thread");
    JointRound {
        duration: last_end - first_start,
        delay: last_start - first_start,
    }
}

struct Run<'run> {
    workloads: &'run [Box<dyn Workload + 'run>],
    plan: Plan,
    gate: Gate,
    /// For each workload; set by thread 0 before the first round.
    round_pairs: Vec<AtomicU64>,
    /// Set by thread 0 before a meeting, read by the others after it.
    is_over: AtomicBool,
}

impl Run<'_> {
    /// One thread's part: its stretches, for each workload.
    fn take_part(&self, thread: usize) -> Vec<Vec<Stretch>> {
        if self.plan.threads > 1 {
            stay_on(thread);
        }
        let mut party = self.gate.join();
        let mut pairs: Vec<Pairs<'_>> = self
            .workloads
            .iter()
            .map(|workload| workload.start(thread))
            .collect();
        party.meet();
        if thread == 0 {
            self.set_round_pairs(&mut pairs);
        }
        let deadline = Instant::now() + self.plan.duration;
        let mut stretches = vec![Vec::new(); pairs.len()];
        for turn in 0.. {
            if thread == 0 && turn >= MIN_ROUNDS && Instant::now() >= deadline {
                self.is_over.store(true, Relaxed);
            }
            party.meet();
            if self.is_over.load(Relaxed) {
                break;
            }
            for at in 0..pairs.len() {
                // Each time another comes first, so that nobody always follows the same one.
                let at = (at + turn) % pairs.len();
                stretches[at].push(self.round(at, &mut pairs[at], &mut party));
            }
        }
        stretches
    }

    fn round(&self, at: usize, pairs: &mut Pairs<'_>, party: &mut Party<'_>) -> Stretch {
        let count = self.round_pairs[at].load(Relaxed);
        pairs(count / WARM_UP_PART + 1);
        party.meet();
        let start = Instant::now();
        pairs(count);
        Stretch {
            start,
            end: Instant::now(),
        }
    }

    fn set_round_pairs(&self, pairs: &mut [Pairs<'_>]) {
        for (count, pairs) in self.round_pairs.iter().zip(pairs) {
            let value = match self.plan.round {
                Round::Pairs(count) => count,
                Round::Lasting(duration) => pairs_lasting(duration, pairs),
            };
            count.store(value, Relaxed);
        }
    }
}

/// How many pairs take about `duration`, by the faster of two looks.
fn pairs_lasting(duration: Duration, pairs: &mut Pairs<'_>) -> u64 {
    let mut count = 1;
    loop {
        let fastest = [(); 2]
            .map(|()| {
                let start = Instant::now();
                pairs(count);
                start.elapsed()
            })
            .into_iter()
            .min()
            .unwrap_or_default();
        if fastest * 2 >= duration {
            let ratio = duration.as_nanos() as f64 / fastest.as_nanos() as f64;
            return ((count as f64 * ratio) as u64).max(1);
        }
        count *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down who did how many pairs.
    #[derive(Default)]
    struct Diary {
        entries: Mutex<Vec<(usize, u64)>>,
        is_bad: bool,
    }

    impl Workload for Diary {
        fn name(&self) -> &'static str {
            "diary"
        }

        fn start(&self, thread: usize) -> Pairs<'_> {
            Box::new(move |pairs| self.entries.lock().unwrap().push((thread, pairs)))
        }

        fn check(&self) {
            assert!(!self.is_bad, "bad in the end");
        }
    }

    const SHORTEST: Plan = Plan {
        threads: 2,
        duration: Duration::ZERO,
        round: Round::Pairs(80),
    };

    #[test]
    fn every_thread_runs_every_workload_in_every_round() {
        let (first, second) = (Diary::default(), Diary::default());
        let workloads: [Box<dyn Workload>; 2] = [Box::new(&first), Box::new(&second)];
        let timings = measure(&workloads, SHORTEST);
        for (diary, timings) in [(&first, &timings[0]), (&second, &timings[1])] {
            assert_eq!(timings.rounds_ns.len(), MIN_ROUNDS);
            for thread in 0..2 {
                let entries = diary.entries.lock().unwrap();
                let of_thread: Vec<_> = entries.iter().filter(|entry| entry.0 == thread).collect();
                let warm_up_and_round = [11, 80].repeat(MIN_ROUNDS);
                let pairs: Vec<_> = of_thread.iter().map(|entry| entry.1).collect();
                assert_eq!(pairs, warm_up_and_round);
            }
        }
    }

    #[test]
    #[should_panic(expected = "bad in the end")]
    fn a_lock_that_is_wrong_in_the_end_is_no_result() {
        let bad = Diary {
            is_bad: true,
            ..Diary::default()
        };
        let _ = measure(&[Box::new(bad)], SHORTEST);
    }

    fn stretch(zero: Instant, start_ns: u64, end_ns: u64) -> Stretch {
        Stretch {
            start: zero + Duration::from_nanos(start_ns),
            end: zero + Duration::from_nanos(end_ns),
        }
    }

    #[test]
    fn a_round_is_from_the_first_start_to_the_last_end() {
        let zero = Instant::now();
        let first = [stretch(zero, 0, 100), stretch(zero, 900, 950)];
        let second = [stretch(zero, 10, 220), stretch(zero, 850, 900)];
        let timings = combine(&[&first, &second], 10);
        assert_eq!(timings.rounds_ns, [22.0, 10.0]);
    }

    #[test]
    fn rounds_that_a_thread_began_late_are_left_out() {
        let zero = Instant::now();
        let first = [stretch(zero, 0, 2_000); 10];
        let mut second = [stretch(zero, 1_000, 3_000); 10];
        second[4] = stretch(zero, 1_001, 3_001);
        let timings = combine(&[&first, &second], 1_000);
        assert_eq!(timings.rounds_ns, [3.0; 9]);
        assert_eq!(timings.together_part(), 0.9);
    }

    #[test]
    fn all_rounds_count_if_hardly_any_was_begun_together() {
        let zero = Instant::now();
        let first = [stretch(zero, 0, 2_000); 10];
        let second = [stretch(zero, 8_000, 9_000); 10];
        let timings = combine(&[&first, &second], 1_000);
        assert_eq!(timings.rounds_ns, [9.0; 10]);
        assert_eq!(timings.together_part(), 0.0);
    }

    #[test]
    fn quantiles_ignore_the_order_and_samples_keep_it() {
        let timings = Timings {
            rounds_ns: vec![8.0, 1.0, 9.0, 2.0, 7.0, 6.0, 5.0, 4.0, 3.0],
            together_part: 1.0,
        };
        assert_eq!(timings.lower_quartile_ns(), 3.0);
        assert_eq!(timings.median_ns(), 5.0);
        assert_eq!(timings.samples_ns(3), [1.0, 2.0, 3.0]);
        assert_eq!(timings.samples_ns(20).len(), 20, "more samples than rounds");
    }
}
