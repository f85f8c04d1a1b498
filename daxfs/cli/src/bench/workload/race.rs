//! DWFM: writes against faults on one page of a hole, and the check that finds a stale zero page.
//!
//! The race, as a benchmark and as a checker. A read fault looks the page up and finds a hole; a
//! write allocates the block, publishes it and invalidates what is mapped; then the fault maps
//! the page of zeroes it had decided on. From then on a load returns zeroes and a read returns
//! data. The locking designs other than `none` must never let this happen.
//!
//! ```text
//! thread 0 (writer)     rendezvous    the others              rendezvous   thread 0
//! punch the page out   ------|------  write or fault the page ------|----  read, load, compare
//!                            |  (thread 0 writes here too)          |
//! ```
//!
//! Thread 0 alone decides whether there is another round, so that all leave together. Between the
//! rendezvous each thread waits for a short random time first, so that the windows of the race
//! meet in every order. Only the writes and the faults are counted.
//!
//! With one thread, that thread alternates: fault, write, compare.
//!
//! Touches one file through the library. Its own synchronisation is the [`Rendezvous`], and a
//! mutex for the first error.

use std::hint;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Error, Result};
use daxfs::{File, Mapping};

use super::rendezvous::Rendezvous;
use super::stamp::{self, Block};
use super::{BLOCK_BYTES, Opening, SHARED_FILE};
use crate::bench::harness::{Coherence, Recorder, Workload};

/// The longest random wait before an operation, in spins: a few microseconds, about as long as a
/// fault takes.
const STAGGER_SPINS_MAX: u64 = 256;

/// The mapped page of one slice.
pub(super) struct Race {
    threads: usize,
    file: File,
    mapping: Mapping,
    rendezvous: Rendezvous,
    /// Written by thread 0 before the first rendezvous of a round, read by all after it.
    another_round: AtomicBool,
    /// The stamps of a round's writes are this number and those after it, one for each writer.
    /// Written and read as `another_round`.
    first_stamp: AtomicU64,
    failure: Mutex<Option<Error>>,
    /// Set by thread 0, read when all threads are gone.
    found: Mutex<Coherence>,
}

impl Race {
    /// Maps the page.
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self> {
        let file = opening.open(SHARED_FILE)?;
        let mapping = opening.map(&file, BLOCK_BYTES)?;
        Ok(Self::new(file, mapping, opening.threads))
    }

    fn new(file: File, mapping: Mapping, threads: usize) -> Self {
        Self {
            threads,
            file,
            mapping,
            rendezvous: Rendezvous::new(threads),
            another_round: AtomicBool::new(true),
            first_stamp: AtomicU64::new(0),
            failure: Mutex::new(None),
            found: Mutex::new(Coherence::Coherent),
        }
    }

    fn writers(&self) -> usize {
        (self.threads / 2).max(1)
    }

    fn run_alone(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut block = Block::zeroed();
        while recorder.running() {
            self.file.punch_hole(0, BLOCK_BYTES)?;
            let first_stamp = stamp::fresh();
            block.fill(first_stamp);
            recorder.timed(|| self.fault())?;
            recorder.timed(|| self.write(&block))?;
            self.compare(first_stamp)?;
        }
        Ok(())
    }

    /// One round as thread `thread` sees it, between the two rendezvous.
    fn act(
        &self,
        thread: usize,
        block: &mut Block,
        random: &mut Random,
        recorder: &mut Recorder<'_>,
    ) -> Result<()> {
        if thread < self.writers() {
            block.fill(self.first_stamp.load(Ordering::Relaxed) + thread as u64);
            random.wait();
            recorder.timed(|| self.write(block))
        } else {
            random.wait();
            recorder.timed(|| self.fault())
        }
    }

    fn write(&self, block: &Block) -> Result<()> {
        Ok(self.file.write_all_at(&block.0, 0)?)
    }

    fn fault(&self) -> Result<()> {
        Ok(self.mapping.load(0, &mut [0; 8])?)
    }

    /// Thread 0, before a round: makes the page a hole again and says whether there is a round.
    fn prepare(&self, recorder: &Recorder<'_>) -> Result<()> {
        let failed = lock(&self.failure).is_some();
        let another_round = recorder.running() && !failed;
        self.another_round.store(another_round, Ordering::Relaxed);
        if another_round {
            let first_stamp = stamp::fresh_run(self.writers() as u64);
            self.first_stamp.store(first_stamp, Ordering::Relaxed);
            self.file.punch_hole(0, BLOCK_BYTES)?;
        }
        Ok(())
    }

