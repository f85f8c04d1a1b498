//! Runs the threads of one workload for one slice of time, and counts what they did.
//!
//! Workers are pinned to cores round-robin, start together, and run until told to stop. The
//! timekeeper, which is the calling thread, sleeps meanwhile and reads every worker's counter at
//! the beginning and at the end of the measured time, so that neither starting nor stopping
//! threads is in it.
//!
//! Reading the clock costs tens of nanoseconds, which a 4 KiB copy would feel. So operations that
//! cheap are counted always and timed every [`SAMPLE_EVERY`]th time ([`Recorder::sampled`]);
//! faults, which cost microseconds, are all timed ([`Recorder::timed`]).
//!
//! Touches no image. Its only lock is the barrier at the start; a worker writes counters on cache
//! lines of its own, and reads flags that change three times in a slice.

use std::fs;
use std::panic;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One in this many cheap operations is timed.
pub(crate) const SAMPLE_EVERY: u64 = 16;
/// Latencies are kept to three digits, up to one minute; longer ones count as one minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// How long to wait for a first operation that takes longer than the slice.
const PATIENCE: Duration = Duration::from_secs(10);

/// A workload with its files open, for one slice.
pub(crate) trait Workload: Sync {
    /// Does the work of one thread while the recorder is running.
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()>;

    /// After the slice: whether `read_at` and loads agree, and return what must be there.
    fn verify(&self) -> Result<Coherence>;

    /// How often page tables have been changed so far; `None` where that is not the subject.
    fn page_table_operations(&self) -> Option<u64> {
        None
    }
}

/// Whether reads, writes and mappings showed the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coherence {
    /// They did, at every check.
    Coherent,
    /// They did not; how.
    Incoherent(&'static str),
}

impl Coherence {
    /// Coherent only if both are.
    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Self::Coherent => other,
            Self::Incoherent(_) => self,
        }
    }
}

/// How long one slice runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceTime {
    /// Before anything is counted.
    pub(crate) warm_up: Duration,
    /// While everything is counted.
    pub(crate) measured: Duration,
}

/// The cores that this process may use.
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    /// Those of the calling thread; none where the system does not tell.
    pub(crate) fn of_this_process() -> Self {
        let cpus = sched_getaffinity(None).map_or_else(
            |_| Vec::new(),
            |set| {
                (0..CpuSet::MAX_CPU)
                    .filter(|&cpu| set.is_set(cpu))
                    .collect()
            },
        );
        Self(cpus)
    }

    /// Keeps the calling thread on the core that is `thread`'s turn.
    fn pin(&self, thread: usize) {
        if self.0.is_empty() {
            return;
        }
        let mut set = CpuSet::new();
        set.set(self.0[thread % self.0.len()]);
        // A thread that may not be pinned runs all the same, with more noise.
        let _ = sched_setaffinity(None, &set);
    }
}

/// What the threads of one or more slices did.
pub(crate) struct Tally {
    /// Operations within the measured time.
    pub(crate) ops: u64,
    /// The measured time.
    pub(crate) wall: Duration,
    /// Time inside operations that were all timed, summed over the threads.
    pub(crate) inside_ns: u64,
    /// Latencies of the timed operations, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Operations from the first to the last, those outside the measured time included; what
    /// follows is counted over all of them.
    pub(crate) all_ops: u64,
    /// How often threads went to sleep; each sleep is ended by one wake-up.
    pub(crate) sleeps: u64,
    /// How often page tables were changed, where a workload is about that.
    pub(crate) page_table_operations: Option<u64>,
}

impl Tally {
    /// Nothing done yet.
    pub(crate) fn new() -> Self {
        Self {
            ops: 0,
            wall: Duration::ZERO,
            inside_ns: 0,
            latency: histogram(),
            all_ops: 0,
            sleeps: 0,
            page_table_operations: None,
        }
    }

    /// Adds another slice.
    pub(crate) fn add(&mut self, other: &Self) {
        self.ops += other.ops;
        self.wall += other.wall;
        self.inside_ns += other.inside_ns;
        merge(&mut self.latency, &other.latency);
        self.all_ops += other.all_ops;
        self.sleeps += other.sleeps;
        if let Some(operations) = other.page_table_operations {
            *self.page_table_operations.get_or_insert(0) += operations;
        }
    }
}

/// What one worker leaves behind.
struct Work {
    latency: Histogram<u64>,
    ops: u64,
    sleeps: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("constant bounds are valid")
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    into.add(from).expect("both have the same bounds");
}

/// What the timekeeper tells the workers.
#[derive(Default)]
struct Signals {
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// What one worker tells the timekeeper.
#[derive(Default)]
struct Counter {
    ops: AtomicU64,
    inside_ns: AtomicU64,
}

/// One worker's end of the harness.
pub(crate) struct Recorder<'a> {
    signals: &'a Signals,
    counter: &'a Counter,
    ops: u64,
    inside_ns: u64,
    latency: Histogram<u64>,
}

impl<'a> Recorder<'a> {
    fn new(signals: &'a Signals, counter: &'a Counter) -> Self {
        Self {
            signals,
            counter,
            ops: 0,
            inside_ns: 0,
            latency: histogram(),
        }
    }

    /// Whether to go on.
    #[inline]
    pub(crate) fn running(&self) -> bool {
        !self.signals.stop.load(Ordering::Relaxed)
    }

    /// Counts one cheap operation, and times it if it is its turn.
    #[inline]
    pub(crate) fn sampled<T>(&mut self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = if self.ops.is_multiple_of(SAMPLE_EVERY) {
            let start = Instant::now();
            let result = operation();
            self.record(start.elapsed());
            result
        } else {
            operation()
        };
        self.count();
        result
    }

    /// Counts and times one operation, and adds its time to the time inside operations.
    #[inline]
    pub(crate) fn timed<T>(&mut self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = operation();
        let elapsed = start.elapsed();
        self.record(elapsed);
        self.inside_ns += nanoseconds(elapsed);
        self.counter
            .inside_ns
            .store(self.inside_ns, Ordering::Relaxed);
        self.count();
        result
    }

    fn count(&mut self) {
        self.ops += 1;
        // A plain store on a line of our own: an atomic addition would cost more than it counts.
        self.counter.ops.store(self.ops, Ordering::Relaxed);
    }

    fn record(&mut self, elapsed: Duration) {
        if self.signals.measuring.load(Ordering::Relaxed) {
            self.latency.saturating_record(nanoseconds(elapsed).max(1));
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs `workload` on `threads` threads for `time`.
///
/// # Errors
/// The first error of a worker; or if no operation ended within ten seconds.
///
/// # Panics
/// If a worker panicked.
pub(crate) fn run_slice(
    threads: usize,
    time: SliceTime,
    cpus: &Cpus,
    workload: &dyn Workload,
) -> Result<Tally> {
    let signals = CachePadded::new(Signals::default());
    let counters: Vec<CachePadded<Counter>> =
        (0..threads).map(|_| CachePadded::default()).collect();
    let start = Barrier::new(threads + 1);
    let work = |thread: usize| {
        cpus.pin(thread);
        let mut recorder = Recorder::new(&signals, &counters[thread]);
        start.wait();
        let sleeps_before = sleeps_of_this_thread();
        let result = workload.run(thread, &mut recorder);
        if result.is_err() {
            signals.stop.store(true, Ordering::Relaxed);
        }
        result.map(|()| Work {
            latency: recorder.latency,
            ops: recorder.ops,
            sleeps: sleeps_of_this_thread().saturating_sub(sleeps_before),
        })
    };
    let work = &work;
    let operations_before = workload.page_table_operations();
    let mut tally = thread::scope(|scope| {
        let spawn = |thread| scope.spawn(move || work(thread));
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        start.wait();
        let mut tally = keep_time(time, &signals, &counters);
        for worker in workers {
            // A panic of a worker is a panic of the benchmark, with the same message.
            let work = worker
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic))?;
            merge(&mut tally.latency, &work.latency);
            tally.all_ops += work.ops;
            tally.sleeps += work.sleeps;
        }
        if tally.ops == 0 {
            bail!("no operation ended within {} seconds", tally.wall.as_secs());
        }
        Ok(tally)
    })?;
    tally.page_table_operations = workload
        .page_table_operations()
        .zip(operations_before)
        .map(|(after, before)| after - before);
    Ok(tally)
}

/// Waits while the workers run, and counts what they do in the measured time.
fn keep_time(time: SliceTime, signals: &Signals, counters: &[CachePadded<Counter>]) -> Tally {
    thread::sleep(time.warm_up);
    signals.measuring.store(true, Ordering::Relaxed);
    let start = Instant::now();
    let before = sums(counters);
    thread::sleep(time.measured);
    let mut after = sums(counters);
    let mut wall = start.elapsed();
    // An operation longer than a slice is waited for: a cell without any has no numbers.
    while after.0 == before.0 && wall < PATIENCE && !signals.stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
        after = sums(counters);
        wall = start.elapsed();
    }
    signals.measuring.store(false, Ordering::Relaxed);
    signals.stop.store(true, Ordering::Relaxed);
    Tally {
        ops: after.0 - before.0,
        wall,
        inside_ns: after.1 - before.1,
        ..Tally::new()
    }
}