    /// Thread 0, after a round, when nobody else touches the page: read and load must agree.
    fn compare(&self, first_stamp: u64) -> Result<()> {
        let (mut read, mut loaded) = (Block::zeroed(), Block::zeroed());
        self.file.read_at(&mut read.0, 0)?;
        self.mapping.load(0, &mut loaded.0)?;
        let stamps = first_stamp..first_stamp + self.writers() as u64;
        let coherence = match (read.stamp(), loaded.stamp()) {
            (Some(read), Some(loaded)) if read == loaded && stamps.contains(&read) => {
                Coherence::Coherent
            }
            (Some(read), Some(0)) if stamps.contains(&read) => {
                Coherence::Incoherent("stale zero page")
            }
            (Some(read), Some(loaded)) if read != loaded => Coherence::Incoherent("stale page"),
            (Some(_), Some(_)) => Coherence::Incoherent("lost write"),
            _ => Coherence::Incoherent("torn write"),
        };
        let mut found = lock(&self.found);
        *found = found.and(coherence);
        Ok(())
    }

    /// Keeps the first failure; the others follow from it.
    fn note<T>(&self, result: Result<T>) {
        if let Err(error) = result {
            lock(&self.failure).get_or_insert(error);
        }
    }
}

impl Workload for Race {
    fn run(&self, thread: usize, recorder: &mut Recorder<'_>) -> Result<()> {
        if self.threads == 1 {
            return self.run_alone(recorder);
        }
        let _guard = self.rendezvous.break_on_drop();
        let mut block = Block::zeroed();
        let mut random = Random::seeded(thread as u64);
        loop {
            if thread == 0 {
                self.note(self.prepare(recorder));
            }
            self.rendezvous.wait()?;
            if !self.another_round.load(Ordering::Relaxed) {
                break;
            }
            // A failure is told at the next round, so that nobody is left waiting.
            self.note(self.act(thread, &mut block, &mut random, recorder));
            self.rendezvous.wait()?;
            if thread == 0 && lock(&self.failure).is_none() {
                self.note(self.compare(self.first_stamp.load(Ordering::Relaxed)));
            }
        }
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    fn verify(&self) -> Result<Coherence> {
        Ok(*lock(&self.found))
    }
}

/// The mutexes here guard values that are whole at all times, even when a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Marsaglia's xorshift (Journal of Statistical Software 8(14), 2003): enough to stagger threads.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(stamp::fresh() ^ seed << 32 | 1)
    }

    fn wait(&mut self) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        for _ in 0..self.0 % STAGGER_SPINS_MAX {
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daxfs::{
        Device, Filesystem, FormatOptions, MapOptions, MountOptions, PageTables, PersistenceChoice,
    };

    use super::*;

    /// A race whose mapping is of another file than its reads and writes: whatever is in the two,
    /// the check sees it as two views of one page.
    fn with_two_views(test: impl FnOnce(&Race, &File)) {
        let device = Device::create_memfd(16 << 20, PersistenceChoice::Detect).expect("a device");
        Filesystem::format(&device, &FormatOptions::default()).expect("an image");
        let filesystem =
            Filesystem::mount(Arc::new(device), MountOptions::default()).expect("mounted");
        let file = filesystem.create("/read").expect("a file");
        let other = filesystem.create("/mapped").expect("a file");
        file.truncate(BLOCK_BYTES).expect("a hole");
        other.truncate(BLOCK_BYTES).expect("a hole");
        let options = MapOptions {
            page_tables: PageTables::Software,
            ..MapOptions::new(BLOCK_BYTES)
        };
        let mapping = other.map(options).expect("a mapping");
        test(&Race::new(file, mapping, 2), &other);
    }

    #[test]
    fn the_check_tells_every_kind_of_incoherence() {
        let (first, stale) = (7_000, 6_999);
        let torn = |mut block: Box<Block>| {
            block.0[100] ^= 1;
            block
        };
        let cases = [
            (
                Block::stamped(first),
                Block::stamped(first),
                Coherence::Coherent,
            ),
            (
                Block::stamped(first),
                Block::zeroed(),
                Coherence::Incoherent("stale zero page"),
            ),
            (
                Block::stamped(first),
                Block::stamped(stale),
                Coherence::Incoherent("stale page"),
            ),
            (
                Block::stamped(stale),
                Block::stamped(stale),
                Coherence::Incoherent("lost write"),
            ),
            (
                Block::zeroed(),
                Block::zeroed(),
                Coherence::Incoherent("lost write"),
            ),
            (
                torn(Block::stamped(first)),
                Block::zeroed(),
                Coherence::Incoherent("torn write"),
            ),
        ];
        for (read, mapped, expected) in cases {
            with_two_views(|race, other| {
                race.write(&read).expect("written");
                other.write_all_at(&mapped.0, 0).expect("written");
                race.compare(first).expect("compared");
                assert_eq!(race.verify().expect("a verdict"), expected);
            });
        }
    }
}