/// How often the calling thread has gone to sleep so far: its voluntary context switches, as Linux
/// counts them. Yielding and being preempted are not among them. 0 where nobody counts.
fn sleeps_of_this_thread() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    sleeps_in(&status).unwrap_or(0)
}

fn sleeps_in(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

fn sums(counters: &[CachePadded<Counter>]) -> (u64, u64) {
    counters.iter().fold((0, 0), |(ops, inside_ns), counter| {
        let ops = ops + counter.ops.load(Ordering::Relaxed);
        (ops, inside_ns + counter.inside_ns.load(Ordering::Relaxed))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const TIME: SliceTime = SliceTime {
        warm_up: Duration::from_millis(1),
        measured: Duration::from_millis(4),
    };

    /// Thread 0 keeps a mutex for a while, again and again, and the others sleep for it.
    struct Sleepers(Mutex<()>);

    impl Workload for Sleepers {
        fn run(&self, _thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
            while recorder.running() {
                recorder.timed(|| {
                    thread::sleep(Duration::from_micros(100));
                    drop(self.0.lock());
                    Ok(())
                })?;
            }
            Ok(())
        }

        fn verify(&self) -> Result<Coherence> {
            Ok(Coherence::Coherent)
        }

        fn page_table_operations(&self) -> Option<u64> {
            Some(7)
        }
    }

    #[test]
    fn sleeps_and_operations_of_the_whole_slice_are_counted() {
        let cpus = Cpus::of_this_process();
        let tally = run_slice(2, TIME, &cpus, &Sleepers(Mutex::new(()))).expect("a slice");
        assert!(tally.all_ops >= tally.ops);
        assert!(tally.sleeps >= tally.all_ops, "every operation sleeps");
        assert_eq!(tally.page_table_operations, Some(0), "nothing changed");
    }

    #[test]
    fn slices_add_up() {
        let mut slice = Tally::new();
        (slice.ops, slice.all_ops, slice.inside_ns, slice.sleeps) = (2, 3, 5, 7);
        (slice.wall, slice.page_table_operations) = (Duration::from_secs(11), Some(13));
        slice.latency.record(17).expect("within the bounds");
        let mut sum = Tally::new();
        sum.add(&slice);
        sum.add(&slice);
        assert_eq!((sum.ops, sum.all_ops, sum.inside_ns), (4, 6, 10));
        assert_eq!((sum.sleeps, sum.wall), (14, Duration::from_secs(22)));
        assert_eq!(sum.page_table_operations, Some(26));
        assert_eq!(sum.latency.len(), 2);
    }

    #[test]
    fn the_count_of_sleeps_is_found_among_the_other_lines() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\n";
        assert_eq!(sleeps_in(status), Some(3));
        assert_eq!(sleeps_in("Name:\tx\n"), None);
    }
}
